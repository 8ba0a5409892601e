package rpc

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// origins decides which pages may use this server from a browser: its own, and those that the operator allows. It never changes after
// newOrigins; safe for concurrent use. Nothing here concerns programs that aren't browsers, and nothing ever counts that a browser adds by itself: a
// request proves who sends it by its token alone.
type origins struct {
	allowed map[string]bool
	unsafe  *http.CrossOriginProtection
}

func newOrigins(allowed []string) (*origins, error) {
	o := &origins{allowed: make(map[string]bool, len(allowed)), unsafe: http.NewCrossOriginProtection()}
	for _, origin := range allowed {
		if err := o.unsafe.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("%q can't be an allowed origin: %w", origin, err)
		}
		o.allowed[origin] = true
	}
	return o, nil
}

// allowsRequest reports whether a request may change something. What a page of another site can make a browser send without asking first is refused.
func (o *origins) allowsRequest(r *http.Request) bool { return o.unsafe.Check(r) == nil }

// allowsSocket reports whether a WebSocket may be opened. Browsers name the origin of the page in every handshake, and hold back nothing by themselves;
// what names none is no browser. A proxy in front may speak TLS where this server doesn't, so of its own origin only host and port count.
func (o *origins) allowsSocket(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || o.allowed[origin] {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// What pages of allowed origins may send, and read of the answers: all that the protocols served here use.
const (
	corsMethods = "GET, POST"
	corsHeaders = "Authorization, Content-Type, Connect-Protocol-Version, Connect-Timeout-Ms, Grpc-Timeout, X-Grpc-Web, X-User-Agent, X-Request-Id"
	corsExposed = "Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin, Retry-After, X-Request-Id"
	corsMaxAge  = "7200" // seconds; browsers bound it to that
)

// cors lets pages of allowed origins read answers (Cross-Origin Resource Sharing, a part of the Fetch standard), and answers the question that browsers ask
// before.
func (o *origins) cors(next http.Handler) http.Handler {
	if len(o.allowed) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin")
		origin := r.Header.Get("Origin")
		if !o.allowed[origin] {
			next.ServeHTTP(w, r)
			return
		}
		h.Set("Access-Control-Allow-Origin", origin)
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			h.Set("Access-Control-Allow-Methods", corsMethods)
			h.Set("Access-Control-Allow-Headers", corsHeaders)
			h.Set("Access-Control-Max-Age", corsMaxAge)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		h.Set("Access-Control-Expose-Headers", corsExposed)
		next.ServeHTTP(w, r)
	})
}
