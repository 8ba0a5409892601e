package chat

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeLog stands in for the store's transaction: it shows decide a fixed conversation, and fails as told.
type fakeLog struct {
	Store
	shards int
	enter  chan struct{} // if set, received from before each commit
	fail   func(Reads) error

	mu      sync.Mutex
	members map[MemberKey]*Member
	heads   map[ConversationID]Head
	stored  map[ClientKey]Message
	batches int
	no      int64
	lookups int
}

func newFakeLog() *fakeLog {
	return &fakeLog{
		shards: 1, members: make(map[MemberKey]*Member), heads: make(map[ConversationID]Head), stored: make(map[ClientKey]Message),
	}
}

func (f *fakeLog) Shards() int { return f.shards }

func (f *fakeLog) Commit(_ context.Context, r Reads, decide func(*View) (*Writes, error)) ([]Batch, error) {
	if f.enter != nil {
		<-f.enter
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	v := &View{
		Conversations: map[ConversationID]*ConversationState{}, CreateKeys: map[string]ConversationID{}, Members: map[MemberKey]*Member{},
		Messages: map[MessageKey]*Message{}, ClientIDs: map[ClientKey]*Message{}, Users: map[UserID]User{}, Ordinals: map[MessageKey]int64{},
	}
	for _, id := range r.Conversations {
		v.Conversations[id] = &ConversationState{Conversation{ID: id, Kind: Group}, f.heads[id]}
	}
	for _, k := range r.Members {
		v.Members[k] = &Member{Conversation: k.Conversation, User: k.User, Role: Regular, JoinedSeq: 1}
	}
	for _, k := range r.ClientIDs {
		if m, ok := f.stored[k]; ok {
			v.ClientIDs[k] = &m
		}
	}
	if len(r.ClientIDs) > 0 {
		f.lookups++
	}
	w, err := decide(v)
	if err != nil || w.Empty() {
		return nil, err
	}
	for _, e := range w.Events {
		if _, ok := f.stored[ClientKey{e.Conversation, e.Actor, e.Message.ClientID}]; ok {
			return nil, ErrClientIDTaken
		}
	}
	var failed error
	if f.fail != nil {
		failed = f.fail(r)
	}
	if failed != nil && !IsReason(failed, ReasonOutcomeUnknown) {
		return nil, failed
	}
	for _, e := range w.Events {
		f.stored[ClientKey{e.Conversation, e.Actor, e.Message.ClientID}] = *e.Message
	}
	for _, c := range w.Heads {
		f.heads[c.ID] = c.Head
	}
	f.batches++
	f.no++
	return []Batch{{No: f.no}}, failed
}

func (f *fakeLog) commits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.batches
}

// published collects what a committer publishes.
type published struct {
	mu      sync.Mutex
	batches []Batch
}

func (p *published) Publish(b Batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.batches = append(p.batches, b)
}

func (p *published) Typing(ConversationID, UserID, bool) {}

func (p *published) seqs() (seqs []Seq) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.batches {
		for _, e := range b.Events {
			seqs = append(seqs, e.Seq)
		}
	}
	return seqs
}

func newTestService(t *testing.T, f Store) (*Service, *published) {
	t.Helper()
	p := new(published)
	s := New(Config{Store: f, Publisher: p, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(s.Close)
	return s, p
}

func uuid(n byte) UUID { return UUID{15: n} }

var alice = Caller{User: 1}

func request(n byte, content string) SendRequest {
	return SendRequest{Conversation: 1, ClientID: uuid(n), Content: content}
}

func TestWhatWaitsGoesIntoOneTransaction(t *testing.T) {
	f := newFakeLog()
	f.enter = make(chan struct{})
	s, p := newTestService(t, f)
	const total = 100
	results := make(chan Seq, total)
	for i := range byte(total) {
		if err := s.SendAsync(t.Context(), alice, request(i, "hi"), func(sent Sent, err error) {
			if err != nil {
				t.Error(err)
			}
			// Acknowledged means committed and published.
			if !slices.Contains(p.seqs(), sent.Message.Seq) {
				t.Errorf("seq %d acknowledged before it was published", sent.Message.Seq)
			}
			results <- sent.Message.Seq
		}); err != nil {
			t.Fatal(err)
		}
	}
	close(f.enter)
	for want := Seq(1); want <= total; want++ {
		if got := <-results; got != want {
			t.Fatalf("acknowledged seq %d, want %d: the order of submission is kept", got, want)
		}
	}
	if n := f.commits(); n > 2 {
		t.Errorf("%d transactions for %d waiting messages, want at most 2", n, total)
	}
}

func TestRefusedChangeFailsAlone(t *testing.T) {
	f := newFakeLog()
	s, _ := newTestService(t, f)
	_, err := s.Send(t.Context(), alice, SendRequest{Conversation: 1, ClientID: uuid(1), Content: "hi", ReplyTo: 99})
	if !IsReason(err, ReasonInvalidField) {
		t.Fatalf("reply to nothing: %v", err)
	}
	sent, err := s.Send(t.Context(), alice, request(2, "hi"))
	if err != nil || sent.Message.Seq != 1 {
		t.Fatalf("got %v, %v: a refused change must not take a seq", sent.Message.Seq, err)
	}
}

func TestSameClientIDGivesTheSameMessage(t *testing.T) {
	f := newFakeLog()
	s, p := newTestService(t, f)
	first, err := s.Send(t.Context(), alice, request(1, "hi"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Send(t.Context(), alice, request(1, "hi"))
	if err != nil || !again.Duplicate || again.Message.Seq != first.Message.Seq {
		t.Fatalf("got %+v, %v", again, err)
	}
	if _, err := s.Send(t.Context(), alice, request(1, "something else")); !IsReason(err, ReasonIDReused) {
		t.Fatalf("the same id for another text: %v", err)
	}
	if got := p.seqs(); !slices.Equal(got, []Seq{1}) {
		t.Fatalf("published %v", got)
	}
}

func TestDuplicatesWithinOneBatch(t *testing.T) {
	f := newFakeLog()
	f.enter = make(chan struct{})
	s, p := newTestService(t, f)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if sent, err := s.Send(context.Background(), alice, request(7, "hi")); err != nil || sent.Message.Seq != 1 {
				t.Errorf("got seq %d, %v", sent.Message.Seq, err)
			}
		})
	}
	close(f.enter)
	wg.Wait()
	if got := p.seqs(); !slices.Equal(got, []Seq{1}) {
		t.Fatalf("published %v", got)
	}
}

func TestPoisonIsFoundByHalving(t *testing.T) {
	f := newFakeLog()
	f.enter = make(chan struct{})
	poison := ConversationID(5)
	f.fail = func(r Reads) error {
		if slices.Contains(r.Conversations, poison) {
			return errors.New("invalid byte sequence")
		}
		return nil
	}
	s, _ := newTestService(t, f)
	errs := make([]error, 10)
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Add(1)
		r := SendRequest{Conversation: ConversationID(i), ClientID: uuid(1), Content: "x"}
		if err := s.SendAsync(t.Context(), alice, r, func(_ Sent, err error) { errs[i] = err; wg.Done() }); err != nil {
			t.Fatal(err)
		}
	}
	close(f.enter)
	wg.Wait()
	for i, err := range errs {
		if (err != nil) != (ConversationID(i) == poison) {
			t.Errorf("change %d: %v", i, err)
		}
	}
}

func TestUnknownOutcomeIsLookedUp(t *testing.T) {
	f := newFakeLog()
	failures := 1
	f.fail = func(Reads) error {
		if failures--; failures >= 0 {
			return OutcomeUnknown(errors.New("connection lost at commit")) // and stored all the same
		}
		return nil
	}
	s, _ := newTestService(t, f)
	sent, err := s.Send(t.Context(), alice, request(1, "hi"))
	if err != nil || sent.Message.Seq != 1 {
		t.Fatalf("got %+v, %v", sent, err)
	}
	if f.lookups == 0 {
		t.Fatal("acknowledged without looking the id up")
	}
}

func TestUnknownOutcomeThatStaysUnknownIsSaidToBe(t *testing.T) {
	f := newFakeLog()
	f.fail = func(Reads) error { return OutcomeUnknown(nil) }
	s, _ := newTestService(t, f)
	c := &op{conversation: 1, reads: func(r *readSet, _ bool) { r.member(1, 1) }}
	_, err := perform(t.Context(), s.committer, c, func(t *tx) (Sent, error) { return t.send(1, request(1, "x")) })
	if !IsReason(err, ReasonOutcomeUnknown) {
		t.Fatalf("a change that can't be repeated: %v", err)
	}
}

// goneLog loses its connection at the first commit, and can't be reached then.
type goneLog struct {
	*fakeLog
	calls int
}

func (g *goneLog) Commit(ctx context.Context, r Reads, decide func(*View) (*Writes, error)) ([]Batch, error) {
	if g.calls++; g.calls > 1 {
		return nil, Unavailable(errors.New("no connection"))
	}
	_, err := g.fakeLog.Commit(ctx, r, decide)
	return nil, errors.Join(err, OutcomeUnknown(errors.New("connection lost at commit")))
}

func TestUnknownOutcomeThatCannotBeLookedUpStaysUnknown(t *testing.T) {
	s, _ := newTestService(t, &goneLog{fakeLog: newFakeLog()})
	if _, err := s.Send(t.Context(), alice, request(1, "hi")); !IsReason(err, ReasonOutcomeUnknown) {
		t.Fatalf("of a message that is stored it was said: %v", err)
	}
}

func TestUnavailableStoreAnswersAll(t *testing.T) {
	f := newFakeLog()
	f.fail = func(Reads) error { return StoreFull(nil) }
	s, p := newTestService(t, f)
	if _, err := s.Send(t.Context(), alice, request(1, "hi")); !IsReason(err, ReasonStoreFull) {
		t.Fatalf("got %v", err)
	}
	if len(p.seqs()) != 0 {
		t.Fatal("published what was not stored")
	}
}

func TestCloseCarriesOutWhatWasAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeLog()
		s := New(Config{Store: f, Publisher: new(published), Logger: slog.New(slog.DiscardHandler)})
		var mu sync.Mutex
		answered := 0
		for i := range byte(20) {
			if err := s.SendAsync(t.Context(), alice, request(i, "hi"), func(_ Sent, err error) {
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					answered++
				}
			}); err != nil {
				t.Fatal(err)
			}
		}
		s.Close()
		if answered != 20 {
			t.Errorf("%d of 20 accepted changes carried out", answered)
		}
		if _, err := s.Send(t.Context(), alice, request(99, "late")); !IsReason(err, ReasonUnavailable) {
			t.Errorf("after close: %v", err)
		}
	})
}

func TestCallerThatGoesAwayDoesNotStopTheChange(t *testing.T) {
	f := newFakeLog()
	f.enter = make(chan struct{})
	s, p := newTestService(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// The queue has room, so select may take either branch; only the waiting is cut short.
	_, err := s.Send(ctx, alice, request(1, "hi"))
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	close(f.enter)
	if _, err := s.Send(t.Context(), alice, request(2, "hi")); err != nil {
		t.Fatal(err)
	}
	if n := len(p.seqs()); n < 1 || n > 2 {
		t.Fatalf("published %d", n)
	}
}

// TestCommitterProperties sends from many goroutines through a log that fails at random, and checks that what was acknowledged was
// published once, in order and without gaps.
func TestCommitterProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFakeLog()
		failAt := rapid.SliceOfN(rapid.IntRange(0, 3), 1, 30).Draw(rt, "failures")
		calls := 0
		f.fail = func(Reads) error {
			kind := failAt[calls%len(failAt)]
			calls++
			switch kind {
			case 1:
				return Unavailable(nil)
			case 2:
				return OutcomeUnknown(nil)
			default:
				return nil
			}
		}
		p := new(published)
		s := New(Config{Store: f, Publisher: p, Logger: slog.New(slog.DiscardHandler)})
		defer s.Close()
		var mu sync.Mutex
		acked := map[UUID]Seq{}
		var wg sync.WaitGroup
		for w := range byte(4) {
			wg.Go(func() {
				for i := range byte(10) {
					id := UUID{14: w, 15: i}
					sent, err := s.Send(context.Background(), alice, SendRequest{Conversation: 1, ClientID: id, Content: "x"})
					if err == nil {
						mu.Lock()
						acked[id] = sent.Message.Seq
						mu.Unlock()
					}
				}
			})
		}
		wg.Wait()
		f.mu.Lock()
		defer f.mu.Unlock()
		seqs := map[Seq]bool{}
		for _, m := range f.stored {
			if seqs[m.Seq] {
				rt.Fatalf("seq %d twice", m.Seq)
			}
			seqs[m.Seq] = true
		}
		for s := Seq(1); s <= Seq(len(f.stored)); s++ {
			if !seqs[s] {
				rt.Fatalf("seq %d missing", s)
			}
		}
		for id, seq := range acked {
			if f.stored[ClientKey{1, 1, id}].Seq != seq {
				rt.Fatalf("acknowledged %d, stored %d", seq, f.stored[ClientKey{1, 1, id}].Seq)
			}
		}
	})
}
