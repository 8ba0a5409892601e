package hub

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/internal/planted"
)

const (
	// shardQueue is the number of batches that wait for an applier. A committer whose shard is that far behind waits; frames of other nodes
	// are dropped and come from the log later.
	shardQueue = 256
	// maxEarly is the number of batches that wait for one before them; what comes on top is read from the log.
	maxEarly = 256
	// readLimit is the number of batches that one read of the log asks for.
	readLimit = 100
	// readTimeout bounds one read of the log.
	readTimeout = 5 * time.Second
	// retryRead is the wait after a read of the log that failed.
	retryRead = 200 * time.Millisecond
)

// position is a place in a shard's log.
type position struct {
	epoch int64
	no    int64
	id    uint64
}

// shard applies the batches of one log shard in their order, and holds the rooms of its conversations.
type shard struct {
	hub   *Hub
	index int

	queue chan *batch
	reset chan beginning // a new beginning
	reads chan logRead   // the answer to the read that is under way
	top   atomic.Int64   // the highest number known to be in the log
	nudge chan struct{}  // 1: top has moved

	mu    sync.Mutex // guards what follows; held while one event is given to its streams
	rooms map[chat.ConversationID]*room
	paced []*room  // whose streams are to be woken; see pace.go
	at    position // what has been applied
}

// beginning is a place from which to follow the log anew.
type beginning struct {
	at   position
	done chan<- struct{} // takes one value when the shard is there
}

// logRead is what a read of the log gave.
type logRead struct {
	generation int
	batches    []chat.Batch
	err        error
}

func newShard(h *Hub, index int) *shard {
	return &shard{
		hub: h, index: index,
		queue: make(chan *batch, shardQueue), reset: make(chan beginning), reads: make(chan logRead, 1), nudge: make(chan struct{}, 1),
		rooms: map[chat.ConversationID]*room{},
	}
}

func (sh *shard) position() position {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.at
}

// unchecked reports whether a planted fault has the checks of positions off.
func unchecked() bool { return planted.Bug(planted.DropBatches) || planted.Bug(planted.DropFrames) }

// publish queues a batch of this node. The applier does no I/O, so this waits for processing time only.
func (sh *shard) publish(b chat.Batch) {
	own := fromChat(&b)
	own.own = true
	if planted.Bug(planted.DropBatches) && planted.Every(1000) {
		return
	}
	select {
	case sh.queue <- own:
	case <-sh.hub.stopped:
	}
}

// spread passes a batch of this node on to the others.
func (h *Hub) spread(b *batch) {
	if h.bus == nil {
		return
	}
	for i := range b.entries {
		b.entries[i].encoded(h)
	}
	for i := range b.receipts {
		b.receipts[i].encoded(h)
	}
	h.bus.PublishBatch(b.shard, encodeBatch(h.node, b))
}

// receiveBatch is called by the bus.
func (h *Hub) receiveBatch(frame []byte) {
	if h.isOwn(frame) || planted.Bug(planted.DropFrames) && planted.Every(20) {
		return
	}
	_, b, err := decodeBatch(frame, len(h.shards))
	if err != nil {
		h.stats.badFrames.Add(1)
		return
	}
	h.shards[b.shard].receive(b)
}

// receive queues a batch of another node.
func (sh *shard) receive(b *batch) {
	select {
	case sh.queue <- b:
	default: // The comparison of positions finds it.
	}
}

// sawTop tells the applier how far the log reaches.
func (sh *shard) sawTop(no int64) {
	sh.top.Store(no)
	select {
	case sh.nudge <- struct{}{}:
	default:
	}
}

// applier is the state of the goroutine that applies a shard's batches.
type applier struct {
	*shard
	ctx   context.Context
	early map[int64]*batch // numbers above at.no+1
	// target is the highest number that has to be there. While at.no is below it, deadline is when to read the log, unless reading is true.
	target     int64
	deadline   time.Time // zero: not set
	timer      *time.Timer
	round      *time.Timer // wakes the streams of the rooms that are due
	roundAt    time.Time   // when; zero: not set
	reading    bool
	generation int // counts resets, so that an older read's answer is known as such
	// idle: before the first reset, and from the loss of the log to the next one, nothing is applied.
	idle    bool
	running sync.WaitGroup // the read under way
}

func (sh *shard) run(ctx context.Context) {
	a := &applier{shard: sh, ctx: ctx, early: map[int64]*batch{}, idle: true, timer: time.NewTimer(time.Hour), round: time.NewTimer(time.Hour)}
	a.timer.Stop()
	a.round.Stop()
	defer a.running.Wait()
	defer a.timer.Stop()
	defer a.round.Stop()
	for {
		select {
		case b := <-a.queue:
			a.take(b)
		case r := <-a.reset:
			a.begin(r.at)
			r.done <- struct{}{}
		case <-a.nudge:
			if top := a.top.Load(); !a.idle && top > a.at.no {
				a.target = max(a.target, top)
				a.arm(a.hub.limits.HoldBehind)
			}
		case <-a.timer.C:
			a.deadline = time.Time{}
			a.read()
		case now := <-a.round.C:
			a.roundAt = time.Time{}
			a.setRound(a.wakeDue(now))
		case r := <-a.reads:
			a.repair(r)
		case <-ctx.Done():
			return
		}
	}
}

// begin takes up the log at a place. All streams of before have been ended.
func (a *applier) begin(at position) {
	a.generation++
	a.reading, a.idle = false, false
	a.target = at.no
	clear(a.early)
	a.disarm()
	a.mu.Lock()
	clear(a.rooms)
	a.paced = nil
	a.at = at
	a.mu.Unlock()
}

// take applies a batch if it is the next, keeps it if it comes early, and drops it if it has been applied or is of another log.
func (a *applier) take(b *batch) {
	if b.own {
		a.hub.spread(b)
	}
	switch {
	case a.idle || b.no <= a.at.no:
	case unchecked():
		a.apply(b)
	case b.epoch != a.at.epoch, b.no == a.at.no+1 && b.prevID != a.at.id:
		// Not what follows here. The log itself decides whether it is we who are wrong.
		a.hub.nudge()
	case b.bare:
		a.target = max(a.target, b.no)
		if b.no == a.at.no+1 {
			a.read()
		} else {
			a.arm(a.hub.limits.HoldEarly)
		}
	case b.no == a.at.no+1:
		a.apply(b)
		a.applyEarly()
	default:
		a.target = max(a.target, b.no)
		if len(a.early) < maxEarly {
			a.early[b.no] = b
		}
		a.arm(a.hub.limits.HoldEarly)
	}
}

// applyEarly applies the batches that were waiting for the one just applied.
func (a *applier) applyEarly() {
	for len(a.early) > 0 {
		b, ok := a.early[a.at.no+1]
		if !ok || b.prevID != a.at.id {
			break
		}
		delete(a.early, b.no)
		a.apply(b)
	}
	if a.target <= a.at.no {
		a.disarm()
	}
}

func (a *applier) apply(b *batch) {
	for i := range b.entries {
		a.applyEntry(&b.entries[i])
	}
	for i := range b.receipts {
		a.applyReceipt(&b.receipts[i])
	}
	a.mu.Lock()
	a.at = position{epoch: b.epoch, no: b.no, id: b.id}
	due := a.nextDue()
	a.mu.Unlock()
	a.setRound(due)
}

// setRound sees to it that the rooms are looked at when the first of them is due; zero: none is.
func (a *applier) setRound(due time.Time) {
	switch {
	case due.Equal(a.roundAt):
		return
	case due.IsZero():
		a.round.Stop()
	default:
		a.round.Reset(time.Until(due))
	}
	a.roundAt = due
}

// arm sees to it that the log is read after a time at most, unless it is being read or what is missing has come by then.
func (a *applier) arm(after time.Duration) {
	if a.reading {
		return
	}
	if at := time.Now().Add(after); a.deadline.IsZero() || at.Before(a.deadline) {
		a.deadline = at
		a.timer.Reset(after)
	}
}

func (a *applier) disarm() {
	a.timer.Stop()
	a.deadline = time.Time{}
}

// read begins to read what follows in the log, beside the applier, which goes on taking what comes.
func (a *applier) read() {
	if a.reading || a.idle || a.target <= a.at.no {
		return
	}
	a.disarm()
	a.reading = true
	a.hub.stats.repairs.Add(1)
	after, generation := a.at.no, a.generation
	a.running.Go(func() {
		ctx, cancel := context.WithTimeout(a.ctx, readTimeout)
		defer cancel()
		batches, err := a.hub.log.Batches(ctx, a.index, after, readLimit)
		select {
		case a.reads <- logRead{generation, batches, err}:
		case <-a.ctx.Done():
		}
	})
}

// repair applies what was read from the log.
func (a *applier) repair(r logRead) {
	if r.generation != a.generation {
		return
	}
	a.reading = false
	switch {
	case errors.Is(r.err, chat.ErrTrimmed):
		a.lose(lostReason{shard: a.index, trimmed: true})
		return
	case r.err != nil:
		a.hub.logger.Warn("reading missed batches failed; trying again", "shard", a.index, "after", a.at.no, "error", r.err)
		a.arm(retryRead)
		return
	}
	for i := range r.batches {
		b := fromChat(&r.batches[i])
		if b.no <= a.at.no {
			continue
		}
		if b.no != a.at.no+1 || b.prevID != a.at.id || b.epoch != a.at.epoch {
			a.lose(lostReason{shard: a.index})
			return
		}
		a.hub.stats.repaired.Add(1)
		a.apply(b)
		delete(a.early, b.no)
	}
	a.applyEarly()
	switch {
	case a.target <= a.at.no:
	case len(r.batches) > 0:
		a.read()
	default:
		// A number that the log doesn't have: the frame that told it was of another log, or wrong.
		a.target = a.at.no
		clear(a.early)
		a.hub.nudge()
	}
}

// lose stops the shard until the hub has begun anew.
func (a *applier) lose(why lostReason) {
	a.idle = true
	clear(a.early)
	a.disarm()
	a.hub.lose(why)
}
