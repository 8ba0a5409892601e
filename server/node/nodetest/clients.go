package nodetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"connectrpc.com/connect"

	authv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1/authv1connect"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1/chatv1connect"
	"github.com/natterjack-chat/natterjack/server/client"
)

// Protocol is one way to speak to a server.
type Protocol struct {
	Name    string
	Options []connect.ClientOption
	// HTTP1 speaks HTTP/1.1, over which there is no Stream.
	HTTP1 bool
	// WebSocket opens Streams over one; see [Server.Transport]. Calls go as Options say.
	WebSocket bool
}

// Protocols are all the ways that a client in Go has; each can do everything.
func Protocols() []Protocol {
	return []Protocol{
		{Name: "grpc", Options: []connect.ClientOption{connect.WithGRPC()}},
		{Name: "grpc-web", Options: []connect.ClientOption{connect.WithGRPCWeb()}},
		{Name: "connect-binary"},
		{Name: "connect-json", Options: []connect.ClientOption{connect.WithProtoJSON()}},
	}
}

// HTTP1 are ways that do without HTTP/2.
func HTTP1() []Protocol {
	return []Protocol{
		{Name: "grpc-web-http1", Options: []connect.ClientOption{connect.WithGRPCWeb()}, HTTP1: true},
		{Name: "connect-binary-http1", HTTP1: true},
		{Name: "connect-json-http1", Options: []connect.ClientOption{connect.WithProtoJSON()}, HTTP1: true},
		{Name: "connect-get-http1", Options: []connect.ClientOption{connect.WithHTTPGet()}, HTTP1: true},
	}
}

// WebSocket is the way of browsers, which have no other one to a Stream.
func WebSocket() Protocol { return Protocol{Name: "websocket", WebSocket: true} }

// Streams are all the ways to open a Stream.
func Streams() []Protocol { return append(Protocols(), WebSocket()) }

// User is a user with a session.
type User struct {
	ID, Username, Password string
	Session                *authv1.Session
}

// Password is that of all users of tests.
const Password = "correct horse battery staple"

// users numbers the users of a test binary.
var users atomic.Int64

// SignUp makes a user with a fresh name that begins with name.
func (s *Server) SignUp(name string) *User {
	s.t.Helper()
	username := name + "-" + strconv.FormatInt(users.Add(1), 36)
	r, err := s.Auth(Protocols()[0], nil).SignUp(s.t.Context(), &authv1.SignUpRequest{Username: username, Password: Password})
	if err != nil {
		s.t.Fatalf("signing %s up: %v", username, err)
	}
	return &User{ID: r.GetUser().GetId(), Username: username, Password: Password, Session: r.GetSession()}
}

// SignIn makes another session of a user.
func (s *Server) SignIn(u *User) *User {
	s.t.Helper()
	r, err := s.Auth(Protocols()[0], nil).SignIn(s.t.Context(), &authv1.SignInRequest{Username: u.Username, Password: u.Password})
	if err != nil {
		s.t.Fatalf("signing %s in: %v", u.Username, err)
	}
	again := *u
	again.Session = r.GetSession()
	return &again
}

// Chat returns a client of ChatService that speaks for u; for nobody if u is nil.
func (s *Server) Chat(p Protocol, u *User) chatv1connect.ChatServiceClient {
	return chatv1connect.NewChatServiceClient(s.http.client(p.HTTP1), s.URL, clientOptions(p, u)...)
}

// Auth returns a client of AuthService that speaks for u; for nobody if u is nil.
func (s *Server) Auth(p Protocol, u *User) authv1connect.AuthServiceClient {
	return authv1connect.NewAuthServiceClient(s.http.client(p.HTTP1), s.URL, clientOptions(p, u)...)
}

// Transport returns how a client of package client opens Streams over p.
func (s *Server) Transport(p Protocol) client.Transport {
	if p.WebSocket {
		return client.NewWebSocketTransport(s.http.client(true), s.URL)
	}
	return client.NewHTTPTransport(s.http.client(p.HTTP1), s.URL, p.Options...)
}

// HTTP returns the client that requests can be made with by hand, over HTTP/2 or HTTP/1.1.
func (s *Server) HTTP(http1 bool) *http.Client { return s.http.client(http1) }

func clientOptions(p Protocol, u *User) []connect.ClientOption {
	if u == nil {
		return p.Options
	}
	return append([]connect.ClientOption{connect.WithInterceptors(bearer(u.Session.GetAccessToken()))}, p.Options...)
}

// bearer adds an access token to calls and streams.
type bearer string

func (b bearer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		r.Header().Set("Authorization", "Bearer "+string(b))
		return next(ctx, r)
	}
}

func (b bearer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		conn.RequestHeader().Set("Authorization", "Bearer "+string(b))
		return conn
	}
}

func (b bearer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// UUID returns a fresh random UUID.
func UUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// httpClients are made when first asked for.
type httpClients struct {
	mu     sync.Mutex
	h1, h2 *http.Client
}

func (h *httpClients) client(http1 bool) *http.Client {
	h.mu.Lock()
	defer h.mu.Unlock()
	if http1 {
		if h.h1 == nil {
			h.h1 = &http.Client{Transport: &http.Transport{}}
		}
		return h.h1
	}
	if h.h2 == nil {
		h.h2 = client.NewHTTPClient()
	}
	return h.h2
}

func (h *httpClients) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range []*http.Client{h.h1, h.h2} {
		if c != nil {
			c.CloseIdleConnections()
		}
	}
}
