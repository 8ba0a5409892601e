package rpc

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/grpchealth"

	"github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1/authv1connect"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1/chatv1connect"
	"github.com/natterjack-chat/natterjack/server/chat"
)

// Paths of health for those that don't speak gRPC.
const (
	livePath  = "/healthz" // the process runs
	readyPath = "/readyz"  // it should get requests
)

// readyTimeout bounds one check; who asks has timeouts of a few seconds.
const readyTimeout = 2 * time.Second

// Health tells load balancers and supervisors whether the server should get requests: by grpc.health.v1, and by plain HTTP. Safe for concurrent use.
type Health struct {
	checks map[string]func(context.Context) error

	mu       sync.Mutex
	draining bool             // guarded by mu
	watchers map[*func()]bool // guarded by mu
}

var _ grpchealth.Watcher = (*Health)(nil)

// NewHealth returns the health of a server that is ready when all the checks return nil. They are run when somebody asks, within two seconds.
func NewHealth(checks map[string]func(context.Context) error) *Health {
	return &Health{checks: checks, watchers: make(map[*func()]bool)}
}

// Drain makes the server not ready, for good.
func (h *Health) Drain() {
	h.mu.Lock()
	h.draining = true
	var tell []func()
	for w := range h.watchers {
		tell = append(tell, *w)
	}
	h.mu.Unlock()
	for _, w := range tell {
		w()
	}
}

// state runs the checks; ready if none failed. What is wrong is told in a word only: the log knows more.
func (h *Health) state(ctx context.Context) (ready bool, parts map[string]string) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	h.mu.Lock()
	ready = !h.draining
	h.mu.Unlock()
	parts = map[string]string{"server": "ok"}
	if !ready {
		parts["server"] = "draining"
	}
	for name, check := range h.checks {
		parts[name] = "ok"
		if check(ctx) != nil {
			ready, parts[name] = false, "unavailable"
		}
	}
	return ready, parts
}

// Ready runs the checks, within two seconds, and says whether the server should get requests.
func (h *Health) Ready(ctx context.Context) bool {
	ready, _ := h.state(ctx)
	return ready
}

// Check implements [grpchealth.Checker], for the server as a whole ("") and for each of its services.
func (h *Health) Check(ctx context.Context, r *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	switch r.Service {
	case "", chatv1connect.ChatServiceName, authv1connect.AuthServiceName:
	default:
		return nil, wireError(&chat.Error{Code: chat.CodeNotFound, Reason: chat.ReasonNotFound, Message: "there is no service of that name"})
	}
	status := grpchealth.StatusNotServing
	if h.Ready(ctx) {
		status = grpchealth.StatusServing
	}
	return &grpchealth.CheckResponse{Status: status}, nil
}

// Watch implements [grpchealth.Watcher]. A watcher hears of draining; a store that fails is found by asking.
func (h *Health) Watch(ctx context.Context, r *grpchealth.CheckRequest, changed func()) (stop func(), err error) {
	if _, err := h.Check(ctx, r); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	key := &changed
	h.watchers[key] = true
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watchers, key)
	}, nil
}

// live answers that the process runs.
func (h *Health) live(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"status":"ok"}` + "\n"))
}

// ready answers whether the server should get requests, and which part says no.
func (h *Health) ready(w http.ResponseWriter, r *http.Request) {
	ready, parts := h.state(r.Context())
	answer := struct {
		Status string            `json:"status"`
		Parts  map[string]string `json:"parts"`
	}{"ok", parts}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !ready {
		answer.Status = "unavailable"
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(answer) //nolint:errchkjson // fails only if the client has gone
}
