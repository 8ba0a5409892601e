package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
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
	ledger *ledger
	// listeners are read by the goroutines of listening, which end with their streams.
	listeners []*listener
	listening sync.WaitGroup
	// sending is while messages are sent; slow readers are slow then.
	sending period
	hurried sync.Once
}

// user is one user with one stream.
type user struct {
	receipts
	client       *client.Client
	token        string // of the sign-up
	line         *line
	conversation string
	peers        []string // other members
	listeners    int      // in the conversation
	number       atomic.Uint32

	live     chan struct{}
	liveOnce sync.Once
	lost     time.Time // since when there is no stream; zero while there is. The receiving goroutine's alone
}

// Run makes the load and reports. An error means that the run could not be made, not that messages were lost.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Idle > 0 {
		return runIdle(ctx, cfg)
	}
	r := &run{cfg: cfg, id: rand.Uint32(), ledger: newLedger(), sending: period{make(chan struct{}), make(chan struct{})}}
	conns := newConnections(&cfg)
	defer conns.close()
	var receiving sync.WaitGroup
	receiveCtx, stop := context.WithCancel(ctx)
	defer func() {
		r.hurry()
		stop()
		receiving.Wait()
		r.listening.Wait()
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
	if err := r.listen(receiveCtx, conns); err != nil {
		return nil, err
	}

	cfg.progress("sending for %v", cfg.Duration)
	before := readProcess(cfg.PID)
	r.start = time.Now()
	close(r.sending.begun)
	endBesides := r.besides(ctx)
	if cfg.Rate > 0 {
		r.sendAtRate(ctx)
	} else {
		r.sendWithWindow(ctx)
	}
	endBesides()
	sending := time.Since(r.start)
	r.hurry()
	r.settle(ctx)
	whole := time.Since(r.start)
	after := readProcess(cfg.PID)
	stop()
	receiving.Wait()
	r.listening.Wait()
	return r.report(sending, whole, before, after), ctx.Err()
}

// setUp makes the users and their conversations.
func (r *run) setUp(ctx context.Context, conns *connections) error {
	r.cfg.progress("signing up %d users", r.cfg.Users)
	sessions, err := signUp(ctx, r.cfg, r.cfg.Users)
	if err != nil {
		return fmt.Errorf("sign up the users: %w", err)
	}
	for i, s := range sessions {
		h, transport := conns.next(i)
		u, err := r.newUser(i, s, h, transport)
		if err != nil {
			return err
		}
		r.users = append(r.users, u)
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

func (r *run) newUser(i int, s *client.Session, h *http.Client, t client.Transport) (*user, error) {
	u := &user{
		receipts: newReceipts(r, i, int64(i)), token: s.AccessToken, line: &line{Transport: t}, live: make(chan struct{}),
	}
	u.slow = r.cfg.isSlow(i)
	if u.slow {
		u.line.slow = &r.sending
	}
	var err error
	u.client, err = client.New(client.Options{
		ServerURL: r.cfg.Servers[0], Session: client.MemorySession(s), HTTPClient: h, Transport: u.line,
		Queue: 8192, Window: r.cfg.Window, ConversationWindow: r.cfg.Window, MaxPending: 1_000_000, KeepSent: -1,
	})
	return u, err
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

// addAtOnce is how many members one call may name (a rule of the schema).
const addAtOnce = 200

// converse makes one conversation of users.
func converse(ctx context.Context, members []*user) error {
	names := make([]string, len(members))
	for i, u := range members {
		names[i] = u.client.User()
	}
	founder, others := members[0].client, names[1:]
	first := others[:min(len(others), addAtOnce)]
	summary, err := patiently(ctx, func() (*chatv1.ConversationSummary, error) {
		if len(members) == 2 {
			return founder.CreateDirect(ctx, first[0])
		}
		return founder.CreateGroup(ctx, "load", first...)
	})
	if err != nil {
		return err
	}
	id := summary.GetConversation().GetId()
	for more := range slices.Chunk(others[len(first):], addAtOnce) {
		if _, err := patiently(ctx, func() ([]*chatv1.Member, error) {
			return founder.AddMembers(ctx, id, chatv1.MemberRole_MEMBER_ROLE_UNSPECIFIED, more...)
		}); err != nil {
			return err
		}
	}
	listeners := 0
	for _, u := range members {
		listeners += u.run.cfg.listenersOf(u.index)
	}
	for i, u := range members {
		u.listeners = listeners
		u.conversation, u.peers = id, slices.Delete(slices.Clone(names), i, i+1)
		u.client.Track(id)
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
				u.takeMessage(body)
			}
		case *client.Gap:
			u.fill(ctx, body)
		case *chatv1.Presence:
			u.run.ledger.heard.Add(1)
		case client.Live:
			u.cameBack()
		case client.State: // not only Offline: of states that follow at once the client tells the newest
			u.wasCut()
		}
	}
}

// fill reads what the server left out because the user was too slow for it: late, and not lost.
func (u *user) fill(ctx context.Context, g *client.Gap) {
	for after := g.After; after < g.Head; {
		page, err := patiently(ctx, func() (*chatv1.ListMessagesResponse, error) {
			return u.client.Messages(ctx, u.conversation, client.Page{After: after, Limit: 200})
		})
		if err != nil {
			return // counts as lost
		}
		for _, m := range page.GetMessages() {
			if after = m.GetSeq(); after <= g.Head {
				u.takeMessage(m)
			}
		}
		if !page.GetHasMore() {
			return
		}
	}
}

// cameBack notes that the user is live, for the first time or again.
func (u *user) cameBack() {
	u.liveOnce.Do(func() { close(u.live) })
	if !u.lost.IsZero() {
		l := u.run.ledger
		l.back.add(u.index, time.Since(u.lost))
		l.away.Add(-1)
		u.lost = time.Time{}
	}
}

// wasCut notes that the user's stream was lost, unless it never was there, or has not come back.
func (u *user) wasCut() {
	select {
	case <-u.live:
	default:
		return
	}
	if u.lost.IsZero() {
		l := u.run.ledger
		l.reconnects.Add(1)
		l.away.Add(1)
		u.lost = time.Now()
	}
}

func (u *user) takeMessage(m *chatv1.Message) {
	u.take([]byte(m.GetContent()), m.GetSeq(), time.Since(u.run.start))
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
			r.ledger.expected.Add(int64(len(u.peers) + u.listeners))
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
				if wait := due - time.Since(r.start); wait > 0 && !Sleep(ctx, wait) {
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

// hurry ends the slowness of slow readers.
func (r *run) hurry() { r.hurried.Do(func() { close(r.sending.over) }) }

// settle waits until all is answered and has arrived and all users are there, or nothing has moved for settleFor.
func (r *run) settle(ctx context.Context) {
	r.cfg.progress("waiting for what is on its way")
	l := r.ledger
	still := time.Now()
	for last := int64(-1); time.Since(still) < settleFor; {
		answered, arrived, away := l.acknowledged.Load()+l.refused.Load(), l.arrived.Load(), l.away.Load()
		if answered == l.sent.Load() && arrived >= l.expected.Load() && away == 0 {
			return
		}
		if moved := answered + arrived - away; moved != last {
			last, still = moved, time.Now()
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
