package cluster

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// RedisPresenceConfig is what presence over several nodes is made of.
type RedisPresenceConfig struct {
	PresenceConfig
	// Watched returns those of the users whose presence streams of this node watch. It must not block. Nil: all.
	Watched func([]chat.UserID) []chat.UserID
	// Nodes tells apart nodes that are dead and nodes that have only lost Redis. Nil: those are taken for dead.
	Nodes NodeStore
}

// NodeStore is what the database knows of nodes.
type NodeStore interface {
	// NodesAlive notes that a node is alive, and returns those of which that was noted within a time, by the database's clock.
	NodesAlive(ctx context.Context, node string, within time.Duration) ([]string, error)
}

// timings are the times of presence. Tests use shorter ones.
type timings struct {
	// beat is how often a node renews its lease and looks at those of others; lease is how long it lasts.
	beat, lease time.Duration
	// gather is how long changes are gathered before they are told.
	gather time.Duration
	// rebuild is how long it may take until all nodes have noticed that Redis lost something, and told it again: above two pulses.
	rebuild time.Duration
	// round is the time in which everything is told and read once more, spread over it, in case that anything was lost.
	round time.Duration
	// witness is how often the database is told that the node is alive; alive is how old that may be. The former below a third of the latter.
	witness, alive time.Duration
}

func defaultTimings() timings {
	return timings{
		beat: 3 * time.Second, lease: 10 * time.Second, gather: 100 * time.Millisecond, rebuild: 4 * time.Second, round: time.Minute,
		witness: 4 * time.Second, alive: 15 * time.Second,
	}
}

const (
	// readTimeout is how long a question for presence waits for Redis.
	readTimeout = 300 * time.Millisecond
	// workTimeout is the same for what nobody waits for.
	workTimeout = 2 * time.Second
)

// RedisPresence tells who is connected to any node of an installation. Each node knows its own users by itself, as [MemoryPresence] does, and tells Redis
// of their changes; an entry there counts only while its node holds its lease, and a while longer, in which the users of a node that was killed
// can come back elsewhere unseen. While Redis is away users of other nodes are unknown. What Redis has lost is told again within seconds.
//
// A user is online while any stream on any node is, and away while all are. Safe for concurrent use.
type RedisPresence struct {
	redis   *Redis
	local   *MemoryPresence
	watched func([]chat.UserID) []chat.UserID
	nodes   NodeStore // nil: none
	logger  *slog.Logger
	times   timings
	linger  time.Duration

	wake    chan struct{} // 1: changed isn't empty
	beatNow chan struct{} // 1: look at Redis soon
	dirty   dirtySet

	mu        sync.Mutex // guards what follows. Taken before the lock of local, never around I/O or a callback.
	listeners []func(chat.PresenceInfo)
	away      bool                      // Redis is; until it was there once it counts as away
	own       string                    // this node's name in Redis, a new one whenever it lost its lease; empty: none yet
	olds      []string                  // names it had before, as long as entries may be there under them
	peers     map[string]*peer          // the other nodes by name
	births    [partitions]string        // changes when Redis has lost a partition; empty: not known yet
	young     [partitions]time.Time     // until then a partition may lack what nodes have yet to tell again
	followed  map[chat.UserID]*followed // users that streams of this node watch
	changed   map[chat.UserID]struct{}  // those whose state may have to be told
	stale     map[chat.UserID]struct{}  // those to be read
	reading   chan struct{}             // 1: stale isn't empty
	// alive are the nodes that the database knows to be alive, if it could be asked.
	alive      []string
	aliveKnown bool
	reaping    map[string]bool // dead nodes after which this one clears up
	reapers    sync.WaitGroup
}

// Presence returns presence over Redis; called once, before [Redis.Run]. [RedisPresence.Run] makes it work.
func (r *Redis) Presence(c RedisPresenceConfig) *RedisPresence {
	if c.Watched == nil {
		c.Watched = func(users []chat.UserID) []chat.UserID { return users }
	}
	p := &RedisPresence{
		redis: r, local: NewMemoryPresence(c.PresenceConfig), watched: c.Watched, nodes: c.Nodes, logger: c.Logger, times: defaultTimings(),
		wake: make(chan struct{}, 1), beatNow: make(chan struct{}, 1), reading: make(chan struct{}, 1),
		dirty: dirtySet{wake: make(chan struct{}, 1), users: map[chat.UserID]time.Time{}},
		away:  true, peers: map[string]*peer{}, followed: map[chat.UserID]*followed{},
		changed: map[chat.UserID]struct{}{}, stale: map[chat.UserID]struct{}{}, reaping: map[string]bool{},
	}
	p.linger = p.local.linger
	p.local.OnChange(p.localChanged)
	p.local.lingers = func(user chat.UserID) { p.dirty.add(time.Time{}, user) }
	for i := range partitions {
		r.subscriber.channels[r.keys.changes(i)] = func(payload []byte) { p.receive(i, string(payload)) }
	}
	r.subscriber.began = append(r.subscriber.began, p.resubscribed)
	r.upChanged = append(r.upChanged, p.upChanged)
	r.emptied = append(r.emptied, p.beatSoon)
	return p
}

// OnChange adds a function that is told of changes of what others see of users that are watched here, in order, on a goroutine of Run. It must not
// block. Call it before Run.
func (p *RedisPresence) OnChange(tell func(chat.PresenceInfo)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listeners = append(p.listeners, tell)
}

// Connect adds a stream of a user on this node. State is PresenceOnline or PresenceAway.
func (p *RedisPresence) Connect(user chat.UserID, stream uint64, state chat.PresenceState) {
	p.local.Connect(user, stream, state)
}

// Update changes the state of a stream; nothing if it isn't connected.
func (p *RedisPresence) Update(user chat.UserID, stream uint64, state chat.PresenceState) {
	p.local.Update(user, stream, state)
}

// Disconnect removes a stream; nothing if it isn't connected. Clean: the device said goodbye, so nobody waits for it to come back.
func (p *RedisPresence) Disconnect(user chat.UserID, stream uint64, clean bool) {
	p.local.Disconnect(user, stream, clean)
}

// SetHidden tells that a user hides their presence from now on, or shows it again. Other nodes that have the user read it from the database.
func (p *RedisPresence) SetHidden(user chat.UserID, hidden bool) {
	p.local.SetHidden(user, hidden)
	message := hidingMessage + p.name() + " " + strconv.FormatInt(int64(user), 10)
	p.redis.publisher.put(outgoing{p.redis.keys.changes(partition(user)), []byte(message)}, true)
}

func (p *RedisPresence) name() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.own
}

// Run works until ctx ends; then the node gives up its lease, and its users linger on other nodes. Returns nil. Called once.
func (p *RedisPresence) Run(ctx context.Context) error {
	last := context.WithoutCancel(ctx)
	here, stop := context.WithCancel(last)
	defer stop()
	var local, running sync.WaitGroup
	local.Go(func() { _ = p.local.Run(here) }) // returns nil
	for _, run := range []func(context.Context){p.tell, p.announce, p.load, p.goRound, p.witness} {
		running.Go(func() { run(ctx) })
	}
	p.beats(ctx)
	running.Wait()
	p.reapers.Wait()
	// What was said before the end is still told, while this node's users count as connected.
	rest, cancel := context.WithTimeout(last, leaveTimeout)
	p.announceNow(rest)
	cancel()
	stop()
	local.Wait()
	p.leave(last)
	return nil
}

// goRound has everything told and read once more in the course of a round, so that nothing that was lost stays so.
func (p *RedisPresence) goRound(ctx context.Context) {
	const slices = 60
	tick := time.NewTicker(max(p.times.round/slices, time.Millisecond))
	defer tick.Stop()
	for at := 0; ; at = (at + 1) % slices {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		due := func(user chat.UserID, _ bool) bool { return int(uint64(user)/partitions%slices) == at }
		here := p.local.here(due)
		p.local.relearn(here...)
		p.dirty.add(time.Time{}, here...)
		p.refresh(due)
	}
}

// Presence reads the states of users, one for each, in their order. Implements [chat.PresenceReader].
func (p *RedisPresence) Presence(ctx context.Context, users []chat.UserID) []chat.PresenceInfo {
	seen, hidden, err := p.local.store.LastSeen(ctx, users)
	if err != nil && ctx.Err() == nil {
		p.logger.Warn("reading when users were last seen failed", "error", err)
	}
	records := p.read(ctx, users, readTimeout)
	watched := setOf(p.watched(users))
	p.mu.Lock()
	defer p.mu.Unlock()
	infos := make([]chat.PresenceInfo, len(users))
	for i, user := range users {
		here := p.local.view(user)
		if err == nil && !here.hiddenKnown {
			here.hidden, here.hiddenKnown = hidden[user], true
		}
		f, isKnown := p.followed[user]
		if !isKnown {
			f = &followed{}
		}
		if r, ok := records[user]; ok {
			p.learn(user, f, r, true)
		}
		infos[i] = p.info(user, here, f)
		if !here.hidden && infos[i].State == chat.PresenceOffline && seen[user].After(infos[i].LastSeen) {
			infos[i].LastSeen = seen[user]
		}
		switch {
		case isKnown:
			p.mark(user) // others have to be told, if this is news
		case watched[user]:
			f.told = infos[i].State
			p.follow(user, f)
		}
	}
	return infos
}

func setOf(users []chat.UserID) map[chat.UserID]bool {
	set := make(map[chat.UserID]bool, len(users))
	for _, user := range users {
		set[user] = true
	}
	return set
}
