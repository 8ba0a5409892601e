package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// upkeepEvery is how often some node merges new words into their index. At 20,000 messages a second 200,000 gather meanwhile, which a
	// search reads through in 70 ms.
	upkeepEvery = 10 * time.Second
	// upkeepPatience is how long that may take.
	upkeepPatience = time.Minute
)

// runUpkeep merges new words into their index from time to time, until the engine closes.
func (e *postgresEngine) runUpkeep() {
	ticker := time.NewTicker(upkeepEvery)
	defer ticker.Stop()
	warned := false
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-ticker.C:
		}
		err := e.upkeep(e.ctx)
		if err != nil && e.ctx.Err() == nil && !warned {
			e.log.Warn("the search index can't be kept up; searches get slower until the database's own vacuum does it", "error", err)
		}
		warned = err != nil
	}
}

// upkeep does it once, unless another node is at it.
func (e *postgresEngine) upkeep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, upkeepPatience)
	defer cancel()
	return pgx.BeginFunc(ctx, e.pool, func(tx pgx.Tx) error {
		var mine bool
		err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1, $2)`, lockSpace, upkeepLock).Scan(&mine)
		if err != nil || !mine {
			return err
		}
		if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = 0`); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `SELECT gin_clean_pending_list('events_by_words')`)
		return err
	})
}
