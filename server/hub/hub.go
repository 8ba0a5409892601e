package hub

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// Limits are the settings of a hub. All have to be set; see [DefaultLimits].
type Limits struct {
	// QueueFrames and QueueBytes bound what waits for the writer of a stream, each at least 4. What the server answers to the client's own requests
	// and what came in during catch-up counts on top, the latter within the same bounds.
	QueueFrames, QueueBytes int
	// SlowAfter is how long a stream may owe its client a resync before it is ended as too slow.
	SlowAfter time.Duration
	// StreamsPerUser is the number of streams that one user may have on this node.
	StreamsPerUser int
	// CollapsedPerStream bounds the receipts that a busy stream keeps, the newest of each member; conversations of others get a summary instead.
	CollapsedPerStream int
	// ReceiptMembers is the size of a conversation above which only a member's own streams are told of its marks.
	ReceiptMembers int
	// WakePerStream is the time that a conversation's streams on this node are left alone after they were woken for an event, for each of them; at most WakeWithin
	// in all. What comes meanwhile is delivered after that time, together.
	WakePerStream, WakeWithin time.Duration
	// CheckEvery is the time between two comparisons of positions with the log; CheckUnconfirmed the same while the bus is in doubt.
	CheckEvery, CheckUnconfirmed time.Duration
	// HoldEarly is how long a batch waits for the one before it; HoldBehind how long the log may be ahead of the hub. Then the log is read.
	HoldEarly, HoldBehind time.Duration
}

// DefaultLimits returns the limits that fit a server with up to 100,000 streams.
func DefaultLimits() Limits {
	return Limits{
		QueueFrames: 2000, QueueBytes: 512 << 10, SlowAfter: 30 * time.Second,
		StreamsPerUser: 32, CollapsedPerStream: 500, ReceiptMembers: 200,
		WakePerStream: 20 * time.Microsecond, WakeWithin: 20 * time.Millisecond,
		CheckEvery: time.Second, CheckUnconfirmed: 100 * time.Millisecond,
		HoldEarly: 30 * time.Millisecond, HoldBehind: 150 * time.Millisecond,
	}
}

// Config is what a hub is made of.
type Config struct {
	Encoder Encoder
	Log     chat.Log
	// Bus connects other nodes; nil where there are none.
	Bus    Bus
	Logger *slog.Logger
	Limits Limits
	// Diverged, unless nil, is told the positions that the hub had when the log turned out to be another one: it went back, or has other
	// batches under the same numbers. All streams have been ended by then, and the hub takes up the log again when the call returns.
	Diverged func(followed chat.Positions)
	// SessionsEnded, unless nil, is told of sessions that another node has ended, before their streams here end. It must not block.
	SessionsEnded func([]chat.SessionID)
}

// Hub is one node's share of the streams. Safe for concurrent use.
type Hub struct {
	encoder  Encoder
	log      chat.Log
	bus      Bus // nil: single node
	logger   *slog.Logger
	limits   Limits
	diverged func(followed chat.Positions)
	ended    func([]chat.SessionID)

	node    uint64 // random; marks own frames on the bus
	shards  []*shard
	signals signalQueue
	watch   watchers
	stats   counters

	ready    chan struct{} // closed when the positions are known
	stopped  chan struct{} // closed when Run ends
	checkNow chan struct{} // 1: compare positions soon
	lost     chan lostReason

	mu       sync.RWMutex // guards what follows
	state    state
	users    map[chat.UserID][]*Stream
	sessions map[chat.SessionID][]*Stream
	count    int           // registered streams
	opened   time.Time     // when the last one was
	empty    chan struct{} // not nil while draining: closed when the last stream is gone
}

type state int8

const (
	starting state = iota
	serving
	restarting
	draining
)

// New returns a hub; [Hub.Run] makes it work.
func New(c Config) *Hub {
	h := &Hub{
		encoder: c.Encoder, log: c.Log, bus: c.Bus, logger: c.Logger, limits: c.Limits, diverged: c.Diverged, ended: c.SessionsEnded,
		node:  rand.Uint64(),
		ready: make(chan struct{}), stopped: make(chan struct{}),
		checkNow: make(chan struct{}, 1), lost: make(chan lostReason, 1),
		users: map[chat.UserID][]*Stream{}, sessions: map[chat.SessionID][]*Stream{},
	}
	h.signals.wake = make(chan struct{}, 1)
	h.watch.streams = map[chat.UserID]map[*Stream]struct{}{}
	for i := range c.Log.Shards() {
		h.shards = append(h.shards, newShard(h, i))
	}
	return h
}

// Run takes up the log at its present end and follows it until ctx ends; then it ends the streams that are left and returns nil. It
// doesn't fail: while the log can't be read the hub isn't ready. Called once.
func (h *Hub) Run(ctx context.Context) error {
	defer close(h.stopped)
	if h.bus != nil {
		// Subscribed before the positions are read, so that nothing falls between.
		stop := h.bus.Subscribe(h.receiveBatch, h.receiveSignal, h.nudge)
		defer stop()
	}
	var running sync.WaitGroup
	for _, s := range h.shards {
		running.Go(func() { s.run(ctx) })
	}
	running.Go(func() { h.runSignals(ctx) })
	h.follow(ctx)
	running.Wait()
	h.mu.Lock()
	h.state = draining
	h.mu.Unlock()
	h.endAll(GoodbyeDrain, 0)
	return nil
}

// Ready returns a channel that is closed once the hub knows the positions of the log and takes streams.
func (h *Hub) Ready() <-chan struct{} { return h.ready }

// Publish takes a batch that was committed on this node, in the order of the shard's numbers. It waits for room in the shard's queue at
// most, and an applier does no I/O. Safe for concurrent use by several shards. Implements [chat.Publisher].
func (h *Hub) Publish(b chat.Batch) {
	h.shards[b.Shard].publish(b)
}

// Positions returns the batches that have been applied: all their events have been given to the streams that were attached.
func (h *Hub) Positions() chat.Positions {
	p := chat.Positions{Nos: make([]int64, len(h.shards)), IDs: make([]uint64, len(h.shards))}
	for i, s := range h.shards {
		at := s.position()
		p.Epoch, p.Nos[i], p.IDs[i] = at.epoch, at.no, at.id
	}
	return p
}

func (h *Hub) shardOf(id chat.ConversationID) *shard {
	return h.shards[id.Shard(len(h.shards))]
}

// nudge asks for a comparison of positions soon.
func (h *Hub) nudge() {
	select {
	case h.checkNow <- struct{}{}:
	default:
	}
}

// counters are the hub's own; see Stats for their meaning.
type counters struct {
	queued, dropped, collapsed, resyncs            atomic.Int64
	slow, superseded, repairs, repaired            atomic.Int64
	divergences, restarts, badFrames, holes, ahead atomic.Int64
}

// Stats is a snapshot of what a hub has done since it was made, and holds now.
type Stats struct {
	Streams       int   // open now
	Conversations int   // with at least one stream now
	Queued        int64 // frames given to streams
	Dropped       int64 // typing that a busy stream did not get
	Collapsed     int64 // durable frames that a full stream gets as part of a resync
	Resyncs       int64 // resyncs sent for that
	SlowClosed    int64 // streams ended as too slow
	Superseded    int64 // streams ended by a newer one of their device
	Repairs       int64 // reads of the log because of a hole
	Repaired      int64 // batches taken from the log
	Divergences   int64 // times that the log was another one
	Restarts      int64 // times that all streams had to be ended, by divergence or because the log was trimmed too early
	BadFrames     int64 // bus frames that couldn't be read
	Holes         int64 // seqs missing in the log itself: a fault of the store
	Ahead         int64 // batches by which the log was ahead of the hub at the last comparison, in the worst shard
}

// Stats returns the hub's figures.
func (h *Hub) Stats() Stats {
	c := &h.stats
	s := Stats{
		Queued: c.queued.Load(), Dropped: c.dropped.Load(), Collapsed: c.collapsed.Load(), Resyncs: c.resyncs.Load(),
		SlowClosed: c.slow.Load(), Superseded: c.superseded.Load(), Repairs: c.repairs.Load(), Repaired: c.repaired.Load(),
		Divergences: c.divergences.Load(), Restarts: c.restarts.Load(), BadFrames: c.badFrames.Load(), Holes: c.holes.Load(),
		Ahead: c.ahead.Load(),
	}
	for _, sh := range h.shards {
		sh.mu.Lock()
		s.Conversations += len(sh.rooms)
		sh.mu.Unlock()
	}
	h.mu.RLock()
	s.Streams = h.count
	h.mu.RUnlock()
	return s
}
