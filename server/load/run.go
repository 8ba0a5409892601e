package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
)

const (
	// settleFor is how long a run waits for what is still on its way after the last message, as long as something arrives.
	settleFor = 15 * time.Second
	// liveWithin is how long the users have to come online.
	liveWithin = 2 * time.Minute
)

// run is a run under way.
type run struct {
	cfg    Config
	id     uint32
	start  time.Time
	users  []*user
	ledger ledger
}

// user is one user with one stream.
type user struct {
	run          *run
	index        int
	client       *client.Client
	conversation string
	peers        int // other members
	number       atomic.Uint32

	live     chan struct{}
	liveOnce sync.Once
	// The receiving goroutine's alone, until it has ended.
	got     map[uint32]*seen
	lastSeq int64
}

// Run makes the load and reports. An error means that the run could not be made, not that messages were lost.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Idle > 0 {
		return runIdle(ctx, cfg)
	}
	r := &run{cfg: cfg, id: rand.Uint32()}
	r.ledger.latency, r.ledger.ackLatency = newLatencies(), newLatencies()
	conns := newConnections(&cfg)
	defer conns.close()
	var receiving sync.WaitGroup
	receiveCtx, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		receiving.Wait()
		for _, u := range r.users {
			_ = u.client.Close() // no state to save
		}
	}()
	if err := r.setUp(ctx, conns); err != nil {
		return nil, err
	}
	for _, u := range r.users {
		receiving.Go(func() { u.receive(receiveCtx) })
		u.client.Start()
	}
	if err := r.awaitLive(ctx); err != nil {
		return nil, err
	}

	cfg.progress("sending for %v", cfg.Duration)
	before := readProcess(cfg.PID)
	r.start = time.Now()
	if cfg.Rate > 0 {
		r.sendAtRate(ctx)
	} else {
		r.sendWithWindow(ctx)
	}
	sending := time.Since(r.start)
	r.settle(ctx)
	after := readProcess(cfg.PID)
	stop()
	receiving.Wait()
	return r.report(sending, time.Since(r.start), before, after), ctx.Err()
}

// setUp makes the users and their conversations.
func (r *run) setUp(ctx context.Context, conns *connections) error {
	r.cfg.progress("signing up %d users", r.cfg.Users)
	sessions, err := signUp(ctx, r.cfg, r.cfg.Users)
	if err != nil {
		return fmt.Errorf("sign up the users: %w", err)
	}
	for i, s := range sessions {
		server := r.cfg.Servers[i%len(r.cfg.Servers)]
		h, transport := conns.next(server)
		c, err := client.New(client.Options{
			ServerURL: server, Session: client.MemorySession(s), HTTPClient: h, Transport: transport,
			Queue: 8192, Window: r.cfg.Window, ConversationWindow: r.cfg.Window, MaxPending: 1_000_000, KeepSent: -1,
		})
		if err != nil {
			return err
		}
		r.users = append(r.users, &user{
			run: r, index: i, client: c, live: make(chan struct{}), got: make(map[uint32]*seen),
		})
	}
	r.cfg.progress("making conversations of %d", r.cfg.GroupSize)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(setUpWorkers)
	for _, members := range groups(r.users, r.cfg.GroupSize) {
		g.Go(func() error { return converse(ctx, members) })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("make the conversations: %w", err)
	}
	return nil
}

// groups divides users into groups of a size; a single one that is left joins the last group.
func groups(users []*user, size int) (out [][]*user) {
	for len(users) > 0 {
		n := min(size, len(users))
		if len(users)-n == 1 {
			n++
		}
		out = append(out, users[:n])
		users = users[n:]
	}
	return out
}

// converse makes one conversation of users.
func converse(ctx context.Context, members []*user) error {
	others := make([]string, 0, len(members)-1)
	for _, u := range members[1:] {
		others = append(others, u.client.User())
	}
	summary, err := patiently(ctx, func() (*chatv1.ConversationSummary, error) {
		if len(members) == 2 {
			return members[0].client.CreateDirect(ctx, others[0])
		}
		return members[0].client.CreateGroup(ctx, "load", others...)
	})
	if err != nil {
		return err
	}
	for _, u := range members {
		u.conversation, u.peers = summary.GetConversation().GetId(), len(members)-1
		u.client.Track(u.conversation)
	}
	return nil
}

func (r *run) awaitLive(ctx context.Context) error {
	r.cfg.progress("opening %d streams", len(r.users))
	ctx, cancel := context.WithTimeoutCause(ctx, liveWithin, errors.New("not all users came online in time"))
	defer cancel()
	for _, u := range r.users {
		select {
		case <-u.live:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// receive takes the user's events until ctx ends.
func (u *user) receive(ctx context.Context) {
	for event, err := range u.client.Events(ctx) {
		if err != nil {
			return
		}
		switch body := event.Body.(type) {
		case *chatv1.Message:
			if event.Seq == body.GetSeq() {
				u.take(body)
			}
		case client.Live:
			u.liveOnce.Do(func() { close(u.live) })
		case client.Offline:
			if body.Err != nil {
				u.run.ledger.reconnects.Add(1)
			}
		}
	}
}

// take counts one message that has arrived.
func (u *user) take(m *chatv1.Message) {
	s, ok := parseStamp(m.GetContent())
	if !ok || s.run != u.run.id || int(s.sender) == u.index {
		return
	}
	l := &u.run.ledger
	l.latency.add(u.index, time.Since(u.run.start)-s.due)
	l.arrived.Add(1)
	from := u.got[s.sender]
	if from == nil {
		from = new(seen)
		u.got[s.sender] = from
	}
	if !from.add(s.number) {
		l.duplicated.Add(1)
	}
	if m.GetSeq() <= u.lastSeq {
		l.outOfOrder.Add(1)
	}
	u.lastSeq = m.GetSeq()
}

// send sends the user's next message; done is called when it is answered.
func (u *user) send(due time.Duration, done func()) {
	r := u.run
	s := stamp{run: r.id, sender: uint32(u.index), number: u.number.Add(1) - 1, due: due}
	r.ledger.sent.Add(1)
	_, err := u.client.Send(u.conversation, s.text(r.cfg.Size), client.SendOptions{OnDone: func(_ client.Sent, err error) {
		if err != nil {
			r.ledger.refused.Add(1)
		} else {
			r.ledger.ackLatency.add(u.index, time.Since(r.start)-due)
			r.ledger.acknowledged.Add(1)
			r.ledger.expected.Add(int64(u.peers))
		}
		done()
	}})
	if err != nil {
		r.ledger.refused.Add(1)
		done()
	}
}

// sendAtRate sends message k at start + k/rate, by user k modulo users. Several pacers share the schedule, each with its own part of the users.
func (r *run) sendAtRate(ctx context.Context) {
	var pacing sync.WaitGroup
	pacers := min(runtime.GOMAXPROCS(0), len(r.users))
	total := int(r.cfg.Rate * r.cfg.Duration.Seconds())
	for p := range pacers {
		pacing.Go(func() {
			for k := p; k < total; k += pacers {
				due := time.Duration(float64(k) / r.cfg.Rate * float64(time.Second))
				if wait := due - time.Since(r.start); wait > 0 && !sleep(ctx, wait) {
					return
				}
				r.users[k%len(r.users)].send(due, func() {})
			}
		})
	}
	pacing.Wait()
}

// sendWithWindow keeps Window messages of each user unanswered until the time is over.
func (r *run) sendWithWindow(ctx context.Context) {
	free := make([]chan struct{}, len(r.users))
	var sending sync.WaitGroup
	for i, u := range r.users {
		free[i] = make(chan struct{}, r.cfg.Window)
		sending.Go(func() {
			over := time.NewTimer(r.cfg.Duration)
			defer over.Stop()
			for {
				select {
				case free[i] <- struct{}{}:
					u.send(time.Since(r.start), func() { <-free[i] })
				case <-over.C:
					return
				case <-ctx.Done():
					return
				}
			}
		})
	}
	sending.Wait()
}

// settle waits until all is answered and has arrived, or nothing has moved for settleFor.
func (r *run) settle(ctx context.Context) {
	r.cfg.progress("waiting for what is on its way")
	l := &r.ledger
	still := time.Now()
	for last := int64(-1); time.Since(still) < settleFor; {
		answered, arrived := l.acknowledged.Load()+l.refused.Load(), l.arrived.Load()
		if answered == l.sent.Load() && arrived >= l.expected.Load() {
			return
		}
		if answered+arrived != last {
			last, still = answered+arrived, time.Now()
		}
		if !sleep(ctx, 10*time.Millisecond) {
			return
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
