package rpc

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/hub"
)

// Sessions on a wire of channels, in fake time, over a store that does as it is told.

// fakeStore is a database with one conversation; what a test needs to fail can be told to.
type fakeStore struct {
	chat.Store
	memberships func() ([]chat.ConversationID, error)
	summaries   func() ([]chat.Summary, error)
	top         atomic.Int64 // the last batch; its ID is its number
}

const (
	ada  chat.UserID         = 1
	room chat.ConversationID = 5
)

func (*fakeStore) Shards() int { return 1 }
func (s *fakeStore) Tops(context.Context) (chat.Positions, error) {
	top := s.top.Load()
	return chat.Positions{Epoch: 1, Nos: []int64{top}, IDs: []uint64{uint64(top)}}, nil
}

func (*fakeStore) BatchIDs(context.Context, []int64) ([]uint64, error) { return []uint64{0}, nil }

func (s *fakeStore) Memberships(context.Context, chat.UserID) ([]chat.ConversationID, error) {
	return s.memberships()
}

func (s *fakeStore) ChangedSummaries(context.Context, chat.UserID, []int64, chat.ConversationID, int) ([]chat.Summary, error) {
	return s.summaries()
}

func (s *fakeStore) Summaries(context.Context, chat.UserID, []chat.ConversationID) ([]chat.Summary, error) {
	return s.summaries()
}

// fakeAccounts knows one session.
type fakeAccounts struct {
	expires time.Time
	ended   bool
}

func (a *fakeAccounts) Authenticate(ctx context.Context, token string, _ netip.Addr) (account.Identity, error) {
	return a.Confirm(ctx, token)
}

func (a *fakeAccounts) Confirm(context.Context, string) (account.Identity, error) {
	if a.ended {
		return account.Identity{}, invalidSession("ended")
	}
	return account.Identity{Caller: chat.Caller{User: ada, Session: 7}, ExpireTime: a.expires}, nil
}

// fakePresence notes who is there, and panics where a test wants a fault.
type fakePresence struct {
	mu    sync.Mutex
	said  []string
	fault bool
}

func (p *fakePresence) note(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said = append(p.said, what)
}

func (p *fakePresence) Connect(chat.UserID, uint64, chat.PresenceState) { p.note("here") }
func (p *fakePresence) Disconnect(_ chat.UserID, _ uint64, clean bool) {
	if clean {
		p.note("said goodbye")
		return
	}
	p.note("gone")
}

func (p *fakePresence) Update(chat.UserID, uint64, chat.PresenceState) {
	if p.fault {
		panic("presence is broken")
	}
	p.note("changed")
}

// fakeWire carries a session over channels. What it is sent has to be taken from out.
type fakeWire struct {
	in             chan *received[chatv1.StreamRequest]
	out            chan *chatv1.Event
	noMore, noSend chan struct{} // closed by abortReceive and abortSend
	once           [2]sync.Once
}

func newFakeWire() *fakeWire {
	return &fakeWire{
		in: make(chan *received[chatv1.StreamRequest]), out: make(chan *chatv1.Event), noMore: make(chan struct{}), noSend: make(chan struct{}),
	}
}

func (w *fakeWire) abortReceive() { w.once[0].Do(func() { close(w.noMore) }) }
func (w *fakeWire) abortSend()    { w.once[1].Do(func() { close(w.noSend) }) }

func (w *fakeWire) receive() (*received[chatv1.StreamRequest], error) {
	select {
	case r, ok := <-w.in:
		if !ok {
			return nil, io.EOF
		}
		return r, nil
	case <-w.noMore:
		return nil, os.ErrDeadlineExceeded
	}
}

func (w *fakeWire) send(f *frame) error {
	b, err := binaryCodec{}.Marshal(f)
	if err != nil {
		return err
	}
	var r chatv1.StreamResponse
	if err := proto.Unmarshal(b, &r); err != nil {
		return err
	}
	for _, e := range r.GetEvents() {
		select {
		case w.out <- e:
		case <-w.noSend:
			return os.ErrDeadlineExceeded
		}
	}
	return nil
}

// rig is a server with one client.
type rig struct {
	t        *testing.T
	store    *fakeStore
	accounts *fakeAccounts
	presence *fakePresence
	hub      *hub.Hub
	server   *Server
	wire     *fakeWire
	log      *strings.Builder
	limits   Limits
	status   chan error // of the session
	cancel   context.CancelFunc
}

// inBubble runs a test of one session in fake time. prepare may change the rig before the client comes.
func inBubble(t *testing.T, prepare func(*rig), test func(*rig)) {
	t.Helper()
	v, err := newValidator()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		r := &rig{
			t: t, accounts: &fakeAccounts{expires: time.Now().Add(time.Hour)}, presence: &fakePresence{}, wire: newFakeWire(), log: &strings.Builder{},
			limits: DefaultLimits(), status: make(chan error, 1),
			store: &fakeStore{
				memberships: func() ([]chat.ConversationID, error) { return []chat.ConversationID{room}, nil },
				summaries:   func() ([]chat.Summary, error) { return nil, nil },
			},
		}
		if prepare != nil {
			prepare(r)
		}
		logger := slog.New(slog.NewTextHandler(r.log, nil))
		r.hub = hub.New(hub.Config{Encoder: Encoder{}, Log: r.store, Logger: logger, Limits: hub.DefaultLimits()})
		service := chat.New(chat.Config{Store: r.store, Publisher: r.hub, Logger: logger})
		r.server = &Server{
			chat: service, hub: r.hub, accounts: r.accounts, presence: r.presence, logger: logger, limits: r.limits, validator: v,
			userRates: newUserRates(&r.limits, nil), addressRate: newRates[netip.Addr](1000, 1000),
			openings: newTurns(&r.limits),
		}
		ctx, cancel := context.WithCancel(t.Context())
		hubCtx, stopHub := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = r.hub.Run(hubCtx) })
		<-r.hub.Ready()
		r.cancel = cancel
		request := &request{token: "t", identity: account.Identity{Caller: chat.Caller{User: ada, Session: 7}, ExpireTime: r.accounts.expires}}
		running.Go(func() { r.status <- r.server.stream(context.WithValue(ctx, requestKey{}, request), r.wire) })
		test(r)
		cancel()
		stopHub()
		service.Close()
		running.Wait()
	})
}

// say is heard, or the session reads no more.
func (r *rig) say(what *chatv1.StreamRequest) {
	select {
	case r.wire.in <- &received[chatv1.StreamRequest]{msg: chatv1.StreamRequest{RequestId: what.GetRequestId(), Request: what.GetRequest()}}:
	case <-r.wire.noMore:
	}
}

// commit stores the next batch, and tells the hub: a message, or if it is nil, a change of members.
func (r *rig) commit(m *chat.Message, members ...chat.MemberInfo) {
	no := r.store.top.Add(1)
	e := chat.Event{Conversation: room, Seq: chat.Seq(no + 2), Kind: chat.EventMessage, Message: m}
	if m == nil {
		e.Kind, e.Members = chat.EventMembers, members
	}
	r.hub.Publish(chat.Batch{Epoch: 1, No: no, ID: uint64(no), PrevID: uint64(no - 1), Events: []chat.Event{e}})
}

func (r *rig) hello() {
	r.say(&chatv1.StreamRequest{Request: &chatv1.StreamRequest_Hello{Hello: &chatv1.Hello{}}})
}

// live says hello and reads until caught up.
func (r *rig) live() {
	r.t.Helper()
	r.hello()
	for e := range r.wire.out {
		if e.GetCaughtUp() != nil {
			return
		}
	}
}

// rest reads until the session ends, and returns what came with the time of each, and the status.
func (r *rig) rest() (events []*chatv1.Event, at []time.Time, status *chat.Error) {
	for {
		select {
		case e := <-r.wire.out:
			events, at = append(events, e), append(at, time.Now())
		case err := <-r.status:
			status, _ = chat.AsError(err)
			return events, at, status
		}
	}
}

func isGoodbyeFor(e *chatv1.Event, reason chatv1.GoodbyeReason) bool {
	return e.GetGoodbye() != nil && e.GetGoodbye().GetReason() == reason
}

func TestASilentStreamIsNeverSilentForLongerThanItSays(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(r *rig) {
		r.live()
		start := time.Now()
		events, at, _ := r.rest()
		last := start
		for i, e := range events {
			if gap := at[i].Sub(last); gap > r.server.limits.Heartbeat {
				t.Errorf("before %v nothing came for %v", e, gap)
			}
			last = at[i]
		}
		end := events[len(events)-1]
		if took := last.Sub(start); !isGoodbyeFor(end, chatv1.GoodbyeReason_GOODBYE_REASON_IDLE) || took < 90*time.Second || took > 95*time.Second {
			t.Errorf("after %v came %v, want goodbye for being idle after 90 s", took, end)
		}
	})
}

func TestPingsKeepAStreamAlive(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) { r.accounts.expires = time.Now().Add(10 * time.Minute) }, func(r *rig) {
		r.live()
		start := time.Now()
		go func() {
			for {
				select {
				case <-time.After(25 * time.Second):
					r.say(&chatv1.StreamRequest{RequestId: 1, Request: &chatv1.StreamRequest_Ping{Ping: &chatv1.Ping{}}})
				case <-r.wire.noMore:
					return
				}
			}
		}()
		events, at, _ := r.rest()
		end := events[len(events)-1]
		if !isGoodbyeFor(end, chatv1.GoodbyeReason_GOODBYE_REASON_TOKEN_EXPIRED) || at[len(at)-1].Sub(start) != 10*time.Minute {
			t.Errorf("after %v came %v, want goodbye when the token runs out", at[len(at)-1].Sub(start), end)
		}
	})
}

func TestHelloHasItsTime(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(r *rig) {
		start := time.Now()
		events, at, status := r.rest()
		if len(events) != 1 || !isGoodbyeFor(events[0], chatv1.GoodbyeReason_GOODBYE_REASON_PROTOCOL_ERROR) || at[0].Sub(start) != 10*time.Second {
			t.Errorf("got %v at %v", events, at)
		}
		if status == nil || status.Reason != chat.ReasonHelloExpected {
			t.Errorf("the status is %v", status)
		}
	})
}

func TestAWriteThatTakesTooLongEndsTheStream(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(r *rig) {
		r.live() // and from now on nothing is taken
		start := time.Now()
		<-r.wire.noSend
		if took := time.Since(start); took < r.server.limits.WriteStall || took > 2*r.server.limits.Heartbeat+r.server.limits.WriteStall {
			t.Errorf("aborted after %v", took) // from the first heartbeat on
		}
		if err := <-r.status; err != nil {
			t.Errorf("the status is %v", err)
		}
		if got := strings.Join(r.presence.said, ", "); got != "here, gone" {
			t.Errorf("presence was told: %s", got)
		}
	})
}

func TestATokenComesAgainAfterSomethingWasSaid(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(r *rig) {
		r.live()
		start := time.Now()
		next := func() (*chatv1.Event, time.Duration) {
			for {
				select {
				case e := <-r.wire.out:
					if e.GetHeartbeat() == nil {
						return e, time.Since(start)
					}
				case <-time.After(10 * time.Second):
					r.say(&chatv1.StreamRequest{Request: &chatv1.StreamRequest_Ping{Ping: &chatv1.Ping{}}}) // asks for no ack
				}
			}
		}
		// Catching up was something said, too.
		if e, at := next(); e.GetCaughtUp() == nil || at < 45*time.Second || at > 51*time.Second {
			t.Errorf("after %v came %v", at, e)
		}
		r.commit(&chat.Message{Conversation: room, Seq: 3, Content: "hi"})
		if e, _ := next(); e.GetMessage() == nil {
			t.Errorf("got %v, want the message", e)
		}
		e, at := next()
		if e.GetCaughtUp() == nil || at > 103*time.Second {
			t.Errorf("after %v came %v", at, e)
		}
		silence := time.After(10 * time.Minute)
		for {
			select {
			case e := <-r.wire.out:
				if e.GetCaughtUp() != nil {
					t.Error("nothing happened, and a token came again")
				}
				r.say(&chatv1.StreamRequest{Request: &chatv1.StreamRequest_Ping{Ping: &chatv1.Ping{}}})
				continue
			case <-silence:
			}
			return
		}
	})
}

func TestAFaultOfTheServerIsAGoodbyeAndNothingAfter(t *testing.T) {
	t.Parallel()
	broken := chat.Unavailable(io.ErrUnexpectedEOF)
	for _, c := range []struct {
		name    string
		prepare func(*rig)
		do      func(*rig)
		before  int // events before the goodbye
		code    chat.Code
	}{
		{"memberships can't be read", func(r *rig) {
			r.store.memberships = func() ([]chat.ConversationID, error) { return nil, broken }
		}, (*rig).hello, 0, chat.CodeUnavailable},
		{"summaries can't be read", func(r *rig) { r.store.summaries = func() ([]chat.Summary, error) { return nil, broken } }, (*rig).hello, 1, chat.CodeUnavailable},
		{"a panic on catching up", func(r *rig) {
			r.store.memberships = func() ([]chat.ConversationID, error) { panic("at the disco") }
		}, (*rig).hello, 0, chat.CodeInternal},
		{"a summary of a conversation that was joined", func(r *rig) {
			r.store.memberships = func() ([]chat.ConversationID, error) { return nil, nil }
			r.store.summaries = func() ([]chat.Summary, error) { return nil, nil }
		}, func(r *rig) {
			r.live()
			r.store.summaries = func() ([]chat.Summary, error) { return nil, broken }
			r.commit(nil, chat.MemberInfo{Member: chat.Member{Conversation: room, User: ada, JoinedSeq: 3}})
			r.commit(&chat.Message{Conversation: room, Seq: 4, Content: "after the hole"})
		}, 0, chat.CodeUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, c.prepare, func(r *rig) {
				c.do(r)
				events, _, status := r.rest()
				if len(events) != c.before+1 || !isGoodbyeFor(events[c.before], chatv1.GoodbyeReason_GOODBYE_REASON_INTERNAL) {
					t.Fatalf("got %v", events)
				}
				if delay := events[c.before].GetGoodbye().GetReconnectDelay().AsDuration(); delay < time.Second || delay > 7*time.Second {
					t.Errorf("the client is to come back after %v", delay)
				}
				if status == nil || status.Code != c.code {
					t.Errorf("the status is %v", status)
				}
			})
		})
	}
}

func TestAPanicInARequestIsItsAnswerAndTheStreamGoesOn(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) { r.presence.fault = true }, func(r *rig) {
		r.live()
		r.say(&chatv1.StreamRequest{RequestId: 1, Request: &chatv1.StreamRequest_SetPresence{SetPresence: &chatv1.SetPresenceRequest{State: 1}}})
		if e := (<-r.wire.out).GetError(); e.GetRequestId() != 1 || e.GetDetail().GetReason() != chatv1.ErrorReason_ERROR_REASON_INTERNAL || strings.Contains(e.GetMessage(), "broken") {
			t.Errorf("got %v", e)
		}
		r.say(&chatv1.StreamRequest{RequestId: 2, Request: &chatv1.StreamRequest_Ping{Ping: &chatv1.Ping{}}})
		if e := <-r.wire.out; e.GetAck().GetRequestId() != 2 {
			t.Errorf("got %v", e)
		}
		close(r.wire.in)
		if events, _, status := r.rest(); len(events) != 0 || status != nil {
			t.Errorf("after all was said came %v, %v", events, status)
		}
		if got := strings.Join(r.presence.said, ", "); got != "here, said goodbye" {
			t.Errorf("presence was told: %s", got)
		}
		if !strings.Contains(r.log.String(), "presence is broken") {
			t.Error("the log doesn't tell of the panic")
		}
	})
}

func TestASessionThatEndedMeanwhileGetsNoStream(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) { r.accounts.ended = true }, func(r *rig) {
		r.hello()
		events, _, status := r.rest()
		if len(events) != 0 || status == nil || status.Reason != chat.ReasonInvalidSession {
			t.Errorf("got %v, %v", events, status)
		}
		if len(r.presence.said) != 0 {
			t.Errorf("presence was told: %v", r.presence.said)
		}
	})
}

func TestAStreamIsReadNoFurtherThanItsAnswersAreTaken(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) { r.limits.Unanswered = 4 }, func(r *rig) {
		r.live()
		taken := 0
		for {
			select {
			case r.wire.in <- &received[chatv1.StreamRequest]{msg: chatv1.StreamRequest{RequestId: 1, Request: &chatv1.StreamRequest_Ping{Ping: &chatv1.Ping{}}}}:
				taken++
				continue
			case <-time.After(time.Second):
			}
			break
		}
		if taken < 4 || taken > 5 { // one more is read before it waits for its turn
			t.Errorf("%d requests were read with no answer taken", taken)
		}
		for range taken {
			if e := <-r.wire.out; e.GetAck() == nil {
				t.Errorf("got %v", e)
			}
		}
	})
}
