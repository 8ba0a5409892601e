package hub

import (
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

// PresenceChanged tells the streams on this node that watch the user. Calls for one user have to come in the order of the changes.
func (h *Hub) PresenceChanged(info chat.PresenceInfo) {
	h.watch.mu.RLock()
	defer h.watch.mu.RUnlock()
	watching := h.watch.streams[info.User]
	if len(watching) == 0 {
		return
	}
	f := &Frame{kind: frameLatest, user: info.User, piece: h.encoder.Presence(info), encoder: h.encoder}
	var o outcomes
	for s := range watching {
		o[s.deliver(f)]++
	}
	h.tally(&o)
}
