package load

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
)

const (
	// idlePerUser is how many idle streams one user opens, below the server's limit per user.
	idlePerUser = 16
	// openWorkers is how many streams are being opened at the same time.
	openWorkers = 64
)

func (c *Config) streamsPerUser() int {
	if c.StreamsPerUser == 0 {
		return idlePerUser
	}
	return c.StreamsPerUser
}

// runIdle opens streams that only listen, and measures what they cost the server.
func runIdle(ctx context.Context, cfg Config) (*Report, error) {
	n, each := cfg.Idle, cfg.streamsPerUser()
	// Memory counts from before the sign-ups: the heap that hashing passwords takes is used again for streams, so a later beginning would
	// hide some of what they cost. This one, if anything, says too much.
	unused := readProcess(cfg.PID)
	cfg.progress("signing up %d users", (n+each-1)/each)
	sessions, err := signUp(ctx, cfg, (n+each-1)/each)
	if err != nil {
		return nil, fmt.Errorf("sign up the users: %w", err)
	}
	conns := newConnections(&cfg)
	defer conns.close()
	var reading sync.WaitGroup
	streamCtx, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		reading.Wait()
	}()

	cfg.progress("opening %d streams", n)
	before := readProcess(cfg.PID)
	start := time.Now()
	g, openCtx := errgroup.WithContext(ctx)
	g.SetLimit(openWorkers)
	for i := range n {
		_, t := conns.next(i)
		g.Go(func() error {
			s, err := patiently(openCtx, func() (client.Stream, error) { return openIdle(streamCtx, t, sessions[i/each], i) })
			if err != nil {
				return fmt.Errorf("open stream %d: %w", i, err)
			}
			reading.Go(func() { listen(s) })
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	opened := time.Since(start)
	cfg.progress("holding them for %v", cfg.Duration)
	sleep(ctx, cfg.Duration)
	after := readProcess(cfg.PID)
	report := &Report{
		Transport: cfg.Transport, Users: len(sessions), GroupSize: cfg.GroupSize, Idle: &IdleReport{Streams: n, OpenedMS: opened.Milliseconds()},
		Server: usage(before, after),
	}
	if unused != nil && after != nil {
		report.Idle.BytesPerStream = max(0, after.rss-unused.rss) / int64(n)
	}
	return report, ctx.Err()
}

// openIdle opens a stream and waits until it is live. The stream lasts as long as ctx.
func openIdle(ctx context.Context, t client.Transport, session *client.Session, device int) (client.Stream, error) {
	s, err := t.Open(ctx, http.Header{"Authorization": {"Bearer " + session.AccessToken}})
	if err != nil {
		return nil, client.AsError(err)
	}
	hello := &chatv1.Hello{DeviceId: fmt.Sprintf("idle-%d", device)}
	if err := s.Send(&chatv1.StreamRequest{Request: &chatv1.StreamRequest_Hello{Hello: hello}}); err != nil {
		return nil, client.AsError(err)
	}
	for {
		r, err := s.Receive()
		if err != nil {
			return nil, client.AsError(err)
		}
		for _, e := range r.GetEvents() {
			if e.GetCaughtUp() != nil {
				return s, nil
			}
			if bye := e.GetGoodbye(); bye != nil {
				return nil, fmt.Errorf("the server ended the stream: %v %s", bye.GetReason(), bye.GetMessage())
			}
		}
	}
}

// pingEvery keeps an idle stream's client heard of (a rule of the protocol: the server waits 90 s).
const pingEvery = 25 * time.Second

// listen reads a stream to its end, and pings meanwhile.
func listen(s client.Stream) {
	var ping *time.Timer
	ping = time.AfterFunc(pingEvery, func() {
		if s.Send(&chatv1.StreamRequest{Request: &chatv1.StreamRequest_Ping{Ping: &chatv1.Ping{}}}) == nil {
			ping.Reset(pingEvery)
		}
	})
	defer ping.Stop()
	for {
		if _, err := s.Receive(); err != nil {
			_ = s.Close() // it has ended
			return
		}
	}
}
