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
	needed, helpful map[string]func(context.Context) error

	mu       sync.Mutex
	draining bool             // guarded by mu
	watchers map[*func()]bool // guarded by mu
}

var _ grpchealth.Watcher = (*Health)(nil)

// NewHealth returns the health of a server that is ready when all checks of needed parts return nil. Those of helpful parts are told, but without such a part the server
// goes on. Checks are run when somebody asks, within two seconds.
func NewHealth(needed, helpful map[string]func(context.Context) error) *Health {
	return &Health{needed: needed, helpful: helpful, watchers: make(map[*func()]bool)}
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

// Whether a server is ready, and with all its parts.
const (
	allWell     = "ok"
	degraded    = "degraded"
	unavailable = "unavailable"
)

// state runs the checks. What is wrong is told in a word only: the log knows more.
func (h *Health) state(ctx context.Context) (status string, parts map[string]string) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	status, parts = allWell, map[string]string{"server": allWell}
	run := func(checks map[string]func(context.Context) error, failed string) {
		for name, check := range checks {
			parts[name] = allWell
			if check(ctx) != nil {
				status, parts[name] = failed, unavailable
			}
		}
	}
	run(h.helpful, degraded)
	run(h.needed, unavailable)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.draining {
		status, parts["server"] = unavailable, "draining"
	}
	return status, parts
}

// Ready runs the checks, within two seconds, and says whether the server should get requests.
func (h *Health) Ready(ctx context.Context) bool {
	status, _ := h.state(ctx)
	return status != unavailable
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

// ready answers whether the server should get requests, and which part doesn't work.
func (h *Health) ready(w http.ResponseWriter, r *http.Request) {
	status, parts := h.state(r.Context())
	answer := struct {
		Status string            `json:"status"`
		Parts  map[string]string `json:"parts"`
	}{status, parts}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if status == unavailable {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(answer) //nolint:errchkjson // fails only if the client has gone
}
