package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	authv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1/authv1connect"
	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1/chatv1connect"
)

// model is a server that is simple enough to be right, and that fails where a test wants it to.
type model struct {
	chatv1connect.UnimplementedChatServiceHandler
	authv1connect.UnimplementedAuthServiceHandler

	mu      sync.Mutex
	epoch   int
	change  int64 // counts changes; tokens are "epoch:change"
	convs   map[string]*modelConv
	streams map[*modelStream]bool
	readers sync.WaitGroup
	opened  int // streams
	hellos  []*chatv1.Hello
	asked   []*chatv1.StreamRequest // all requests but hello
	fetches int
	refused map[string]bool // client ids of the sends that were refused for good

	access, refresh string        // the valid tokens
	lifetime        time.Duration // of access tokens; 0: an hour
	refreshes       int
	signIns         int

	// Faults. Each is asked for anew whenever it may apply; nil: never.
	onRequest func(*chatv1.StreamRequest) *chatv1.RequestError // refuse it
	dropAck   func() bool                                      // carry it out, and cut instead of answering
	onEvent   func(*chatv1.Event) []*chatv1.Event              // what is sent instead
	onOpen    func() error
	onFetch   func() error
	late      *chatv1.Event                       // held back by a fault
	maxReplay int64                               // events of a position beyond which it is resynced
	greet     func(*chatv1.Hello) []*chatv1.Event // instead of ready and all that follows
}

type modelConv struct {
	id      string
	log     []*chatv1.Event
	stored  map[string]*chatv1.Message // by client id
	changed int64
	member  bool // the user under test
	left    int64
}

const me, peer = "u-me", "u-peer"

func newModel() *model {
	return &model{
		convs: map[string]*modelConv{}, streams: map[*modelStream]bool{}, refused: map[string]bool{}, access: "access-0", refresh: "refresh-0", maxReplay: 200,
	}
}

// set changes the model while it runs.
func (m *model) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// create makes a conversation with the user in it.
func (m *model) create(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &modelConv{id: id, stored: map[string]*chatv1.Message{}, member: true}
	m.convs[id] = c
	m.append(c, &chatv1.Event{Event: &chatv1.Event_Conversation{Conversation: &chatv1.Conversation{Id: id}}})
}

// append stores an event and sends it to the streams.
func (m *model) append(c *modelConv, e *chatv1.Event) {
	m.change++
	c.changed = m.change
	e.ConversationId, e.Seq = c.id, int64(len(c.log)+1)
	c.log = append(c.log, e)
	if c.member {
		for s := range m.streams {
			s.event(e)
		}
	}
}

// post lets the other user say something.
func (m *model) post(id, text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.store(m.convs[id], peer, &chatv1.SendMessageRequest{Content: text})
}

func (m *model) store(c *modelConv, sender string, r *chatv1.SendMessageRequest) *chatv1.Message {
	msg := &chatv1.Message{
		Id: fmt.Sprintf("%s-%d", c.id, len(c.log)+1), ConversationId: c.id, Seq: int64(len(c.log) + 1), SenderId: sender, Content: r.GetContent(),
		ClientMessageId: r.GetClientMessageId(), ReplyToSeq: r.GetReplyToSeq(), Timestamp: timestamppb.Now(), ChangedSeq: int64(len(c.log) + 1),
	}
	if r.GetClientMessageId() != "" {
		c.stored[r.GetClientMessageId()] = msg
	}
	m.append(c, &chatv1.Event{Event: &chatv1.Event_Message{Message: msg}})
	return msg
}

// leave removes the user under test.
func (m *model) leave(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.convs[id]
	m.append(c, &chatv1.Event{Event: &chatv1.Event_Members{Members: &chatv1.MembersChanged{ActorId: me}}})
	c.member, c.left = false, int64(len(c.log))
	m.late = nil // nothing comes after the removal
	for s := range m.streams {
		s.raw(&chatv1.Event{Event: &chatv1.Event_Summary{Summary: m.summary(c)}})
	}
}

// join adds the user under test again.
func (m *model) join(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.convs[id]
	c.member, c.left = true, 0
	for s := range m.streams {
		s.raw(&chatv1.Event{Event: &chatv1.Event_Summary{Summary: m.summary(c)}})
	}
	m.append(c, &chatv1.Event{Event: &chatv1.Event_Members{Members: &chatv1.MembersChanged{ActorId: peer}}})
}

// lose makes it another store: the newest n events of each conversation are gone.
func (m *model) lose(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epoch++
	m.late = nil // nor does anything of the old store come from the new one
	for _, c := range m.convs {
		c.log = c.log[:max(1, len(c.log)-n)]
		for id, msg := range c.stored {
			if msg.GetSeq() > int64(len(c.log)) {
				delete(c.stored, id)
			}
		}
	}
	for s := range m.streams {
		s.end(io.ErrUnexpectedEOF)
	}
}

func (m *model) summary(c *modelConv) *chatv1.ConversationSummary {
	s := &chatv1.ConversationSummary{Conversation: &chatv1.Conversation{Id: c.id}, Self: &chatv1.Member{LeftSeq: c.left}}
	if c.left == 0 {
		s.LastSeq = int64(len(c.log))
	}
	return s
}

// cut ends all streams as a lost connection does.
func (m *model) cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for s := range m.streams {
		s.end(io.ErrUnexpectedEOF)
	}
}

// push sends an event to all streams as it is.
func (m *model) push(e *chatv1.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for s := range m.streams {
		s.raw(e)
	}
}

func (m *model) goodbye(reason chatv1.GoodbyeReason, delay time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for s := range m.streams {
		s.raw(goodbye(reason, delay))
		s.end(io.EOF)
	}
}

func goodbye(reason chatv1.GoodbyeReason, delay time.Duration) *chatv1.Event {
	return &chatv1.Event{Event: &chatv1.Event_Goodbye{Goodbye: &chatv1.Goodbye{Reason: reason, ReconnectDelay: durationpb.New(delay)}}}
}

func (m *model) log(id string) []*chatv1.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.convs[id].log)
}

// modelStream is the server's end of one stream: what waits to be sent.
type modelStream struct {
	m     *model
	wake  *sync.Cond // on m.mu
	queue []*chatv1.Event
	err   error // how it ended
}

// event sends an event with the faults that are wanted.
func (s *modelStream) event(e *chatv1.Event) {
	if s.m.onEvent != nil {
		for _, e := range s.m.onEvent(e) {
			s.raw(e)
		}
		return
	}
	s.raw(e)
}

func (s *modelStream) raw(e *chatv1.Event) {
	if s.err == nil {
		s.queue = append(s.queue, proto.CloneOf(e))
		s.wake.Broadcast()
	}
}

func (s *modelStream) end(err error) {
	if s.err == nil {
		s.err = err
	}
	delete(s.m.streams, s)
	s.wake.Broadcast()
}

// next waits for something to send, and takes up to most of it.
func (s *modelStream) next(most int) (*chatv1.StreamResponse, error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	for len(s.queue) == 0 && s.err == nil {
		s.wake.Wait()
	}
	if len(s.queue) == 0 || errors.Is(s.err, io.ErrUnexpectedEOF) {
		return nil, s.err
	}
	n := min(most, len(s.queue))
	r := &chatv1.StreamResponse{Events: s.queue[:n:n]}
	s.queue = s.queue[n:]
	return r, nil
}

func (m *model) open(token string) (*modelStream, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opened++
	if m.onOpen != nil {
		if err := m.onOpen(); err != nil {
			return nil, err
		}
	}
	if token != "Bearer "+m.access {
		return nil, tokenExpired()
	}
	return &modelStream{m: m, wake: sync.NewCond(&m.mu)}, nil
}

func tokenExpired() error {
	return refusal(connect.CodeUnauthenticated, chatv1.ErrorReason_ERROR_REASON_TOKEN_EXPIRED, 0)
}

func refusal(code connect.Code, reason chatv1.ErrorReason, retryAfter time.Duration) *connect.Error {
	err := connect.NewError(code, errors.New(reason.String()))
	d := &chatv1.ErrorDetail{Reason: reason}
	if retryAfter > 0 {
		d.RetryAfter = durationpb.New(retryAfter)
	}
	detail, detailErr := connect.NewErrorDetail(d)
	if detailErr != nil {
		panic(detailErr)
	}
	err.AddDetail(detail)
	return err
}

// take carries a request out.
func (s *modelStream) take(r *chatv1.StreamRequest) {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if h := r.GetHello(); h != nil {
		m.hellos = append(m.hellos, h)
		s.hello(h)
		return
	}
	m.asked = append(m.asked, r)
	if s.err != nil {
		return
	}
	if m.onRequest != nil {
		if refused := m.onRequest(r); refused != nil {
			s.refuse(r, refused)
			return
		}
	}
	ack := &chatv1.Ack{RequestId: r.GetRequestId()}
	switch q := r.GetRequest().(type) {
	case *chatv1.StreamRequest_SendMessage:
		c := m.convs[q.SendMessage.GetConversationId()]
		if c == nil || !c.member {
			s.refuse(r, &chatv1.RequestError{
				Code: int32(connect.CodeNotFound), Detail: &chatv1.ErrorDetail{Reason: chatv1.ErrorReason_ERROR_REASON_NOT_FOUND},
			})
			return
		}
		msg := c.stored[q.SendMessage.GetClientMessageId()]
		if ack.Duplicate = msg != nil; msg == nil {
			msg = m.store(c, me, q.SendMessage)
		}
		ack.MessageId, ack.Seq, ack.Timestamp = msg.GetId(), msg.GetSeq(), msg.GetTimestamp()
	case *chatv1.StreamRequest_MarkRead:
		ack.Seq = q.MarkRead.GetSeq()
	case *chatv1.StreamRequest_MarkDelivered:
		ack.Seq = q.MarkDelivered.GetSeq()
	}
	if m.dropAck != nil && m.dropAck() {
		s.end(io.ErrUnexpectedEOF)
		return
	}
	if r.GetRequestId() != 0 {
		s.raw(&chatv1.Event{Event: &chatv1.Event_Ack{Ack: ack}})
	}
}

func (s *modelStream) refuse(r *chatv1.StreamRequest, why *chatv1.RequestError) {
	if why.GetCode() != int32(connect.CodeUnavailable) {
		s.m.refused[r.GetSendMessage().GetClientMessageId()] = true
	}
	why.RequestId = r.GetRequestId()
	s.raw(&chatv1.Event{Event: &chatv1.Event_Error{Error: why}})
}

// hello answers as the schema says: ready, summaries, missing events, caught_up; then the stream is live.
func (s *modelStream) hello(h *chatv1.Hello) {
	m := s.m
	if m.greet != nil {
		for _, e := range m.greet(h) {
			s.raw(e)
			if e.GetGoodbye() != nil {
				s.end(io.EOF)
			}
		}
		return
	}
	for other := range m.streams {
		other.raw(goodbye(chatv1.GoodbyeReason_GOODBYE_REASON_SUPERSEDED, 0))
		other.end(io.EOF)
	}
	kind, since := chatv1.ResumeKind_RESUME_KIND_FULL, int64(0)
	if len(h.GetToken()) > 0 {
		epoch, change, _ := strings.Cut(string(h.GetToken()), ":")
		if kind = chatv1.ResumeKind_RESUME_KIND_RESET; epoch == strconv.Itoa(m.epoch) {
			kind = chatv1.ResumeKind_RESUME_KIND_DELTA
			since, _ = strconv.ParseInt(change, 10, 64)
		}
	}
	s.raw(&chatv1.Event{Event: &chatv1.Event_Ready{Ready: &chatv1.Ready{
		UserId: me, ResumeKind: kind, HeartbeatInterval: durationpb.New(20 * time.Second),
	}}})
	for _, id := range sortedKeys(m.convs) {
		if c := m.convs[id]; c.changed > since && (c.member || c.left > 0) {
			s.raw(&chatv1.Event{Event: &chatv1.Event_Summary{Summary: m.summary(c)}})
		}
	}
	for _, p := range h.GetPositions() {
		m.replay(s, p)
	}
	s.raw(&chatv1.Event{Event: &chatv1.Event_CaughtUp{CaughtUp: &chatv1.CaughtUp{Token: m.token()}}})
	m.streams[s] = true
}

func (m *model) token() []byte { return fmt.Appendf(nil, "%d:%d", m.epoch, m.change) }

func (m *model) replay(s *modelStream, p *chatv1.Position) {
	c := m.convs[p.GetConversationId()]
	resync := &chatv1.Resync{ConversationId: p.GetConversationId()}
	if c != nil && c.member {
		resync.LastSeq = int64(len(c.log))
		if p.GetSeq() <= resync.GetLastSeq() && resync.GetLastSeq()-p.GetSeq() <= m.maxReplay {
			for _, e := range c.log[p.GetSeq():] {
				s.event(e)
			}
			return
		}
	}
	s.raw(&chatv1.Event{Event: &chatv1.Event_Resync{Resync: resync}})
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Stream serves the model over the network.
func (m *model) Stream(ctx context.Context, b *connect.BidiStream[chatv1.StreamRequest, chatv1.StreamResponse]) error {
	s, err := m.open(b.RequestHeader().Get("Authorization"))
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { m.mu.Lock(); s.end(ctx.Err()); m.mu.Unlock() })
	defer stop()
	m.readers.Go(func() { // ends with the stream, which does not wait for it: a cut has to be sudden
		for {
			r, err := b.Receive()
			if err != nil {
				m.mu.Lock()
				s.end(io.EOF)
				m.mu.Unlock()
				return
			}
			s.take(r)
		}
	})
	for {
		r, err := s.next(1 << 20)
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			panic(http.ErrAbortHandler) // as if the process had died
		}
		if err := b.Send(r); err != nil {
			return err
		}
	}
}

// ListEvents pages through the logs.
func (m *model) ListEvents(_ context.Context, r *chatv1.ListEventsRequest) (*chatv1.ListEventsResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fetches++
	if m.onFetch != nil {
		if err := m.onFetch(); err != nil {
			return nil, err
		}
	}
	page := &chatv1.ListEventsResponse{}
	for _, p := range r.GetPositions() {
		c := m.convs[p.GetConversationId()]
		if c == nil || !c.member {
			page.NotFoundConversationIds = append(page.NotFoundConversationIds, p.GetConversationId())
			continue
		}
		for _, e := range c.log[min(p.GetSeq(), int64(len(c.log))):] {
			if len(page.GetEvents()) == int(r.GetLimit()) {
				page.HasMore = true
				return page, nil
			}
			page.Events = append(page.Events, proto.CloneOf(e))
		}
	}
	return page, nil
}

// SignIn gives tokens to anybody with the right password.
func (m *model) SignIn(_ context.Context, r *authv1.SignInRequest) (*authv1.SignInResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.signIns++
	if r.GetPassword() != "correct horse" {
		return nil, refusal(connect.CodeUnauthenticated, chatv1.ErrorReason_ERROR_REASON_WRONG_CREDENTIALS, 0)
	}
	return &authv1.SignInResponse{User: &chatv1.User{Id: me, Username: r.GetUsername()}, Session: m.session()}, nil
}

// SignUp takes anybody.
func (m *model) SignUp(_ context.Context, r *authv1.SignUpRequest) (*authv1.SignUpResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &authv1.SignUpResponse{User: &chatv1.User{Id: me, Username: r.GetUsername()}, Session: m.session()}, nil
}

// RefreshSession takes the newest refresh token only: there is no grace.
func (m *model) RefreshSession(_ context.Context, r *authv1.RefreshSessionRequest) (*authv1.RefreshSessionResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refreshes++
	if r.GetRefreshToken() != m.refresh {
		return nil, refusal(connect.CodeUnauthenticated, chatv1.ErrorReason_ERROR_REASON_INVALID_SESSION, 0)
	}
	n := m.refreshes
	m.access, m.refresh = fmt.Sprintf("access-%d", n), fmt.Sprintf("refresh-%d", n)
	return &authv1.RefreshSessionResponse{Session: m.session()}, nil
}

func (m *model) session() *authv1.Session {
	lifetime := m.lifetime
	if lifetime == 0 {
		lifetime = time.Hour
	}
	return &authv1.Session{
		Id: "s-1", AccessToken: m.access, RefreshToken: m.refresh,
		AccessTokenExpireTime: timestamppb.New(time.Now().Add(lifetime)), RefreshTokenExpireTime: timestamppb.New(time.Now().Add(24 * time.Hour)),
	}
}

// services is the model, or something that embeds it and knows more.
type services interface {
	chatv1connect.ChatServiceHandler
	authv1connect.AuthServiceHandler
}

func handler(s services) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(chatv1connect.NewChatServiceHandler(s))
	mux.Handle(authv1connect.NewAuthServiceHandler(s))
	return mux
}

// serve serves on a real port, over HTTP/2 in the clear.
func serve(t testing.TB, services services) string {
	t.Helper()
	s := httptest.NewUnstartedServer(handler(services))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

func (m *model) serve(t testing.TB) string {
	t.Helper()
	t.Cleanup(m.readers.Wait)
	url := serve(t, m)
	t.Cleanup(m.cut)
	return url
}

// inMemory makes calls without a network, so that they work with testing/synctest.
func (m *model) inMemory() *http.Client {
	h := handler(m)
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result(), nil
	})}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Open serves the model without a network: model is a Transport too.
func (m *model) Open(ctx context.Context, header http.Header) (Stream, error) {
	s, err := m.open(header.Get("Authorization"))
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { m.mu.Lock(); s.end(io.ErrUnexpectedEOF); m.mu.Unlock() })
	return &memoryStream{s: s, stop: stop}, nil
}

type memoryStream struct {
	s    *modelStream
	stop func() bool
}

func (s *memoryStream) Send(requests ...*chatv1.StreamRequest) error {
	for _, r := range requests {
		s.s.take(proto.CloneOf(r))
	}
	return nil
}

func (s *memoryStream) Receive() (*chatv1.StreamResponse, error) { return s.s.next(3) }

func (s *memoryStream) CloseSend() error {
	s.s.m.mu.Lock()
	defer s.s.m.mu.Unlock()
	s.s.end(io.EOF)
	return nil
}

func (s *memoryStream) Close() error {
	s.stop()
	s.s.m.mu.Lock()
	defer s.s.m.mu.Unlock()
	s.s.end(io.ErrUnexpectedEOF)
	return nil
}

// validSession is one that the model takes.
func validSession() *Session {
	return &Session{UserID: me, Username: "me", AccessToken: "access-0", RefreshToken: "refresh-0", AccessTokenExpire: time.Now().Add(time.Hour)}
}

// start makes a client of the model, without a network, and starts it.
func (m *model) start(t testing.TB, o Options) *Client {
	t.Helper()
	o.ServerURL, o.HTTPClient, o.Transport = "http://model", m.inMemory(), m
	if o.Session == nil && o.Token == nil && o.Credentials == nil {
		o.Session = MemorySession(validSession())
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	c.Start()
	return c
}
