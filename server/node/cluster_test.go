package node_test

import (
	"context"
	"testing"
	"time"

	"connectrpc.com/connect"

	authv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1"
	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/internal/testservers"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

// listen opens a stream and returns a function that waits for an event: a minute at most, however long the stream has been there.
func listen(t *testing.T, s *nodetest.Server, u *nodetest.User, device string) (until func(func(*chatv1.Event) bool) *chatv1.Event) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	stream, err := s.Chat(binary, u).Subscribe(ctx, &chatv1.SubscribeRequest{Hello: &chatv1.Hello{DeviceId: device}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stream.Close() })
	var queue []*chatv1.Event
	until = func(match func(*chatv1.Event) bool) *chatv1.Event {
		t.Helper()
		defer time.AfterFunc(time.Minute, cancel).Stop()
		for {
			for len(queue) > 0 {
				e := queue[0]
				queue = queue[1:]
				if match(e) {
					return e
				}
			}
			if !stream.Receive() {
				t.Fatalf("the stream ended: %v", stream.Err())
			}
			queue = stream.Msg().GetEvents()
		}
	}
	until(func(e *chatv1.Event) bool { return e.GetCaughtUp() != nil })
	return until
}

func TestNodesOfOneInstallationServeTheSameUsers(t *testing.T) {
	t.Parallel()
	t.Run("in one process", func(t *testing.T) {
		t.Parallel()
		serveTheSameUsers(t, nodetest.StartCluster(t, 2))
	})
	t.Run("over PostgreSQL and Redis", func(t *testing.T) {
		t.Parallel()
		nodes := startTwo(t, testservers.Postgres(t), testservers.StartRedis(t).URL)
		for _, n := range nodes {
			waitForRedis(t, n, "ok") // what is told before the nodes hear each other is lost
		}
		serveTheSameUsers(t, nodes)
	})
}

func serveTheSameUsers(t *testing.T, nodes []*nodetest.Server) {
	t.Helper()
	one, two := nodes[0], nodes[1]
	ada, bob := one.SignUp("ada"), two.SignUp("bob")
	untilAda, untilBob := listen(t, one, ada, "a"), listen(t, two, bob, "b")
	made, err := one.Chat(binary, ada).CreateConversation(within(t), &chatv1.CreateConversationRequest{
		Kind: chatv1.ConversationKind_CONVERSATION_KIND_DIRECT, MemberIds: []string{bob.ID},
	})
	if err != nil {
		t.Fatal(err)
	}
	id := made.GetConversation().GetId()
	untilBob(func(e *chatv1.Event) bool { return e.GetSummary().GetConversation().GetId() == id })
	for n, s := range []*nodetest.Server{one, two, one, two} {
		sent, err := s.Chat(binary, []*nodetest.User{ada, bob}[n%2]).SendMessage(within(t), &chatv1.SendMessageRequest{
			ConversationId: id, ClientMessageId: nodetest.UUID(), Content: "hello",
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, until := range []func(func(*chatv1.Event) bool) *chatv1.Event{untilAda, untilBob} {
			if e := until(func(e *chatv1.Event) bool { return e.GetMessage() != nil }); e.GetSeq() != sent.GetMessage().GetSeq() {
				t.Errorf("got seq %d, want %d", e.GetSeq(), sent.GetMessage().GetSeq())
			}
		}
	}

	newer := listen(t, one, bob, "b")
	if g := untilBob(isGoodbye); g.GetGoodbye().GetReason() != chatv1.GoodbyeReason_GOODBYE_REASON_SUPERSEDED {
		t.Errorf("the older stream, on the other node, got %v", g)
	}
	if _, err := two.Auth(binary, bob).SignOut(within(t), &authv1.SignOutRequest{}); err != nil {
		t.Fatal(err)
	}
	if g := newer(isGoodbye); g.GetGoodbye().GetReason() != chatv1.GoodbyeReason_GOODBYE_REASON_SESSION_REVOKED {
		t.Errorf("signed out on the other node, the stream got %v", g)
	}
	if _, err := one.Auth(binary, bob).GetAccount(within(t), &authv1.GetAccountRequest{}); connect.CodeOf(err) != connect.CodeUnauthenticated {
		t.Errorf("signed out on the other node, a call is answered %v", err)
	}
}

func isGoodbye(e *chatv1.Event) bool { return e.GetGoodbye() != nil }
