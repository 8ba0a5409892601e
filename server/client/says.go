package client

import (
	"slices"
	"time"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
)

const (
	// markEvery is how often a mark of one conversation is sent at most.
	markEvery = time.Second
	// watchEvery is the least time before the server is asked again whom to watch, when it could not tell.
	watchEvery = time.Second
	// typingEvery is how often "still typing" is sent at most; receivers end it by themselves after twice as long.
	typingEvery = 3 * time.Second
)

// says is what the client tells the server beside messages: the newest of each counts, so it is kept as state, not as a queue.
// It does no I/O and has no lock: Client.mu guards it.
type says struct {
	marks    map[string]*mark
	due      []*mark // those to be sent, in the order in which they became so
	typing   map[string]typingState
	typed    []*chatv1.SetTypingRequest // to be sent
	watch    []string
	watching bool      // watch has to be sent
	watchAt  time.Time // not before
	presence chatv1.PresenceState
	present  bool // presence has to be sent
}

// mark is one's read and delivered marks in one conversation.
type mark struct {
	conversation    string
	read, delivered int64 // wanted
	readAcked       int64 // known to be stored
	deliveredAcked  int64
	inFlight        int       // requests without an answer
	after           time.Time // not before
	queued          bool
}

// open reports whether something has to be sent.
func (m *mark) open() bool { return m.read > m.readAcked || m.delivered > m.deliveredAcked }

// typingState is the last thing said of one conversation.
type typingState struct {
	on bool
	at time.Time
}

// mark wants marks to stand at least there. It reports whether that is news.
func (s *says) mark(conversation string, read, delivered int64) bool {
	m := s.marks[conversation]
	if m == nil {
		m = &mark{conversation: conversation}
		s.marks[conversation] = m
	}
	if read <= m.read && delivered <= m.delivered {
		return false
	}
	m.read, m.delivered = max(m.read, read), max(m.delivered, read, delivered)
	s.enqueue(m)
	return true
}

func (s *says) enqueue(m *mark) {
	if !m.queued && m.inFlight == 0 && m.open() {
		m.queued = true
		s.due = append(s.due, m)
	}
}

// nextMark returns a mark whose time has come, or the time at which the next one's comes; zero where there is none.
func (s *says) nextMark(now time.Time) (*mark, time.Time) {
	var next time.Time
	for i, m := range s.due {
		if !m.after.After(now) {
			s.due = slices.Delete(s.due, i, i+1)
			m.queued = false
			m.after = now.Add(markEvery)
			return m, time.Time{}
		}
		if next.IsZero() || m.after.Before(next) {
			next = m.after
		}
	}
	return nil, next
}

// requests returns what to ask for, and notes it as on its way. A read mark is a delivered mark too.
func (m *mark) requests() (read, delivered int64) {
	if m.read > m.readAcked {
		read = m.read
		m.inFlight++
	}
	if m.delivered > max(m.deliveredAcked, read) {
		delivered = m.delivered
		m.inFlight++
	}
	return read, delivered
}

// marked takes the answer to a request for a mark at seq. (The server may have put it lower, at the head; that is as good.)
func (s *says) marked(m *mark, read bool, seq int64) {
	m.inFlight--
	if read {
		m.readAcked = max(m.readAcked, seq)
	}
	m.deliveredAcked = max(m.deliveredAcked, seq)
	s.enqueue(m)
}

// unmarked takes an error: the mark is sent again after the delay, or given up where it makes no sense.
func (s *says) unmarked(m *mark, now time.Time, retry bool, delay time.Duration) {
	m.inFlight--
	if !retry {
		m.readAcked, m.deliveredAcked = m.read, m.delivered
		return
	}
	m.after = now.Add(max(delay, markEvery))
	s.enqueue(m)
}

// watchRequest returns whom to watch, if that has to be sent; or else when its time comes, zero where there is none.
func (s *says) watchRequest(now time.Time) (*chatv1.WatchPresenceRequest, time.Time) {
	switch {
	case !s.watching:
		return nil, time.Time{}
	case s.watchAt.After(now):
		return nil, s.watchAt
	}
	s.watching, s.watchAt = false, time.Time{}
	return &chatv1.WatchPresenceRequest{UserIds: s.watch}, time.Time{}
}

// unwatched takes an error that may pass: whom to watch is sent again after the delay.
func (s *says) unwatched(now time.Time, delay time.Duration) {
	if !s.watching { // else it is about to be sent anyway
		s.watching, s.watchAt = true, now.Add(max(delay, watchEvery))
	}
}

// connected makes everything be said again that the new stream doesn't know.
func (s *says) connected() {
	s.watching, s.watchAt = len(s.watch) > 0, time.Time{}
	s.present = false // hello carries it
	s.typed = nil
	clear(s.typing)
	for _, m := range s.marks {
		m.inFlight = 0
		s.enqueue(m)
	}
}

// setTyping says that typing goes on or has ended, unless the receivers know.
func (s *says) setTyping(conversation string, on bool, now time.Time) bool {
	last := s.typing[conversation]
	if on == last.on && (!on || now.Sub(last.at) < typingEvery) {
		return false
	}
	if on {
		s.typing[conversation] = typingState{on: true, at: now}
	} else {
		delete(s.typing, conversation)
	}
	s.typed = append(s.typed, &chatv1.SetTypingRequest{ConversationId: conversation, Typing: on})
	return true
}

// messageSent forgets the typing that a message ends at its receivers.
func (s *says) messageSent(conversation string) { delete(s.typing, conversation) }

// setAway wants the device's presence to be that; it reports whether that is news.
func (s *says) setAway(away bool) bool {
	state := chatv1.PresenceState_PRESENCE_STATE_ONLINE
	if away {
		state = chatv1.PresenceState_PRESENCE_STATE_AWAY
	}
	if s.presence == state {
		return false
	}
	s.presence, s.present = state, true
	return true
}
