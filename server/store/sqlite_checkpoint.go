package store

import (
	"context"
	"database/sql"
	"log/slog"
	"time"

	sqlitedialect "github.com/libtnb/sqlite"
)

const (
	// checkpointPeriod is how often the length of the write-ahead log is looked at while there are commits.
	checkpointPeriod = 100 * time.Millisecond
	// checkpointPages is after how many pages of 4 KiB the log is copied into the database. Pages that are written again and again in
	// between are copied once.
	checkpointPages = 4096
	// restartPages is at what length the log begins anew, for which writing pauses.
	restartPages = 16384
	// walLimit is to what size in bytes the log's file is cut back after it was larger.
	walLimit = 2 * restartPages * 4096
)

// checkpointer copies the write-ahead log into the database, from a goroutine and a connection of its own.
//
// SQLite by itself would do it in some commit, for which then all senders wait: at 10,000 messages/s in batches of 50 the slowest of a thousand
// commits took 147 ms (2 cores, November 2026). Copying beside the writer delays nobody, but the log can only begin anew when all of it is copied and
// nobody writes; so once it is long, the writer pauses while the last pages are copied.
type checkpointer struct {
	db     *sql.DB // one connection
	writer *sqliteWriter
	logger *slog.Logger

	cancel  context.CancelFunc
	stopped chan struct{} // closed by the goroutine when it ends
}

func startCheckpointer(path string, writer *sqliteWriter, logger *slog.Logger) (*checkpointer, error) {
	db, err := sql.Open(sqlitedialect.DriverName, sqliteDSN(path, pragma("synchronous", "FULL")))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	ctx, cancel := context.WithCancel(context.Background())
	c := &checkpointer{db: db, writer: writer, logger: logger, cancel: cancel, stopped: make(chan struct{})}
	go c.run(ctx)
	return c, nil
}

// run is the goroutine; close ends it.
func (c *checkpointer) run(ctx context.Context) {
	defer close(c.stopped)
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.writer.committed:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(checkpointPeriod):
		}
		if err := c.tick(ctx); err != nil && ctx.Err() == nil {
			// The log grows meanwhile, and nothing else is wrong: the next commits lead back here.
			c.logger.Error("checkpoint failed", "error", err)
		}
	}
}

// tick does what the length of the log asks for.
func (c *checkpointer) tick(ctx context.Context) error {
	length, copied, err := c.checkpoint(ctx, "NOOP")
	if err != nil || length-copied < checkpointPages && length < restartPages {
		return err
	}
	if length, _, err = c.checkpoint(ctx, "PASSIVE"); err != nil || length < restartPages {
		return err
	}
	return c.writer.pause(ctx, func() error {
		_, _, err := c.checkpoint(ctx, "PASSIVE")
		return err
	})
}

// checkpoint runs a checkpoint of a mode, NOOP being none, and returns how many pages the log has and how many of them are copied.
func (c *checkpointer) checkpoint(ctx context.Context, mode string) (length, copied int, err error) {
	var busy int
	err = c.db.QueryRowContext(ctx, `PRAGMA wal_checkpoint(`+mode+`)`).Scan(&busy, &length, &copied)
	return length, copied, err
}

func (c *checkpointer) close() error {
	c.cancel()
	<-c.stopped
	return c.db.Close()
}
