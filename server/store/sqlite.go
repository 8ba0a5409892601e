package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gofrs/flock"
	sqlitedialect "github.com/libtnb/sqlite"
	"github.com/pressly/goose/v3"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

const (
	// sqliteShards is 1 because there is one writer: more locks would let nothing run in parallel.
	sqliteShards = 1
	// sqliteBusyMillis is how long a statement waits for a lock of another process, such as a backup's.
	sqliteBusyMillis = 5000
	// walPages is after how many pages of 4 KiB a commit also copies the write-ahead log into the database. Pages that are written again and
	// again in between are copied once. Copying from a goroutine and a connection of its own was measured and is worse: at 10,000 messages/s in
	// batches of 50, a commit took 2.2 ms instead of 1.7 in the middle, and 23 to 34 ms at worst instead of 11 to 16 (2 cores, November 2026).
	walPages = 4096
	// walLimit is to what size in bytes the log's file is cut back after it was larger.
	walLimit = 64 << 20
	// Page caches in KiB, the writer's and each reader's.
	writerCacheKiB = 64 << 10
	readerCacheKiB = 8 << 10
)

// sqliteEngine is a SQLite file that this process owns.
type sqliteEngine struct {
	lock   *flock.Flock
	writer *sqliteWriter
	pool   *sql.DB  // the readers
	reads  *gorm.DB // on pool
	index  *searchIndex
	epoch  int64
}

func openSQLite(ctx context.Context, path string, log *slog.Logger) (_ *Store, err error) {
	path, lock, err := claimSQLite(path)
	if err != nil {
		return nil, err
	}
	e := &sqliteEngine{lock: lock, writer: newSQLiteWriter(writerDSN(path))}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	if _, err = runMigrations(ctx, goose.DialectSQLite3, "sqlite", e.writer.db, Up, log); err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	if e.pool, err = openSQLiteDB(readerDSN(path)); err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	readers := max(4, 2*runtime.GOMAXPROCS(0))
	e.pool.SetMaxOpenConns(readers)
	e.pool.SetMaxIdleConns(readers)
	if e.reads, err = openGORM(e.pool); err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	if e.epoch, err = e.loadMeta(ctx); err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	if e.index, err = openIndex(ctx, path+".search", e.reads, e.epoch, log); err != nil {
		return nil, err
	}
	return &Store{engine: e, reads: e.reads, shards: sqliteShards, logger: log}, nil
}

func migrateSQLite(ctx context.Context, path string, d Direction, log *slog.Logger) (_ []Migration, err error) {
	path, lock, err := claimSQLite(path)
	if err != nil {
		return nil, err
	}
	w := newSQLiteWriter(writerDSN(path))
	defer func() { err = errors.Join(err, w.close(), lock.Close()) }()
	list, err := runMigrations(ctx, goose.DialectSQLite3, "sqlite", w.db, d, log)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	return list, nil
}

// claimSQLite makes the file and its folder where they are missing, and makes this process their owner. Two servers that share a file
// would each take the other's commits for a loss, so the second one must not start.
//
// The lock is on a file of its own: closing any descriptor of the database would drop SQLite's own locks on it.
func claimSQLite(path string) (string, *flock.Flock, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", nil, fmt.Errorf("database path: %w", err)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return "", nil, fmt.Errorf("database %s is a directory", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return "", nil, fmt.Errorf("making the database's folder: %w", err)
	}
	lock := flock.New(path + ".lock")
	switch held, err := lock.TryLock(); {
	case err != nil:
		return "", nil, fmt.Errorf("locking database %s: %w", path, err)
	case !held:
		return "", nil, errors.Join(fmt.Errorf("database %s is open in another process; stop it first, or use another file", path), lock.Close())
	}
	// Nobody else on the machine reads messages and password hashes. SQLite gives its other files the same mode.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = f.Close()
	} else if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("creating database %s: %w", path, err), lock.Close())
	}
	return path, lock, nil
}

func writerDSN(path string) string {
	return sqliteDSN(path, "_txlock=immediate",
		pragma("journal_mode", "WAL"), pragma("synchronous", "FULL"), pragma("cache_size", -writerCacheKiB),
		pragma("wal_autocheckpoint", walPages), pragma("journal_size_limit", walLimit))
}

func readerDSN(path string) string {
	return sqliteDSN(path, "_query_only=1", pragma("cache_size", -readerCacheKiB))
}

func sqliteDSN(path string, parameters ...string) string {
	parameters = append([]string{pragma("busy_timeout", sqliteBusyMillis), pragma("temp_store", "MEMORY")}, parameters...)
	return path + "?" + strings.Join(parameters, "&")
}

func pragma(name string, value any) string { return fmt.Sprintf("_pragma=%s(%v)", name, value) }

// openGORM puts GORM on a pool or on one connection. It logs nothing: errors go to the caller, and statements may hold messages. Its cache of
// prepared statements stays off: see [openSQLiteDB].
func openGORM(conn gorm.ConnPool) (*gorm.DB, error) {
	return gorm.Open(sqlitedialect.New(sqlitedialect.Config{Conn: conn}), &gorm.Config{
		Logger: logger.Discard, SkipDefaultTransaction: true, DisableAutomaticPing: true,
	})
}

// loadMeta reads what is fixed for the life of the database, and sets it in a new one.
func (e *sqliteEngine) loadMeta(ctx context.Context) (epoch int64, err error) {
	var shards int
	err = e.write(ctx, func(tx *gorm.DB) error {
		// A new file is another history than the one it replaces, so it begins with another epoch.
		err := tx.Exec(`INSERT INTO store_meta (key, value) VALUES ('epoch', ?), ('shards', ?) ON CONFLICT DO NOTHING`,
			newEpoch(), sqliteShards).Error
		if err != nil {
			return err
		}
		return tx.Raw(`SELECT (SELECT value FROM store_meta WHERE key = 'epoch'), (SELECT value FROM store_meta WHERE key = 'shards')`).
			Row().Scan(&epoch, &shards)
	})
	if err == nil && shards != sqliteShards {
		err = fmt.Errorf("the database has %d log shards, and this program uses %d", shards, sqliteShards)
	}
	return epoch, err
}

func (e *sqliteEngine) write(ctx context.Context, fn func(tx *gorm.DB) error) error {
	return e.writer.transaction(ctx, func() (bool, error) { return true, fn(e.writer.orm) })
}

func (e *sqliteEngine) snapshotOptions() *sql.TxOptions { return &sql.TxOptions{ReadOnly: true} }

func (e *sqliteEngine) close() error {
	var errs []error
	if e.index != nil {
		errs = append(errs, e.index.close())
	}
	if e.pool != nil {
		errs = append(errs, e.pool.Close())
	}
	return errors.Join(append(errs, e.writer.close(), e.lock.Close())...)
}
