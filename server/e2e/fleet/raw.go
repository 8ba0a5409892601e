package fleet

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"connectrpc.com/connect"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1/chatv1connect"
	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/e2e/history"
)

// Protocol is a way to speak to the server.
type Protocol string

// The protocols. JSON is Connect over HTTP/1.1, as a script speaks it.
const (
	Connect Protocol = "connect"
	JSON    Protocol = "json"
	GRPC    Protocol = "grpc"
	GRPCWeb Protocol = "grpc-web"
)

// Protocols are all of them.
var Protocols = []Protocol{Connect, JSON, GRPC, GRPCWeb}

// Raw is a device without the Go client: generated clients, each call recorded. Safe for concurrent use.
type Raw struct {
	User   *User
	Chat   chatv1connect.ChatServiceClient // unrecorded
	Record *history.Device

	http *http.Client
}

// Raw returns a device that speaks a protocol to the server at url; empty: that of the fleet. It has the access token that the user's session has now.
func (u *User) Raw(ctx context.Context, name string, p Protocol, url string) (*Raw, error) {
	if url == "" {
		url = u.fleet.URL
	}
	s, err := u.session.Load(ctx)
	if err != nil {
		return nil, err
	}
	r := &Raw{User: u, Record: u.fleet.Recorder.Device(u.ID, u.Name+"/"+name)}
	options := map[Protocol][]connect.ClientOption{
		JSON: {connect.WithProtoJSON()}, GRPC: {connect.WithGRPC()}, GRPCWeb: {connect.WithGRPCWeb()},
	}[p]
	r.http = client.NewHTTPClient()
	if p == JSON {
		r.http = &http.Client{Transport: &http.Transport{}}
	}
	r.http.Transport = bearer{s.AccessToken, r.http.Transport}
	r.Chat = chatv1connect.NewChatServiceClient(r.http, url, options...)
	return r, nil
}

// bearer adds an access token to every request.
type bearer struct {
	token string
	next  http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}

// CloseIdleConnections lets http.Client reach the transport below.
func (b bearer) CloseIdleConnections() {
	if c, ok := b.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// Close frees the connections.
func (r *Raw) Close() { r.http.CloseIdleConnections() }

// Send sends a message once and returns its seq.
func (r *Raw) Send(ctx context.Context, conversation, clientID, content string) (int64, error) {
	request := &chatv1.SendMessageRequest{ConversationId: conversation, ClientMessageId: clientID, Content: content}
	p := r.Record.Begin(sendCall(request))
	got, err := r.Chat.SendMessage(ctx, request)
	if err != nil {
		end(p, err)
		return 0, client.AsError(err)
	}
	p.Done(func(c *history.Call) {
		c.Seq, c.MessageID, c.Duplicate = got.GetMessage().GetSeq(), got.GetMessage().GetId(), got.GetDuplicate()
	})
	return got.GetMessage().GetSeq(), nil
}

// retryEvery is the wait between the attempts of SendUntilStored.
const retryEvery = 20 * time.Millisecond

// SendUntilStored sends a message again and again under one id, each attempt bounded by a time, until it is acknowledged.
func (r *Raw) SendUntilStored(ctx context.Context, conversation, clientID, content string, attempt time.Duration) (int64, error) {
	for {
		once, cancel := context.WithTimeout(ctx, attempt)
		seq, err := r.Send(once, conversation, clientID, content)
		cancel()
		if err == nil {
			return seq, nil
		}
		select {
		case <-time.After(retryEvery):
		case <-ctx.Done():
			return 0, fmt.Errorf("%s sends %s: %w", r.Record.Name, clientID, err)
		}
	}
}

// Page reads a page of history.
func (r *Raw) Page(ctx context.Context, conversation string, before, after int64, limit int32) (*chatv1.ListMessagesResponse, error) {
	p := r.Record.Begin(pageCall(conversation, before, after, limit))
	got, err := r.Chat.ListMessages(ctx, &chatv1.ListMessagesRequest{
		ConversationId: conversation, BeforeSeq: before, AfterSeq: after, Limit: limit,
	})
	return got, endPage(p, got, err)
}

// MarkRead marks everything up to a seq as read.
func (r *Raw) MarkRead(ctx context.Context, conversation string, seq int64) (int64, error) {
	p := r.Record.Begin(history.Call{Kind: history.MarkRead, Conversation: conversation, Target: seq})
	got, err := r.Chat.MarkRead(ctx, &chatv1.MarkReadRequest{ConversationId: conversation, Seq: seq})
	if err != nil {
		end(p, err)
		return 0, client.AsError(err)
	}
	p.Done(func(c *history.Call) { c.Seq = got.GetReceipt().GetReadSeq() })
	return got.GetReceipt().GetReadSeq(), nil
}

// Subscribe opens a one-way stream, records it, and hands each event to saw until saw returns false or the stream ends. It returns
// what the stream ended with; nil where saw ended it.
func (r *Raw) Subscribe(ctx context.Context, hello *chatv1.Hello, saw func(*chatv1.Event) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	positions := map[string]int64{}
	for _, p := range hello.GetPositions() {
		positions[p.GetConversationId()] = p.GetSeq()
	}
	record := r.Record.Open(len(hello.GetToken()) > 0, positions)
	defer record.Close()
	s, err := r.Chat.Subscribe(ctx, &chatv1.SubscribeRequest{Hello: hello})
	if err != nil {
		return client.AsError(err)
	}
	for s.Receive() {
		for _, e := range s.Msg().GetEvents() {
			if event, ok := toEvent(e); ok {
				record.Saw(event)
			}
			if !saw(e) {
				return nil
			}
		}
	}
	return client.AsError(s.Err())
}

// Place is where a follower of one conversation stands.
type Place struct {
	Conversation string
	Seq          int64
	Token        []byte
}

// Follow subscribes from a place and moves it along, calling each for every event of the conversation, until each returns false or the stream ends.
func (r *Raw) Follow(ctx context.Context, at *Place, each func() bool) error {
	hello := &chatv1.Hello{
		DeviceId: "follower", Token: at.Token, Positions: []*chatv1.Position{{ConversationId: at.Conversation, Seq: at.Seq}},
	}
	return r.Subscribe(ctx, hello, func(e *chatv1.Event) bool {
		if c := e.GetCaughtUp(); c != nil {
			at.Token = c.GetToken()
		}
		if resync := e.GetResync(); resync.GetConversationId() == at.Conversation {
			at.Seq = max(at.Seq, resync.GetLastSeq())
		}
		if e.GetSeq() == 0 || e.GetConversationId() != at.Conversation {
			return true
		}
		at.Seq = e.GetSeq()
		return each()
	})
}
