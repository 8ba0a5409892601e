package hub

import (
	"slices"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/internal/planted"
)

// What waits for the writer of a stream. The methods here are called with the stream's lock held, except deliver, take, tooSlow, join and leave.
//
// From a quarter of the limits on, typing is dropped and receipts and presence are kept only in their newest form. Past the limits,
// the durable frames of a conversation are no longer kept: the client is owed a resync, which Take gives after all that is queued.

// catchup is what a stream needs until it is live.
type catchup struct {
	pending []*Frame // live frames, in order
	bytes   int      // of their pieces
	// changed are the memberships that changed since Open: whether the user is a member now.
	changed map[chat.ConversationID]bool
}

// excess is what a stream owes its client beyond its queue.
type excess struct {
	owed   map[chat.ConversationID]debt
	latest map[latestKey]*Frame
	timer  *time.Timer // runs while a resync is owed by a live stream
}

// debt is what is owed for a conversation.
type debt struct {
	summary bool     // a summary
	resync  bool     // a resync
	last    chat.Seq // the last event that was left out, and so the head of the resync
	left    bool     // that event ended the user's membership: the resync says so
}

type latestKey struct {
	conversation chat.ConversationID // 0: presence
	user         chat.UserID
}

// outcome is what became of a frame.
type outcome int8

const (
	ignored outcome = iota // not for this stream any more, or had already
	queued
	collapsed // owed, as part of something newer
	dropped
)

// outcomes counts them.
type outcomes [dropped + 1]int64

func (h *Hub) tally(o *outcomes) {
	if n := o[queued]; n != 0 {
		h.stats.queued.Add(n)
	}
	if n := o[collapsed]; n != 0 {
		h.stats.collapsed.Add(n)
	}
	if n := o[dropped]; n != 0 {
		h.stats.dropped.Add(n)
	}
}

// deliver gives a live frame to the stream. It never waits.
func (s *Stream) deliver(f *Frame) outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deliverLocked(f)
}

func (s *Stream) deliverLocked(f *Frame) outcome {
	switch {
	case s.ended:
		return ignored
	case f.kind == frameLatest:
		return s.deliverLatest(f)
	case f.kind == frameTyping && s.busy():
		return dropped
	case f.kind == frameTyping:
		s.append(f)
		return queued
	case s.belowFloor(f):
		return ignored
	case s.owes(f.conversation):
		s.owe(f)
		return collapsed
	case s.catchup != nil:
		return s.deliverPending(f)
	case !s.fits(len(s.queue), s.bytes, f):
		s.owe(f)
		return collapsed
	default:
		s.append(f)
		return queued
	}
}

func (s *Stream) deliverPending(f *Frame) outcome {
	c := s.catchup
	if !s.fits(len(c.pending), c.bytes, f) {
		s.owe(f)
		return collapsed
	}
	c.pending = append(c.pending, f)
	c.bytes += len(f.piece)
	return queued
}

// deliverLatest queues a frame that stands for all older ones with its key. As soon as one had to be kept back, later ones are too, until
// Take has taken them: none overtakes another.
func (s *Stream) deliverLatest(f *Frame) outcome {
	if !s.busy() {
		s.append(f)
		return queued
	}
	e := s.needExcess()
	key := latestKey{f.conversation, f.user}
	if _, ok := e.latest[key]; !ok && key.conversation != 0 && len(e.latest) >= s.hub.limits.CollapsedPerStream {
		d := e.owed[f.conversation]
		d.summary = true
		e.owed[f.conversation] = d
		return collapsed
	}
	e.latest[key] = f
	return queued
}

func (s *Stream) append(f *Frame) {
	s.queue = append(s.queue, f)
	if n := len(s.queue); planted.Bug(planted.FanOutReordered) && n > 1 && s.queue[n-2].kind == frameDurable && planted.Every(10) {
		s.queue[n-1], s.queue[n-2] = s.queue[n-2], s.queue[n-1]
	}
	s.bytes += len(f.piece)
	if !f.later || s.busy() {
		s.signal()
	}
}

// signal wakes the writer.
func (s *Stream) signal() {
	if s.wake != nil {
		s.wake()
	}
}

// fits reports whether f has room in a queue of n frames and so many bytes. A frame above all limits fits an empty one.
func (s *Stream) fits(n, bytes int, f *Frame) bool {
	l := &s.hub.limits
	return n == 0 || n < l.QueueFrames && bytes+len(f.piece) <= l.QueueBytes
}

// busy reports whether ephemeral frames have to make way.
func (s *Stream) busy() bool {
	l := &s.hub.limits
	return s.catchup != nil || s.excess != nil || len(s.queue) >= l.QueueFrames/4 || s.bytes >= l.QueueBytes/4
}

// belowFloor reports whether catch-up has had what the frame tells, and forgets the floor once events have passed it.
func (s *Stream) belowFloor(f *Frame) bool {
	floor, ok := s.floors[f.conversation]
	if ok && f.seq > floor {
		delete(s.floors, f.conversation)
	}
	return ok && f.seq <= floor
}

func (s *Stream) owes(id chat.ConversationID) bool {
	if s.excess == nil {
		return false
	}
	d := s.excess.owed[id]
	return d.resync
}

func (s *Stream) needExcess() *excess {
	if s.excess == nil {
		s.excess = &excess{owed: map[chat.ConversationID]debt{}, latest: map[latestKey]*Frame{}}
		s.signal()
	}
	return s.excess
}

// owe leaves a frame out and remembers what the client gets instead.
func (s *Stream) owe(f *Frame) {
	e := s.needExcess()
	d := e.owed[f.conversation]
	d.resync = true
	if f.kind == frameSummary {
		d.summary = true
	} else {
		d.left = f.kind == frameLeft
	}
	d.last = f.seq
	e.owed[f.conversation] = d
	s.startTimer()
}

func (s *Stream) startTimer() {
	if e := s.excess; e.timer == nil && s.catchup == nil {
		e.timer = time.AfterFunc(s.hub.limits.SlowAfter, func() { s.tooSlow(e) })
	}
}

// tooSlow ends the stream if it still owes what it owed when the timer was started.
func (s *Stream) tooSlow(e *excess) {
	s.mu.Lock()
	still := s.excess == e
	s.mu.Unlock()
	if still && s.end(GoodbyeSlowConsumer, 0) {
		s.hub.stats.slow.Add(1)
	}
}

// settleExcess strikes out, when catch-up is over, what it has delivered.
func (s *Stream) settleExcess(delivered map[chat.ConversationID]chat.Seq) {
	e := s.excess
	if e == nil {
		return
	}
	resync := false
	for id, d := range e.owed {
		if d.last <= delivered[id] {
			d.resync = false
		}
		resync = resync || d.resync
		e.owed[id] = d
	}
	if resync {
		s.startTimer()
	}
}

func (s *Stream) dropExcess() {
	if s.excess != nil && s.excess.timer != nil {
		s.excess.timer.Stop()
	}
	s.excess = nil
}

// take appends to buf all that waits; over reports that nothing will come any more.
func (s *Stream) take(buf []*Frame) (_ []*Frame, over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	buf = append(buf, s.queue...)
	clear(s.queue)
	s.queue, s.bytes = s.queue[:0], 0
	if s.excess != nil && s.catchup == nil {
		buf = s.payOff(buf)
	}
	if s.goodbye != nil {
		buf = append(buf, s.goodbye)
		s.goodbye = nil
	}
	if s.room != nil {
		select {
		case s.room <- struct{}{}:
		default:
		}
	}
	if len(buf) == 0 {
		s.rest()
	}
	return buf, s.ended
}

// payOff appends what is owed.
func (s *Stream) payOff(buf []*Frame) []*Frame {
	for id, d := range s.excess.owed {
		if d.summary {
			buf = append(buf, summaryFrame(id, d.last))
		}
		if d.resync {
			head := d.last
			if d.left {
				head = 0
			}
			buf = append(buf, s.hub.resyncFrame(id, head))
			s.hub.stats.resyncs.Add(1)
		}
	}
	for _, f := range s.excess.latest {
		buf = append(buf, f)
	}
	s.dropExcess()
	return buf
}

// idleQueue is the room that a stream without traffic keeps.
const idleQueue = 16

// rest gives back, before the writer waits, what a burst has left.
func (s *Stream) rest() {
	if cap(s.queue) > idleQueue {
		s.queue = nil
	}
	if s.floors != nil && (len(s.floors) == 0 || time.Now().After(s.floorsTill)) {
		s.floors = nil
	}
}

// join makes the user's membership count for the stream, by the list (seq 0) or by that event of the log. Reports whether the stream has
// to be added to the room.
func (s *Stream) join(id chat.ConversationID, seq chat.Seq) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	if c := s.catchup; c != nil {
		if member, known := c.changed[id]; seq == 0 && known && !member {
			return false
		}
		if seq != 0 {
			c.note(id, true)
		}
	}
	attached := slices.Contains(s.conversations, id)
	if !attached {
		s.conversations = append(s.conversations, id)
	}
	if seq != 0 {
		// Also where the list had it already: that was read when the log was further than the hub, and then nothing else tells of it.
		s.deliverLocked(summaryFrame(id, seq))
	}
	return !attached
}

// leave ends the user's membership for the stream with the event seq. Reports whether the stream has to be taken out of the room.
func (s *Stream) leave(id chat.ConversationID, seq chat.Seq) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	if s.catchup != nil {
		s.catchup.note(id, false)
	}
	i := slices.Index(s.conversations, id)
	if i < 0 {
		// The list that is being read may still have the conversation, and its events so far have not been seen here.
		if s.catchup != nil {
			s.deliverLocked(s.hub.leftFrame(id, seq))
		}
		return false
	}
	s.deliverLocked(summaryFrame(id, seq))
	s.conversations = slices.Delete(s.conversations, i, i+1)
	if s.excess != nil {
		if d := s.excess.owed[id]; d.resync {
			d.last, d.left = seq, true
			s.excess.owed[id] = d
		}
	}
	return true
}

func (c *catchup) note(id chat.ConversationID, member bool) {
	if c.changed == nil {
		c.changed = map[chat.ConversationID]bool{}
	}
	c.changed[id] = member
}
