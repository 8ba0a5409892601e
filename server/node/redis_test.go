package node_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	authv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1"
	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/internal/testservers"
	"github.com/natterjack-chat/natterjack/server/node"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

// startTwo starts two nodes that have nothing in common but a database and a Redis.
func startTwo(t *testing.T, database, redis string, more ...nodetest.Option) []*nodetest.Server {
	t.Helper()
	options := append(more, nodetest.Config(func(c *node.Config) {
		c.DatabaseURL, c.RedisURL, c.MetricsListen, c.Drain.Spread = database, redis, "127.0.0.1:0", 0
	}))
	return []*nodetest.Server{nodetest.Start(t, options...), nodetest.Start(t, options...)}
}

// page reads a page of a node.
func page(t *testing.T, url string) (status int, body string) {
	t.Helper()
	return fetch(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, url)
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still waiting: %s", what)
		}
	}
}

// waitForRedis waits until the detail of readiness says so of Redis; the node is ready in any case.
func waitForRedis(t *testing.T, s *nodetest.Server, want string) {
	t.Helper()
	eventually(t, "redis is "+want, func() bool {
		status, body := page(t, s.URL+"/readyz")
		if status != http.StatusOK {
			t.Fatalf("not ready: %d %s", status, body)
		}
		return strings.Contains(body, `"redis":"`+want+`"`)
	})
}

func TestNodesServeWithoutRedisAndJoinWhenItIsThere(t *testing.T) {
	t.Parallel()
	redis := testservers.StartRedis(t)
	redis.Kill(t)
	nodes := startTwo(t, testservers.Postgres(t), redis.URL)
	one, two := nodes[0], nodes[1]
	waitForRedis(t, one, "unavailable")
	if _, body := page(t, one.Node.MetricsURL()); !strings.Contains(body, "natterjack_redis_up 0") {
		t.Error("metrics don't say that Redis is away")
	}
	ada, bob := one.SignUp("ada"), two.SignUp("bob")
	untilAda, untilBob := listen(t, one, ada, "a"), listen(t, two, bob, "b")
	id := direct(t, one, ada, bob)
	untilBob(func(e *chatv1.Event) bool { return e.GetSummary().GetConversation().GetId() == id })
	say := func(from *nodetest.Server, user *nodetest.User) {
		t.Helper()
		if _, err := from.Chat(binary, user).SendMessage(within(t), &chatv1.SendMessageRequest{
			ConversationId: id, ClientMessageId: nodetest.UUID(), Content: "hello",
		}); err != nil {
			t.Fatal(err)
		}
		for _, until := range []func(func(*chatv1.Event) bool) *chatv1.Event{untilAda, untilBob} {
			until(func(e *chatv1.Event) bool { return e.GetMessage() != nil })
		}
	}
	say(one, ada)
	say(two, bob)
	wantPresence(t, one, ada, ada, chatv1.PresenceState_PRESENCE_STATE_ONLINE)
	wantPresence(t, one, ada, bob, chatv1.PresenceState_PRESENCE_STATE_UNKNOWN)

	redis.Start(t)
	waitForRedis(t, one, "ok")
	waitForRedis(t, two, "ok")
	say(one, ada)
	wantPresence(t, one, ada, bob, chatv1.PresenceState_PRESENCE_STATE_ONLINE)
	wantPresence(t, two, bob, ada, chatv1.PresenceState_PRESENCE_STATE_ONLINE)
	eventually(t, "metrics say that Redis is there", func() bool { // which may be slow to answer now and then
		_, body := page(t, one.Node.MetricsURL())
		return strings.Contains(body, "natterjack_redis_up 1")
	})

	redis.Kill(t)
	waitForRedis(t, one, "unavailable")
	say(two, bob)
	wantPresence(t, one, ada, bob, chatv1.PresenceState_PRESENCE_STATE_UNKNOWN)
	// Nobody can tell the other node that a session has ended; it finds out.
	if _, err := one.Auth(binary, bob).SignOut(within(t), &authv1.SignOutRequest{}); err != nil {
		t.Fatal(err)
	}
	if g := untilBob(isGoodbye); g.GetGoodbye().GetReason() != chatv1.GoodbyeReason_GOODBYE_REASON_SESSION_REVOKED {
		t.Errorf("signed out on the other node, the stream got %v", g)
	}
	if _, err := two.Auth(binary, bob).GetAccount(within(t), &authv1.GetAccountRequest{}); connect.CodeOf(err) != connect.CodeUnauthenticated {
		t.Errorf("signed out on the other node, a call is answered %v", err)
	}
}

func direct(t *testing.T, s *nodetest.Server, a, b *nodetest.User) (id string) {
	t.Helper()
	made, err := s.Chat(binary, a).CreateConversation(within(t), &chatv1.CreateConversationRequest{
		Kind: chatv1.ConversationKind_CONVERSATION_KIND_DIRECT, MemberIds: []string{b.ID},
	})
	if err != nil {
		t.Fatal(err)
	}
	return made.GetConversation().GetId()
}

func wantPresence(t *testing.T, s *nodetest.Server, asks, of *nodetest.User, want chatv1.PresenceState) {
	t.Helper()
	eventually(t, of.Username+" is "+want.String(), func() bool {
		r, err := s.Chat(binary, asks).GetPresence(within(t), &chatv1.GetPresenceRequest{UserIds: []string{of.ID}})
		if err != nil || len(r.GetPresences()) != 1 {
			t.Fatalf("%v, %v", r, err)
		}
		return r.GetPresences()[0].GetState() == want
	})
}

// The sign-in limit is one for all nodes.
func TestNodesShareTheLimitOfSignIns(t *testing.T) {
	t.Parallel()
	nodes := startTwo(t, testservers.Postgres(t), testservers.StartRedis(t).URL)
	ada := nodes[0].SignUp("ada")
	waitForRedis(t, nodes[0], "ok")
	waitForRedis(t, nodes[1], "ok")
	wrong := 0
	for attempt := range 200 {
		_, err := nodes[attempt%2].Auth(binary, nil).SignIn(within(t), &authv1.SignInRequest{Username: ada.Username, Password: "not the password"})
		if connect.CodeOf(err) == connect.CodeResourceExhausted {
			break
		}
		wrong++
	}
	alone := countedAlone(t, nodes)
	if limit := node.DefaultConfig().Accounts.SignInsHere.Burst; wrong < limit || wrong > limit+alone {
		t.Errorf("%d attempts on two nodes, of %d; %d were counted alone", wrong, limit, alone)
	}
}

// countedAlone is how often nodes counted by themselves because Redis didn't answer in time, as it may on a busy machine.
func countedAlone(t *testing.T, nodes []*nodetest.Server) (alone int) {
	t.Helper()
	for _, n := range nodes {
		_, body := page(t, n.Node.MetricsURL())
		for line := range strings.Lines(body) {
			if count, is := strings.CutPrefix(strings.TrimSpace(line), "natterjack_redis_limits_here_total "); is {
				more, err := strconv.Atoi(count)
				if err != nil {
					t.Fatal(err)
				}
				alone += more
			}
		}
	}
	return alone
}

func TestNodesShareTheLimitOfRequests(t *testing.T) {
	t.Parallel()
	const rate, burst, portion = 1, 100, 10 // so slow that what comes back meanwhile hardly counts
	slow := nodetest.Config(func(c *node.Config) { c.RPC.UserRate, c.RPC.UserBurst = rate, burst })
	nodes := startTwo(t, testservers.Postgres(t), testservers.StartRedis(t).URL, slow)
	ada := nodes[0].SignUp("ada")
	waitForRedis(t, nodes[0], "ok")
	waitForRedis(t, nodes[1], "ok")
	start, allowed := time.Now(), 0
	for request := range 4 * burst {
		_, err := nodes[request%2].Auth(binary, ada).GetAccount(within(t), &authv1.GetAccountRequest{})
		if err == nil {
			allowed++
		} else if connect.CodeOf(err) != connect.CodeResourceExhausted {
			t.Fatal(err)
		}
	}
	// Each node gives one portion of its own.
	most := burst + (2+countedAlone(t, nodes))*portion + rate*int(time.Since(start).Seconds()+1)
	if allowed < burst || allowed > most {
		t.Errorf("two nodes allowed %d requests, of %d", allowed, burst)
	}
}
