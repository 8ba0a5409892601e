package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"gorm.io/gorm"
	lib "modernc.org/sqlite/lib"
)

// searchIndex is the full-text index of the messages, in a file of its own beside the database, filled by a goroutine that follows events
// by their ids.
//
// Why it isn't part of the commit: a batch of 500 messages takes 9 ms to commit and would take another 8 to 15 to index, for which all
// senders would wait. Done behind, 1,000 and more messages share a transaction of the index, nobody waits but a search, and the index needs no
// fsync: its file is in WAL mode with synchronous=NORMAL, so that a power cut may take its last transactions but leaves it whole. Each transaction also
// stores the id up to which it has come, so the index goes on from where it is, whatever happened. A search first waits until it has
// caught up, which takes some 10 ms, and so sees all that was acknowledged before.
//
// Why terms begin with the conversation (see [term]): a search costs what the user's own conversations hold, and not what all hold. FTS5 gathers all
// entries of a prefix before it intersects them with anything: "a*" took 40 ms among 200,000 messages where it was shared, and 0.2 ms
// here. The price is 14 µs a message instead of 8, and 100 bytes instead of 40. (2 cores, November 2026.)
type searchIndex struct {
	source *gorm.DB // reads of the database
	write  *sql.DB
	reads  *gorm.DB
	pool   *sql.DB // of reads
	logger *slog.Logger

	wake    chan struct{}      // there are new events
	demand  chan struct{}      // somebody waits for them
	cancel  context.CancelFunc // ends the goroutine
	stopped chan struct{}      // closed by the goroutine when it ends

	mu       sync.Mutex
	position int64         // guarded by mu: all events up to it are indexed
	failure  error         // guarded by mu: of the last attempt; nil: it went well
	attempt  chan struct{} // guarded by mu: closed, and replaced, after each attempt
}

const (
	// indexVersion is that of the schema below and of [foldedWords]. A file of another one is thrown away and built anew.
	indexVersion = 1
	// indexChunk is how many events one transaction of the index takes in.
	indexChunk = 2000
	// indexDelay lets new events gather where nobody waits for them: large transactions cost less.
	indexDelay = 250 * time.Millisecond
	// indexRetry is the pause after a failure, such as a full disk.
	indexRetry = 2 * time.Second
)

// openIndex opens the index of the database of this epoch, an empty one if there is none that fits, and starts filling it.
func openIndex(ctx context.Context, path string, source *gorm.DB, epoch int64, logger *slog.Logger) (*searchIndex, error) {
	x := &searchIndex{
		source: source, logger: logger,
		wake: make(chan struct{}, 1), demand: make(chan struct{}, 1),
		stopped: make(chan struct{}), attempt: make(chan struct{}),
	}
	err := x.connect(ctx, path, epoch)
	if errors.Is(err, errStale) || isCorrupt(err) {
		logger.Warn("building the search index anew", "file", path, "cause", err)
		if err = removeSQLite(path); err == nil {
			err = x.connect(ctx, path, epoch)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("search index %s: %w", path, err)
	}
	running, cancel := context.WithCancel(context.Background())
	x.cancel = cancel
	go x.run(running)
	return x, nil
}

var (
	errStale       = errors.New("it belongs to another database or version")
	errIndexClosed = errors.New("the search index is closed")
)

func (x *searchIndex) connect(ctx context.Context, path string, epoch int64) (err error) {
	if x.write, err = openSQLiteDB(sqliteDSN(path, "_txlock=immediate",
		pragma("journal_mode", "WAL"), pragma("synchronous", "NORMAL"), pragma("cache_size", -writerCacheKiB/4),
		pragma("wal_autocheckpoint", walPages), pragma("journal_size_limit", walLimit))); err != nil {
		return err
	}
	x.write.SetMaxOpenConns(1)
	if x.pool, err = openSQLiteDB(readerDSN(path)); err != nil {
		return errors.Join(err, x.write.Close())
	}
	x.pool.SetMaxOpenConns(4)
	x.pool.SetMaxIdleConns(4)
	if err = x.prepare(ctx, epoch); err == nil {
		x.reads, err = openGORM(x.pool)
	}
	if err != nil {
		return errors.Join(err, x.pool.Close(), x.write.Close())
	}
	return nil
}

// prepare makes the tables, or finds out how far they go.
func (x *searchIndex) prepare(ctx context.Context, epoch int64) error {
	var version, tables int
	if err := x.write.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
		return err
	}
	if err := x.write.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
		return err
	}
	if tables == 0 {
		// The tokenizer only has to split at spaces. Where in a message a word stands isn't asked, so it isn't stored.
		_, err := x.write.ExecContext(ctx, fmt.Sprintf(`BEGIN IMMEDIATE;
			CREATE VIRTUAL TABLE messages USING fts5 (terms, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii');
			CREATE TABLE progress (event_id INTEGER NOT NULL, conversation_id INTEGER NOT NULL, seq INTEGER NOT NULL, epoch INTEGER NOT NULL);
			INSERT INTO progress VALUES (0, 0, 0, %d);
			PRAGMA user_version = %d;
			COMMIT`, epoch, indexVersion))
		return err
	}
	if version != indexVersion {
		return errStale
	}
	var indexed, conversation, seq, of int64
	err := x.write.QueryRowContext(ctx, `SELECT event_id, conversation_id, seq, epoch FROM progress`).Scan(&indexed, &conversation, &seq, &of)
	if err != nil {
		return err
	}
	// The database may have been replaced by an older copy of itself.
	var known int
	err = x.source.WithContext(ctx).
		Raw(`SELECT count(*) FROM events WHERE id = ? AND conversation_id = ? AND seq = ?`, indexed, conversation, seq).Row().Scan(&known)
	switch {
	case err != nil:
		return err
	case of != epoch || indexed > 0 && known == 0:
		return errStale
	}
	x.position = indexed
	return nil
}

func isCorrupt(err error) bool {
	code, ok := sqliteCode(err)
	return ok && (code&0xff == lib.SQLITE_CORRUPT || code&0xff == lib.SQLITE_NOTADB)
}

// removeSQLite deletes a database that nobody has open.
func removeSQLite(path string) error {
	for _, suffix := range []string{"-wal", "-shm", ""} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// nudge says that there are new events. It never waits.
func (x *searchIndex) nudge() { signal(x.wake) }

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is known already
	}
}

// wait returns once events up to an id are indexed, or with what keeps them from it.
func (x *searchIndex) wait(ctx context.Context, id int64) error {
	for {
		x.mu.Lock()
		done, attempt := x.position >= id, x.attempt
		x.mu.Unlock()
		if done {
			return nil
		}
		signal(x.demand)
		select {
		case <-attempt:
		case <-x.stopped:
			return errIndexClosed
		case <-ctx.Done():
			return ctx.Err()
		}
		x.mu.Lock()
		failure := x.failure
		x.mu.Unlock()
		if failure != nil {
			return failure
		}
	}
}

// run is the goroutine that fills the index; close ends it.
func (x *searchIndex) run(ctx context.Context) {
	defer close(x.stopped)
	for {
		more, err := x.advance(ctx)
		if ctx.Err() != nil {
			return
		}
		var pause time.Duration
		switch {
		case err != nil:
			x.logger.Error("the search index can't follow", "error", err)
			pause = indexRetry
		case more:
		default:
			select {
			case <-ctx.Done():
				return
			case <-x.demand:
			case <-x.wake:
				pause = indexDelay
			}
		}
		if !x.pause(ctx, pause, err == nil) {
			return
		}
	}
}

// pause waits, but not while somebody waits for the index, if eager. It returns false when the index closes.
func (x *searchIndex) pause(ctx context.Context, d time.Duration, eager bool) bool {
	demand := x.demand
	if !eager {
		demand = nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-demand:
	case <-time.After(d):
	}
	return true
}

// advance takes the next events in and reports whether there may be more.
func (x *searchIndex) advance(ctx context.Context) (more bool, err error) {
	x.mu.Lock()
	position := x.position
	x.mu.Unlock()
	changes, last, err := readChanges(x.source.WithContext(ctx), position, indexChunk)
	if err == nil && len(changes) > 0 {
		err = x.apply(ctx, changes)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if err == nil {
		x.position = max(x.position, last)
	}
	x.failure = err
	close(x.attempt)
	x.attempt = make(chan struct{})
	return len(changes) == indexChunk, err
}

// apply stores changes and how far they go, in one transaction.
func (x *searchIndex) apply(ctx context.Context, changes []change) (err error) {
	tx, err := x.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	insert, err := tx.PrepareContext(ctx, `INSERT INTO messages (rowid, terms) VALUES (?, ?)`)
	if err != nil {
		return err
	}
	remove, err := tx.PrepareContext(ctx, `DELETE FROM messages WHERE rowid = ?`)
	if err != nil {
		return err
	}
	end := changes[len(changes)-1]
	// In the order of the messages' rows, as FTS5 likes it. A message that comes up twice comes with the same, present state.
	slices.SortFunc(changes, func(a, b change) int { return cmp.Compare(a.target, b.target) })
	changes = slices.CompactFunc(changes, func(a, b change) bool { return a.target == b.target })
	for _, c := range changes {
		if c.target == 0 {
			continue
		}
		// What is older than the beginning of this transaction may be in the index.
		if c.target < c.id {
			if _, err = remove.ExecContext(ctx, c.target); err != nil {
				return err
			}
		}
		if c.deleted {
			continue
		}
		if _, err = insert.ExecContext(ctx, c.target, terms(c.conversation, c.content)); err != nil {
			return err
		}
	}
	if _, err = tx.ExecContext(ctx, `UPDATE progress SET event_id = ?, conversation_id = ?, seq = ?`, end.id, end.conversation, end.seq); err != nil {
		return err
	}
	return tx.Commit()
}

// close ends the goroutine, however far it is, and closes the file.
func (x *searchIndex) close() error {
	x.cancel()
	<-x.stopped
	return errors.Join(x.pool.Close(), x.write.Close())
}
