package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/natterjack-chat/natterjack/server/chat"
)

const (
	// decidePatience is how long a commit may take up to the moment when it is sent: connecting, waiting for locks and reading, with all repetitions.
	decidePatience = 950 * time.Millisecond
	// commitPatience is how long is waited for the answer to a commit, before its outcome is given out as unknown.
	commitPatience = time.Second
	// commitAttempts bounds the repetitions of a transaction that stored nothing.
	commitAttempts = 8
	// retryPause is the time before the second repetition; the first comes at once. It doubles each time, up to decidePatience.
	retryPause = 10 * time.Millisecond
)

// errSlow is why an outcome isn't known when the server is alive but slow.
var errSlow = errors.New("no answer to the commit yet")

// Commit is that of [chat.Log]. It makes two round trips: locks and reads, then writes and the commit.
func (e *postgresEngine) Commit(ctx context.Context, reads chat.Reads, decide func(*chat.View) (*chat.Writes, error)) ([]chat.Batch, error) {
	if err := e.ctx.Err(); err != nil {
		return nil, chat.Unavailable(err)
	}
	// Once begun, it goes on without its caller, so that nobody's going away leaves an outcome in doubt.
	if err := ctx.Err(); err != nil {
		return nil, chat.Unavailable(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), decidePatience)
	defer cancel()
	c := commit{engine: e, shards: shardsOf(&reads), reads: &reads, decide: decide}
	pause := time.Duration(0)
	for attempt := 1; ; attempt++ {
		batches, err := c.attempt(ctx)
		switch {
		case err == nil, c.decided:
			return batches, err
		case attempt == commitAttempts, !isRepeatable(err), !sleep(ctx, pause):
			return nil, translatePostgres(err)
		}
		if isLost(err) {
			forgetConnections(e.pool, err)
		}
		pause = max(retryPause, 2*pause)
	}
}

// sleep waits, and reports whether ctx lasted as long.
func sleep(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return ctx.Err() == nil
	}
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// shardsOf returns the shards of all conversations in reads, ascending: the one order in which everybody takes their locks.
func shardsOf(r *chat.Reads) []int32 {
	var is [postgresShards]bool
	mark := func(id chat.ConversationID) { is[id.Shard(postgresShards)] = true }
	for _, id := range r.Conversations {
		mark(id)
	}
	for _, k := range r.CreateKeys {
		mark(k.Conversation)
	}
	for _, k := range r.Members {
		mark(k.Conversation)
	}
	for _, k := range slices.Concat(r.Messages, r.Ordinals) {
		mark(k.Conversation)
	}
	for _, k := range r.ClientIDs {
		mark(k.Conversation)
	}
	var shards []int32
	for shard, named := range is {
		if named {
			shards = append(shards, int32(shard))
		}
	}
	return shards
}

// commit is one call of Commit.
type commit struct {
	engine *postgresEngine
	shards []int32
	reads  *chat.Reads
	decide func(*chat.View) (*chat.Writes, error)

	decided bool // there is nothing to store, or decide said why not
}

// attempt runs the transaction once. Its errors are the driver's, and then nothing was stored, or what Commit returns.
func (c *commit) attempt(ctx context.Context) ([]chat.Batch, error) {
	conn, err := c.engine.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	given := false
	defer func() {
		if !given {
			conn.Release() // a connection that is in a transaction still, or broken, is closed
		}
	}()
	v, logs, err := c.begin(ctx, conn.Conn())
	if err != nil {
		return nil, abandon(ctx, conn, err)
	}
	writes, err := c.decide(v.View)
	if err != nil || writes == nil || writes.Empty() {
		c.decided = true
		return nil, abandon(ctx, conn, err)
	}
	p, err := newPlan(writes, v, postgresShards)
	if err != nil {
		return nil, abandon(ctx, conn, err)
	}
	batches, err := logs.next(p)
	if err != nil {
		return nil, abandon(ctx, conn, err)
	}
	statements, err := postgresStatements(p, batches)
	if err != nil {
		return nil, abandon(ctx, conn, err)
	}
	given = true
	if err := c.engine.finish(conn, statements); err != nil {
		return nil, err
	}
	return batches, nil
}

// abandon ends a transaction that is not to be committed, and returns why.
func abandon(ctx context.Context, conn *pgxpool.Conn, err error) error {
	if postgresState(err) == stateReadOnly {
		_ = conn.Conn().Close(ctx) // a standby now; the next connection finds the new primary
	}
	if conn.Conn().IsClosed() || conn.Conn().PgConn().TxStatus() == 'I' {
		return err
	}
	// Where it fails the connection is closed, and the transaction ends with it.
	_, _ = conn.Exec(ctx, `ROLLBACK`)
	return err
}

// finish sends the writes with the commit and waits for their answer, though not for ever. It releases the connection.
//
// When the time is up the commit goes on: to break it off could cut the wait for a standby short, and make visible what a failover
// takes back. The shards' locks stay with it for as long.
func (e *postgresEngine) finish(conn *pgxpool.Conn, statements *pgx.Batch) error {
	answer := make(chan error, 1)
	e.late.Go(func() {
		defer conn.Release()
		answer <- e.send(conn, statements)
	})
	timer := time.NewTimer(commitPatience)
	defer timer.Stop()
	select {
	case err := <-answer:
		return err
	case <-timer.C:
		return chat.OutcomeUnknown(errSlow)
	}
}

// send sends the statements, of which the last is the commit, as one pipeline.
func (e *postgresEngine) send(conn *pgxpool.Conn, statements *pgx.Batch) error {
	c := conn.Conn()
	delete(c.PgConn().CustomData(), warned)
	results := c.SendBatch(e.ctx, statements)
	last := statements.Len() - 1
	for range last {
		if _, err := results.Exec(); err != nil {
			_ = results.Close() // err says more
			return e.failed(conn, err)
		}
	}
	tag, err := results.Exec()
	if closing := results.Close(); err == nil {
		err = closing
	}
	switch {
	case err != nil && isUnanswered(err):
		return chat.OutcomeUnknown(err)
	case err != nil:
		return err
	case tag.String() != "COMMIT":
		return fmt.Errorf("the commit was answered by %s", tag)
	}
	if text, ok := c.PgConn().CustomData()[warned]; ok {
		return chat.OutcomeUnknown(fmt.Errorf("commit with a warning: %v", text))
	}
	return nil
}

// failed says what the failure of a statement before the commit means. The server runs none after one that it refused; if it didn't
// answer, it may have run them all.
func (e *postgresEngine) failed(conn *pgxpool.Conn, err error) error {
	switch {
	case postgresState(err) == "":
		return chat.OutcomeUnknown(err)
	case postgresState(err) == stateUnique:
		switch constraint(err) {
		case "events_by_client_id":
			err = chat.ErrClientIDTaken
		case "conversations_create_key":
			err = chat.ErrCreateKeyTaken
		}
	}
	ctx, cancel := context.WithTimeout(e.ctx, commitPatience)
	defer cancel()
	return abandon(ctx, conn, err)
}

// begin is the first round trip: it begins the transaction, takes the locks, and reads. Each statement sees what was committed before it began, so those
// after the locks see everything that their holders before us have stored.
func (c *commit) begin(ctx context.Context, conn *pgx.Conn) (*view, *logTops, error) {
	r := postgresReads{batch: &pgx.Batch{}, view: newView(c.reads)}
	r.batch.Queue(`BEGIN ISOLATION LEVEL READ COMMITTED`)
	// The commit is not to be cut short by a time-out; see finish. What follows takes arrays, for which one plan is as good as another:
	// planning anew each time took 0.3 ms of 4 for a batch of 100.
	r.batch.Queue(`SELECT pg_advisory_xact_lock($1, shard), set_config('statement_timeout', '0', true),
		set_config('plan_cache_mode', 'force_generic_plan', true) FROM unnest($2::int[]) AS shard`, lockSpace, c.shards)
	logs := &logTops{tops: make(map[int]logTop, len(c.shards))}
	r.tops(c.shards, logs)
	r.queue(c.reads)
	if err := conn.SendBatch(ctx, r.batch).Close(); err != nil {
		return nil, nil, err
	}
	return r.view, logs, nil
}

// logTops are the ends of the log of the shards that are locked.
type logTops struct {
	epoch int64
	tops  map[int]logTop
}

// next returns the batches that follow, one for each shard that the plan writes to, in the order of its logs.
func (l *logTops) next(p *plan) ([]chat.Batch, error) {
	batches := make([]chat.Batch, len(p.logs))
	for i, log := range p.logs {
		top, ok := l.tops[log.shard]
		if !ok {
			return nil, fmt.Errorf("write to shard %d, which isn't locked", log.shard)
		}
		batches[i] = chat.Batch{Epoch: l.epoch, Shard: log.shard, No: top.no + 1, ID: rand.Uint64N(1<<64-1) + 1, PrevID: uint64(top.id)}
	}
	return batches, nil
}
