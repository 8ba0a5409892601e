package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/internal/envelope"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

// bearer is what a stream of a user is opened with.
func bearer(u *nodetest.User) http.Header {
	return http.Header{"Authorization": {"Bearer " + u.Session.GetAccessToken()}}
}

var (
	helloRequest = &chatv1.StreamRequest{RequestId: 1, Request: &chatv1.StreamRequest_Hello{Hello: &chatv1.Hello{}}}
	pingRequest  = &chatv1.StreamRequest{RequestId: 2, Request: &chatv1.StreamRequest_Ping{Ping: &chatv1.Ping{}}}
)

// acks reads until so many requests are answered.
func acks(t *testing.T, s client.Stream, n int) {
	t.Helper()
	for n > 0 {
		for _, e := range ok[*chatv1.StreamResponse](t)(s.Receive()).GetEvents() {
			if e.GetAck() != nil {
				n--
			}
		}
	}
}

// writes counts the writes to connections.
type writes struct {
	mu sync.Mutex
	n  int
}

type countedConn struct {
	net.Conn
	by *writes
}

func (c countedConn) Write(p []byte) (int, error) {
	c.by.mu.Lock()
	c.by.n++
	c.by.mu.Unlock()
	return c.Conn.Write(p)
}

func TestAWebSocketSendsWhatBelongsTogetherAtOnce(t *testing.T) {
	s := nodetest.Start(t)
	var count writes
	h := client.NewWebSocketClient()
	h.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) { //nolint:forcetypeassert // its own
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return countedConn{conn, &count}, err
	}
	defer h.CloseIdleConnections()
	stream := ok[client.Stream](t)(client.NewWebSocketTransport(h, s.URL+"/").Open(t.Context(), bearer(s.SignUp("ada"))))
	defer stream.Close()
	if err := stream.Send(helloRequest, pingRequest, pingRequest, pingRequest, pingRequest); err != nil {
		t.Fatal(err)
	}
	acks(t, stream, 5)
	count.mu.Lock()
	defer count.mu.Unlock()
	if count.n != 2 {
		t.Errorf("%d writes, want the handshake, and all the rest", count.n)
	}
}

func TestAWebSocketEndsAsItShould(t *testing.T) {
	s := nodetest.Start(t)
	ada := s.SignUp("ada")
	open := func(t *testing.T, ctx context.Context) client.Stream {
		t.Helper()
		stream := ok[client.Stream](t)(s.Transport(nodetest.WebSocket()).Open(ctx, bearer(ada)))
		t.Cleanup(func() { _ = stream.Close() })
		if err := stream.Send(helloRequest); err != nil {
			t.Fatal(err)
		}
		acks(t, stream, 1)
		return stream
	}
	end := func(s client.Stream) error {
		for {
			if _, err := s.Receive(); err != nil {
				return err
			}
		}
	}
	t.Run("by saying that all was said", func(t *testing.T) {
		stream := open(t, t.Context())
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if err := end(stream); !errors.Is(err, io.EOF) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("by its context, though both sides are silent", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		stream := open(t, ctx)
		time.AfterFunc(10*time.Millisecond, cancel) // while Receive waits
		if err := end(stream); connect.CodeOf(err) != connect.CodeUnavailable {
			t.Errorf("got %v", err)
		}
		if err := stream.Send(pingRequest); err == nil {
			t.Error("a request was sent on it")
		}
	})
	t.Run("by being closed", func(t *testing.T) {
		stream := open(t, t.Context())
		time.AfterFunc(10*time.Millisecond, func() { _ = stream.Close() })
		if err := end(stream); connect.CodeOf(err) != connect.CodeUnavailable {
			t.Errorf("got %v", err)
		}
	})
	t.Run("with the server's reason", func(t *testing.T) {
		stream := ok[client.Stream](t)(s.Transport(nodetest.WebSocket()).Open(t.Context(), http.Header{"Authorization": {"Bearer nja_x"}}))
		defer stream.Close()
		_ = stream.Send(helloRequest)
		if err := end(stream); connect.CodeOf(err) != connect.CodeUnauthenticated || client.ReasonOf(err) != chatv1.ErrorReason_ERROR_REASON_INVALID_SESSION {
			t.Errorf("got %v, %v", err, client.ReasonOf(err))
		}
	})
}

func TestAWebSocketThatIsntOneIsRefused(t *testing.T) {
	upgrade := func(accept, protocol, after string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			if accept == "" {
				accept = envelope.AcceptKey(r.Header.Get("Sec-WebSocket-Key"))
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "+accept+
				"\r\nSec-WebSocket-Protocol: "+protocol+"\r\n\r\n"+after)
		}
	}
	const right = "natterjack.chat.v1.proto"
	message := func(flags byte, data string) string {
		return string(append(envelope.AppendPrefix(nil, flags, len(data)), data...))
	}
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		code  connect.Code
		says  string
	}{
		"a page":                     {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }, connect.CodeUnknown, "200"},
		"not there":                  {http.NotFound, connect.CodeUnimplemented, "404"},
		"a proxy's word":             {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no node", http.StatusBadGateway) }, connect.CodeUnavailable, "no node"},
		"too many":                   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }, connect.CodeUnavailable, "429"},
		"a proxy that wants to know": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, connect.CodeUnauthenticated, "401"},
		"forbidden":                  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, connect.CodePermissionDenied, "403"},
		"another key":                {upgrade("x", right, ""), connect.CodeUnimplemented, "another protocol"},
		"another protocol":           {upgrade("", "graphql-ws", ""), connect.CodeUnimplemented, "another protocol"},
		"cut":                        {upgrade("", right, ""), connect.CodeUnavailable, "ended"},
		"no frame":                   {upgrade("", right, "HTTP"), connect.CodeUnavailable, "rules of WebSocket"},
		"no protobuf":                {upgrade("", right, message(0, "\xff")), connect.CodeInternal, ""},
		"no end":                     {upgrade("", right, message(2, "bye")), connect.CodeInternal, "can't be read"},
		"no such code":               {upgrade("", right, message(2, `{"error":{"code":"tired"}}`)), connect.CodeInternal, "can't be read"},
		"a detail that is none":      {upgrade("", right, message(2, `{"error":{"code":"aborted","message":"m","details":[{"type":"x","value":"?"},{"type":"y","value":""}]}}`)), connect.CodeAborted, "m"},
		"flags of no meaning":        {upgrade("", right, message(8, "")), connect.CodeInternal, "0x08"},
		"an error without a word":    {upgrade("", right, message(2, `{"error":{"code":"internal"}}`)), connect.CodeInternal, ""},
		"a ping, and then the end":   {upgrade("", right, "\x89\x00"+message(2, `{"error":{"code":"aborted","message":"after"}}`)), connect.CodeAborted, "after"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.serve)
			defer server.Close()
			h := client.NewWebSocketClient()
			defer h.CloseIdleConnections()
			stream, err := client.NewWebSocketTransport(h, server.URL).Open(t.Context(), nil)
			if err == nil {
				defer stream.Close()
				_, err = stream.Receive()
			}
			if connect.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := client.NewWebSocketTransport(nil, "http://127.0.0.1:1").Open(t.Context(), nil); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("nobody there: %v", err)
	}
	if _, err := client.NewWebSocketTransport(nil, "http://%").Open(t.Context(), nil); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("no URL: %v", err)
	}
}
