package hub

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// ErrClosed is what a stream's methods return once it has ended and its goodbye, if there is one, was taken.
var ErrClosed = errors.New("hub: stream is closed")

// ErrSuperseded is what [Hub.Open] returns for a stream that is older than the device's live one.
var ErrSuperseded = errors.New("hub: a newer stream of the device is open")

// Stream is the sending side of one client's connection: what the hub has for it, bounded and in order.
//
// Life: [Hub.Open] registers it; [Stream.Attach] joins conversations; [Stream.Emit] sends what the client missed; [Stream.Live] lets
// through what has happened meanwhile; [Stream.Close] ends it and has to be called in any case. One goroutine at a time, the writer, calls Take;
// at most one at a time calls Emit and TryEmit. All other methods may be called at any time from anywhere.
type Stream struct {
	hub     *Hub
	id      uint64
	caller  chat.Caller
	device  string // never empty
	attempt uint64
	opened  time.Time

	wake func()        // Options.Wake
	done chan struct{} // closed when the stream ends

	mu     sync.Mutex // guards what follows
	queue  []*Frame   // what Take takes
	bytes  int        // of the pieces in queue
	reason GoodbyeReason
	// ended: nothing is added any more. goodbye, unless nil, still has to be taken.
	ended, closed bool
	goodbye       *Frame

	catchup *catchup // nil: live
	excess  *excess  // nil: the client is owed nothing
	// floors are the seqs up to which catch-up had the events of conversations in which nothing later has come by yet; forgotten after floorLife.
	floors     map[chat.ConversationID]chat.Seq
	floorsTill time.Time

	room          chan struct{} // 1, made by an Emit that waits: Take has made room
	conversations []chat.ConversationID
	watched       []chat.UserID
	// untold are the watched users of whom nothing was said yet; nil once Present was called.
	untold map[chat.UserID]struct{}
}

// floorLife is how long a stream drops events that its catch-up has had already. The hub lags behind the log by milliseconds, and by this
// much only if it can't read it; a client drops what it has anyway.
const floorLife = time.Minute

// Options describe a stream.
type Options struct {
	Caller chat.Caller
	// Device names the client's device among those of the user; empty: the session counts as the device.
	Device string
	// Attempt counts the device's connections; the highest wins. 0: as if it were the newest.
	Attempt uint64
	// Wake, if set, is called whenever there may be something for [Stream.Take]: with the stream's lock held, from anywhere and also before Open
	// returns, so it must not wait or call the stream.
	Wake func()
}

// ID returns a random number that tells the stream from all others of all nodes.
func (s *Stream) ID() uint64 { return s.id }

// Caller returns whose stream it is.
func (s *Stream) Caller() chat.Caller { return s.caller }

// Done returns a channel that is closed when the stream ends, by Close or by the hub. The writer goes on until Take returns ErrClosed.
func (s *Stream) Done() <-chan struct{} { return s.done }

// Reason returns why the hub, or End, has ended the stream; 0 while it hasn't.
func (s *Stream) Reason() GoodbyeReason {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason
}

// Attach joins conversations that were read, after Open, as the user's present ones. Where a membership has changed in the log since
// Open, that counts and not the list. May be called several times before Live.
func (s *Stream) Attach(ids []chat.ConversationID) {
	for _, id := range ids {
		s.hub.shardOf(id).attach(s, id)
	}
}

// TryEmit queues a frame of the catch-up, and reports whether there was room for it. Its error is ErrClosed when the stream has ended.
func (s *Stream) TryEmit(f *Frame) (bool, error) {
	wait, ok := s.tryEmit(f)
	if !ok && wait == nil {
		return false, ErrClosed
	}
	return ok, nil
}

// Emit queues frames of the catch-up, waiting for room before each. It ends early with ctx's error, or ErrClosed when the stream has ended.
func (s *Stream) Emit(ctx context.Context, frames ...*Frame) error {
	for _, f := range frames {
		for {
			wait, ok := s.tryEmit(f)
			if ok {
				break
			}
			if wait == nil {
				return ErrClosed
			}
			select {
			case <-wait:
			case <-s.done:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// tryEmit queues f if there is room; otherwise it returns the channel to wait on, nil if the stream has ended. Catch-up uses half the
// limit, so that what comes after it finds room too.
func (s *Stream) tryEmit(f *Frame) (wait <-chan struct{}, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil, false
	}
	l := &s.hub.limits
	if n := len(s.queue); n == 0 || n < l.QueueFrames/2 && s.bytes+len(f.piece) <= l.QueueBytes/2 {
		s.append(f)
		return nil, true
	}
	if s.room == nil {
		s.room = make(chan struct{}, 1)
	}
	return s.room, false
}

// Live ends the catch-up. delivered holds, for each conversation that it covered, the seq up to which it delivered the events, or said by a
// summary or resync where the conversation stands; for one that the user has left, the seq of the removal. What came in meanwhile is
// queued, except for what the client so has or knows already. Does nothing on a live stream.
func (s *Stream) Live(delivered map[chat.ConversationID]chat.Seq) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.catchup == nil {
		return
	}
	s.floors, s.floorsTill = maps.Clone(delivered), time.Now().Add(floorLife)
	pending := s.catchup.pending
	s.catchup, s.room = nil, nil
	for _, f := range pending {
		if !s.belowFloor(f) {
			s.append(f)
		}
	}
	s.settleExcess(delivered)
	s.signal()
}

// Reply queues the answer to a request of the client, whatever else is waiting; the transport bounds the number of requests that it hasn't answered.
// Does nothing on a stream that has ended.
func (s *Stream) Reply(f *Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.append(f)
	}
}

// Checkpoint queues the frame that build makes of the hub's positions, if the stream is live and owes nothing, so that a client
// that has stored all before the frame has all up to the positions. Reports whether it did.
func (s *Stream) Checkpoint(build func(chat.Positions) *Frame) bool {
	f := build(s.hub.Positions()) // Before the lock: what these positions cover has been queued, or is owed.
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.catchup != nil || s.excess != nil {
		return false
	}
	s.append(f)
	return true
}

// Take appends all that is queued to buf[:0], and returns nothing where nothing is; the frames are shared and not to be changed. After the
// goodbye, or at once after Close, it returns ErrClosed.
func (s *Stream) Take(buf []*Frame) ([]*Frame, error) {
	buf, over := s.take(buf[:0])
	if len(buf) == 0 && over {
		return buf, ErrClosed
	}
	return buf, nil
}

// End ends the stream with a goodbye for the client; delay 0 where coming back needs no wait. What is queued is sent first, unless the reason
// is one by which the right to it has ended. Only the first end of a stream counts.
func (s *Stream) End(reason GoodbyeReason, delay time.Duration) {
	s.end(reason, delay)
}

func (s *Stream) end(reason GoodbyeReason, delay time.Duration) bool {
	goodbye := NewFrame(s.hub.encoder, s.hub.encoder.Goodbye(reason, delay))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.reason, s.goodbye = reason, goodbye
	s.finish(reason.discards())
	return true
}

// finish lets nothing in any more. Catch-up that isn't complete leaves out what came in during it: the client resumes from where it is.
func (s *Stream) finish(discard bool) {
	if discard {
		s.queue, s.bytes = nil, 0
	}
	if discard || s.catchup != nil {
		s.dropExcess()
	}
	s.ended = true
	s.catchup, s.floors = nil, nil
	close(s.done)
	s.signal()
}

// Close takes the stream out of the hub. What is queued is dropped. May be called repeatedly.
func (s *Stream) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	if !s.ended {
		s.finish(true)
	}
	s.queue, s.bytes, s.goodbye = nil, 0, nil
	s.dropExcess()
	conversations, watched := s.conversations, s.watched
	s.conversations, s.watched, s.untold = nil, nil, nil
	s.signal()
	s.mu.Unlock()

	for _, id := range conversations {
		s.hub.shardOf(id).detach(s, id)
	}
	s.hub.watch.replace(s, watched, nil)
	s.hub.unregister(s)
}

// supersededBy reports whether a stream with this attempt, opened at that time on that node, replaces s.
func (s *Stream) supersededBy(attempt uint64, opened time.Time, id uint64) bool {
	if attempt != 0 && s.attempt != 0 && attempt != s.attempt {
		return attempt > s.attempt
	}
	if !opened.Equal(s.opened) {
		return opened.After(s.opened)
	}
	return id > s.id
}
