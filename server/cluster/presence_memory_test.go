package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/natterjack-chat/natterjack/server/chat"
)

const (
	online  = chat.PresenceOnline
	away    = chat.PresenceAway
	offline = chat.PresenceOffline
)

// seenStore is a LastSeenStore in memory.
type seenStore struct {
	mu     sync.Mutex
	seen   map[chat.UserID]time.Time
	hidden map[chat.UserID]bool
	fail   error
	reads  int
	writes int
	gate   chan struct{} // not nil: answers wait for it to be closed
}

func newSeenStore() *seenStore {
	return &seenStore{seen: map[chat.UserID]time.Time{}, hidden: map[chat.UserID]bool{}}
}

func (s *seenStore) LastSeen(_ context.Context, users []chat.UserID) (map[chat.UserID]time.Time, map[chat.UserID]bool, error) {
	var gate chan struct{}
	s.set(func(s *seenStore) { gate = s.gate })
	if gate != nil {
		defer func() { <-gate }()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if s.fail != nil {
		return nil, nil, s.fail
	}
	seen, hidden := map[chat.UserID]time.Time{}, map[chat.UserID]bool{}
	for _, u := range users {
		if s.hidden[u] {
			hidden[u] = true
		} else if at, ok := s.seen[u]; ok {
			seen[u] = at
		}
	}
	return seen, hidden, nil
}

func (s *seenStore) SetLastSeen(_ context.Context, seen map[chat.UserID]time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if s.fail != nil {
		return s.fail
	}
	for u, at := range seen {
		if at.After(s.seen[u]) {
			s.seen[u] = at
		}
	}
	return nil
}

func (s *seenStore) set(change func(*seenStore)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// news records what the listeners of presence are told.
type news struct {
	mu   sync.Mutex
	told []chat.PresenceInfo
}

func (n *news) hear(i chat.PresenceInfo) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = append(n.told, i)
}

// since returns the states told since the last call, as "user:state".
func (n *news) since() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	for _, i := range n.told {
		out = append(out, fmt.Sprintf("%d:%d", i.User, i.State))
	}
	n.told = nil
	return out
}

type cleaner interface {
	Helper()
	Cleanup(func())
}

// startPresence runs presence without spread until the test, or stop, ends it.
func startPresence(t cleaner, store *seenStore) (p *MemoryPresence, n *news, stop func()) {
	t.Helper()
	p = NewMemoryPresence(PresenceConfig{Store: store, Logger: slog.New(slog.DiscardHandler), Linger: linger})
	n = &news{}
	p.OnChange(n.hear)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = p.Run(ctx)
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return p, n, stop
}

// linger is no whole number of seconds, so that nothing in the tests happens in the moment in which it ends.
const linger = 24500 * time.Millisecond

func wantTold(t *testing.T, n *news, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := n.since(); !slices.Equal(got, want) {
		t.Fatalf("told %q, want %q", got, want)
	}
}

func wantState(t *testing.T, p *MemoryPresence, user chat.UserID, state chat.PresenceState, seen time.Time) {
	t.Helper()
	got := p.Presence(t.Context(), []chat.UserID{user})
	if want := (chat.PresenceInfo{User: user, State: state, LastSeen: seen}); len(got) != 1 || got[0] != want {
		t.Fatalf("presence %+v, want %+v", got, want)
	}
}

func TestAUserIsOnlineWhileAnyDeviceIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n, _ := startPresence(t, newSeenStore())
		p.Connect(1, 11, away)
		wantTold(t, n, "1:2")
		p.Connect(1, 12, online)
		wantTold(t, n, "1:1")
		p.Connect(1, 13, online)
		p.Update(1, 12, away)
		wantTold(t, n)
		p.Update(1, 13, away)
		wantTold(t, n, "1:2")
		p.Update(1, 11, online)
		p.Update(1, 99, online) // no such stream
		p.Update(9, 11, online)
		wantTold(t, n, "1:1")
		p.Disconnect(1, 11, true)
		wantTold(t, n, "1:2")
		p.Disconnect(1, 12, true)
		p.Disconnect(1, 12, true)
		p.Disconnect(9, 12, true)
		wantTold(t, n)
		p.Disconnect(1, 13, true)
		wantTold(t, n, "1:3")
		wantState(t, p, 1, offline, time.Now())
	})
}

func TestALostConnectionLingersAndAGoodbyeDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n, _ := startPresence(t, newSeenStore())
		p.Connect(1, 11, online)
		p.Connect(2, 21, away)
		synctest.Wait()
		n.since()
		lost := time.Now()
		p.Disconnect(1, 11, false)
		p.Disconnect(2, 21, false)
		time.Sleep(20 * time.Second)
		wantTold(t, n)
		wantState(t, p, 1, online, time.Time{})
		wantState(t, p, 2, away, time.Time{})
		p.Connect(1, 12, online) // back in time
		time.Sleep(5 * time.Second)
		wantTold(t, n, "2:3")
		wantState(t, p, 2, offline, lost)
		time.Sleep(time.Minute)
		wantTold(t, n)
		p.Disconnect(1, 12, false)
		time.Sleep(time.Second)
		p.Connect(1, 13, online)
		p.Disconnect(1, 13, true)
		wantTold(t, n, "1:3")
		time.Sleep(time.Minute)
		wantTold(t, n)
	})
}

func TestLingerIsSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewMemoryPresence(PresenceConfig{Store: newSeenStore(), Logger: slog.New(slog.DiscardHandler)})
		ended := map[time.Duration]bool{}
		start := time.Now()
		var mu sync.Mutex
		p.OnChange(func(i chat.PresenceInfo) {
			mu.Lock()
			defer mu.Unlock()
			if i.State == offline {
				ended[time.Since(start)] = true
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = p.Run(ctx) }()
		for u := range chat.UserID(100) {
			p.Connect(u, 1, online)
		}
		synctest.Wait()
		for u := range chat.UserID(100) {
			p.Disconnect(u, 1, false)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(ended) < 50 {
			t.Fatalf("100 users ended at only %d moments", len(ended))
		}
		for at := range ended {
			if at < 20*time.Second || at > 30*time.Second {
				t.Fatalf("a user ended after %v", at)
			}
		}
	})
}

func TestWhoHidesLooksOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSeenStore()
		store.hidden[1] = true
		store.seen[1] = time.Now()
		p, n, _ := startPresence(t, store)
		wantState(t, p, 1, offline, time.Time{})
		p.Connect(1, 11, online)
		p.Connect(2, 21, online)
		wantState(t, p, 1, offline, time.Time{}) // also before the change is told
		wantTold(t, n, "2:1")
		wantState(t, p, 1, offline, time.Time{})

		p.SetHidden(1, false)
		p.SetHidden(2, true)
		p.SetHidden(3, true) // not connected: nothing changes
		synctest.Wait()
		got := n.since()
		slices.Sort(got)
		if !slices.Equal(got, []string{"1:1", "2:3"}) {
			t.Fatalf("told %q", got)
		}
		wantState(t, p, 1, online, time.Time{})
		wantState(t, p, 2, offline, time.Time{})
		p.Disconnect(2, 21, true)
		wantTold(t, n)
	})
}

func TestSetHiddenWhileItIsBeingReadWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSeenStore()
		gate := make(chan struct{})
		store.gate = gate
		p, n, _ := startPresence(t, store)
		p.Connect(1, 11, online)
		synctest.Wait()
		p.SetHidden(1, true)
		store.set(func(s *seenStore) { s.gate = nil })
		close(gate)
		wantTold(t, n)
		wantState(t, p, 1, offline, time.Time{})
	})
}

func TestWhatCanNotBeReadIsUnknownAndToldLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSeenStore()
		p, n, _ := startPresence(t, store)
		p.Connect(2, 21, online)
		wantTold(t, n, "2:1")
		store.set(func(s *seenStore) { s.fail = errors.New("down") })
		p.Connect(1, 11, online)
		wantTold(t, n)
		wantState(t, p, 1, chat.PresenceUnknown, time.Time{})
		wantState(t, p, 2, online, time.Time{})
		wantState(t, p, 3, offline, time.Time{})
		store.set(func(s *seenStore) { s.fail = nil })
		time.Sleep(retryHidden)
		wantTold(t, n, "1:1")
	})
}

func TestLastSeenIsGatheredBeforeItIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSeenStore()
		p, _, _ := startPresence(t, store)
		for u := range chat.UserID(50) {
			p.Connect(u, 1, online)
			p.Disconnect(u, 1, true)
		}
		left := time.Now()
		wantState(t, p, 7, offline, left)
		store.set(func(s *seenStore) { s.fail = errors.New("down") })
		time.Sleep(6 * time.Second)
		store.set(func(s *seenStore) { s.fail = nil })
		wantState(t, p, 7, offline, left)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if len(store.seen) != 50 || store.writes != 2 || !store.seen[7].Equal(left) {
			t.Fatalf("%d users stored in %d writes", len(store.seen), store.writes)
		}
		wantState(t, p, 7, offline, left)
		time.Sleep(time.Minute)
		synctest.Wait()
		if store.writes != 2 {
			t.Fatalf("%d writes of nothing new", store.writes-2)
		}
		store.set(func(s *seenStore) { s.seen[8] = left.Add(time.Hour) }) // by another node
		wantState(t, p, 8, offline, left.Add(time.Hour))
	})
}

func TestTheEndOfRunStoresEverybodyAsLastSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSeenStore()
		p, n, stop := startPresence(t, store)
		p.Connect(1, 11, online)
		p.Connect(2, 21, online)
		p.Disconnect(2, 21, false)
		lost := time.Now()
		time.Sleep(10 * time.Second)
		n.since()
		stop()
		if !store.seen[1].Equal(time.Now()) || !store.seen[2].Equal(lost) {
			t.Fatalf("stored %v", store.seen)
		}
		p.Disconnect(1, 11, false)
		time.Sleep(time.Minute)
		wantTold(t, n)
		wantState(t, p, 1, offline, store.seen[1])
	})
}

func TestAUserWhoIsGoneLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _, _ := startPresence(t, newSeenStore())
		for u := range chat.UserID(20) {
			p.Connect(u, 1, online)
			p.Disconnect(u, 1, u%2 == 0)
		}
		time.Sleep(time.Minute)
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.users)+len(p.changed)+len(p.seen) != 0 {
			t.Fatalf("left: %d users, %d changes, %d times", len(p.users), len(p.changed), len(p.seen))
		}
	})
}

// modelUser is a user as the reference model sees it.
type modelUser struct {
	streams  map[uint64]chat.PresenceState
	lingers  chat.PresenceState // the state that lingers; 0: none
	until    time.Time
	hidden   bool
	lastSeen time.Time
	told     chat.PresenceState
}

func (m *modelUser) visible() chat.PresenceState {
	state := offline
	switch {
	case m.hidden:
	case slices.Contains(slices.Collect(maps.Values(m.streams)), online):
		state = online
	case len(m.streams) > 0:
		state = away
	case m.lingers != 0 && time.Now().Before(m.until):
		state = m.lingers
	}
	return state
}

func (m *modelUser) disconnect(stream uint64, clean bool) {
	hidden := m.hidden
	m.hidden = false
	before := m.visible()
	m.hidden = hidden
	delete(m.streams, stream)
	if len(m.streams) > 0 {
		return
	}
	m.lastSeen, m.lingers = time.Now(), 0
	if !clean && !hidden {
		m.lingers, m.until = before, time.Now().Add(linger)
	}
}

// Several users with several devices that come, go, break off, idle and hide in any order, against a model: what is answered and what was
// told last are the model's state, and no state is told twice in a row.
func TestPresenceAgreesWithTheModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rapid.SyncTest(rt, func(rt *rapid.T) {
			store := newSeenStore()
			p, n, stop := startPresence(rt, store)
			users := map[chat.UserID]*modelUser{}
			for u := range chat.UserID(3) {
				users[u] = &modelUser{streams: map[uint64]chat.PresenceState{}, told: offline}
			}
			pick := func(t *rapid.T) (chat.UserID, *modelUser, uint64) {
				u := chat.UserID(rapid.IntRange(0, 2).Draw(t, "user"))
				return u, users[u], rapid.Uint64Range(1, 3).Draw(t, "stream")
			}
			rt.Repeat(map[string]func(*rapid.T){
				"": func(t *rapid.T) {
					synctest.Wait()
					for _, told := range n.since() {
						var u chat.UserID
						var state chat.PresenceState
						if _, err := fmt.Sscanf(told, "%d:%d", &u, &state); err != nil {
							t.Fatal(err)
						}
						if users[u].told == state {
							t.Fatalf("user %d was told twice as %d", u, state)
						}
						users[u].told = state
					}
					for u, m := range users {
						want := chat.PresenceInfo{User: u, State: m.visible()}
						if want.State == offline && !m.hidden {
							want.LastSeen = m.lastSeen
						}
						if got := p.Presence(context.Background(), []chat.UserID{u}); got[0] != want {
							t.Fatalf("presence %+v, want %+v", got[0], want)
						}
						if m.told != want.State {
							t.Fatalf("user %d was last told as %d and is %d", u, m.told, want.State)
						}
					}
				},
				"connect": func(t *rapid.T) {
					u, m, stream := pick(t)
					state := rapid.SampledFrom([]chat.PresenceState{online, away}).Draw(t, "state")
					m.streams[stream], m.lingers = state, 0
					p.Connect(u, stream, state)
				},
				"update": func(t *rapid.T) {
					u, m, stream := pick(t)
					state := rapid.SampledFrom([]chat.PresenceState{online, away}).Draw(t, "state")
					if _, ok := m.streams[stream]; ok {
						m.streams[stream] = state
					}
					p.Update(u, stream, state)
				},
				"disconnect": func(t *rapid.T) {
					u, m, stream := pick(t)
					clean := rapid.Bool().Draw(t, "clean")
					if _, ok := m.streams[stream]; ok {
						m.disconnect(stream, clean)
					}
					p.Disconnect(u, stream, clean)
				},
				"hide": func(t *rapid.T) {
					u, m, _ := pick(t)
					if m.hidden = rapid.Bool().Draw(t, "hidden"); m.hidden {
						m.lingers = 0
					}
					store.set(func(s *seenStore) { s.hidden[u] = m.hidden })
					p.SetHidden(u, m.hidden)
				},
				"time": func(t *rapid.T) {
					time.Sleep(time.Duration(rapid.IntRange(1, 30).Draw(t, "seconds")) * time.Second)
				},
			})
			stop()
			for u, m := range users {
				if len(m.streams) > 0 {
					m.lastSeen = time.Now()
				}
				if !store.seen[u].Equal(m.lastSeen) {
					rt.Fatalf("user %d is stored as last seen at %v, want %v", u, store.seen[u], m.lastSeen)
				}
			}
		})
	})
}
