package rpc_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"connectrpc.com/connect"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1/chatv1connect"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

func TestMain(m *testing.M) { nodetest.VerifyMain(m) }

// binary is the protocol of tests that don't care which.
var binary = nodetest.Protocols()[2]

// reason returns the reason that an error's detail gives, and the field it names.
func reason(err error) (chatv1.ErrorReason, string) {
	var ce *connect.Error
	if !errors.As(err, &ce) {
		return 0, ""
	}
	for _, d := range ce.Details() {
		if m, derr := d.Value(); derr == nil {
			if e, ok := m.(*chatv1.ErrorDetail); ok {
				return e.GetReason(), e.GetField()
			}
		}
	}
	return 0, ""
}

// want is what a call is to answer; the zero value is success.
type want struct {
	code   connect.Code
	reason chatv1.ErrorReason
}

func (w want) check(t *testing.T, err error) {
	t.Helper()
	if w.code == 0 {
		if err != nil {
			t.Errorf("got %v, want success", err)
		}
		return
	}
	got, _ := reason(err)
	if err == nil || connect.CodeOf(err) != w.code || got != w.reason {
		t.Errorf("got %v (%v), want %v (%v)", err, got, w.code, w.reason)
	}
}

// must stops the test on an error.
func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// world is a group with a member of each kind.
type world struct {
	t      *testing.T
	server *nodetest.Server

	owner, admin, member, reader, former, stranger, revoked *nodetest.User

	group   string
	message int64 // of member
}

func newWorld(t *testing.T, s *nodetest.Server) *world {
	t.Helper()
	w := &world{t: t, server: s}
	for name, u := range map[string]**nodetest.User{
		"owner": &w.owner, "admin": &w.admin, "member": &w.member, "reader": &w.reader,
		"former": &w.former, "stranger": &w.stranger, "revoked": &w.revoked,
	} {
		*u = s.SignUp(name)
	}
	owner := w.as(w.owner)
	group := must[*chatv1.CreateConversationResponse](t)(owner.CreateConversation(t.Context(), &chatv1.CreateConversationRequest{
		Kind: chatv1.ConversationKind_CONVERSATION_KIND_GROUP, Title: "group",
		MemberIds: []string{w.member.ID, w.former.ID, w.revoked.ID},
	}))
	w.group = group.GetConversation().GetId()
	for role, u := range map[chatv1.MemberRole]*nodetest.User{
		chatv1.MemberRole_MEMBER_ROLE_ADMIN: w.admin, chatv1.MemberRole_MEMBER_ROLE_READER: w.reader,
	} {
		must[*chatv1.AddMembersResponse](t)(owner.AddMembers(t.Context(), &chatv1.AddMembersRequest{
			ConversationId: w.group, UserIds: []string{u.ID}, Role: role,
		}))
	}
	must[*chatv1.RemoveMemberResponse](t)(owner.RemoveMember(t.Context(), &chatv1.RemoveMemberRequest{ConversationId: w.group, UserId: w.former.ID}))
	w.message = w.send(w.member, "hello").GetSeq()
	if _, err := s.Auth(binary, w.revoked).SignOut(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) as(u *nodetest.User) chatv1connect.ChatServiceClient { return w.server.Chat(binary, u) }

func (w *world) send(u *nodetest.User, content string) *chatv1.Message {
	w.t.Helper()
	r, err := w.as(u).SendMessage(w.t.Context(), &chatv1.SendMessageRequest{
		ConversationId: w.group, ClientMessageId: nodetest.UUID(), Content: content,
	})
	if err != nil {
		w.t.Fatalf("sending: %v", err)
	}
	return r.GetMessage()
}

// direct makes a conversation of two.
func direct(t *testing.T, s *nodetest.Server, a, b *nodetest.User) string {
	t.Helper()
	r := must[*chatv1.CreateConversationResponse](t)(s.Chat(binary, a).CreateConversation(t.Context(), &chatv1.CreateConversationRequest{
		Kind: chatv1.ConversationKind_CONVERSATION_KIND_DIRECT, MemberIds: []string{b.ID},
	}))
	return r.GetConversation().GetId()
}

// within bounds what a test waits for.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}
