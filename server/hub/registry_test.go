package hub

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

func TestEndedSessionsGetNothingButTheirGoodbye(t *testing.T) {
	ends := map[string]func(*Hub){
		"session": func(h *Hub) { h.EndSessions([]chat.SessionID{77, 1000}, GoodbyeSessionRevoked) },
		"user":    func(h *Hub) { h.EndUser(alice, GoodbyeSessionRevoked) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newMemoryLog()
				c := conv(0, 1)
				h := startHub(t, log, nil)
				synctest.Wait()
				a1, a2, b := live(t, h, alice, c), live(t, h, alice, c), live(t, h, bob, c)
				catching := open(t, h, Options{Caller: caller(alice), Device: "catching"})
				catching.Attach([]chat.ConversationID{c})
				mustEmit(t, catching, "old 1 1")
				h.Publish(log.commit(message(c)))
				synctest.Wait()
				end(h)
				h.Publish(log.commit(message(c)))
				h.Publish(log.commit(joining(conv(0, 2), alice)))
				synctest.Wait()
				for _, s := range []*Stream{a1, a2, catching} {
					select {
					case <-s.Done():
					default:
						t.Fatal("not ended")
					}
					s.Live(nil)
					s.Reply(NewFrame(h.encoder, []byte("ack\n")))
					s.Attach([]chat.ConversationID{c})
					s.Watch([]chat.UserID{bob})
					h.PresenceChanged(chat.PresenceInfo{User: bob})
					wantGoodbye(t, s, GoodbyeSessionRevoked)
					if err := s.Emit(t.Context(), NewFrame(h.encoder, nil)); !errors.Is(err, ErrClosed) {
						t.Fatalf("Emit: %v", err)
					}
				}
				wantTaken(t, b, "event 1 1, event 1 2")
			})
		})
	}
}

func TestAGoodbyeThatTakesNothingAwayComesAfterWhatIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		h := startHub(t, log, small(4))
		synctest.Wait()
		s := live(t, h, alice, c)
		h.Publish(log.commit(message(c), message(c), message(c), message(c), message(c)))
		synctest.Wait()
		s.End(GoodbyeIdle, 0)
		s.End(GoodbyeSessionRevoked, 0) // too late
		wantTaken(t, s, "event 1 1, event 1 2, event 1 3, event 1 4, resync 1 5, goodbye 6 0")
	})
}

func TestTheNewestStreamOfADeviceWins(t *testing.T) {
	tests := map[string]struct {
		first, second uint64
		refused       bool
	}{
		"in order":               {1, 2, false},
		"in the wrong order":     {2, 1, true},
		"the same attempt again": {2, 2, false},
		"without attempts":       {0, 0, false},
		"first without":          {0, 1, false},
		"second without":         {7, 0, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := startHub(t, newMemoryLog(), nil)
				synctest.Wait()
				o := Options{Caller: caller(alice), Device: "phone", Attempt: test.first}
				first := open(t, h, o)
				mustEmit(t, first, "old 1 1")
				o.Attempt = test.second
				second, err := h.Open(o)
				if test.refused {
					if !errors.Is(err, ErrSuperseded) || first.Reason() != 0 {
						t.Fatalf("second: %v, first ended: %d", err, first.Reason())
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(second.Close)
				wantGoodbye(t, first, GoodbyeSuperseded)
				if second.Reason() != 0 || h.Stats().Superseded != 1 {
					t.Fatalf("second ended: %d; stats %+v", second.Reason(), h.Stats())
				}
				first.Close()
				if second.ID() == first.ID() || second.Caller() != o.Caller || h.Stats().Streams != 1 {
					t.Fatalf("ids %d and %d, stats %+v", first.ID(), second.ID(), h.Stats())
				}
			})
		})
	}
}

func TestDevicesAndUsersAreToldApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startHub(t, newMemoryLog(), nil)
		synctest.Wait()
		session := func(u chat.UserID, s chat.SessionID) chat.Caller { return chat.Caller{User: u, Session: s} }
		all := []*Stream{
			open(t, h, Options{Caller: session(alice, 1), Device: "phone"}),
			open(t, h, Options{Caller: session(alice, 2), Device: "laptop"}),
			open(t, h, Options{Caller: session(bob, 3), Device: "phone"}),
			open(t, h, Options{Caller: session(alice, 4)}),
			open(t, h, Options{Caller: session(alice, 5)}),
			open(t, h, Options{Caller: session(alice, 5), Device: chat.SessionID(5).String()}),
		}
		for i, s := range all {
			if s.Reason() != 0 {
				t.Fatalf("stream %d was ended: %d", i, s.Reason())
			}
		}
		open(t, h, Options{Caller: session(alice, 4)})
		wantGoodbye(t, all[3], GoodbyeSuperseded)
	})
}

func TestAUserHasALimitedNumberOfStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startHub(t, newMemoryLog(), limited(func(l *Limits) { l.StreamsPerUser = 2 }))
		synctest.Wait()
		o := func(device string) Options { return Options{Caller: caller(alice), Device: device} }
		a := open(t, h, o("a"))
		open(t, h, o("b"))
		if _, err := h.Open(o("c")); !chat.IsReason(err, chat.ReasonLimitReached) {
			t.Fatalf("a stream too many: %v", err)
		}
		open(t, h, Options{Caller: caller(bob), Device: "a"})
		open(t, h, o("b")) // replaces one
		a.End(GoodbyeIdle, 0)
		open(t, h, o("c")) // one that has ended doesn't count
	})
}

func TestDrainEndsAllStreamsAndSpreadsTheirReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		h := startHub(t, log, nil)
		synctest.Wait()
		var all []*Stream
		for range 20 {
			all = append(all, live(t, h, alice, c))
		}
		h.Publish(log.commit(message(c)))
		synctest.Wait()
		done := make(chan error, 1)
		go func() { done <- h.Drain(context.Background(), time.Minute) }()
		synctest.Wait()
		if _, err := h.Open(Options{Caller: caller(bob)}); !chat.IsReason(err, chat.ReasonUnavailable) {
			t.Fatalf("Open while draining: %v", err)
		}
		delays := map[string]bool{}
		for _, s := range all {
			got := short(taken(s))
			delay, ok := strings.CutPrefix(got, "event 1 1, goodbye 1 ")
			if !ok {
				t.Fatalf("drained stream got %q", got)
			}
			delays[delay] = true
		}
		if len(delays) < len(all)/2 {
			t.Fatalf("only %d different delays", len(delays))
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := h.Drain(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("second Drain: %v", err)
		}
		for _, s := range all {
			s.Close()
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if err := h.Drain(context.Background(), 0); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTheEndOfRunEndsTheStreamsThatAreLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		h := New(Config{Encoder: textEncoder{}, Log: log, Limits: DefaultLimits()})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		<-h.Ready()
		s := live(t, h, alice, conv(0, 1))
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		wantGoodbye(t, s, GoodbyeDrain)
		for range shardQueue + 1 {
			h.Publish(log.commit(message(conv(0, 1)))) // returns, though nobody takes it
		}
	})
}

func TestSessionsWithStreamsAreListedAndCanBeEndedHereAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, _, _ := twoHubs(t, newMemoryLog())
		here, there, other := live(t, a, alice), live(t, b, alice), live(t, a, bob)
		got := a.Sessions()
		slices.Sort(got)
		want := []chat.SessionID{caller(alice).Session, caller(bob).Session}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("sessions %v, want %v", got, want)
		}
		a.EndSessionsHere([]chat.SessionID{caller(alice).Session}, GoodbyeSessionRevoked)
		synctest.Wait()
		wantGoodbye(t, here, GoodbyeSessionRevoked)
		if there.Reason() != 0 || other.Reason() != 0 {
			t.Error("other streams were ended")
		}
		here.Close()
		other.Close()
		if got := a.Sessions(); len(got) != 0 {
			t.Errorf("sessions %v are left", got)
		}
	})
}

func TestWatchedUsersAreThoseOfAnyStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _, _, _ := twoHubs(t, newMemoryLog())
		s := live(t, h, alice)
		s.Watch([]chat.UserID{bob, carol})
		if got := h.Watched([]chat.UserID{alice, bob}); !slices.Equal(got, []chat.UserID{bob}) {
			t.Errorf("watched: %v", got)
		}
		s.Close()
		if got := h.Watched([]chat.UserID{alice, bob, carol}); len(got) != 0 {
			t.Errorf("watched: %v", got)
		}
	})
}
