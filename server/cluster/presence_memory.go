package cluster

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// LastSeenStore is the part of [chat.Store] that presence needs.
type LastSeenStore interface {
	LastSeen(ctx context.Context, users []chat.UserID) (seen map[chat.UserID]time.Time, hidden map[chat.UserID]bool, err error)
	SetLastSeen(ctx context.Context, seen map[chat.UserID]time.Time) error
}

// PresenceConfig is what presence is made of.
type PresenceConfig struct {
	Store  LastSeenStore
	Logger *slog.Logger
	// Linger is how long a user whose last stream broke off still counts as connected, give or take LingerSpread, which keeps the users of a
	// broken network from going offline in the same moment. Default of both being 0: 25 s and 5 s.
	Linger, LingerSpread time.Duration
	// FlushEvery is how long times of being last seen are gathered before they are stored. Default: 5 s.
	FlushEvery time.Duration
}

// retryHidden is the wait after it could not be read who hides.
const retryHidden = time.Second

// MemoryPresence tells who is connected to the nodes of one process. Its memory is all there is: after a restart everybody is offline
// at once, and who was connected when the process was killed was last seen when their last visit before that ended.
//
// A user is online while any stream is, and away while all are. When the last one breaks off the state lingers, so that a reconnect isn't seen;
// when it says goodbye, the user is offline at once. Who hides looks offline always, and doesn't linger. Safe for concurrent use.
type MemoryPresence struct {
	store        LastSeenStore
	logger       *slog.Logger
	linger       time.Duration
	lingerSpread time.Duration
	flushEvery   time.Duration

	wake chan struct{} // 1: changed isn't empty

	// lingers, unless nil, is told when a user begins to linger, or is back. Set before use; called with mu held.
	lingers func(chat.UserID)

	mu        sync.Mutex // guards what follows
	listeners []func(chat.PresenceInfo)
	users     map[chat.UserID]*memoryUser // those that are connected, linger, or whose end hasn't been told
	changed   map[chat.UserID]struct{}    // those whose state may have to be told
	seen      map[chat.UserID]time.Time   // not yet stored
}

// memoryUser is what is known of a user. Guarded by the presence's lock.
type memoryUser struct {
	streams streamStates
	// state is the sum of streams, or while the user lingers what it was before; told is what the listeners were told last.
	state, told chat.PresenceState
	lastSeen    time.Time
	linger      *time.Timer // not nil: the user lingers
	// hidden counts once it has been read. stale: it is to be read again, and what was asked before the last of asked counts for nothing.
	hidden, hiddenKnown, stale bool
	asked                      int
}

// visible returns what others see; hiddenKnown is true.
func (u *memoryUser) visible(user chat.UserID) chat.PresenceInfo {
	info := chat.PresenceInfo{User: user, State: u.state}
	switch {
	case u.hidden:
		info.State = chat.PresenceOffline
	case u.state == chat.PresenceOffline:
		info.LastSeen = u.lastSeen
	}
	return info
}

// NewMemoryPresence returns presence with nobody connected. [MemoryPresence.Run] makes it tell of changes.
func NewMemoryPresence(c PresenceConfig) *MemoryPresence {
	if c.Linger == 0 && c.LingerSpread == 0 {
		c.Linger, c.LingerSpread = 25*time.Second, 5*time.Second
	}
	if c.FlushEvery == 0 {
		c.FlushEvery = 5 * time.Second
	}
	return &MemoryPresence{
		store: c.Store, logger: c.Logger, linger: c.Linger, lingerSpread: c.LingerSpread, flushEvery: c.FlushEvery,
		wake:  make(chan struct{}, 1),
		users: map[chat.UserID]*memoryUser{}, changed: map[chat.UserID]struct{}{}, seen: map[chat.UserID]time.Time{},
	}
}

// OnChange adds a function that is told of every change of what others see of a user, once and in order, on the goroutine of Run. It must
// not block. Call it before Run.
func (p *MemoryPresence) OnChange(tell func(chat.PresenceInfo)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listeners = append(p.listeners, tell)
}

// Connect adds a stream of a user. State is PresenceOnline or PresenceAway.
func (p *MemoryPresence) Connect(user chat.UserID, stream uint64, state chat.PresenceState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.users[user]
	if u == nil {
		u = &memoryUser{state: chat.PresenceOffline, told: chat.PresenceOffline}
		p.users[user] = u
	}
	if u.linger != nil {
		u.stopLinger()
		p.tellLinger(user)
	}
	u.streams = u.streams.set(stream, state)
	p.update(user, u, u.streams.sum())
}

// Update changes the state of a stream; nothing if it isn't connected.
func (p *MemoryPresence) Update(user chat.UserID, stream uint64, state chat.PresenceState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.users[user]
	if u == nil || u.streams.index(stream) < 0 {
		return
	}
	u.streams = u.streams.set(stream, state)
	p.update(user, u, u.streams.sum())
}

// Disconnect removes a stream; nothing if it isn't connected. Clean: the device said goodbye, so nobody waits for it to come back.
func (p *MemoryPresence) Disconnect(user chat.UserID, stream uint64, clean bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.users[user]
	if u == nil || u.streams.index(stream) < 0 {
		return
	}
	u.streams = u.streams.remove(stream)
	switch {
	case len(u.streams) > 0:
		p.update(user, u, u.streams.sum())
	case clean || u.hidden:
		u.lastSeen = time.Now()
		p.goOffline(user, u)
	default:
		u.lastSeen = time.Now()
		p.startLinger(user, u)
	}
}

// SetHidden tells that a user hides their presence from now on, or shows it again.
func (p *MemoryPresence) SetHidden(user chat.UserID, hidden bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u := p.users[user]; u != nil {
		u.asked++
		p.hide(user, u, hidden)
		p.mark(user)
	}
}

// hide notes whether a user hides. Who does has no need to linger.
func (p *MemoryPresence) hide(user chat.UserID, u *memoryUser, hidden bool) {
	u.hidden, u.hiddenKnown, u.stale = hidden, true, false
	if hidden && u.linger != nil {
		p.goOffline(user, u)
	}
}

func (p *MemoryPresence) startLinger(user chat.UserID, u *memoryUser) {
	wait := p.linger
	if p.lingerSpread > 0 {
		wait += rand.N(2*p.lingerSpread+1) - p.lingerSpread
	}
	var timer *time.Timer
	timer = time.AfterFunc(wait, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if u.linger == timer {
			p.goOffline(user, u)
		}
	})
	u.linger = timer
	p.tellLinger(user)
}

func (p *MemoryPresence) tellLinger(user chat.UserID) {
	if p.lingers != nil {
		p.lingers(user)
	}
}

func (u *memoryUser) stopLinger() {
	if u.linger != nil {
		u.linger.Stop()
		u.linger = nil
	}
}

func (p *MemoryPresence) goOffline(user chat.UserID, u *memoryUser) {
	u.stopLinger()
	p.seen[user] = u.lastSeen
	p.update(user, u, chat.PresenceOffline)
}

func (p *MemoryPresence) update(user chat.UserID, u *memoryUser, state chat.PresenceState) {
	if u.state != state {
		u.state = state
		p.mark(user)
	}
}

// mark has the user's state told, if it turns out to be another than was told last.
func (p *MemoryPresence) mark(user chat.UserID) {
	p.changed[user] = struct{}{}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Run tells of changes and stores when users were last seen, until ctx ends; then everybody is offline, and the times that are left are
// stored. Returns nil. Called once.
func (p *MemoryPresence) Run(ctx context.Context) error {
	flush := time.NewTicker(p.flushEvery)
	defer flush.Stop()
	retry := time.NewTimer(retryHidden)
	retry.Stop()
	defer retry.Stop()
	for {
		select {
		case <-p.wake:
			p.tell(ctx, retry)
		case <-retry.C:
			p.tell(ctx, retry)
		case <-flush.C:
			p.flush(ctx)
		case <-ctx.Done():
			p.end(context.WithoutCancel(ctx))
			return nil
		}
	}
}

// tell tells the listeners what has changed. Where it can't be read who hides, it sets the timer to try again.
func (p *MemoryPresence) tell(ctx context.Context, retry *time.Timer) {
	if !p.learnHidden(ctx) {
		retry.Reset(retryHidden)
	}
	p.mu.Lock()
	listeners := p.listeners
	var news []chat.PresenceInfo
	for user := range p.changed {
		u := p.users[user]
		if !u.hiddenKnown {
			continue
		}
		if info := u.visible(user); info.State != u.told {
			u.told = info.State
			news = append(news, info)
		}
		gone := u.state == chat.PresenceOffline && len(u.streams) == 0
		if gone {
			delete(p.users, user)
		}
		if gone || !u.stale {
			delete(p.changed, user)
		}
	}
	p.mu.Unlock()
	for _, info := range news {
		for _, tell := range listeners {
			tell(info)
		}
	}
}

// learnHidden reads for the users that changed whether they hide, where that isn't known. Reports whether it is now, for those that had
// changed before the call.
func (p *MemoryPresence) learnHidden(ctx context.Context) bool {
	p.mu.Lock()
	ask := map[chat.UserID]int{}
	for user := range p.changed {
		if u := p.users[user]; !u.hiddenKnown || u.stale {
			ask[user] = u.asked
		}
	}
	p.mu.Unlock()
	if len(ask) == 0 {
		return true
	}
	_, hidden, err := p.store.LastSeen(ctx, slices.Collect(maps.Keys(ask)))
	if err != nil {
		p.logger.Warn("reading who hides their presence failed; trying again", "error", err)
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	known := true
	for user, asked := range ask {
		switch u := p.users[user]; {
		case u == nil:
		case u.asked == asked: // else SetHidden came meanwhile and knows better, or it is to be asked once more
			p.hide(user, u, hidden[user])
		default:
			known = known && u.hiddenKnown && !u.stale
		}
	}
	return known
}

// flush stores when users were last seen; what can't be stored is tried again.
func (p *MemoryPresence) flush(ctx context.Context) {
	p.mu.Lock()
	seen := maps.Clone(p.seen)
	p.mu.Unlock()
	if len(seen) == 0 {
		return
	}
	if err := p.store.SetLastSeen(ctx, seen); err != nil {
		p.logger.Warn("storing when users were last seen failed; trying again", "users", len(seen), "error", err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for user, at := range seen {
		if p.seen[user].Equal(at) {
			delete(p.seen, user)
		}
	}
}

// end stores the times of all that are still there. Nobody is told: the streams that could be told are ending too.
func (p *MemoryPresence) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	p.mu.Lock()
	now := time.Now()
	for user, u := range p.users {
		if len(u.streams) > 0 {
			u.lastSeen = now
		}
		u.stopLinger()
		p.seen[user] = u.lastSeen
	}
	clear(p.users)
	clear(p.changed)
	p.mu.Unlock()
	p.flush(ctx)
}

// Presence reads the states of users, one for each, in their order. Implements [chat.PresenceReader].
func (p *MemoryPresence) Presence(ctx context.Context, users []chat.UserID) []chat.PresenceInfo {
	seen, hidden, err := p.store.LastSeen(ctx, users)
	if err != nil && ctx.Err() == nil {
		p.logger.Warn("reading when users were last seen failed", "error", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	infos := make([]chat.PresenceInfo, len(users))
	for i, user := range users {
		infos[i] = p.info(user, seen[user], hidden[user], err == nil)
	}
	return infos
}

// info is what others see of a user. Seen and hidden are what the store says, if it could be read.
func (p *MemoryPresence) info(user chat.UserID, seen time.Time, hidden, read bool) chat.PresenceInfo {
	u := p.users[user]
	switch {
	case u != nil && u.hiddenKnown:
		return u.visible(user)
	case u != nil && !read:
		return chat.PresenceInfo{User: user, State: chat.PresenceUnknown}
	case u != nil:
		known := *u
		known.hidden = hidden
		return known.visible(user)
	case hidden || !read:
		return chat.PresenceInfo{User: user, State: chat.PresenceOffline}
	}
	if later := p.seen[user]; later.After(seen) {
		seen = later
	}
	return chat.PresenceInfo{User: user, State: chat.PresenceOffline, LastSeen: seen}
}
