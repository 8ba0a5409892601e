package rpc_test

import (
	"context"
	"testing"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1/chatv1connect"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

// BenchmarkResume is what a device waits that comes back after it missed 50 messages in each of 20 conversations: from its hello to
// caught_up, over a connection that is there, with all 1,000 messages received.
func BenchmarkResume(b *testing.B) {
	const conversations, missed = 20, 50
	s := nodetest.Start(b)
	ada, bob := s.SignUp("ada"), s.SignUp("bob")
	grpc := nodetest.Protocols()[0]
	writer, reader := s.Chat(grpc, ada), s.Chat(grpc, bob)

	var ids []string
	for range conversations {
		r, err := writer.CreateConversation(b.Context(), &chatv1.CreateConversationRequest{
			Kind: chatv1.ConversationKind_CONVERSATION_KIND_GROUP, Title: "pond", MemberIds: []string{bob.ID},
		})
		if err != nil {
			b.Fatal(err)
		}
		ids = append(ids, r.GetConversation().GetId())
	}
	const before = 2 // the creation, and the joining of its members
	hello := &chatv1.Hello{DeviceId: "phone"}
	hello.Token, _ = catchUp(b, reader, hello)
	for _, id := range ids {
		for range missed {
			if _, err := writer.SendMessage(b.Context(), &chatv1.SendMessageRequest{
				ConversationId: id, ClientMessageId: nodetest.UUID(), Content: "the toad sings at night by the pond, and the whole heath hears it well",
			}); err != nil {
				b.Fatal(err)
			}
		}
		hello.Positions = append(hello.Positions, &chatv1.Position{ConversationId: id, Seq: before})
	}
	for b.Loop() {
		if _, events := catchUp(b, reader, hello); events != conversations*missed {
			b.Fatalf("got %d of %d messages", events, conversations*missed)
		}
	}
}

// catchUp opens a stream and reads it up to caught_up.
func catchUp(b *testing.B, c chatv1connect.ChatServiceClient, hello *chatv1.Hello) (token []byte, messages int) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	stream, err := c.Stream(ctx)
	if err != nil {
		b.Fatal(err)
	}
	if err := stream.Send(&chatv1.StreamRequest{Request: &chatv1.StreamRequest_Hello{Hello: hello}}); err != nil {
		b.Fatal(err)
	}
	for {
		r, err := stream.Receive()
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range r.GetEvents() {
			if e.GetMessage() != nil {
				messages++
			}
			if e.GetCaughtUp() != nil {
				return e.GetCaughtUp().GetToken(), messages
			}
		}
	}
}
