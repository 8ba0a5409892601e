package hub

import (
	"context"
	"sync"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// signal is what one node tells the others besides batches: best effort, without order. Which fields count depends on kind.
type signal struct {
	kind         signalKind
	conversation chat.ConversationID
	user         chat.UserID
	typing       bool
	sessions     []chat.SessionID
	reason       GoodbyeReason
	device       string
	attempt      uint64
	opened       time.Time
	stream       uint64
}

type signalKind uint8

// The kinds of signals; the numbers are on the bus.
const (
	signalTyping      signalKind = 1
	signalEndSessions signalKind = 2
	signalEndUser     signalKind = 3
	signalTakeover    signalKind = 4
)

// maxTyping is the number of signals in the queue from which typing is dropped. What ends streams never is.
const maxTyping = 256

// signalQueue holds what came from other nodes.
type signalQueue struct {
	mu    sync.Mutex
	queue []signal
	wake  chan struct{} // 1
}

func (h *Hub) sendSignal(s signal) {
	if h.bus != nil {
		h.bus.PublishSignal(encodeSignal(h.node, &s))
	}
}

// sendTakeover tells the other nodes of a stream of a device, so that one older there is ended, or this one if it is.
func (h *Hub) sendTakeover(s *Stream) {
	h.sendSignal(signal{
		kind: signalTakeover, user: s.caller.User, device: s.device, attempt: s.attempt, opened: s.opened, stream: s.id,
	})
}

// receiveSignal is called by the bus.
func (h *Hub) receiveSignal(frame []byte) {
	if h.isOwn(frame) {
		return
	}
	_, s, err := decodeSignal(frame)
	if err != nil {
		h.stats.badFrames.Add(1)
		return
	}
	q := &h.signals
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.kind == signalTyping && len(q.queue) >= maxTyping {
		return
	}
	q.queue = append(q.queue, s)
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (h *Hub) runSignals(ctx context.Context) {
	q := &h.signals
	for {
		select {
		case <-q.wake:
		case <-ctx.Done():
			return
		}
		q.mu.Lock()
		batch := q.queue
		q.queue = nil
		q.mu.Unlock()
		for i := range batch {
			h.handleSignal(&batch[i])
		}
	}
}

func (h *Hub) handleSignal(s *signal) {
	switch s.kind {
	case signalTyping:
		h.shardOf(s.conversation).applyTyping(s.conversation, s.user, s.typing)
	case signalEndSessions:
		if h.ended != nil {
			h.ended(s.sessions)
		}
		h.endSessions(s.sessions, s.reason)
	case signalEndUser:
		h.endUser(s.user, s.reason)
	case signalTakeover:
		h.handleTakeover(s)
	}
}

// handleTakeover lets the newer of two streams of a device win, this node's or the other's. The winner's node tells the loser's, which has
// nothing to answer.
func (h *Hub) handleTakeover(t *signal) {
	for _, s := range h.streamsOf(t.user) {
		switch {
		case s.device != t.device || s.id == t.stream || s.over():
		case s.supersededBy(t.attempt, t.opened, t.stream):
			h.supersede(s)
		default:
			h.sendTakeover(s)
		}
	}
}
