package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"

	"gorm.io/gorm"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// Options say what to open. The zero value of Logger logs nothing.
type Options struct {
	// URL names the database: "sqlite:" and the path of a file, which is created with its folder, or a postgres:// URL of an existing
	// database, with the parameters of libpq and pgxpool (pool_max_conns).
	URL string
	// Logger gets what an operator should know of; never the content of messages.
	Logger *slog.Logger
}

// Store is a [chat.Store], and keeps what package account needs. All methods are safe for concurrent use.
type Store struct {
	engine
	reads  *gorm.DB // a pool of connections that can't write
	shards int      // set in Open, never changed
	logger *slog.Logger
}

var _ chat.Store = (*Store)(nil)

// engine is what kinds of databases do each in their own way.
type engine interface {
	// Commit is that of [chat.Log].
	Commit(ctx context.Context, reads chat.Reads, decide func(*chat.View) (*chat.Writes, error)) ([]chat.Batch, error)
	// write runs fn in a durable transaction of its own, for everything that isn't a change of a conversation.
	// A transaction that has begun is not ended by ctx; waiting for its turn is. Errors are translated.
	write(ctx context.Context, fn func(tx *gorm.DB) error) error
	// snapshotOptions are for a transaction of reads that all see one state of the database.
	snapshotOptions() *sql.TxOptions
	// search finds messages, newest first.
	search(ctx context.Context, x search) ([]chat.Message, error)
	// waitIndexed returns once search finds everything that is committed now.
	waitIndexed(ctx context.Context) error
	// close ends everything that the engine started. Nothing else may be called any more.
	close() error
}

// Open opens a database, bringing its tables up to date. Errors say in one line what is wrong and are meant for the operator.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if isPostgres(o.URL) {
		return openPostgres(ctx, o.URL, o.Logger)
	}
	path, err := sqlitePath(o.URL)
	if err != nil {
		return nil, err
	}
	return openSQLite(ctx, path, o.Logger)
}

// NewEpoch gives a database a new epoch, and returns it: every client then starts afresh instead of relying on what it knows. That is for
// a database that is not what it was, such as one restored from a backup. Nodes on PostgreSQL take it up while they run; a file of SQLite has to be closed.
// A database without tables is an error: it is not the one that was meant.
func NewEpoch(ctx context.Context, o Options) (epoch int64, err error) {
	if path, err := sqlitePath(o.URL); err == nil {
		if _, err := os.Stat(path); err != nil {
			return 0, fmt.Errorf("database: %w", err) // it would be made
		}
	}
	steps, err := Migrate(ctx, o, Status)
	if err != nil {
		return 0, err
	}
	if !slices.ContainsFunc(steps, func(m Migration) bool { return m.Applied }) {
		return 0, errors.New("the database has no tables of this program: nothing was restored into it")
	}
	s, err := Open(ctx, o)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	epoch = newEpoch()
	return epoch, s.write(ctx, func(tx *gorm.DB) error {
		return tx.Exec(`UPDATE store_meta SET value = ? WHERE key = 'epoch'`, epoch).Error
	})
}

// newEpoch tells one history of a database from another. 52 bits are exact in every JSON.
func newEpoch() int64 { return rand.Int64N(1<<52-1) + 1 }

// Close ends what is under way and gives the database free for another process. Call it once, after everything that uses the store.
func (s *Store) Close() error { return s.engine.close() }

// WaitIndexed returns once [Store.SearchMessages] finds everything that is committed now. A search waits for that by itself; a drain may want to
// leave no work behind.
func (s *Store) WaitIndexed(ctx context.Context) error { return s.waitIndexed(ctx) }

// Shards is that of [chat.Log].
func (s *Store) Shards() int { return s.shards }

// db is where reads begin. What they return goes through [translateRead].
func (s *Store) db(ctx context.Context) *gorm.DB { return s.reads.WithContext(ctx) }

// snapshot runs reads that have to fit together on one state of the database. Errors are translated.
func (s *Store) snapshot(ctx context.Context, fn func(db *gorm.DB) error) error {
	err := s.db(ctx).Transaction(fn, s.snapshotOptions())
	if errors.Is(err, chat.ErrTrimmed) {
		return err
	}
	return translateRead(ctx, err)
}

func isPostgres(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

// sqlitePath returns the path in a database URL.
func sqlitePath(url string) (string, error) {
	scheme, path, ok := strings.Cut(url, ":")
	switch {
	case !ok || scheme != "sqlite":
		return "", fmt.Errorf("database URL %q isn't supported: it has to be sqlite: and the path of a file, or begin with postgres://", redact(url))
	case strings.Trim(path, "/") == "" || strings.HasPrefix(path, ":"):
		return "", fmt.Errorf("database URL %q names no file: write sqlite:data/natterjack.db or sqlite:/path/natterjack.db", url)
	case strings.ContainsAny(path, "?#"):
		return "", fmt.Errorf("database URL %q has a ? or # in its path, which isn't supported", url)
	}
	if rest, ok := strings.CutPrefix(path, "//"); ok {
		path = "/" + strings.TrimLeft(rest, "/")
	}
	return path, nil
}

// redact cuts a URL that may hold a password down to its scheme.
func redact(url string) string {
	scheme, _, ok := strings.Cut(url, ":")
	if !ok {
		return "…"
	}
	return scheme + ":…"
}
