package rpc

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/gobwas/ws"

	"github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1/chatv1connect"
	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/internal/envelope"
)

// Stream over a WebSocket: the handshake. What comes after it is in websocket_stream.go and websocket_wire.go.

// withWebSocket serves the handshakes among what comes for Stream; all else is next's.
func (s *Server) withWebSocket(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		if hr.Method == http.MethodGet && hr.ProtoMajor == 1 && strings.EqualFold(hr.Header.Get("Upgrade"), "websocket") {
			s.upgrade(w, hr)
			return
		}
		next.ServeHTTP(w, hr)
	})
}

// upgrade makes a WebSocket of a connection and gives it a goroutine of its own. This one returns, so that nothing is kept of what net/http holds for a
// request: its buffers and its stack are more than all the rest of an idle stream.
func (s *Server) upgrade(w http.ResponseWriter, hr *http.Request) {
	hr = s.enter(chatv1connect.ChatServiceStreamProcedure, w, hr)
	r := requestFrom(hr.Context())
	r.transport = transportWebSocket
	start := time.Now()
	k := s.handshake(w, hr, start)
	if k == nil {
		s.finish(hr.Context(), r, start)
		return
	}
	go s.openSocket(k) //nolint:gosec // what net/http knows of the request ends here on purpose
}

// handshake returns the socket that a connection has become; nil if it became none, which is answered then.
func (s *Server) handshake(w http.ResponseWriter, hr *http.Request, start time.Time) *socket {
	r := requestFrom(hr.Context())
	refuse := func(status int, code connect.Code, text string) {
		r.note(code, nil)
		http.Error(w, text, status)
	}
	switch {
	case !s.origins.allowsSocket(hr):
		refuse(http.StatusForbidden, connect.CodePermissionDenied, foreignOrigin)
		return nil
	case !s.admit(w, hr):
		return nil
	case s.draining.Err() != nil:
		refuse(http.StatusServiceUnavailable, connect.CodeUnavailable, errDraining.Message)
		return nil
	case !slices.Contains(tokens(hr.Header["Sec-Websocket-Protocol"]), envelope.Subprotocol):
		refuse(http.StatusBadRequest, connect.CodeInvalidArgument, "a WebSocket has to ask for the subprotocol "+envelope.Subprotocol)
		return nil
	}
	upgrader := ws.HTTPUpgrader{
		Timeout: s.limits.HelloTimeout, Header: http.Header{requestIDHeader: {r.id}},
		Protocol: func(p string) bool { return p == envelope.Subprotocol },
	}
	conn, buffered, _, err := upgrader.Upgrade(hr, w)
	if err != nil {
		r.note(connect.CodeInvalidArgument, err)
		if conn != nil {
			_ = conn.Close()
		}
		return nil
	}
	early, _ := buffered.Peek(buffered.Reader.Buffered())
	k := newSocket(conn, r, start, early, &s.limits)
	if !s.sockets.add(k) {
		r.note(connect.CodeUnavailable, nil)
		_ = conn.Close()
		return nil
	}
	return k
}

// tokens are the values of a header that is a list.
func tokens(values []string) []string {
	all := strings.Split(strings.Join(values, ","), ",")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return all
}

// sockets are the WebSockets that are open, of which net/http knows nothing any more. Safe for concurrent use.
type sockets struct {
	running sync.WaitGroup

	mu     sync.Mutex
	open   map[*socket]struct{} // guarded by mu
	closed bool                 // guarded by mu: none is added any more
}

// add reports whether one more may be served; then remove has to be called when that is over.
func (o *sockets) add(k *socket) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false
	}
	if o.open == nil {
		o.open = make(map[*socket]struct{})
	}
	o.open[k] = struct{}{}
	o.running.Add(1)
	return true
}

func (o *sockets) remove(k *socket) {
	o.mu.Lock()
	delete(o.open, k)
	o.mu.Unlock()
	o.running.Done()
}

// drain lets no more in, and ends those that haven't said hello: the hub knows nothing of them.
func (o *sockets) drain() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for k := range o.open {
		if !k.heard.Load() {
			k.abortReceive()
		}
	}
}

func (o *sockets) cut() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for k := range o.open {
		_ = k.conn.Close()
	}
}

// Shutdown waits until all WebSockets have ended, after Drain and the hub have told them to; those that are open when ctx ends are cut off, and its
// error is returned. [http.Server.Shutdown] doesn't know of them.
func (s *Server) Shutdown(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.sockets.running.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.sockets.cut()
		<-done // handlers return soon after their connection is cut
		return ctx.Err()
	}
}

var errDraining = &chat.Error{
	Code: chat.CodeUnavailable, Reason: chat.ReasonUnavailable, RetryAfter: time.Second, Message: "this server is going down; connect again",
}
