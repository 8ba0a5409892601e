package hub

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// Open registers a stream under its user, session and device. From now on it sees the changes of the user's memberships; the caller reads
// positions, memberships and what was missed after Open, and looks once more whether the session is still valid: whoever ends
// sessions stores that first and calls [Hub.EndSessions] then, so that one of the two finds the other.
//
// An older stream of the device, on any node, is ended as superseded. ErrSuperseded: the device has a newer one. Other errors are
// [*chat.Error]: LIMIT_REACHED for too many streams of the user, UNAVAILABLE while the hub takes no streams.
func (h *Hub) Open(o Options) (*Stream, error) {
	s := &Stream{
		hub: h, id: rand.Uint64(), caller: o.Caller, device: deviceKey(o), attempt: o.Attempt,
		wake: o.Wake, done: make(chan struct{}), catchup: &catchup{},
	}
	older, err := h.register(s)
	if err != nil {
		return nil, err
	}
	for _, old := range older {
		h.supersede(old)
	}
	h.sendTakeover(s)
	return s, nil
}

// deviceKey names the device among those of the user. A session's key can't be a device's, which is printable.
func deviceKey(o Options) string {
	if o.Device == "" {
		return "\x00" + o.Caller.Session.String()
	}
	return o.Device
}

// register adds s and returns the streams of the device that it replaces.
func (h *Hub) register(s *Stream) (older []*Stream, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state != serving {
		return nil, chat.Unavailable(nil)
	}
	if s.opened = time.Now(); !s.opened.After(h.opened) {
		s.opened = h.opened.Add(1) // a clock that stands still must not make two streams equally new
	}
	h.opened = s.opened
	live := 0
	for _, other := range h.users[s.caller.User] {
		switch {
		case other.over():
		case other.device != s.device:
			live++
		case other.supersededBy(s.attempt, s.opened, s.id):
			older = append(older, other)
		default:
			return nil, ErrSuperseded
		}
	}
	if live >= h.limits.StreamsPerUser {
		return nil, chat.LimitReached("too many devices of this user are connected; close one")
	}
	h.users[s.caller.User] = append(h.users[s.caller.User], s)
	h.sessions[s.caller.Session] = append(h.sessions[s.caller.Session], s)
	h.count++
	return older, nil
}

func (s *Stream) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

func (h *Hub) unregister(s *Stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	removeFrom(h.users, s.caller.User, s)
	removeFrom(h.sessions, s.caller.Session, s)
	h.count--
	if h.count == 0 && h.empty != nil {
		close(h.empty)
		h.empty = nil
	}
}

func removeFrom[K comparable](index map[K][]*Stream, key K, s *Stream) {
	list := index[key]
	if i := slices.Index(list, s); i >= 0 {
		list = slices.Delete(list, i, i+1)
	}
	if len(list) == 0 {
		delete(index, key)
		return
	}
	index[key] = list
}

func (h *Hub) supersede(s *Stream) {
	if s.end(GoodbyeSuperseded, 0) {
		h.stats.superseded.Add(1)
	}
}

// streamsOf returns the user's streams on this node; the slice is a copy.
func (h *Hub) streamsOf(user chat.UserID) []*Stream {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Clone(h.users[user])
}

// EndSessions ends the streams of sessions, on this node at once and on others as soon as they hear of it. Nothing follows on them but
// the goodbye, if the reason is one by which the right to more has ended.
func (h *Hub) EndSessions(sessions []chat.SessionID, reason GoodbyeReason) {
	h.endSessions(sessions, reason)
	h.sendSignal(signal{kind: signalEndSessions, sessions: sessions, reason: reason})
}

// EndSessionsHere ends the streams of sessions on this node, as [Hub.EndSessions] does, and tells no other.
func (h *Hub) EndSessionsHere(sessions []chat.SessionID, reason GoodbyeReason) {
	h.endSessions(sessions, reason)
}

// Sessions returns the sessions that have streams on this node.
func (h *Hub) Sessions() []chat.SessionID {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Collect(maps.Keys(h.sessions))
}

func (h *Hub) endSessions(sessions []chat.SessionID, reason GoodbyeReason) {
	for _, id := range sessions {
		h.mu.RLock()
		list := slices.Clone(h.sessions[id])
		h.mu.RUnlock()
		for _, s := range list {
			s.end(reason, 0)
		}
	}
}

// EndUser ends all streams of a user; as [Hub.EndSessions].
func (h *Hub) EndUser(user chat.UserID, reason GoodbyeReason) {
	h.endUser(user, reason)
	h.sendSignal(signal{kind: signalEndUser, user: user, reason: reason})
}

func (h *Hub) endUser(user chat.UserID, reason GoodbyeReason) {
	for _, s := range h.streamsOf(user) {
		s.end(reason, 0)
	}
}

// Drain takes no more streams and ends those that are open, with reconnect delays spread evenly over spread. What is queued is still
// sent. It returns when all are closed, or with ctx's error.
func (h *Hub) Drain(ctx context.Context, spread time.Duration) error {
	h.mu.Lock()
	h.state = draining
	if h.count == 0 {
		h.mu.Unlock()
		return nil
	}
	if h.empty == nil {
		h.empty = make(chan struct{})
	}
	empty := h.empty
	h.mu.Unlock()

	h.endAll(GoodbyeDrain, spread)
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// endAll ends the streams that are registered now.
func (h *Hub) endAll(reason GoodbyeReason, spread time.Duration) {
	h.mu.RLock()
	all := make([]*Stream, 0, h.count)
	for _, list := range h.users {
		all = append(all, list...)
	}
	h.mu.RUnlock()
	for _, s := range all {
		var delay time.Duration
		if spread > 0 {
			delay = rand.N(spread)
		}
		s.end(reason, delay)
	}
}
