package chat

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/natterjack-chat/natterjack/server/internal/planted"
)

// op is one change that waits for a transaction. Its functions are called by the lane that owns the conversation's shard.
type op struct {
	conversation ConversationID // decides the lane
	size         int            // bytes of content, for the batch's bound
	// reads adds what apply has to see. lookup is true when client ids have to be looked up.
	reads func(r *readSet, lookup bool)
	// apply carries the change out on the transaction's view, or refuses it with an [*Error] and leaves the view as it was.
	// It may be called again on a fresh view, and then starts over.
	apply func(*tx) error
	// repeatable says that carrying the change out twice is the same as once, by a client id or by its nature: then an unknown
	// outcome is settled by doing it again.
	repeatable bool
	// done is called once, after the commit was published. It must not block.
	done func(error)

	caller context.Context // of whoever submitted it; nothing of the transaction ends with it
	err    error           // of the last apply
}

const (
	// maxBatchOps and maxBatchBytes bound one transaction, and so the time for which others wait behind it.
	maxBatchOps   = 512
	maxBatchBytes = 1 << 20
	// laneQueue is how many changes may wait in one lane before those who submit have to wait themselves.
	laneQueue = 4096
)

// CommitStats tells of one transaction; see [Config.Observe].
type CommitStats struct {
	Ops      int           // changes carried out or refused in it
	Duration time.Duration // from taking them to the commit, without publishing
	// Callers are the contexts of those who asked for the changes, in their order; for use during the call only.
	Callers iter.Seq[context.Context]
}

// committer is the group commit: it carries changes out in batches, without a timer. A lane takes all that waits, commits it as one transaction,
// and then takes what has gathered meanwhile: alone, a change waits for nothing; under load, batches grow by themselves.
// (The leader's part in pebble's commit pipeline; bbolt's Batch for the bad item that fails alone.)
//
// Lanes own disjoint sets of shards, so two transactions of one node never wait for each other's shard lock.
type committer struct {
	log     Log
	publish func(Batch)
	clock   func() time.Time
	logger  *slog.Logger
	observe func(CommitStats)
	shards  int

	lanes   []chan *op
	closing chan struct{} // closed by close: no further submit
	once    sync.Once
	senders sync.WaitGroup // submits under way, each of which close waits for
	mu      sync.Mutex     // guards closed against senders.Add
	closed  bool
	running sync.WaitGroup // lanes; each ends when its channel is closed
}

func newCommitter(cfg Config) *committer {
	c := &committer{
		log: cfg.Store, publish: cfg.Publisher.Publish, clock: cfg.Clock, logger: cfg.Logger, observe: cfg.Observe,
		shards: cfg.Store.Shards(), closing: make(chan struct{}),
	}
	for range min(cfg.Limits.Lanes, c.shards) {
		lane := make(chan *op, laneQueue)
		c.lanes = append(c.lanes, lane)
		c.running.Go(func() { c.run(lane) })
	}
	return c
}

// submit hands a change over; it waits while the lane's queue is full. An error means that the change was not taken and done will not be called.
// Changes of one conversation that are submitted one after another are carried out in that order.
func (c *committer) submit(ctx context.Context, o *op) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return Unavailable(errors.New("the committer is closed"))
	}
	c.senders.Add(1)
	c.mu.Unlock()
	defer c.senders.Done()
	o.caller = ctx
	select {
	case c.lanes[o.conversation.Shard(c.shards)%len(c.lanes)] <- o:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.closing:
		return Unavailable(errors.New("the committer is closing"))
	}
}

// do submits a change and waits for it. When ctx ends first the change goes on, and its outcome isn't known to the caller.
func (c *committer) do(ctx context.Context, o *op) error {
	done := make(chan error, 1)
	o.done = func(err error) { done <- err }
	if err := c.submit(ctx, o); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// perform carries a rule out by way of o and returns what it said.
func perform[T any](ctx context.Context, c *committer, o *op, rule func(*tx) (T, error)) (T, error) {
	var out, none T
	o.apply = func(t *tx) (err error) {
		out, err = rule(t)
		return err
	}
	if err := c.do(ctx, o); err != nil {
		return none, err // where ctx ended, out may still be written to
	}
	return out, nil
}

// close takes no further changes, carries out those that it has, and returns when all are answered.
func (c *committer) close() {
	c.once.Do(func() {
		c.mu.Lock()
		c.closed = true
		c.mu.Unlock()
		close(c.closing)
		c.senders.Wait()
		for _, lane := range c.lanes {
			close(lane)
		}
	})
	c.running.Wait()
}

// run is a lane's goroutine.
func (c *committer) run(lane chan *op) {
	batch := make([]*op, 0, maxBatchOps)
	for first := range lane {
		batch = append(batch[:0], first)
		size := first.size
	gather:
		for len(batch) < maxBatchOps && size < maxBatchBytes {
			select {
			case o, ok := <-lane:
				if !ok {
					break gather
				}
				batch = append(batch, o)
				size += o.size
			default:
				break gather
			}
		}
		c.commit(batch, false)
		clear(batch)
	}
}

// commit carries a batch out and answers each of its changes. lookup says whether client ids are looked up beforehand.
func (c *committer) commit(batch []*op, lookup bool) {
	err := c.attempt(batch, lookup)
	e, typed := AsError(err)
	switch {
	case err == nil:
		for _, o := range batch {
			o.done(o.err)
		}
	case (errors.Is(err, ErrClientIDTaken) || errors.Is(err, ErrCreateKeyTaken)) && !lookup:
		c.commit(batch, true)
	case typed && e.Reason == ReasonOutcomeUnknown && !lookup:
		c.settle(batch, err)
	case typed:
		c.logger.Warn("commit failed", "changes", len(batch), "error", err)
		answer(batch, err)
	case len(batch) > 1:
		// Some item's data was refused. Halving finds it, and the others go on.
		c.logger.Error("batch refused by the store; dividing it", "changes", len(batch), "error", err)
		c.commit(batch[:len(batch)/2], true)
		c.commit(batch[len(batch)/2:], true)
	default:
		c.logger.Error("change refused by the store", "conversation", batch[0].conversation, "error", err)
		answer(batch, err)
	}
}

func callers(batch []*op) iter.Seq[context.Context] {
	return func(yield func(context.Context) bool) {
		for _, o := range batch {
			if !yield(o.caller) {
				return
			}
		}
	}
}

// settle runs those changes of a batch with an unknown outcome again that may be run twice: a look-up by their ids tells which were stored.
func (c *committer) settle(batch []*op, unknown error) {
	c.logger.Warn("commit with unknown outcome", "changes", len(batch), "error", unknown)
	var again, lost []*op
	for _, o := range batch {
		if !o.repeatable {
			lost = append(lost, o)
			continue
		}
		again = append(again, o)
		done := o.done
		o.done = func(err error) {
			// That the look-up came to nothing says nothing of the first attempt.
			if IsReason(err, ReasonUnavailable) || IsReason(err, ReasonStoreFull) {
				err = unknown
			}
			done(err)
		}
	}
	answer(lost, unknown)
	if len(again) > 0 {
		c.commit(again, true)
	}
}

func answer(batch []*op, err error) {
	for _, o := range batch {
		o.done(err)
	}
}

// attempt runs one transaction over the batch and publishes what it stored. Each op's err holds its own refusal.
func (c *committer) attempt(batch []*op, lookup bool) error {
	start := time.Now()
	reads := newReadSet()
	for _, o := range batch {
		o.reads(reads, lookup)
	}
	var t *tx
	batches, err := c.log.Commit(context.Background(), reads.Reads, func(v *View) (*Writes, error) {
		t = newTx(v, c.clock())
		for _, o := range batch {
			o.err = o.apply(t)
		}
		if planted.Bug(planted.AckBeforeCommit) && len(t.out.Events) > 0 && t.out.Events[0].Kind == EventMessage {
			for _, o := range batch {
				o.done(o.err)
				o.done = func(error) {}
			}
		}
		return t.writes(), nil
	})
	if err != nil {
		return err
	}
	if planted.Bug(planted.DieUnpublished) && len(t.out.Events) > 0 && t.out.Events[0].Kind == EventMessage && planted.Every(5) {
		planted.Die()
	}
	if c.observe != nil {
		c.observe(CommitStats{Ops: len(batch), Duration: time.Since(start), Callers: callers(batch)})
	}
	for _, b := range batches {
		t.fill(&b, c.shards)
		c.publish(b)
	}
	return nil
}
