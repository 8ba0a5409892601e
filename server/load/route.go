package load

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
)

// roamer sends what a user asks for to one of several servers, and from then on to the next one when that can't be reached: what a load
// balancer does for clients whose node has died. Safe for concurrent use.
type roamer struct {
	next    http.RoundTripper
	servers []*url.URL
	at      atomic.Int64 // counts up; modulo the number of servers
}

func (r *roamer) RoundTrip(req *http.Request) (*http.Response, error) {
	at := r.at.Load()
	to := r.servers[int(at)%len(r.servers)]
	req = req.Clone(req.Context())
	req.URL.Scheme, req.URL.Host, req.Host = to.Scheme, to.Host, ""
	resp, err := r.next.RoundTrip(req)
	if err != nil && req.Context().Err() == nil {
		r.at.CompareAndSwap(at, at+1) // one step, however many calls of the user fail at once
	}
	return resp, err
}

// roaming returns a client for user i, who begins at the server whose turn it is.
func (c *Config) roaming(h *http.Client, i int) *http.Client {
	r := &roamer{next: h.Transport}
	for _, s := range c.Servers {
		u, _ := url.Parse(s) // Validate has
		r.servers = append(r.servers, u)
	}
	r.at.Store(int64(i))
	return &http.Client{Transport: r}
}

// slowPause is what a slow reader waits before it reads on.
const slowPause = 2 * time.Second

// line is a user's transport, whose stream can be cut, and read slowly. Safe for concurrent use.
type line struct {
	client.Transport
	slow *period // when it is read slowly; nil: never

	mu   sync.Mutex
	open client.Stream // guarded by mu: the last one
}

func (l *line) Open(ctx context.Context, header http.Header) (client.Stream, error) {
	s, err := l.Transport.Open(ctx, header)
	if err != nil {
		return nil, err
	}
	if l.slow != nil {
		s = &slowStream{s, ctx, l.slow}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = s
	return s, nil
}

// cut ends the present stream, as a network would.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open != nil {
		_ = l.open.Close() // whoever reads it notices
	}
}

// period is from when begun is closed until over is.
type period struct{ begun, over chan struct{} }

// slowStream takes its time between what it receives, so that it waits at the server and on the way.
type slowStream struct {
	client.Stream
	ctx  context.Context //nolint:containedctx // the stream lasts as long
	slow *period
}

func (s *slowStream) Receive() (*chatv1.StreamResponse, error) {
	select {
	case <-s.slow.begun:
		s.pause()
	default:
	}
	return s.Stream.Receive()
}

func (s *slowStream) pause() {
	t := time.NewTimer(slowPause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.slow.over:
	case <-s.ctx.Done():
	}
}
