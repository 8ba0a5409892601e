package rpc_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"connectrpc.com/connect"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

// stream is a client's end of a Stream or Subscribe. Events are read one by one.
type stream struct {
	t      *testing.T
	ctx    context.Context
	cancel context.CancelFunc
	bidi   bidi // nil: Subscribe
	down   *connect.ServerStreamForClient[chatv1.SubscribeResponse]
	queue  []*chatv1.Event
}

// bidi is what a generated client returns for a Stream.
type bidi interface {
	Send(*chatv1.StreamRequest) error
	Receive() (*chatv1.StreamResponse, error)
	CloseRequest() error
}

// overWebSocket behaves as generated clients do.
type overWebSocket struct{ client.Stream }

func (s overWebSocket) Send(r *chatv1.StreamRequest) error {
	var requests []*chatv1.StreamRequest
	if r != nil {
		requests = append(requests, r)
	}
	if s.Stream.Send(requests...) != nil {
		return io.EOF // Receive tells why
	}
	return nil
}

func (s overWebSocket) CloseRequest() error {
	_ = s.CloseSend() // Receive tells why
	return nil
}

// dial opens a Stream and says nothing.
func dial(t *testing.T, s *nodetest.Server, p nodetest.Protocol, u *nodetest.User) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(within(t))
	t.Cleanup(cancel)
	st := &stream{t: t, ctx: ctx, cancel: cancel}
	var err error
	if p.WebSocket {
		var over client.Stream
		over, err = s.Transport(p).Open(ctx, http.Header{"Authorization": {"Bearer " + u.Session.GetAccessToken()}})
		st.bidi = overWebSocket{over}
	} else {
		st.bidi, err = s.Chat(p, u).Stream(ctx)
	}
	if err != nil {
		t.Fatalf("opening a stream: %v", err)
	}
	return st
}

// open opens a Stream and says hello.
func open(t *testing.T, s *nodetest.Server, p nodetest.Protocol, u *nodetest.User, hello *chatv1.Hello) *stream {
	t.Helper()
	st := dial(t, s, p, u)
	st.say(0, &chatv1.StreamRequest_Hello{Hello: hello})
	return st
}

// live opens a Stream and reads until it is caught up.
func live(t *testing.T, s *nodetest.Server, u *nodetest.User) *stream {
	t.Helper()
	st := open(t, s, binary, u, &chatv1.Hello{})
	st.until(isCaughtUp)
	return st
}

func subscribe(t *testing.T, s *nodetest.Server, p nodetest.Protocol, u *nodetest.User, r *chatv1.SubscribeRequest) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(within(t))
	t.Cleanup(cancel)
	down, err := s.Chat(p, u).Subscribe(ctx, r)
	if err != nil {
		t.Fatalf("subscribing: %v", err)
	}
	return &stream{t: t, ctx: ctx, cancel: cancel, down: down}
}

// say sends a request; what is one of the StreamRequest_ types.
func (s *stream) say(id uint64, what any) {
	s.t.Helper()
	r := &chatv1.StreamRequest{RequestId: id}
	switch q := what.(type) {
	case *chatv1.StreamRequest_Hello:
		r.Request = q
	case *chatv1.StreamRequest_SendMessage:
		r.Request = q
	case *chatv1.StreamRequest_Typing:
		r.Request = q
	case *chatv1.StreamRequest_MarkRead:
		r.Request = q
	case *chatv1.StreamRequest_MarkDelivered:
		r.Request = q
	case *chatv1.StreamRequest_WatchPresence:
		r.Request = q
	case *chatv1.StreamRequest_SetPresence:
		r.Request = q
	case *chatv1.StreamRequest_Ping:
		r.Request = q
	case nil:
	default:
		s.t.Fatalf("a stream can't say %T", what)
	}
	if err := s.bidi.Send(r); err != nil && !errors.Is(err, io.EOF) {
		s.t.Fatalf("sending: %v", err)
	}
}

// receive returns the next event, or how the stream ended.
func (s *stream) receive() (*chatv1.Event, error) {
	for len(s.queue) == 0 {
		if s.bidi != nil {
			r, err := s.bidi.Receive()
			if err != nil {
				return nil, err
			}
			s.queue = r.GetEvents()
			continue
		}
		if !s.down.Receive() {
			if err := s.down.Err(); err != nil {
				return nil, err
			}
			return nil, io.EOF
		}
		s.queue = s.down.Msg().GetEvents()
	}
	e := s.queue[0]
	s.queue = s.queue[1:]
	return e, nil
}

// next returns the next event that isn't a heartbeat.
func (s *stream) next() *chatv1.Event {
	s.t.Helper()
	for {
		e, err := s.receive()
		if err != nil {
			s.t.Fatalf("the stream ended: %v", err)
		}
		if e.GetHeartbeat() == nil {
			return e
		}
	}
}

// until reads up to the first event that matches.
func (s *stream) until(match func(*chatv1.Event) bool) *chatv1.Event {
	s.t.Helper()
	for {
		e, err := s.receive()
		if err != nil {
			s.t.Fatalf("the stream ended before what was waited for: %v", err)
		}
		if match(e) {
			return e
		}
	}
}

// end reads all that comes and returns the goodbye, if there was one, and the error that the stream ended with; nil for a good end.
func (s *stream) end() (goodbye *chatv1.Goodbye, err error) {
	s.t.Helper()
	for {
		e, err := s.receive()
		if errors.Is(err, io.EOF) {
			return goodbye, nil
		}
		if err != nil {
			return goodbye, err
		}
		if goodbye != nil {
			s.t.Errorf("after the goodbye came %v", e)
		}
		goodbye = e.GetGoodbye()
	}
}

func isCaughtUp(e *chatv1.Event) bool { return e.GetCaughtUp() != nil }

func isAck(id uint64) func(*chatv1.Event) bool {
	return func(e *chatv1.Event) bool { return e.GetAck().GetRequestId() == id && e.GetAck() != nil }
}

func isMessage(content string) func(*chatv1.Event) bool {
	return func(e *chatv1.Event) bool { return e.GetMessage().GetContent() == content }
}

func sending(conversation, content string) *chatv1.StreamRequest_SendMessage {
	return &chatv1.StreamRequest_SendMessage{SendMessage: &chatv1.SendMessageRequest{
		ConversationId: conversation, ClientMessageId: nodetest.UUID(), Content: content,
	}}
}

var ping = &chatv1.StreamRequest_Ping{Ping: &chatv1.Ping{}}

func TestAStreamIsCaughtUpInTheOrderOfTheSchemaAndThenLive(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	ada, bob := s.SignUp("ada"), s.SignUp("bob")
	id := direct(t, s, ada, bob)
	for _, p := range nodetest.Streams() {
		for _, one := range []struct {
			name string
			open func(t *testing.T) *stream
		}{
			{"Stream", func(t *testing.T) *stream { return open(t, s, p, ada, &chatv1.Hello{DeviceId: "a"}) }},
			{"Subscribe", func(t *testing.T) *stream {
				return subscribe(t, s, p, ada, &chatv1.SubscribeRequest{Hello: &chatv1.Hello{DeviceId: "b"}})
			}},
		} {
			t.Run(p.Name+"/"+one.name, func(t *testing.T) {
				st := one.open(t)
				if e := st.next(); e.GetReady().GetUserId() != ada.ID || e.GetReady().GetResumeKind() != chatv1.ResumeKind_RESUME_KIND_FULL {
					t.Fatalf("first came %v, want ready for a full resume", e)
				}
				if e := st.next(); e.GetSummary().GetConversation().GetId() != id {
					t.Fatalf("then came %v, want the summary", e)
				}
				if e := st.next(); len(e.GetCaughtUp().GetToken()) == 0 {
					t.Fatalf("then came %v, want caught_up with a token", e)
				}
				must[*chatv1.SendMessageResponse](t)(s.Chat(binary, bob).SendMessage(st.ctx, sending(id, p.Name).SendMessage))
				if e := st.next(); e.GetMessage().GetContent() != p.Name || e.GetConversationId() != id || e.GetSeq() != e.GetMessage().GetSeq() {
					t.Fatalf("live came %v, want the message", e)
				}
			})
		}
	}
}

func TestEverythingSaidOnAStreamIsAcknowledged(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	ada, bob := s.SignUp("ada"), s.SignUp("bob")
	id := direct(t, s, ada, bob)
	a, b := live(t, s, ada), live(t, s, bob)

	hello := sending(id, "hello")
	a.say(1, hello)
	ack := a.until(isAck(1)).GetAck()
	m := b.until(isMessage("hello")).GetMessage()
	if ack.GetSeq() != m.GetSeq() || ack.GetMessageId() != m.GetId() || ack.GetDuplicate() || !ack.GetTimestamp().AsTime().Equal(m.GetTimestamp().AsTime()) {
		t.Errorf("the ack says %v of the message %v", ack, m)
	}
	a.say(2, hello)
	if again := a.until(isAck(2)).GetAck(); !again.GetDuplicate() || again.GetSeq() != ack.GetSeq() {
		t.Errorf("sent twice, the ack says %v", again)
	}
	b.say(3, &chatv1.StreamRequest_MarkRead{MarkRead: &chatv1.MarkReadRequest{ConversationId: id, Seq: m.GetSeq()}})
	if got := b.until(isAck(3)).GetAck().GetSeq(); got != m.GetSeq() {
		t.Errorf("the mark stands at %d, want %d", got, m.GetSeq())
	}
	r := a.until(func(e *chatv1.Event) bool { return e.GetReceipt().GetUserId() == bob.ID }).GetReceipt()
	if r.GetReadSeq() != m.GetSeq() || r.GetReadTime() == nil {
		t.Errorf("the receipt says %v", r)
	}
	b.say(4, &chatv1.StreamRequest_MarkDelivered{MarkDelivered: &chatv1.MarkDeliveredRequest{ConversationId: id, Seq: m.GetSeq()}})
	b.until(isAck(4))
	b.say(5, &chatv1.StreamRequest_Typing{Typing: &chatv1.SetTypingRequest{ConversationId: id, Typing: true}})
	b.until(isAck(5))
	a.until(func(e *chatv1.Event) bool { return e.GetTyping().GetUserId() == bob.ID && e.GetTyping().GetTyping() })
	b.say(6, ping)
	b.until(isAck(6))
}

func TestABadRequestIsAnsweredAndTheStreamGoesOn(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	w := newWorld(t, s)
	good := func(change func(*chatv1.SendMessageRequest)) any {
		q := sending(w.group, "x")
		change(q.SendMessage)
		return q
	}
	for _, bad := range []struct {
		name  string
		user  *nodetest.User
		say   any
		want  want
		field string
	}{
		{"nothing", w.member, nil, want{connect.CodeInvalidArgument, chatv1.ErrorReason_ERROR_REASON_INVALID_FIELD}, "request"},
		{"empty content", w.member, good(func(r *chatv1.SendMessageRequest) { r.Content = "" }), invalidField, "send_message.content"},
		{"content one byte too long", w.member, good(func(r *chatv1.SendMessageRequest) { r.Content = letters(16385) }), invalidField, "send_message.content"},
		{"NUL", w.member, good(func(r *chatv1.SendMessageRequest) { r.Content = "a\x00b" }), invalidField, "send_message.content"},
		{"more than is read", w.member, good(func(r *chatv1.SendMessageRequest) { r.Content = letters(10 << 20) }), tooLarge, ""},
		{"no UUID", w.member, good(func(r *chatv1.SendMessageRequest) { r.ClientMessageId = "1" }), invalidField, "send_message.client_message_id"},
		{"no id", w.member, good(func(r *chatv1.SendMessageRequest) { r.ConversationId = "1" }), invalidID, "send_message.conversation_id"},
		{"a user's id", w.member, good(func(r *chatv1.SendMessageRequest) { r.ConversationId = w.owner.ID }), invalidID, "send_message.conversation_id"},
		{"reply to nothing", w.member, good(func(r *chatv1.SendMessageRequest) { r.ReplyToSeq = 1 << 40 }), invalidField, "send_message.reply_to_seq"},
		{"a role too low", w.reader, good(func(*chatv1.SendMessageRequest) {}), tooLow, ""},
		{"somebody else's conversation", w.stranger, good(func(*chatv1.SendMessageRequest) {}), notThere, ""},
		{"typing elsewhere", w.stranger, &chatv1.StreamRequest_Typing{Typing: &chatv1.SetTypingRequest{ConversationId: w.group, Typing: true}}, notThere, ""},
		{"a mark at 0", w.member, &chatv1.StreamRequest_MarkRead{MarkRead: &chatv1.MarkReadRequest{ConversationId: w.group}}, invalidField, "mark_read.seq"},
		{"a mark elsewhere", w.stranger, &chatv1.StreamRequest_MarkDelivered{MarkDelivered: &chatv1.MarkDeliveredRequest{ConversationId: w.group, Seq: 1}}, notThere, ""},
		{"presence unknown", w.member, &chatv1.StreamRequest_SetPresence{SetPresence: &chatv1.SetPresenceRequest{State: 99}}, invalidField, "set_presence.state"},
		{"watching no user", w.member, &chatv1.StreamRequest_WatchPresence{WatchPresence: &chatv1.WatchPresenceRequest{UserIds: []string{"x"}}}, invalidID, "watch_presence.user_ids[0]"},
		{"watching too many", w.member, &chatv1.StreamRequest_WatchPresence{WatchPresence: &chatv1.WatchPresenceRequest{UserIds: make([]string, 201)}}, invalidField, "watch_presence.user_ids"},
	} {
		for _, p := range nodetest.Streams() {
			t.Run(bad.name+"/"+p.Name, func(t *testing.T) {
				if p.WebSocket && bad.want == tooLarge {
					t.Skip("a WebSocket ends with it: see TestWhatIsNoFrameEndsTheStreamWithItsReason")
				}
				st := open(t, s, p, bad.user, &chatv1.Hello{DeviceId: p.Name})
				st.say(1, bad.say)
				e := st.until(func(e *chatv1.Event) bool { return e.GetError() != nil }).GetError()
				if id := e.GetRequestId(); id != 1 && !(bad.want == tooLarge && id == 0) {
					t.Errorf("the error is for request %d", id)
				}
				if connect.Code(e.GetCode()) != bad.want.code || e.GetDetail().GetReason() != bad.want.reason || e.GetDetail().GetField() != bad.field {
					t.Errorf("got %v, want %v for %q", e, bad.want, bad.field)
				}
				st.say(2, ping)
				st.until(isAck(2))
			})
		}
	}
}

func TestAStreamThatDoesntBeginWithHelloIsAtFault(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	expected := want{connect.CodeFailedPrecondition, chatv1.ErrorReason_ERROR_REASON_HELLO_EXPECTED}
	hello := func(h *chatv1.Hello) func(*stream) {
		return func(st *stream) { st.say(1, &chatv1.StreamRequest_Hello{Hello: h}) }
	}
	begin := func(t *testing.T, s *nodetest.Server, p nodetest.Protocol, u *nodetest.User) *stream {
		t.Helper()
		st := dial(t, s, p, u)
		if err := st.bidi.Send(nil); err != nil { // sends the headers
			t.Fatal(err)
		}
		return st
	}
	isAtFault := func(t *testing.T, st *stream, want want) {
		t.Helper()
		goodbye, err := st.end()
		if goodbye.GetReason() != chatv1.GoodbyeReason_GOODBYE_REASON_PROTOCOL_ERROR {
			t.Errorf("goodbye %v", goodbye)
		}
		want.check(t, err)
	}
	for _, bad := range []struct {
		name string
		do   func(*stream)
		want want
	}{
		{"something else", func(st *stream) { st.say(1, ping) }, expected},
		{"nothing in a request", func(st *stream) { st.say(1, nil) }, expected},
		{"only the end", func(st *stream) {
			if err := st.bidi.CloseRequest(); err != nil {
				t.Error(err)
			}
		}, expected},
		{"hello twice", func(st *stream) {
			hello(&chatv1.Hello{})(st)
			hello(&chatv1.Hello{})(st)
		}, expected},
		{"a device id that is none", hello(&chatv1.Hello{DeviceId: "two words"}), invalidField},
		{"a position below 0", hello(&chatv1.Hello{Positions: []*chatv1.Position{{ConversationId: "c", Seq: -1}}}), invalidField},
		{"a position nowhere", hello(&chatv1.Hello{Positions: []*chatv1.Position{{ConversationId: "c", Seq: 1}}}), invalidID},
		{"too many positions", hello(&chatv1.Hello{Positions: make([]*chatv1.Position, 101)}), invalidField},
		{"a token of somebody else", hello(&chatv1.Hello{Token: []byte("token")}), want{connect.CodeInvalidArgument, chatv1.ErrorReason_ERROR_REASON_INVALID_TOKEN}},
		{"a presence that is none", hello(&chatv1.Hello{Presence: 3}), invalidField},
	} {
		for _, p := range nodetest.Streams() {
			t.Run(bad.name+"/"+p.Name, func(t *testing.T) {
				t.Parallel()
				st := begin(t, s, p, s.SignUp("ada")) // whose other streams would end this one
				bad.do(st)
				isAtFault(t, st, bad.want)
			})
		}
	}
	t.Run("nothing at all", func(t *testing.T) {
		t.Parallel()
		s := nodetest.Start(t, nodetest.Config(shortHello))
		ada := s.SignUp("ada")
		var silent []*stream
		for _, p := range nodetest.Streams() {
			silent = append(silent, begin(t, s, p, ada))
		}
		for _, st := range silent {
			isAtFault(t, st, expected)
		}
	})
}

func TestASubscribeWithoutAValidHelloIsRefused(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	ada := s.SignUp("ada")
	for name, r := range map[string]*chatv1.SubscribeRequest{
		"no hello":          {},
		"a device id":       {Hello: &chatv1.Hello{DeviceId: "two words"}},
		"watching too many": {Hello: &chatv1.Hello{}, WatchUserIds: make([]string, 201)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := subscribe(t, s, binary, ada, r).end()
			invalidField.check(t, err)
		})
	}
	_, err := subscribe(t, s, binary, ada, &chatv1.SubscribeRequest{Hello: &chatv1.Hello{}, WatchUserIds: []string{"x"}}).end()
	invalidID.check(t, err)
}

// isResumed reports whether a client with this token has all there is; otherwise it has nearly all.
func isResumed(t *testing.T, s *nodetest.Server, u *nodetest.User, token []byte) bool {
	t.Helper()
	st := open(t, s, binary, u, &chatv1.Hello{DeviceId: "resumes", Token: token})
	defer st.cancel()
	kind := st.next().GetReady().GetResumeKind()
	if kind != chatv1.ResumeKind_RESUME_KIND_RESUMED && kind != chatv1.ResumeKind_RESUME_KIND_DELTA {
		t.Fatalf("with a token of a moment ago the resume is %v", kind)
	}
	return kind == chatv1.ResumeKind_RESUME_KIND_RESUMED
}

func TestAResumeBringsWhatIsMissing(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	w := newWorld(t, s)
	first := open(t, s, binary, w.owner, &chatv1.Hello{})
	token := first.until(isCaughtUp).GetCaughtUp().GetToken()
	for patience := within(t); !isResumed(t, s, w.owner, token); { // what was stored may be passed on after the token was made
		if patience.Err() != nil {
			t.Fatal("nothing changed, and the resume tells of changes")
		}
		again := open(t, s, binary, w.owner, &chatv1.Hello{Token: token})
		token = again.until(isCaughtUp).GetCaughtUp().GetToken()
	}

	watching := live(t, s, w.reader)
	one, two := w.send(w.member, "one"), w.send(w.member, "two")
	watching.until(isMessage("two")) // so that the first, at least, has been passed on
	delta := open(t, s, binary, w.owner, &chatv1.Hello{Token: token, Positions: []*chatv1.Position{{ConversationId: w.group, Seq: one.GetSeq() - 1}}})
	if kind := delta.next().GetReady().GetResumeKind(); kind != chatv1.ResumeKind_RESUME_KIND_DELTA {
		t.Errorf("two messages came, and the resume is %v", kind)
	}
	if e := delta.next(); e.GetSummary().GetLastSeq() != two.GetSeq() {
		t.Errorf("got %v, want the summary", e)
	}
	for _, m := range []*chatv1.Message{one, two} {
		if e := delta.next(); e.GetSeq() != m.GetSeq() || e.GetMessage().GetContent() != m.GetContent() {
			t.Errorf("got %v, want %v", e, m)
		}
	}
	if e := delta.next(); !isCaughtUp(e) {
		t.Errorf("got %v, want caught_up", e)
	}

	for name, c := range map[string]struct {
		user *nodetest.User
		seq  int64
		head int64
	}{
		"above the head": {w.owner, two.GetSeq() + 1, two.GetSeq()},
		"no member":      {w.stranger, 0, 0},
		"former member":  {w.former, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			st := open(t, s, binary, c.user, &chatv1.Hello{DeviceId: "d", Positions: []*chatv1.Position{{ConversationId: w.group, Seq: c.seq}}})
			r := st.until(func(e *chatv1.Event) bool { return e.GetResync() != nil }).GetResync()
			if r.GetConversationId() != w.group || r.GetLastSeq() != c.head {
				t.Errorf("got %v, want a resync to %d", r, c.head)
			}
			st.until(isCaughtUp)
		})
	}
}
