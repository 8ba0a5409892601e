package hub

import (
	"slices"
	"sync"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// watchers are the streams by the users whose presence they watch. Its lock comes before that of a stream.
type watchers struct {
	mu      sync.RWMutex
	streams map[chat.UserID]map[*Stream]struct{}
}

func (w *watchers) replace(s *Stream, before, after []chat.UserID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.replaceLocked(s, before, after)
}

func (w *watchers) replaceLocked(s *Stream, before, after []chat.UserID) {
	for _, user := range before {
		delete(w.streams[user], s)
		if len(w.streams[user]) == 0 {
			delete(w.streams, user)
		}
	}
	for _, user := range after {
		if w.streams[user] == nil {
			w.streams[user] = map[*Stream]struct{}{}
		}
		w.streams[user][s] = struct{}{}
	}
}

// Watch replaces the set of users whose presence the stream is told of when it changes. The caller reads their present states after this
// and passes them to Present.
func (s *Stream) Watch(users []chat.UserID) {
	users = slices.Clone(users)
	s.hub.watch.mu.Lock()
	defer s.hub.watch.mu.Unlock()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	before := s.watched
	s.watched = users
	s.untold = make(map[chat.UserID]struct{}, len(users))
	for _, user := range users {
		s.untold[user] = struct{}{}
	}
	s.mu.Unlock()
	s.hub.watch.replaceLocked(s, before, users)
}

// Watched returns those of the users whose presence streams on this node watch.
func (h *Hub) Watched(users []chat.UserID) []chat.UserID {
	h.watch.mu.RLock()
	defer h.watch.mu.RUnlock()
	var watched []chat.UserID
	for _, user := range users {
		if len(h.watch.streams[user]) > 0 {
			watched = append(watched, user)
		}
	}
	return watched
}

// Present tells the stream the states that were read after Watch, except where a change has been told meanwhile, which is newer.
func (s *Stream) Present(infos []chat.PresenceInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, info := range infos {
		if _, ok := s.untold[info.User]; ok {
			s.deliverLocked(s.hub.presenceFrame(info))
		}
	}
	s.untold = nil
}

func (h *Hub) presenceFrame(info chat.PresenceInfo) *Frame {
	return &Frame{kind: frameLatest, user: info.User, piece: h.encoder.Presence(info), encoder: h.encoder}
}

// deliverPresence is deliver for a change of presence.
func (s *Stream) deliverPresence(f *Frame) outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.untold, f.user)
	return s.deliverLocked(f)
}

// PresenceChanged tells the streams on this node that watch the user. Calls for one user have to come in the order of the changes.
func (h *Hub) PresenceChanged(info chat.PresenceInfo) {
	h.watch.mu.RLock()
	defer h.watch.mu.RUnlock()
	watching := h.watch.streams[info.User]
	if len(watching) == 0 {
		return
	}
	f := h.presenceFrame(info)
	var o outcomes
	for s := range watching {
		o[s.deliverPresence(f)]++
	}
	h.tally(&o)
}
