package cluster

import (
	"context"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/internal/testservers"
)

// clusterUser is a user of several nodes as the reference model sees it.
type clusterUser struct {
	streams []map[uint64]chat.PresenceState // by node
	// lingers is the state that lingers, on the node where: 0: none. A user who is connected anywhere doesn't linger.
	lingers chat.PresenceState
	where   int
	hidden  bool
	// seen bounds when the user was last seen, inclusive.
	seenFrom, seenTo time.Time
	told             []chat.PresenceState // last by node; 0: nothing yet, which is right for offline
}

func newClusterUser(nodes int) *clusterUser {
	u := &clusterUser{}
	for range nodes {
		u.streams = append(u.streams, map[uint64]chat.PresenceState{})
		u.told = append(u.told, 0)
	}
	return u
}

func (u *clusterUser) connected() (state chat.PresenceState) {
	for _, streams := range u.streams {
		for _, s := range streams {
			if state != online {
				state = s
			}
		}
	}
	return state
}

func (u *clusterUser) visible() chat.PresenceState {
	switch state := u.connected(); {
	case u.hidden:
		return offline
	case state != 0:
		return state
	case u.lingers != 0:
		return u.lingers
	default:
		return offline
	}
}

func (u *clusterUser) disconnect(node int, stream uint64, clean bool, before time.Time) {
	state, ok := u.streams[node][stream]
	if !ok {
		return
	}
	delete(u.streams[node], stream)
	if u.connected() != 0 {
		return
	}
	u.seenFrom, u.seenTo = before.Truncate(time.Millisecond), time.Now()
	if !clean && !u.hidden {
		u.lingers, u.where = state, node
	}
}

// Users with several devices on several nodes that come, go, break off, linger, idle and hide in any order, while Redis forgets everything and drops its
// subscribers, against a model: after each step all nodes come to answer the model's state, to have told it last, and to let linger who lingers there.
func TestPresenceOverRedisAgreesWithTheModel(test *testing.T) {
	server, store := testservers.StartRedis(test), newSeenStore()
	var nodes []*node
	for range 3 {
		nodes = append(nodes, startNode(test, server.URL, "nj", store, func(p *RedisPresence) {
			p.times.beat, p.times.rebuild = 20*time.Millisecond, 200*time.Millisecond
		}))
	}
	next := chat.UserID(0)
	rapid.Check(test, func(rt *rapid.T) {
		users := map[chat.UserID]*clusterUser{}
		for range 3 {
			next++
			users[next] = newClusterUser(len(nodes))
		}
		first := next - 2
		pick := func(t *rapid.T) (chat.UserID, *clusterUser, int, uint64) {
			id := first + chat.UserID(rapid.IntRange(0, 2).Draw(t, "user"))
			return id, users[id], rapid.IntRange(0, len(nodes)-1).Draw(t, "node"), rapid.Uint64Range(1, 2).Draw(t, "stream")
		}
		rt.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				var differs string
				for deadline := time.Now().Add(patience); ; {
					if differs = disagreement(t, nodes, users); differs == "" {
						return
					}
					if time.Now().After(deadline) {
						t.Fatal(differs)
					}
				}
			},
			"connect": func(t *rapid.T) {
				id, u, n, stream := pick(t)
				state := rapid.SampledFrom([]chat.PresenceState{online, away}).Draw(t, "state")
				u.streams[n][stream], u.lingers = state, 0
				nodes[n].Connect(id, stream, state)
			},
			"update": func(t *rapid.T) {
				id, u, n, stream := pick(t)
				state := rapid.SampledFrom([]chat.PresenceState{online, away}).Draw(t, "state")
				if _, ok := u.streams[n][stream]; ok {
					u.streams[n][stream] = state
				}
				nodes[n].Update(id, stream, state)
			},
			"disconnect": func(t *rapid.T) {
				id, u, n, stream := pick(t)
				clean, before := rapid.Bool().Draw(t, "clean"), time.Now()
				nodes[n].Disconnect(id, stream, clean)
				u.disconnect(n, stream, clean, before)
			},
			"linger ends": func(t *rapid.T) {
				id, u, n, _ := pick(t)
				nodes[n].local.dropLinger(id)
				if u.lingers != 0 && u.where == n {
					u.lingers = 0
				}
			},
			"hide": func(t *rapid.T) {
				id, u, n, _ := pick(t)
				if u.hidden = rapid.Bool().Draw(t, "hidden"); u.hidden {
					u.lingers = 0
				}
				store.set(func(s *seenStore) { s.hidden[id] = u.hidden })
				nodes[n].SetHidden(id, u.hidden)
			},
			"fault": func(t *rapid.T) {
				switch rapid.IntRange(0, 9).Draw(t, "fault") {
				case 0:
					command(test, server.URL, "FLUSHALL")
				case 1:
					command(test, server.URL, "CLIENT", "KILL", "TYPE", "pubsub")
				}
			},
		})
		for id, u := range users {
			for n, streams := range u.streams {
				for stream := range streams {
					nodes[n].Disconnect(id, stream, true)
				}
				nodes[n].local.dropLinger(id)
			}
		}
	})
}

// disagreement says in what the nodes differ from the model; empty: in nothing.
func disagreement(t *rapid.T, nodes []*node, users map[chat.UserID]*clusterUser) string {
	for i, n := range nodes {
		for _, told := range n.news.since() {
			var id chat.UserID
			var state chat.PresenceState
			if _, err := fmt.Sscanf(told, "%d:%d", &id, &state); err != nil {
				t.Fatal(err)
			}
			if u := users[id]; u == nil {
				continue // of the run before
			} else if u.told[i] == state {
				t.Fatalf("node %d told twice that user %d is %d", i, id, state)
			} else {
				u.told[i] = state
			}
		}
		for id, u := range users {
			want := u.visible()
			got := n.Presence(context.Background(), []chat.UserID{id})[0]
			switch {
			case got.State != want:
				return fmt.Sprintf("node %d says that user %d is %d, and not %d", i, id, got.State, want)
			case u.told[i] != want && (u.told[i] != 0 || want != offline):
				return fmt.Sprintf("node %d told last that user %d is %d, and not %d", i, id, u.told[i], want)
			case want == offline && !u.hidden && (got.LastSeen.Before(u.seenFrom) || got.LastSeen.After(u.seenTo)):
				return fmt.Sprintf("node %d says that user %d was last seen at %v, and not from %v to %v", i, id, got.LastSeen, u.seenFrom, u.seenTo)
			case n.local.view(id).lingers != (u.lingers != 0 && u.where == i):
				return fmt.Sprintf("on node %d it isn't right whether user %d lingers", i, id)
			}
		}
	}
	return ""
}
