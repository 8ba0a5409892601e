package rpc

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"

	"github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1/authv1connect"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1/chatv1connect"
	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/hub"
)

// Presence is told who is connected.
type Presence interface {
	// Connect adds a stream of a user, Update changes what its device says of itself, Disconnect removes it; clean: the device said goodbye.
	Connect(user chat.UserID, stream uint64, state chat.PresenceState)
	Update(user chat.UserID, stream uint64, state chat.PresenceState)
	Disconnect(user chat.UserID, stream uint64, clean bool)
}

// Config is what a Server stands on. All is required but where it says otherwise.
type Config struct {
	Chat     *chat.Service
	Hub      *hub.Hub
	Accounts Accounts
	// Auth carries out the procedures of AuthService; see [NewAuthHandler].
	Auth     authv1connect.AuthServiceHandler
	Presence Presence
	Health   *Health
	Logger   *slog.Logger
	Limits   Limits
	// SharedLimits counts for all nodes what users do; nil where there is only this one.
	SharedLimits account.Limiter
	// TrustedProxies are the addresses of the proxies whose X-Forwarded-For is believed; may be empty.
	TrustedProxies []netip.Prefix
	// AllowedOrigins are those of pages, beside this server's own, that may use it from a browser, as browsers write them: https://chat.example.com.
	AllowedOrigins []string
	// Observe is told of each request that is over, if set. Streams count when they end.
	Observe func(Observation)
	// Trace, if set, is told of the beginning of each unary request, with its headers, and returns the context to carry it out in and what to call with
	// the code at its end.
	Trace func(ctx context.Context, procedure string, header http.Header) (_ context.Context, end func(code string))
}

// Observation is one request that is over.
type Observation struct {
	// Procedure is that of the schema, with a slash before it, or the path of another page of this server.
	Procedure string
	// Code is the name of the gRPC code in lower case with underscores; "ok" for success.
	Code string
	// Transport is what carried it: http1, http2 or websocket.
	Transport string
	Took      time.Duration
}

// Server answers requests. Safe for concurrent use.
type Server struct {
	config    Config
	chat      *chat.Service
	hub       *hub.Hub
	accounts  Accounts
	presence  Presence
	logger    *slog.Logger
	limits    Limits
	validator *validator

	userRates   *userRates
	addressRate *rates[netip.Addr]
	streams     counts
	openings    *turns
	sockets     sockets
	origins     *origins
	errorWriter *connect.ErrorWriter
	handler     http.Handler
	// draining ends when streams that aren't the hub's have to.
	draining context.Context //nolint:containedctx // it is the server's life, not a call's
	drain    context.CancelFunc
}

// New returns a Server. It fails only if the rules in the schema are wrong, or an allowed origin is none.
func New(c Config) (*Server, error) {
	v, err := newValidator()
	if err != nil {
		return nil, err
	}
	s := &Server{
		config: c, chat: c.Chat, hub: c.Hub, accounts: c.Accounts, presence: c.Presence, logger: c.Logger, limits: c.Limits, validator: v,
		userRates:   newUserRates(&c.Limits, c.SharedLimits),
		addressRate: newRates[netip.Addr](c.Limits.AddressRate, c.Limits.AddressBurst),
		streams:     counts{most: c.Limits.StreamsPerAddress, open: make(map[netip.Addr]int)},
		openings:    newTurns(&c.Limits),
		errorWriter: connect.NewErrorWriter(),
	}
	if s.origins, err = newOrigins(c.AllowedOrigins); err != nil {
		return nil, err
	}
	s.draining, s.drain = context.WithCancel(context.Background())
	s.handler = s.origins.cors(s.routes())
	return s, nil
}

// Drain ends the streams of tools (health, reflection), which have no goodbye, and lets no more WebSockets in. Streams of clients are ended by
// the hub.
func (s *Server) Drain() {
	s.drain()
	s.sockets.drain()
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// routes puts all that is served in its place.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, p := range s.chatProcedures() {
		h := s.begin(p.path, p.handler)
		if p.path == chatv1connect.ChatServiceStreamProcedure {
			h = s.withWebSocket(h)
		}
		mux.Handle(p.path, h)
	}
	for _, p := range s.authProcedures() {
		mux.Handle(p.path, s.begin(p.path, p.handler))
	}
	mux.Handle("GET "+messagesPath, s.begin(messagesPath, s.unaryLimits(http.HandlerFunc(s.restMessages))))
	mux.HandleFunc("GET "+livePath, s.config.Health.live)
	mux.HandleFunc("GET "+readyPath, s.config.Health.ready)
	open := connect.WithHandlerOptions(connect.WithReadMaxBytes(s.limits.RequestBytes), noCompression())
	for path, handler := range s.openServices(open) {
		mux.Handle(path, s.begin(path, handler))
	}
	mux.Handle("/", s.begin("other", http.HandlerFunc(s.unknown)))
	return mux
}

// openServices are those that tools ask without a token: they tell nothing of users.
func (s *Server) openServices(options connect.HandlerOption) map[string]http.Handler {
	reflector := grpcreflect.NewStaticReflector(chatv1connect.ChatServiceName, authv1connect.AuthServiceName, grpchealth.HealthV1ServiceName)
	services := make(map[string]http.Handler)
	path, handler := grpchealth.NewHandler(s.config.Health, options)
	services[path] = s.unaryOrStream(path+"Watch", handler)
	path, handler = grpcreflect.NewHandlerV1(reflector, options)
	services[path] = s.streamLimits(s.untilDrain(handler))
	path, handler = grpcreflect.NewHandlerV1Alpha(reflector, options)
	services[path] = s.streamLimits(s.untilDrain(handler))
	return services
}

// untilDrain ends a stream, in whichever direction it waits, when the server drains.
func (s *Server) untilDrain(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		ended := make(chan struct{})
		stop := context.AfterFunc(s.draining, func() {
			defer close(ended)
			cancel()
			_ = http.NewResponseController(w).SetReadDeadline(past)
		})
		defer func() {
			if !stop() {
				<-ended // w must not be used after the handler has returned
			}
		}()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// unaryOrStream is for a service whose one stream is at a path.
func (s *Server) unaryOrStream(stream string, next http.Handler) http.Handler {
	unary, streaming := s.unaryLimits(next), s.streamLimits(s.untilDrain(next))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == stream {
			streaming.ServeHTTP(w, r)
			return
		}
		unary.ServeHTTP(w, r)
	})
}

// streamLimits holds an address to its number of streams.
func (s *Server) streamLimits(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if release := s.takeStream(w, r); release != nil {
			defer release()
			next.ServeHTTP(w, r)
		}
	})
}

// takeStream returns how to give a stream back; nil if it was refused.
func (s *Server) takeStream(w http.ResponseWriter, r *http.Request) (release func()) {
	release, err := s.streams.take(requestFrom(r.Context()).address)
	if err != nil {
		s.writeError(w, r, err)
	}
	return release
}

// unknown answers everything that isn't there.
func (s *Server) unknown(w http.ResponseWriter, r *http.Request) {
	if strings.Count(r.URL.Path, "/") == 2 && strings.Contains(r.URL.Path, ".") && s.errorWriter.IsSupported(r) {
		s.writeError(w, r, &chat.Error{
			Code: chat.Code(connect.CodeUnimplemented), Reason: chat.ReasonNotFound, Message: "there is no procedure " + r.URL.Path,
		})
		return
	}
	requestFrom(r.Context()).note(0, nil)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if r.URL.Path != "/" {
		requestFrom(r.Context()).note(connect.CodeNotFound, nil)
		w.WriteHeader(http.StatusNotFound)
	}
	_, _ = w.Write([]byte(welcome))
}

const welcome = `Natterjack, a chat backend.

Sign up:   POST /natterjack.auth.v1.AuthService/SignUp
           {"username": "ada", "password": "…"}
Chat:      natterjack chat
Schema:    served by reflection (grpcurl, buf curl)
Health:    ` + readyPath + `
`
