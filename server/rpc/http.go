package rpc

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/chat"
)

// request is what this package knows of a request beside its content. It is made first of all and travels in the context.
type request struct {
	id        string
	procedure string
	transport string
	address   netip.Addr
	// identity and token are set by the gate, before anything that reads them runs.
	identity account.Identity
	token    string
	// connection is set for streams, before their handler runs.
	connection *connection
	// outcome is what was answered, for the log and the metrics.
	outcome atomic.Pointer[outcome]
}

type outcome struct {
	code  connect.Code // 0: OK
	cause error        // for the log only
}

type requestKey struct{}

// requestFrom returns the request that ctx belongs to; an empty one outside of any.
func requestFrom(ctx context.Context) *request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r
	}
	return &request{}
}

func (r *request) note(code connect.Code, cause error) { r.outcome.Store(&outcome{code, cause}) }

func (r *request) addressText() string {
	if !r.address.IsValid() {
		return ""
	}
	return r.address.String()
}

// attrs are what a log line says of a request. Never content, never tokens.
func (r *request) attrs(more ...slog.Attr) []slog.Attr {
	attrs := []slog.Attr{slog.String("request", r.id), slog.String("procedure", r.procedure), slog.String("transport", r.transport), slog.String("address", r.addressText())}
	if user := r.identity.Caller.User; user != 0 {
		attrs = append(attrs, slog.String("user", user.String()), slog.String("session", r.identity.Caller.Session.String()))
	}
	return append(attrs, more...)
}

const requestIDHeader = "X-Request-Id"

// requestID takes over the client's id where it is one that can stand in a log, or makes one.
func requestID(header http.Header) string {
	id := header.Get(requestIDHeader)
	if id != "" && len(id) <= 64 && strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-") == "" {
		return id
	}
	var b [8]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// address returns where a request comes from. X-Forwarded-For counts as far as it was written by trusted proxies: read from its end, the first address that isn't theirs is
// the client's.
func (s *Server) address(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	address := peer.Addr().Unmap().WithZone("")
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && s.trusted(address); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		address = hop.Unmap().WithZone("")
	}
	return address
}

func (s *Server) trusted(address netip.Addr) bool {
	for _, p := range s.config.TrustedProxies {
		if p.Contains(address) {
			return true
		}
	}
	return false
}

// begin is in front of everything that is served: it gives a request its identity in logs, refuses what must not come in, and ends only this request
// if there is a fault in it. Streams stay below it for hours, so it is one function with a small frame.
func (s *Server) begin(procedure string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		hr = s.enter(procedure, w, hr)
		defer s.leave(hr, time.Now())
		if s.admit(w, hr) {
			next.ServeHTTP(w, hr)
		}
	})
}

// Names of what carries requests, for logs and metrics.
const (
	transportHTTP1     = "http1"
	transportHTTP2     = "http2"
	transportWebSocket = "websocket"
)

// enter puts what is known of a request into its context.
func (s *Server) enter(procedure string, w http.ResponseWriter, hr *http.Request) *http.Request {
	r := &request{id: requestID(hr.Header), procedure: procedure, transport: transportHTTP1, address: s.address(hr)}
	if hr.ProtoMajor > 1 {
		r.transport = transportHTTP2
	}
	w.Header().Set(requestIDHeader, r.id)
	return hr.WithContext(context.WithValue(hr.Context(), requestKey{}, r))
}

// foreignOrigin answers a browser on a page that isn't among the allowed ones.
const foreignOrigin = "a page of another origin can't use this server from a browser, unless the server's setting allowed-origins names it"

// admit holds an address to its rate, and refuses what a browser sends on behalf of a page of another site; programs that aren't browsers
// aren't concerned. A request that isn't admitted is answered.
func (s *Server) admit(w http.ResponseWriter, hr *http.Request) bool {
	var err error
	if !s.origins.allowsRequest(hr) {
		err = &chat.Error{
			Code: chat.CodePermissionDenied, Reason: chat.ReasonInvalidField, Field: "origin",
			Message: foreignOrigin,
		}
	} else if address := requestFrom(hr.Context()).address; !exempt(address) {
		err = s.addressRate.allow(address)
	}
	if err != nil {
		s.writeError(w, hr, err)
	}
	return err == nil
}

// leave tells of a request that is over. One that panicked outside of its method is cut off.
func (s *Server) leave(hr *http.Request, start time.Time) {
	ctx := hr.Context()
	r := requestFrom(ctx)
	fault := recover()
	if fault != nil && fault != http.ErrAbortHandler { //nolint:errorlint // it is always this value
		r.note(connect.CodeInternal, nil)
		s.logger.LogAttrs(ctx, slog.LevelError, "request failed", r.attrs(slog.Any("error", panicked(fault)))...)
	}
	s.finish(ctx, r, start)
	if fault != nil {
		panic(http.ErrAbortHandler)
	}
}

// writeError answers a request that doesn't reach its handler, in the client's protocol.
func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	_ = s.errorWriter.Write(w, r, s.fail(r.Context(), err)) // fails only if the client has gone
}

// result is the outcome of a request that is over. One that nobody noted an outcome of never reached its method: it couldn't be read.
func (r *request) result() *outcome {
	if o := r.outcome.Load(); o != nil {
		return o
	}
	return &outcome{code: connect.CodeInvalidArgument}
}

// finish tells of a request that is over.
func (s *Server) finish(ctx context.Context, r *request, start time.Time) {
	o := r.result()
	took := time.Since(start)
	code := codeName(o.code)
	if s.config.Observe != nil {
		s.config.Observe(Observation{r.procedure, code, r.transport, took})
	}
	level := slog.LevelDebug
	switch o.code {
	case connect.CodeInternal, connect.CodeUnknown, connect.CodeDataLoss: // logged where it happened, with its cause
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded:
		level = slog.LevelWarn
	default:
	}
	if !s.logger.Enabled(ctx, level) {
		return
	}
	attrs := r.attrs(slog.String("code", code), slog.Duration("took", took))
	if o.cause != nil {
		attrs = append(attrs, slog.Any("cause", o.cause))
	}
	s.logger.LogAttrs(ctx, level, "request", attrs...)
}

func codeName(code connect.Code) string {
	if code == 0 {
		return "ok"
	}
	return code.String()
}

// unaryLimits bounds how large a unary request is, and how long it may take to come in and its answer to go out.
func (s *Server) unaryLimits(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		deadline := time.Now().Add(s.limits.UnaryTimeout)
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(deadline) // a connection that knows no deadlines is a test's
		_ = control.SetWriteDeadline(deadline)
		r.Body = s.bounded(r, control)
		ctx, cancel := context.WithDeadline(r.Context(), deadline)
		defer cancel()
		if trace := s.config.Trace; trace != nil {
			request := requestFrom(ctx)
			traced, end := trace(ctx, request.procedure, r.Header)
			defer func() { end(codeName(request.result().code)) }()
			ctx = traced
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// envelopePrefix is what gRPC and streams put before a message, and unary Connect does not.
const envelopePrefix = 5

// bounded returns the body of a request that consists of one message.
func (s *Server) bounded(r *http.Request, control *http.ResponseController) io.ReadCloser {
	most := s.limits.RequestBytes
	if t := r.Header.Get("Content-Type"); strings.HasPrefix(t, "application/grpc") || strings.HasPrefix(t, "application/connect") {
		most += envelopePrefix
	}
	return &boundedBody{ReadCloser: r.Body, request: requestFrom(r.Context()), left: most, control: control}
}

// boundedBody ends a request that is too large, with an error that reaches the client. One goroutine reads it.
type boundedBody struct {
	io.ReadCloser
	request *request
	left    int // negative: too large
	control *http.ResponseController
}

func (b *boundedBody) Read(p []byte) (int, error) {
	var n int
	var err error
	if b.left >= 0 {
		n, err = b.ReadCloser.Read(p[:min(len(p), b.left+1)])
		b.left -= n
	}
	if b.left < 0 {
		e := tooLarge()
		b.request.note(connect.Code(e.Code), nil)
		return n, wireError(e)
	}
	if err == io.EOF {
		// Everything is in. The server goes on reading, to see whether the client is still there: that has no deadline.
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
