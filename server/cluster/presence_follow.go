package cluster

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// loadUsers is how many users are read in one go.
const loadUsers = 256

// followed is a user whose presence is watched here, as Redis has it. Guarded by the presence's lock.
type followed struct {
	record
	known bool               // record has been read, or told, since Redis was last away
	told  chat.PresenceState // what the listeners were told last, or whoever asked first; 0: nothing, which stands for offline
}

// learn takes over what was read or told of a user, unless something newer is known. mu is held.
func (p *RedisPresence) learn(user chat.UserID, f *followed, r record, read bool) {
	if p.away || f.known && r.version < f.version {
		return
	}
	if read && len(r.entries) == 0 && p.isYoung(partition(user)) {
		return // nodes have yet to tell it again
	}
	f.record, f.known = r, true
}

// isYoung reports whether a partition was lost a moment ago. mu is held.
func (p *RedisPresence) isYoung(i int) bool { return time.Now().Before(p.young[i]) }

// info is what others see of a user, as far as this node and Redis know. mu is held.
func (p *RedisPresence) info(user chat.UserID, here localView, f *followed) chat.PresenceInfo {
	info := chat.PresenceInfo{User: user, State: chat.PresenceOffline}
	if here.hidden {
		return info
	}
	if here.here && !here.hiddenKnown {
		here.state = chat.PresenceUnknown
	}
	there, seen := p.elsewhere(f)
	for _, state := range []chat.PresenceState{chat.PresenceOnline, chat.PresenceAway, chat.PresenceUnknown} {
		if here.state == state || there == state {
			info.State = state
			return info
		}
	}
	if info.LastSeen = seen; here.lastSeen.After(seen) {
		info.LastSeen = here.lastSeen
	}
	return info
}

// elsewhere is what other nodes tell of a user. mu is held.
func (p *RedisPresence) elsewhere(f *followed) (state chat.PresenceState, seen time.Time) {
	if p.away || !f.known {
		return chat.PresenceUnknown, time.Time{}
	}
	state, seen = chat.PresenceOffline, f.lastSeen
	for i := range f.entries {
		e := &f.entries[i]
		if e.node == p.own || slices.Contains(p.olds, e.node) {
			continue
		}
		switch peer := p.peers[e.node]; {
		case peer == nil || peer.standing == gone:
			if peer != nil && peer.at.After(seen) {
				seen = peer.at
			}
		case peer.standing == doubtful:
			if state == chat.PresenceOffline {
				state = chat.PresenceUnknown
			}
		case state != chat.PresenceOnline:
			state = e.state
		}
	}
	return state, seen
}

// mark has the user's state told, if it turns out to be another than was told last. mu is held.
func (p *RedisPresence) mark(user chat.UserID) {
	p.changed[user] = struct{}{}
	signal(p.wake)
}

// markAll is mark for all that are followed. mu is held.
func (p *RedisPresence) markAll() {
	for user := range p.followed {
		p.mark(user)
	}
}

// follow begins to follow a user. mu is held.
func (p *RedisPresence) follow(user chat.UserID, f *followed) {
	p.followed[user] = f
	if !f.known {
		p.markStale(user)
	}
}

// markStale has a user read. mu is held.
func (p *RedisPresence) markStale(user chat.UserID) {
	p.stale[user] = struct{}{}
	signal(p.reading)
}

func signal(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// localChanged is told of a change among this node's users.
func (p *RedisPresence) localChanged(i chat.PresenceInfo) {
	p.dirty.add(i.LastSeen, i.User)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mark(i.User)
}

// tell tells the listeners what has changed, until ctx ends.
func (p *RedisPresence) tell(ctx context.Context) {
	for {
		select {
		case <-p.wake:
		case <-ctx.Done():
			return
		}
		listeners, news := p.news()
		for _, info := range news {
			for _, tell := range listeners {
				tell(info)
			}
		}
	}
}

// news takes what is to be told. Users that nobody watches any more are forgotten.
func (p *RedisPresence) news() (listeners []func(chat.PresenceInfo), news []chat.PresenceInfo) {
	p.mu.Lock()
	changed := slices.Collect(maps.Keys(p.changed))
	clear(p.changed)
	p.mu.Unlock()
	watched := setOf(p.watched(changed))
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, user := range changed {
		if !watched[user] {
			delete(p.followed, user)
			continue
		}
		f := p.followed[user]
		if f == nil {
			f = &followed{}
			p.follow(user, f)
		}
		info := p.info(user, p.local.view(user), f)
		if info.State == chat.PresenceUnknown && !f.known && !p.away {
			continue // it is being read
		}
		if info.State != f.told && (f.told != 0 || info.State != chat.PresenceOffline) {
			f.told = info.State
			news = append(news, info)
		}
	}
	p.redis.stats.watched.Store(int64(len(p.followed)))
	return p.listeners, news
}

// receive takes a message from the channel of a partition.
func (p *RedisPresence) receive(i int, payload string) {
	switch {
	case strings.HasPrefix(payload, changesMessage):
		birth, m, err := parseChanges(payload[len(changesMessage):])
		if err != nil {
			p.redis.stats.badMessages.Add(1)
			return
		}
		p.receiveChanges(i, birth, &m)
	case strings.HasPrefix(payload, hidingMessage):
		node, text, _ := strings.Cut(payload[len(hidingMessage):], " ")
		user, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			p.redis.stats.badMessages.Add(1)
			return
		}
		if node != p.name() {
			p.local.relearn(chat.UserID(user))
		}
	default:
		p.redis.stats.badMessages.Add(1)
	}
}

func (p *RedisPresence) receiveChanges(i int, birth string, m *told) {
	watched := setOf(p.watched(m.users))
	p.mu.Lock()
	p.sawBirth(i, birth)
	for j, user := range m.users {
		r := &m.records[j]
		for _, e := range r.entries {
			p.meet(e.node)
		}
		if !watched[user] {
			continue
		}
		f := p.followed[user]
		if f == nil {
			f = &followed{}
		}
		p.learn(user, f, *r, false)
		p.follow(user, f)
		p.mark(user)
	}
	p.mu.Unlock()
	p.endLingers(m)
}

// endLingers ends the linger of users who are connected to another node.
func (p *RedisPresence) endLingers(m *told) {
	for i, user := range m.users {
		if !p.local.view(user).lingers {
			continue
		}
		p.mu.Lock()
		elsewhere := p.isConnectedElsewhere(&m.records[i])
		p.mu.Unlock()
		if elsewhere {
			p.local.dropLinger(user)
		}
	}
}

// isConnectedElsewhere reports whether a user has a stream on another node, and doesn't linger there. mu is held.
func (p *RedisPresence) isConnectedElsewhere(r *record) bool {
	return slices.ContainsFunc(r.entries, func(e entry) bool {
		peer := p.peers[e.node]
		return !e.lingers && peer != nil && peer.standing == counts
	})
}

// resubscribed is called when messages may have been lost: that somebody hides, that one who lingers here is back elsewhere (which the answer to telling
// of them says, too), and what followed users do.
func (p *RedisPresence) resubscribed() {
	p.local.relearn(p.local.here(func(chat.UserID, bool) bool { return true })...)
	p.dirty.add(time.Time{}, p.local.here(func(_ chat.UserID, lingers bool) bool { return lingers })...)
	p.mu.Lock()
	defer p.mu.Unlock()
	for user, f := range p.followed {
		f.version = 0 // it may be another server, and behind the one before
		p.markStale(user)
	}
	p.beatSoon()
}

// refresh has those followed users read again of which due says yes, and forgets those that nobody watches any more.
func (p *RedisPresence) refresh(due func(user chat.UserID, lingers bool) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for user := range p.followed {
		if due(user, false) {
			p.markStale(user)
			p.mark(user)
		}
	}
}

// load reads users that are stale, until ctx ends.
func (p *RedisPresence) load(ctx context.Context) {
	var wait backoff
	for {
		select {
		case <-p.reading:
		case <-ctx.Done():
			return
		}
		if p.loadSome(ctx) {
			wait.reset()
			continue
		}
		if !wait.sleep(ctx) {
			return
		}
		signal(p.reading)
	}
}

// loadSome reads some of the stale users, and asks to be called again for the rest; false: it didn't go well.
func (p *RedisPresence) loadSome(ctx context.Context) bool {
	p.mu.Lock()
	var users []chat.UserID
	for user := range p.stale {
		if _, ok := p.followed[user]; !ok {
			delete(p.stale, user)
		} else if users = append(users, user); len(users) == loadUsers {
			break
		}
	}
	p.mu.Unlock()
	if len(users) == 0 {
		return true
	}
	records := p.read(ctx, users, workTimeout)
	p.mu.Lock()
	defer p.mu.Unlock()
	for user, r := range records {
		delete(p.stale, user)
		if f := p.followed[user]; f != nil {
			p.learn(user, f, r, true)
			p.mark(user)
		}
	}
	if len(p.stale) > 0 {
		signal(p.reading)
	}
	return len(records) == len(users)
}

// read reads records, unless Redis is away, and makes the acquaintance of nodes that they name.
func (p *RedisPresence) read(ctx context.Context, users []chat.UserID, timeout time.Duration) map[chat.UserID]record {
	p.mu.Lock()
	away := p.away
	p.mu.Unlock()
	if away || len(users) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	records, births, _ := p.redis.read(ctx, users) // what can't be read is unknown; the pulse tells of it
	var strangers []string
	p.mu.Lock()
	for i, birth := range births {
		p.sawBirth(i, birth)
	}
	for _, r := range records {
		for _, e := range r.entries {
			if p.isStranger(e.node) && !slices.Contains(strangers, e.node) {
				strangers = append(strangers, e.node)
			}
		}
	}
	p.mu.Unlock()
	if len(strangers) > 0 {
		p.ask(ctx, strangers)
	}
	return records
}
