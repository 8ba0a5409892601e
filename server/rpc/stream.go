package rpc

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/hub"
)

// wire is what carries a session.
type wire interface {
	// receive waits for the next request; one that can't be decoded is no error. io.EOF: the client has said all it has to say.
	receive() (*received[chatv1.StreamRequest], error)
	// send writes a frame and flushes it. Not called concurrently with itself.
	send(*frame) error
	// abortReceive makes receive fail, now and later; abortSend does so for send. They may be called at any time until the session has ended.
	abortReceive()
	abortSend()
}

// session is one stream of a client, whatever carries it.
//
// Goroutines. On a Stream the handler's own reads (stream_requests.go); on a Subscribe it waits. One more writes while there is something to write: a
// stream that is silent has none, and saves its stack. One more catches the client up and ends then. A timer looks after time. Whichever of
// them ends the session, it does so through end or stop, and run waits for all.
type session struct {
	server  *Server
	wire    wire
	request *request
	caller  chat.Caller
	talks   bool        // the client may say more than hello
	stream  *hub.Stream // set before any other goroutine starts

	// wakes is 0 while nothing is written, and else counts up with everything that the writer may not have seen. waiting is the writer's.
	wakes   atomic.Int64
	waiting []*hub.Frame
	written chan struct{} // closed when the writer has ended for good

	life      context.Context //nolint:containedctx // of the writers; as long as the session
	cancel    context.CancelFunc
	ready     chan struct{} // closed once `ready` is queued
	readyOnce sync.Once
	// slots holds an element for each request whose answer hasn't been written.
	slots chan struct{}
	// watching holds an element while a watch is under way or what it told of strangers, up to the frame watched, hasn't been written.
	watching chan struct{}
	watched  atomic.Pointer[hub.Frame]

	// Unix nanoseconds; 0: not now.
	sent    atomic.Int64 // when the last write ended
	writing atomic.Int64 // since when a write is under way
	reading atomic.Int64 // since when the reader waits for the client
	// dirty: something was said since the last checkpoint.
	dirty      atomic.Bool
	checkpoint atomic.Pointer[hub.Frame] // the last one

	mu           sync.Mutex
	over         bool        // guarded by mu: the wire mustn't be touched any more
	timer        *time.Timer // guarded by mu
	failure      *chat.Error // guarded by mu: what the stream's status will be
	checkpointed time.Time   // guarded by mu
}

// opening is what a client opens a stream with.
type opening struct {
	hello     *chatv1.Hello
	positions []chat.EventPosition // those of hello, set by open
	expires   time.Time            // when the token runs out, set by open
	requestID uint64
	watch     []chat.UserID
	turn      turn // taken by open; catchUp passes it on
}

func (s *Server) newSession(ctx context.Context, w wire, talks bool) *session {
	r := requestFrom(ctx)
	ss := &session{
		server: s, wire: w, request: r, caller: r.identity.Caller, talks: talks, written: make(chan struct{}),
		ready: make(chan struct{}), slots: make(chan struct{}, s.limits.Unanswered), watching: make(chan struct{}, 1),
	}
	ss.wakes.Store(1) // converse starts the first writer
	return ss
}

// open registers the stream with the hub. If it wasn't let in, live is false and err the stream's status: nil also where a goodbye says why. If it was, run
// has to be called.
func (ss *session) open(ctx context.Context, o *opening) (live bool, err error) {
	s := ss.server
	if o.positions, err = positions(o.hello.GetPositions(), "hello.positions"); err != nil {
		return false, ss.refuse(hub.GoodbyeProtocolError, err)
	}
	stream, err := s.hub.Open(hub.Options{Caller: ss.caller, Device: o.hello.GetDeviceId(), Attempt: o.hello.GetAttempt(), Wake: ss.wake})
	switch {
	case errors.Is(err, hub.ErrSuperseded):
		return false, ss.refuse(hub.GoodbyeSuperseded, nil)
	case err != nil:
		return false, err
	}
	defer func() {
		if !live {
			stream.Close()
		}
	}()
	o.turn = turn{of: s.openings}
	if err := o.turn.take(ctx); err != nil {
		return false, err
	}
	defer func() {
		if !live {
			o.turn.pass()
		}
	}()
	// The session may have ended between the gate and Open; from now on its end finds the stream.
	identity, err := s.accounts.Confirm(ctx, ss.request.token)
	if err != nil {
		return false, err
	}
	ss.stream, o.expires = stream, identity.ExpireTime
	s.presence.Connect(ss.caller.User, stream.ID(), chat.PresenceState(o.hello.GetPresence()))
	return true, nil
}

// run is a session's life from open on. It returns the stream's status: nil also where the goodbye says why it ended.
func (ss *session) run(ctx context.Context, o *opening) error {
	defer ss.stream.Close()
	clean := ss.converse(ctx, o)
	ss.server.presence.Disconnect(ss.caller.User, ss.stream.ID(), clean)
	return ss.status()
}

func (ss *session) status() error {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.failure != nil {
		return ss.failure
	}
	return nil
}

// converse runs the session's goroutines and waits for their end. clean: the client said that it goes.
func (ss *session) converse(ctx context.Context, o *opening) (clean bool) {
	ctx, ss.cancel = context.WithCancel(ctx)
	ss.life = ctx
	var others sync.WaitGroup
	caughtUp := make(chan struct{})
	others.Go(func() {
		defer close(caughtUp)
		ss.guarded(ctx, func() { ss.catchUp(ctx, o) })
	})
	ss.startClock(o.expires)
	go ss.write(ctx)
	if ss.talks {
		clean = ss.listen(ctx, caughtUp)
	} else {
		<-ctx.Done() // the client has gone, or the last writer
	}
	if clean {
		<-ss.stream.Done() // the writer closes it when all is said
	}
	ss.stop()
	others.Wait()
	if ss.stream.Reason() == 0 {
		ss.stream.Close() // nobody is there to hear more
	}
	<-ss.written
	ss.mu.Lock()
	ss.over = true
	ss.timer.Stop()
	ss.mu.Unlock()
	return clean
}

// guarded runs a part of the session; a panic in it ends this session only.
func (ss *session) guarded(ctx context.Context, part func()) {
	defer func() {
		if fault := recover(); fault != nil {
			ss.fail(ctx, panicked(fault))
			ss.stop()
		}
	}()
	part()
}

// stop ends all that runs for the session, without a word to the client.
func (ss *session) stop() {
	ss.cancel()
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if !ss.over && ss.talks {
		ss.wire.abortReceive()
	}
}

// end says goodbye; what is queued goes out first. failure, unless nil, becomes the stream's status. The first end counts.
func (ss *session) end(reason hub.GoodbyeReason, delay time.Duration, failure *chat.Error) {
	ss.mu.Lock()
	if ss.failure == nil && ss.stream.Reason() == 0 {
		ss.failure = failure
	}
	ss.mu.Unlock()
	ss.stream.End(reason, delay)
}

// fail ends the session by an error of the server, and returns the delay that the client is told.
func (ss *session) fail(ctx context.Context, err error) (delay time.Duration) {
	e := ss.server.classify(ctx, err)
	delay = max(e.RetryAfter, time.Second) + rand.N(ss.server.limits.RetrySpread+1)
	ss.end(hub.GoodbyeInternal, delay, e)
	return delay
}

// refuse says goodbye to a client that never got a stream.
func (ss *session) refuse(reason hub.GoodbyeReason, status error) error {
	goodbye := hub.NewFrame(Encoder{}, Encoder{}.Goodbye(reason, 0))
	if err := ss.wire.send(&frame{events: []*hub.Frame{goodbye}}); err != nil {
		return err
	}
	return status
}

// catchUp tells the client what it missed, and lets live events through.
func (ss *session) catchUp(ctx context.Context, o *opening) {
	defer ss.readyOnce.Do(func() { close(ss.ready) })
	defer o.turn.pass()
	err := ss.resume(ctx, o)
	switch {
	case err == nil, errors.Is(err, hub.ErrClosed), ctx.Err() != nil:
	case chat.IsReason(err, chat.ReasonInvalidToken):
		e := ss.server.classify(ctx, within("hello", err))
		ss.slots <- struct{}{} // free: nothing but hello was read
		ss.refuseRequest(o.requestID, e)
		ss.end(hub.GoodbyeProtocolError, 0, e)
	default:
		ss.fail(ctx, err)
	}
}

// resume is the order on which completeness rests: the stream is open, then joined to its conversations, then its position is
// taken, and only then is read what the client lacks. See [chat.Service.Resume].
func (ss *session) resume(ctx context.Context, o *opening) error {
	s := ss.server
	conversations, err := s.chat.Memberships(ctx, ss.caller)
	if err != nil {
		return err
	}
	ss.stream.Attach(conversations)
	now := s.hub.Positions()
	sink := &catchUpSink{ss: ss, ctx: ctx, turn: &o.turn, requestID: o.requestID, delivered: make(map[chat.ConversationID]chat.Seq)}
	request := chat.ResumeRequest{Token: o.hello.GetToken(), Positions: o.positions, At: now}
	if err := s.chat.Resume(ctx, ss.caller, request, sink); err != nil {
		return err
	}
	if err := sink.emit(caughtUp(now)); err != nil {
		return err
	}
	ss.stream.Live(sink.delivered)
	if len(o.watch) > 0 {
		return ss.watch(ctx, o.watch)
	}
	return nil
}

// catchUpSink passes what a resume reads on to the stream, as fast as the client takes it.
type catchUpSink struct {
	ss        *session
	ctx       context.Context //nolint:containedctx // of the resume that the sink belongs to
	turn      *turn
	requestID uint64
	delivered map[chat.ConversationID]chat.Seq
}

// emit queues what the client gets. Where it has to wait for the client to make room, others have their turn meanwhile.
func (k *catchUpSink) emit(f *hub.Frame) error {
	if ok, err := k.ss.stream.TryEmit(f); ok || err != nil {
		return err
	}
	k.turn.pass()
	if err := k.ss.stream.Emit(k.ctx, f); err != nil {
		return err
	}
	return k.turn.take(k.ctx)
}

func (k *catchUpSink) Ready(kind chat.ResumeKind) error {
	ss := k.ss
	err := k.emit(newFrame(&chatv1.Event{Event: &chatv1.Event_Ready{Ready: &chatv1.Ready{
		StreamId: streamID(ss.stream), UserId: ss.caller.User.String(), ResumeKind: chatv1.ResumeKind(kind),
		HeartbeatInterval: durationpb.New(ss.server.limits.Heartbeat), ServerTime: timestamppb.Now(),
	}}}))
	if err != nil {
		return err
	}
	defer ss.readyOnce.Do(func() { close(ss.ready) }) // the reader, with its own use of the slots, starts after hello's
	if k.requestID != 0 {
		ss.slots <- struct{}{} // free: nothing but hello was read
		return k.emit(newFrame(ackEvent(&chatv1.Ack{RequestId: k.requestID})))
	}
	return nil
}

func (k *catchUpSink) Summary(summary chat.Summary) error {
	if summary.Self.Active() {
		k.reached(summary.Conversation.ID, summary.Head.LastSeq)
	}
	return k.emit(newFrame(&chatv1.Event{Event: &chatv1.Event_Summary{Summary: summaryToWire(&summary)}}))
}

func (k *catchUpSink) Event(e chat.Event) error {
	k.reached(e.Conversation, e.Seq)
	return k.emit(newFrame(eventToWire(&e)))
}

func (k *catchUpSink) Resync(id chat.ConversationID, head chat.Seq) error {
	k.reached(id, head)
	return k.emit(hub.NewFrame(Encoder{}, Encoder{}.Resync(id, head)))
}

func (k *catchUpSink) reached(id chat.ConversationID, seq chat.Seq) {
	if seq > k.delivered[id] {
		k.delivered[id] = seq
	}
}

func caughtUp(at chat.Positions) *hub.Frame {
	return newFrame(&chatv1.Event{Event: &chatv1.Event_CaughtUp{CaughtUp: &chatv1.CaughtUp{Token: chat.Token(at)}}})
}

func ackEvent(a *chatv1.Ack) *chatv1.Event { return &chatv1.Event{Event: &chatv1.Event_Ack{Ack: a}} }

func streamID(s *hub.Stream) string { return strconv.FormatUint(s.ID(), 36) }

// fin, in the place of a frame, asks the writer to end the stream: the client has said that it goes, and has its answers.
var fin = hub.NewFrame(Encoder{}, nil)

// idleFrames is the room for frames that a stream without traffic keeps.
const idleFrames = 16

// wake sees to it that a writer takes what there is from now on.
func (ss *session) wake() {
	if ss.wakes.Add(1) == 1 {
		go ss.write(ss.life)
	}
}

// write sends what the hub has for the stream. It ends when there is no more, and another one begins when there is; at the stream's end, or when
// something can't be sent, it is the last, and closes the stream.
func (ss *session) write(ctx context.Context) {
	last := true
	ss.guarded(ctx, func() { last = ss.writeAll(ctx) })
	if last {
		ss.stream.Close()
		ss.stop()
		close(ss.written)
	}
}

// writeAll reports whether nothing can be written any more.
func (ss *session) writeAll(ctx context.Context) (last bool) {
	for {
		seen := ss.wakes.Load()
		var err error
		if ss.waiting, err = ss.stream.Take(ss.waiting); err != nil {
			return true
		}
		if len(ss.waiting) == 0 {
			if ss.wakes.CompareAndSwap(seen, 0) {
				return false
			}
			continue
		}
		if ss.flush(ctx, ss.waiting) != nil {
			return true // the client has gone, or was told to go
		}
		clear(ss.waiting)
		if cap(ss.waiting) > idleFrames {
			ss.waiting = nil // a burst is over
		}
	}
}

// flush sends frames, joined as far as they may be. io.EOF: the client asked for the end.
func (ss *session) flush(ctx context.Context, waiting []*hub.Frame) error {
	begin, size := 0, 0
	for i, f := range waiting {
		if f == fin {
			return errors.Join(ss.send(waiting[begin:i]), io.EOF)
		}
		if id, ok := f.SummaryOf(); ok {
			summary, err := ss.summary(ctx, id)
			if err != nil {
				// What comes after it would leave a hole. The goodbye doesn't wait its turn behind that.
				goodbye := hub.NewFrame(Encoder{}, Encoder{}.Goodbye(hub.GoodbyeInternal, ss.fail(ctx, err)))
				return errors.Join(err, ss.send(waiting[begin:i]), ss.send([]*hub.Frame{goodbye}))
			}
			waiting[i] = summary
			f = summary
		}
		if size += len(f.Binary()); size >= ss.server.limits.FrameBytes {
			if err := ss.send(waiting[begin : i+1]); err != nil {
				return err
			}
			begin, size = i+1, 0
		}
	}
	return ss.send(waiting[begin:])
}

// nothing stands for an event that turned out to be none.
var nothing = hub.NewFrame(Encoder{}, nil)

// summary reads what the user's list shows of a conversation that they have joined or left.
func (ss *session) summary(ctx context.Context, id chat.ConversationID) (*hub.Frame, error) {
	summary, ok, err := ss.server.chat.Summary(ctx, ss.caller, id)
	if err != nil || !ok {
		return nothing, err
	}
	return newFrame(&chatv1.Event{Event: &chatv1.Event_Summary{Summary: summaryToWire(&summary)}}), nil
}

// send writes one frame, and gives back the slots of the answers in it.
func (ss *session) send(events []*hub.Frame) error {
	if len(events) == 0 {
		return nil
	}
	ss.writing.Store(time.Now().UnixNano())
	err := ss.wire.send(&frame{events: events})
	ss.writing.Store(0)
	ss.sent.Store(time.Now().UnixNano())
	checkpoint := ss.checkpoint.Load()
	for _, e := range events {
		if e != heartbeat && e != checkpoint {
			ss.dirty.Store(true)
		}
		if ss.talks && isAnswer(e.Binary()) {
			ss.release()
		}
		if ss.watched.CompareAndSwap(e, nil) {
			<-ss.watching
		}
	}
	return err
}
