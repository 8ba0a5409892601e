package chat

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestMarksInQuickSuccessionAreStoredTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeLog()
		f.heads[1] = Head{LastSeq: 100, LastOrdinal: 100}
		s := New(Config{Store: f, Publisher: new(published)})
		defer s.Close()
		var mu sync.Mutex
		var stored []Seq
		answers := func() []Seq {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(stored)
		}
		for seq := Seq(1); seq <= 50; seq++ {
			err := s.MarkAsync(t.Context(), alice, MarkRequest{1, seq, true}, func(r Receipt, err error) {
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				stored = append(stored, r.ReadSeq)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if got := answers(); len(got) != 1 || got[0] != 1 {
			t.Fatalf("at once: %v, want the first mark alone", got)
		}
		time.Sleep(markInterval)
		synctest.Wait()
		if got := answers(); len(got) != 50 || got[49] != 50 {
			t.Fatalf("after the window: %d answers", len(got))
		}
		if n := f.commits(); n != 2 {
			t.Errorf("%d transactions for 50 marks, want 2", n)
		}
		time.Sleep(10 * markInterval)
		synctest.Wait()
		if n := len(s.marker.windows); n != 0 {
			t.Errorf("%d windows stay open", n)
		}
	})
}

func TestCloseStoresTheMarksThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeLog()
		f.heads[1] = Head{LastSeq: 9}
		s := New(Config{Store: f, Publisher: new(published)})
		last := make(chan Receipt, 3)
		for seq := Seq(1); seq <= 3; seq++ {
			if err := s.MarkAsync(t.Context(), alice, MarkRequest{1, seq, false}, func(r Receipt, _ error) { last <- r }); err != nil {
				t.Fatal(err)
			}
		}
		s.Close()
		for range 2 {
			<-last
		}
		if r := <-last; r.DeliveredSeq != 3 || r.ReadSeq != 0 {
			t.Errorf("got %+v", r)
		}
		if err := s.MarkAsync(t.Context(), alice, MarkRequest{1, 1, true}, nil); !IsReason(err, ReasonUnavailable) {
			t.Errorf("after close: %v", err)
		}
	})
}

func TestMarkWaitsNoLongerThanItsCaller(t *testing.T) {
	f := newFakeLog()
	f.enter = make(chan struct{})
	s, _ := newTestService(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Mark(ctx, alice, MarkRequest{1, 1, true}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(f.enter)
	if r, err := s.Mark(t.Context(), alice, MarkRequest{1, 1, true}); err != nil || r.ReadSeq != 0 {
		t.Errorf("a mark above the head counts as the head, 0: got %+v, %v", r, err)
	}
}

func TestWhatIsTypedAfterAMessageIsShownToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeLog()
		s := New(Config{Store: f, Publisher: new(published)})
		defer s.Close()
		key := MemberKey{1, alice.User}
		if !s.typist.due(key, true) {
			t.Fatal("the first typing is not passed on")
		}
		time.Sleep(typingInterval / 2)
		if _, err := s.Send(t.Context(), alice, request(1, "quick")); err != nil {
			t.Fatal(err)
		}
		// The message has ended it for those who saw it.
		if !s.typist.due(key, true) {
			t.Error("typing right after a message is taken for a repetition")
		}
		if _, err := s.Send(t.Context(), alice, request(2, "quicker")); err != nil {
			t.Fatal(err)
		}
		if s.typist.due(key, true) {
			t.Error("messages in turn with typing are a way around the throttle")
		}
	})
}

func TestTypingIsThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newTypist(time.Now)
		key := MemberKey{1, 1}
		steps := []struct {
			wait   time.Duration
			typing bool
			want   bool
		}{
			{0, true, true},
			{time.Second, true, false},
			{time.Second, false, true},
			{0, false, false},
			{0, true, false},
			{typingInterval, true, true},
			{typingInterval, true, true},
		}
		for i, step := range steps {
			time.Sleep(step.wait)
			if got := y.due(key, step.typing); got != step.want {
				t.Errorf("step %d: due %v, want %v", i, got, step.want)
			}
		}
		time.Sleep(11 * typingInterval)
		y.due(MemberKey{2, 2}, true)
		if len(y.last) != 1 {
			t.Errorf("%d entries kept", len(y.last))
		}
	})
}
