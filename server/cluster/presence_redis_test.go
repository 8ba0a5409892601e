package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/internal/testservers"
)

const unknown = chat.PresenceUnknown

// quick are timings for tests: as the defaults, but shorter.
func quick() timings {
	return timings{
		beat: 100 * time.Millisecond, lease: 500 * time.Millisecond, gather: 2 * time.Millisecond, rebuild: 2500 * time.Millisecond, round: 30 * time.Second,
		witness: 100 * time.Millisecond, alive: 500 * time.Millisecond,
	}
}

// node is one node's presence over Redis, as a test sees it.
type node struct {
	*RedisPresence
	conn *Redis
	news *news
	stop func() // ends it as SIGTERM does
	kill func() // ends it as SIGKILL does: Redis isn't told
}

// startNode starts presence with a connection of its own. Linger is as long as a test, unless change makes it shorter, and Redis counts as away
// only where change has the usual times for that.
func startNode(t testing.TB, url, prefix string, store *seenStore, change ...func(*RedisPresence)) *node {
	t.Helper()
	r := openRedis(t, url, prefix, patient)
	p := r.Presence(RedisPresenceConfig{PresenceConfig: PresenceConfig{
		Store: store, Logger: slog.New(slog.DiscardHandler), Linger: time.Hour, FlushEvery: 20 * time.Millisecond,
	}})
	p.times = quick()
	for _, c := range change {
		c(p)
	}
	n := &node{RedisPresence: p, conn: r, news: &news{}}
	p.OnChange(n.news.hear)
	stopRedis := run(t, r.Run)
	stopPresence := run(t, p.Run)
	n.stop = func() { stopPresence(); stopRedis() }
	n.kill = func() { stopRedis(); stopPresence() }
	eventually(t, "presence has found Redis", n.isBack)
	return n
}

// comeback is a short linger that still leaves a slow machine time to have a user back before it ends.
const comeback = 5 * time.Second

// impatient notices that Redis is away as soon as a node outside of tests does.
func impatient(p *RedisPresence) {
	p.redis.waits = defaultWaits()
	p.redis.options.ConnWriteTimeout, p.redis.options.Dialer.Timeout = answerTimeout, dialTimeout
}

// isBack reports whether presence knows Redis to be there.
func (n *node) isBack() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.away && n.own != "" && n.conn.Check(context.Background()) == nil
}

func lingerFor(d time.Duration) func(*RedisPresence) {
	return func(p *RedisPresence) { p.linger, p.local.linger = d, d }
}

// watching has a node follow these users and no others.
func watching(these ...chat.UserID) func(*RedisPresence) {
	return func(p *RedisPresence) {
		p.watched = func(users []chat.UserID) (watched []chat.UserID) {
			for _, user := range users {
				if slices.Contains(these, user) {
					watched = append(watched, user)
				}
			}
			return watched
		}
	}
}

func (n *node) state(user chat.UserID) chat.PresenceState {
	return n.Presence(context.Background(), []chat.UserID{user})[0].State
}

func (n *node) wantState(t testing.TB, user chat.UserID, want chat.PresenceState) {
	t.Helper()
	eventually(t, fmt.Sprintf("user %d is %d", user, want), func() bool { return n.state(user) == want })
}

// told waits until the node has told exactly this since the last call.
func (n *node) wantTold(t testing.TB, want ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("told %q", want), func() bool {
		n.news.mu.Lock()
		defer n.news.mu.Unlock()
		return len(n.news.told) >= len(want)
	})
	if got := n.news.since(); !slices.Equal(got, want) {
		t.Fatalf("told %q, want %q", got, want)
	}
}

// wantFirst waits until the node has told of so many users for the first time. Whoever asks before that may be told instead.
func (n *node) wantFirst(t testing.TB, users int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d users are told of", users), func() bool {
		n.news.mu.Lock()
		defer n.news.mu.Unlock()
		return len(n.news.told) >= users
	})
	if told := n.news.since(); len(told) != users {
		t.Fatalf("told %q", told)
	}
}

// places are where presence has to work.
var places = map[string]func(t *testing.T) (url string){
	"redis":         func(t *testing.T) string { return testservers.Redis(t) },
	"redis cluster": clusterURL,
}

func TestUsersOfOneNodeAreSeenFromAnother(t *testing.T) {
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			url, prefix, store := place(t), freshPrefix(), newSeenStore()
			a, b := startNode(t, url, prefix, store), startNode(t, url, prefix, store)
			a.Connect(1, 11, online)
			b.wantTold(t, "1:1")
			a.wantTold(t, "1:1")
			both := func(want string) {
				t.Helper()
				a.wantTold(t, want)
				b.wantTold(t, want)
			}
			a.Update(1, 11, away)
			both("1:2")
			b.Connect(1, 12, online) // another device
			both("1:1")
			b.Disconnect(1, 12, true)
			both("1:2")
			a.Disconnect(1, 11, true)
			both("1:3")
			seen := b.Presence(t.Context(), []chat.UserID{1})[0].LastSeen
			if since := time.Since(seen); since < 0 || since > patience {
				t.Errorf("last seen at %v", seen)
			}
			// A node that comes later sees what there is.
			a.Connect(2, 21, away)
			b.wantTold(t, "2:2")
			c := startNode(t, url, prefix, store)
			c.wantState(t, 2, away)
			c.wantState(t, 1, offline)
		})
	}
}

func TestAReconnectToAnotherNodeIsNotSeen(t *testing.T) {
	url, prefix, store := testservers.Redis(t), freshPrefix(), newSeenStore()
	a, b := startNode(t, url, prefix, store), startNode(t, url, prefix, store)
	a.Connect(1, 11, online)
	b.wantTold(t, "1:1")
	a.Disconnect(1, 11, false)
	b.Connect(1, 12, online)
	eventually(t, "the linger on the first node ends", func() bool { return !a.local.view(1).here })
	b.wantState(t, 1, online)
	b.Disconnect(1, 12, true) // a goodbye counts at once
	b.wantTold(t, "1:3")
	a.wantTold(t, "1:1", "1:3")
}

func TestAKilledNodesUsersGoOfflineByThemselves(t *testing.T) {
	url, prefix, store := testservers.Redis(t), freshPrefix(), newSeenStore()
	short := lingerFor(comeback)
	a, b, c := startNode(t, url, prefix, store, short), startNode(t, url, prefix, store, short), startNode(t, url, prefix, store, short)
	a.Connect(1, 11, online)
	a.Connect(2, 21, online)
	for user := range chat.UserID(200) { // enough for several calls of the script
		a.Connect(100+16*user, 1, online)
	}
	b.wantFirst(t, 202)
	c.wantFirst(t, 202)
	a.kill()
	c.Connect(2, 22, online) // back elsewhere, in time
	b.wantState(t, 1, offline)
	c.wantState(t, 1, offline)
	b.wantState(t, 100+16*199, offline)
	for _, n := range []*node{b, c} {
		eventually(t, "all are told", func() bool {
			n.news.mu.Lock()
			defer n.news.mu.Unlock()
			return len(n.news.told) >= 201
		})
		told := n.news.since()
		if len(told) != 201 || !slices.Contains(told, "1:3") || slices.Contains(told, "2:3") {
			t.Errorf("told %d times: %q", len(told), told)
		}
	}
	eventually(t, "one of the nodes clears up", func() bool { return b.conn.Stats().PresenceReaped+c.conn.Stats().PresenceReaped > 0 })
	eventually(t, "it is stored when they were last seen", func() bool {
		store.mu.Lock()
		defer store.mu.Unlock()
		return !store.seen[1].IsZero() && !store.seen[100+16*199].IsZero()
	})
	keys, err := command(t, url, "KEYS", prefix+":*"+a.own+"*").AsStrSlice()
	keys = slices.DeleteFunc(keys, func(key string) bool { return key == b.redis.keys.reap(a.own) }) // that ends by itself
	if err != nil || len(keys) > 0 {
		t.Errorf("the dead node left %q behind: %v", keys, err)
	}
}

func TestAStoppedNodesUsersCanComeBackUnseen(t *testing.T) {
	url, prefix, store := testservers.Redis(t), freshPrefix(), newSeenStore()
	short := lingerFor(comeback)
	a, b := startNode(t, url, prefix, store, short), startNode(t, url, prefix, store, short)
	a.Connect(1, 11, online)
	a.Connect(2, 21, online)
	b.wantFirst(t, 2)
	a.Disconnect(1, 11, false)
	a.Disconnect(2, 21, false)
	a.stop()
	b.Connect(1, 12, online)
	b.wantTold(t, "2:3")
}

func TestWithRedisAwayOtherNodesUsersAreUnknownAndOnesOwnAreNot(t *testing.T) {
	server, store := testservers.StartRedis(t), newSeenStore()
	rebuild := func(p *RedisPresence) { p.times.rebuild = 8 * time.Second } // a node that notices late tells its users within that
	a := startNode(t, server.URL, "nj", store, impatient, rebuild)
	b := startNode(t, server.URL, "nj", store, impatient, rebuild, watching(1, 2))
	a.Connect(1, 11, online)
	b.Connect(2, 21, online)
	b.wantFirst(t, 2)
	for name, fault := range map[string]struct{ begin, end func(testing.TB) }{
		"killed": {server.Kill, server.Start}, "paused": {server.Pause, server.Resume},
	} {
		fault.begin(t)
		b.wantTold(t, "1:4")
		b.wantState(t, 1, unknown)
		b.wantState(t, 3, unknown)
		b.wantState(t, 2, online)
		b.Update(2, 21, away)
		b.wantTold(t, "2:2")
		a.Connect(4, 41, online) // nobody hears of it yet
		a.Disconnect(4, 41, true)
		a.Connect(5, 51, online)
		fault.end(t)
		for _, n := range []*node{a, b} {
			n.wantState(t, 1, online)
			n.wantState(t, 2, away)
			n.wantState(t, 3, offline)
			n.wantState(t, 4, offline)
			n.wantState(t, 5, online)
		}
		eventually(t, "it is told who is back", func() bool {
			told := b.news.since()
			if slices.Contains(told, "1:3") || slices.Contains(told, "2:3") {
				t.Fatalf("%s: told %q", name, told)
			}
			return slices.Contains(told, "1:1")
		})
		b.Update(2, 21, online)
		b.wantTold(t, "2:1")
	}
}

func TestWhatRedisForgetsIsToldAgainAndNobodySeesIt(t *testing.T) {
	server, store := testservers.StartRedis(t), newSeenStore()
	long := func(p *RedisPresence) { p.times.rebuild = time.Hour } // however long it takes until all is told again
	a, b := startNode(t, server.URL, "nj", store, long), startNode(t, server.URL, "nj", store, long)
	for user := range chat.UserID(100) {
		a.Connect(user+1, 1, online)
	}
	b.wantFirst(t, 100)
	for range 3 {
		lost := b.conn.Stats().PresenceLosses
		command(t, server.URL, "FLUSHALL")
		eventually(t, "the loss is noticed", func() bool { return b.conn.Stats().PresenceLosses > lost })
		for user := range chat.UserID(100) {
			if state := b.state(user + 1); state != online {
				t.Fatalf("user %d, who is followed, is %d", user+1, state)
			}
		}
		eventually(t, "everything is there again", func() bool {
			keys, err := command(t, server.URL, "KEYS", "nj:*:u:*").AsStrSlice()
			return err == nil && len(keys) == 100
		})
	}
	if told := b.news.since(); len(told) != 0 {
		t.Errorf("told %q", told)
	}
	a.Update(1, 1, away)
	b.wantTold(t, "1:2")
}

// A user whom nobody follows is read from what Redis has, which for a moment is not all.
func TestAfterALossWhoIsNotThereIsUnknownUntilAllHaveToldAgain(t *testing.T) {
	server, store := testservers.StartRedis(t), newSeenStore()
	slow := func(p *RedisPresence) { p.times.beat, p.times.lease = time.Hour, time.Hour }
	a := startNode(t, server.URL, "nj", store, slow)
	b := startNode(t, server.URL, "nj", store, watching())
	a.Connect(1, 1, online)
	b.wantState(t, 1, online)
	b.wantState(t, 2, offline)
	b.mu.Lock()
	b.times.rebuild = time.Hour
	b.mu.Unlock()
	command(t, server.URL, "FLUSHALL")
	if state := b.state(1); state == offline {
		t.Error("an online user was taken for offline")
	}
	if state := b.state(2); state != unknown {
		t.Errorf("state %d of a user of whom nothing is known", state)
	}
	b.wantState(t, 1, online)
}

func TestMessagesThatWereLostAreMadeUpFor(t *testing.T) {
	server, store := testservers.StartRedis(t), newSeenStore()
	a, b := startNode(t, server.URL, "nj", store), startNode(t, server.URL, "nj", store)
	a.Connect(1, 11, online)
	b.wantTold(t, "1:1")
	for range 5 {
		begun := b.conn.Stats().Subscriptions
		command(t, server.URL, "CLIENT", "KILL", "TYPE", "pubsub")
		a.Update(1, 11, away)
		b.wantTold(t, "1:2")
		a.Update(1, 11, online)
		b.wantTold(t, "1:1")
		eventually(t, "subscribed anew", func() bool { return b.conn.Stats().Subscriptions > begun && b.isBack() && a.isBack() })
	}
}

func TestANodeThatWasPausedTellsItsUsersAnew(t *testing.T) {
	url, prefix, store := testservers.Redis(t), freshPrefix(), newSeenStore()
	a := startNode(t, url, prefix, store)
	b := startNode(t, url, prefix, store, lingerFor(100*time.Millisecond))
	a.Connect(1, 11, online)
	b.wantTold(t, "1:1")
	// What a pause leaves: no lease any more, and entries that others removed.
	name := a.name()
	a.mu.Lock()
	a.away = true // as good as paused: it tells nothing
	a.mu.Unlock()
	command(t, url, "DEL", a.redis.keys.lease(name))
	eventually(t, "it has a new name", func() bool { return a.name() != name })
	b.wantState(t, 1, online)
	eventually(t, "nothing is left under the old name", func() bool {
		keys, err := command(t, url, "KEYS", prefix+":*"+name).AsStrSlice()
		fields, err2 := command(t, url, "HGETALL", a.redis.keys.user(1)).AsStrMap()
		return err == nil && err2 == nil && len(keys) == 0 && fields[name] == "" && fields[a.name()] == "o"
	})
	a.Disconnect(1, 11, true)
	b.wantState(t, 1, offline)
}

func TestHidingIsSeenEverywhere(t *testing.T) {
	url, prefix, store := testservers.Redis(t), freshPrefix(), newSeenStore()
	a, b := startNode(t, url, prefix, store), startNode(t, url, prefix, store)
	both := func(want string) {
		t.Helper()
		a.wantTold(t, want)
		b.wantTold(t, want)
	}
	a.Connect(1, 11, online)
	both("1:1")
	hide := func(hidden bool) {
		store.set(func(s *seenStore) { s.hidden[1] = hidden })
		b.SetHidden(1, hidden) // on the node that doesn't have the user
	}
	hide(true)
	both("1:3")
	for _, n := range []*node{a, b} {
		if got := n.Presence(t.Context(), []chat.UserID{1})[0]; got != (chat.PresenceInfo{User: 1, State: offline}) {
			t.Errorf("%+v", got)
		}
	}
	fields, err := command(t, url, "HGETALL", a.redis.keys.user(1)).AsStrMap()
	if err != nil || fields["s"] != "" || fields[a.name()] != "" {
		t.Errorf("Redis knows %v: %v", fields, err)
	}
	hide(false)
	both("1:1")
}
