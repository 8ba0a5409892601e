package cluster

import (
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// What presence over several nodes needs of the one that knows this node's users.

// localView is what this node knows of a user by itself.
type localView struct {
	state   chat.PresenceState // without regard to whether they hide; offline where they aren't here
	lingers bool
	// hidden counts if hiddenKnown; of users that aren't here that isn't known.
	hidden, hiddenKnown bool
	here                bool
	lastSeen            time.Time // where that isn't stored yet
}

// view tells what this node knows of a user.
func (p *MemoryPresence) view(user chat.UserID) localView {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.users[user]
	if u == nil {
		return localView{state: chat.PresenceOffline, lastSeen: p.seen[user]}
	}
	v := localView{state: u.state, lingers: u.linger != nil, hidden: u.hidden, hiddenKnown: u.hiddenKnown, here: true}
	if u.state == chat.PresenceOffline {
		v.lastSeen = u.lastSeen
	}
	return v
}

// noteSeen has it stored when users of another node were last seen.
func (p *MemoryPresence) noteSeen(changes []change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range changes {
		if c.lastSeen.After(p.seen[c.user]) {
			p.seen[c.user] = c.lastSeen
		}
	}
}

// dropLinger ends the linger of a user: they are connected to another node.
func (p *MemoryPresence) dropLinger(user chat.UserID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u := p.users[user]; u != nil && u.linger != nil {
		p.goOffline(user, u)
	}
}

// relearn has it read again whether users hide, of those that are here.
func (p *MemoryPresence) relearn(users ...chat.UserID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, user := range users {
		if u := p.users[user]; u != nil {
			u.stale = true
			u.asked++
			p.mark(user)
		}
	}
}

// here returns the users that are here, or linger, of which pick says yes.
func (p *MemoryPresence) here(pick func(user chat.UserID, lingers bool) bool) (users []chat.UserID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for user, u := range p.users {
		if pick(user, u.linger != nil) {
			users = append(users, user)
		}
	}
	return users
}
