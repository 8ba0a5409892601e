package cluster

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// dirtySet holds this node's users of whom Redis has yet to be told. Safe for concurrent use.
type dirtySet struct {
	wake chan struct{} // 1: users isn't empty

	mu sync.Mutex
	// users has for each when they were last seen, where that is known. Guarded by mu.
	users map[chat.UserID]time.Time
}

func (d *dirtySet) add(lastSeen time.Time, users ...chat.UserID) {
	if len(users) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, user := range users {
		if at, ok := d.users[user]; !ok || lastSeen.After(at) {
			d.users[user] = lastSeen
		}
	}
	signal(d.wake)
}

func (d *dirtySet) take() map[chat.UserID]time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	users := d.users
	d.users = map[chat.UserID]time.Time{}
	return users
}

// announce tells Redis of this node's users until ctx ends. Changes are gathered a moment, so that many make few messages.
func (p *RedisPresence) announce(ctx context.Context) {
	var wait backoff
	for {
		select {
		case <-p.dirty.wake:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(p.times.gather):
		case <-ctx.Done():
			return
		}
		if p.announceNow(ctx) {
			wait.reset()
			continue
		}
		if !wait.sleep(ctx) {
			return
		}
		signal(p.dirty.wake)
	}
}

// announceNow tells Redis of the users of whom there is something to tell; false: some are left for another try. While Redis is away they wait for its
// return.
func (p *RedisPresence) announceNow(ctx context.Context) bool {
	p.mu.Lock()
	if p.away || p.own == "" {
		p.mu.Unlock()
		return true
	}
	// Taken together with the names: a new name makes all users dirty under the same lock.
	own, olds := p.own, slices.Clone(p.olds)
	users := p.dirty.take()
	p.mu.Unlock()

	var parts [partitions][]change
	for user, lastSeen := range users {
		if c, ok := p.changeOf(user, own, lastSeen); ok {
			i := partition(user)
			parts[i] = append(parts[i], c)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	var running sync.WaitGroup
	var failed [partitions]bool
	for i, list := range parts {
		if len(list) > 0 {
			running.Go(func() { failed[i] = !p.writeAll(ctx, i, own, olds, list) })
		}
	}
	running.Wait()
	if slices.Contains(failed[:], true) {
		return false
	}
	p.retire(ctx, olds)
	return true
}

// changeOf is what Redis is to know of a user. ok is false while it isn't known whether they hide; when it is, they are dirty again.
func (p *RedisPresence) changeOf(user chat.UserID, own string, lastSeen time.Time) (c change, ok bool) {
	v := p.local.view(user)
	if v.here && !v.hiddenKnown {
		return c, false
	}
	c = change{user: user, entry: entry{node: own, state: v.state, lingers: v.lingers}}
	switch {
	case v.hidden:
		c.entry.state = chat.PresenceOffline
	case v.state == chat.PresenceOffline:
		if c.lastSeen = lastSeen; v.lastSeen.After(lastSeen) {
			c.lastSeen = v.lastSeen
		}
	}
	return c, true
}

// writeAll tells Redis of users of one partition; false: of some it couldn't, who are dirty again.
func (p *RedisPresence) writeAll(ctx context.Context, i int, own string, olds []string, list []change) bool {
	for len(list) > 0 {
		n := min(len(list), writeUsers)
		lingering, err := p.redis.write(ctx, i, own, olds, list[:n])
		p.endLingers(&lingering)
		if err != nil {
			p.logger.Debug("telling Redis of users failed; trying again", "error", err)
			for _, c := range list {
				p.dirty.add(c.lastSeen, c.user)
			}
			return false
		}
		list = list[n:]
	}
	return true
}
