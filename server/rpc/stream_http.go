package rpc

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"connectrpc.com/connect"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1/chatv1connect"
	"github.com/natterjack-chat/natterjack/server/hub"
)

// Stream and Subscribe over HTTP.

func (s *Server) streamProcedure() procedure {
	path := chatv1connect.ChatServiceStreamProcedure
	options := append(s.options(path), noCompression(), connect.WithReadMaxBytes(s.limits.RequestBytes))
	h := connect.NewBidiStreamHandler(path, func(ctx context.Context, stream *connect.BidiStream[received[chatv1.StreamRequest], frame]) error {
		return s.status(ctx, s.stream(ctx, &httpWire{stream: stream, sends: stream, connection: requestFrom(ctx).connection}))
	}, options...)
	return procedure{path, s.connected(h)}
}

func (s *Server) subscribeProcedure() procedure {
	path := chatv1connect.ChatServiceSubscribeProcedure
	options := append(s.options(path), compression(&s.limits), connect.WithCompressMinBytes(1<<30)) // requests may be compressed, the stream is not
	h := connect.NewServerStreamHandler(path, func(ctx context.Context, r *connect.Request[received[chatv1.SubscribeRequest]], stream *connect.ServerStream[frame]) error {
		return s.status(ctx, s.subscribe(ctx, r.Msg, &httpWire{sends: stream, connection: requestFrom(ctx).connection}))
	}, options...)
	return procedure{path, s.connected(s.boundedRequest(h))}
}

// status maps what a stream ended with.
func (s *Server) status(ctx context.Context, err error) error {
	if err != nil {
		return s.fail(ctx, err)
	}
	requestFrom(ctx).note(0, nil)
	return nil
}

// stream waits for hello and runs the session.
func (s *Server) stream(ctx context.Context, w wire) error {
	ss, o, err := s.openStream(ctx, w)
	if ss == nil {
		return err
	}
	return ss.run(ctx, o)
}

// openStream waits for hello. It returns the session to run; if it is nil, err is the stream's status.
func (s *Server) openStream(ctx context.Context, w wire) (*session, *opening, error) {
	ss := s.newSession(ctx, w, true)
	hello, err := ss.hello()
	if err != nil {
		return nil, nil, ss.refuse(hub.GoodbyeProtocolError, err)
	}
	o := &opening{hello: hello.GetHello(), requestID: hello.GetRequestId()}
	if live, err := ss.open(ctx, o); !live {
		return nil, nil, err
	}
	return ss, o, nil
}

// hello returns the first request, which has to be a valid hello.
func (ss *session) hello() (*chatv1.StreamRequest, error) {
	timer := time.AfterFunc(ss.server.limits.HelloTimeout, ss.wire.abortReceive)
	in, err := ss.wire.receive()
	timely := timer.Stop()
	switch {
	case !timely:
		return nil, helloExpected("no hello came in time; it has to be the first request")
	case errors.Is(err, io.EOF):
		return nil, helloExpected("the stream ended without a hello; it has to be the first request")
	case err != nil:
		return nil, err
	case in.err != nil:
		return nil, in.err
	case in.msg.GetHello() == nil:
		return nil, helloExpected("the first request has to be hello")
	}
	if err := ss.server.validator.check(&in.msg); err != nil {
		return nil, err
	}
	return &in.msg, nil
}

func (s *Server) subscribe(ctx context.Context, in *received[chatv1.SubscribeRequest], w wire) error {
	if in.err != nil {
		return in.err
	}
	if err := s.validator.check(&in.msg); err != nil {
		return err
	}
	watch, err := userIDs(in.msg.GetWatchUserIds(), "watch_user_ids")
	if err != nil {
		return err
	}
	ss, o := s.newSession(ctx, w, false), &opening{hello: in.msg.GetHello(), watch: watch}
	if live, err := ss.open(ctx, o); !live {
		return err
	}
	return ss.run(ctx, o)
}

// boundedRequest bounds the request of a server stream, in size and in time.
func (s *Server) boundedRequest(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(time.Now().Add(s.limits.HelloTimeout))
		r.Body = s.bounded(r, control)
		next.ServeHTTP(w, r)
	})
}

// connection is what a stream needs of its HTTP request and connect hides. One goroutine reads.
type connection struct {
	*http.ResponseController
	io.ReadCloser // the request's body

	// head is what wait has read ahead, headErr how reading ended.
	head     [envelopePrefix]byte
	from, to int
	headErr  error
}

// wait returns when there is something to read. A stream waits here and not in connect, which would keep a buffer for each message to come, and
// kilobytes of stack.
func (c *connection) wait() {
	if c.from == c.to && c.headErr == nil {
		c.to, c.headErr = c.ReadCloser.Read(c.head[:])
		c.from = 0
	}
}

// Read reads what was read ahead, and then the rest.
func (c *connection) Read(p []byte) (int, error) {
	switch {
	case c.from < c.to:
		n := copy(p, c.head[c.from:c.to])
		c.from += n
		return n, nil
	case c.headErr != nil:
		return 0, c.headErr
	default:
		return c.ReadCloser.Read(p)
	}
}

// connected is in front of streams: it holds their address to its number of them, and keeps the connection for them.
func (s *Server) connected(next http.Handler) http.Handler {
	return s.streamLimits(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// begin has made r: it is nobody else's, and one more copy would last as long as the stream.
		c := &connection{ResponseController: http.NewResponseController(w), ReadCloser: r.Body}
		requestFrom(r.Context()).connection = c
		r.Body = c
		next.ServeHTTP(w, r)
	}))
}

// httpWire carries a session over HTTP: a Stream over HTTP/2, a Subscribe also over HTTP/1.1.
type httpWire struct {
	stream *connect.BidiStream[received[chatv1.StreamRequest], frame] // nil: nothing more is received
	sends  interface{ Send(*frame) error }
	*connection
}

func (w *httpWire) receive() (*received[chatv1.StreamRequest], error) {
	w.wait()
	in, err := w.stream.Receive()
	if connect.CodeOf(err) == connect.CodeResourceExhausted && err != nil {
		// It was read over; what follows can be read.
		return &received[chatv1.StreamRequest]{err: tooLarge()}, nil //nolint:nilerr // it is the answer to the one request
	}
	return in, err
}

func (w *httpWire) send(f *frame) error { return w.sends.Send(f) }

// past is a deadline that is over.
var past = time.Unix(1, 0)

func (w *httpWire) abortReceive() { _ = w.SetReadDeadline(past) }
func (w *httpWire) abortSend()    { _ = w.SetWriteDeadline(past) }

var _ wire = (*httpWire)(nil)
