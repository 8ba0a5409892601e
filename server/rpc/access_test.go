package rpc_test

import (
	"context"
	"testing"

	"connectrpc.com/connect"

	authv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1"
	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

// Answers of the access table.
var (
	allowed  = want{}
	noToken  = want{connect.CodeUnauthenticated, chatv1.ErrorReason_ERROR_REASON_INVALID_SESSION}
	notThere = want{connect.CodeNotFound, chatv1.ErrorReason_ERROR_REASON_NOT_FOUND}
	tooLow   = want{connect.CodePermissionDenied, chatv1.ErrorReason_ERROR_REASON_ROLE_TOO_LOW}
)

// access is a row of the table: what each kind of caller is answered. Nobody (anonymous) and a session that was revoked are answered noToken
// throughout.
type access struct {
	procedure                                      string
	stranger, former, reader, member, admin, owner want
	call                                           func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error
}

// Rows that are alike.
func everybody(procedure string, call func(context.Context, *world, nodetest.Protocol, *nodetest.User) error) access {
	return access{procedure, allowed, allowed, allowed, allowed, allowed, allowed, call}
}

func members(procedure string, call func(context.Context, *world, nodetest.Protocol, *nodetest.User) error) access {
	return access{procedure, notThere, notThere, allowed, allowed, allowed, allowed, call}
}

func writers(procedure string, call func(context.Context, *world, nodetest.Protocol, *nodetest.User) error) access {
	return access{procedure, notThere, notThere, tooLow, allowed, allowed, allowed, call}
}

func admins(procedure string, call func(context.Context, *world, nodetest.Protocol, *nodetest.User) error) access {
	return access{procedure, notThere, notThere, tooLow, tooLow, allowed, allowed, call}
}

// victim is a fresh member of the group.
func (w *world) victim(role chatv1.MemberRole) string {
	v := w.server.SignUp("victim")
	_, err := w.as(w.owner).AddMembers(w.t.Context(), &chatv1.AddMembersRequest{ConversationId: w.group, UserIds: []string{v.ID}, Role: role})
	if err != nil {
		w.t.Fatal(err)
	}
	return v.ID
}

func failure[T any](_ T, err error) error { return err }

// accessTable names every procedure at least once.
func accessTable() []access {
	return []access{
		writers("SendMessage", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			return failure(w.server.Chat(p, u).SendMessage(ctx, &chatv1.SendMessageRequest{
				ConversationId: w.group, ClientMessageId: nodetest.UUID(), Content: "x",
			}))
		}),
		{"EditMessage", notThere, notThere, tooLow, allowed, tooLow, tooLow, func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			return failure(w.server.Chat(p, u).EditMessage(ctx, &chatv1.EditMessageRequest{ConversationId: w.group, Seq: w.message, Content: "edited"}))
		}},
		writers("DeleteMessage", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			seq := w.send(w.member, "to be deleted").GetSeq()
			return failure(w.server.Chat(p, u).DeleteMessage(ctx, &chatv1.DeleteMessageRequest{ConversationId: w.group, Seq: seq}))
		}),
		writers("AddReaction", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			return failure(w.server.Chat(p, u).AddReaction(ctx, &chatv1.AddReactionRequest{ConversationId: w.group, Seq: w.message, Emoji: "🐸"}))
		}),
		writers("RemoveReaction", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			return failure(w.server.Chat(p, u).RemoveReaction(ctx, &chatv1.RemoveReactionRequest{ConversationId: w.group, Seq: w.message, Emoji: "🐸"}))
		}),
		writers("SetTyping", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			return failure(w.server.Chat(p, u).SetTyping(ctx, &chatv1.SetTypingRequest{ConversationId: w.group, Typing: true}))
		}),
		members("MarkRead", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			return failure(w.server.Chat(p, u).MarkRead(ctx, &chatv1.MarkReadRequest{ConversationId: w.group, Seq: w.message}))
		}),
		members("MarkDelivered", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			return failure(w.server.Chat(p, u).MarkDelivered(ctx, &chatv1.MarkDeliveredRequest{ConversationId: w.group, Seq: w.message}))
		}),
		members("ListMessages", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			return failure(w.server.Chat(p, u).ListMessages(ctx, &chatv1.ListMessagesRequest{ConversationId: w.group}))
		}),
		everybody("Sync", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			return failure(w.server.Chat(p, u).Sync(ctx, &chatv1.SyncRequest{}))
		}),
		members("ListEvents", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			r, err := w.server.Chat(p, u).ListEvents(ctx, &chatv1.ListEventsRequest{Positions: []*chatv1.Position{{ConversationId: w.group}}})
			if err == nil && len(r.GetNotFoundConversationIds()) == 1 && len(r.GetEvents()) == 0 {
				return errNotThere // said in the answer, because others may be there
			}
			return err
		}),
		everybody("CreateConversation", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			return failure(w.server.Chat(p, u).CreateConversation(ctx, &chatv1.CreateConversationRequest{
				Kind: chatv1.ConversationKind_CONVERSATION_KIND_GROUP, Title: "another",
			}))
		}),
		members("GetConversation", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			return failure(w.server.Chat(p, u).GetConversation(ctx, &chatv1.GetConversationRequest{ConversationId: w.group}))
		}),
		everybody("ListConversations", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			return failure(w.server.Chat(p, u).ListConversations(ctx, &chatv1.ListConversationsRequest{}))
		}),
		admins("UpdateConversation", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			return failure(w.server.Chat(p, u).UpdateConversation(ctx, &chatv1.UpdateConversationRequest{ConversationId: w.group, Title: "renamed"}))
		}),
		admins("AddMembers", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			return failure(w.server.Chat(p, u).AddMembers(ctx, &chatv1.AddMembersRequest{ConversationId: w.group, UserIds: []string{w.server.SignUp("new").ID}}))
		}),
		{"AddMembers", notThere, notThere, tooLow, tooLow, tooLow, allowed, func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			return failure(w.server.Chat(p, u).AddMembers(ctx, &chatv1.AddMembersRequest{
				ConversationId: w.group, UserIds: []string{w.server.SignUp("new").ID}, Role: chatv1.MemberRole_MEMBER_ROLE_ADMIN,
			}))
		}},
		admins("RemoveMember", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			victim := w.victim(chatv1.MemberRole_MEMBER_ROLE_MEMBER)
			return failure(w.server.Chat(p, u).RemoveMember(ctx, &chatv1.RemoveMemberRequest{ConversationId: w.group, UserId: victim}))
		}),
		{"RemoveMember", notThere, notThere, tooLow, tooLow, tooLow, allowed, func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			victim := w.victim(chatv1.MemberRole_MEMBER_ROLE_ADMIN)
			return failure(w.server.Chat(p, u).RemoveMember(ctx, &chatv1.RemoveMemberRequest{ConversationId: w.group, UserId: victim}))
		}},
		admins("UpdateMember", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			victim := w.victim(chatv1.MemberRole_MEMBER_ROLE_MEMBER)
			return failure(w.server.Chat(p, u).UpdateMember(ctx, &chatv1.UpdateMemberRequest{
				ConversationId: w.group, UserId: victim, Role: chatv1.MemberRole_MEMBER_ROLE_READER,
			}))
		}),
		members("ListMembers", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			return failure(w.server.Chat(p, u).ListMembers(ctx, &chatv1.ListMembersRequest{ConversationId: w.group}))
		}),
		{"GetPresence", notThere, notThere, allowed, allowed, allowed, allowed, func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			r, err := w.server.Chat(p, u).GetPresence(ctx, &chatv1.GetPresenceRequest{UserIds: []string{w.owner.ID}})
			if err == nil && r.GetPresences()[0].GetState() == chatv1.PresenceState_PRESENCE_STATE_UNKNOWN {
				return errNotThere // how what may not be known looks here
			}
			return err
		}},
		everybody("GetUsers", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			return failure(w.server.Chat(p, u).GetUsers(ctx, &chatv1.GetUsersRequest{UserIds: []string{w.owner.ID}}))
		}),
		everybody("SearchUsers", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			return failure(w.server.Chat(p, u).SearchUsers(ctx, &chatv1.SearchUsersRequest{Query: "own"}))
		}),
		members("SearchMessages", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			return failure(w.server.Chat(p, u).SearchMessages(ctx, &chatv1.SearchMessagesRequest{Query: "hello", ConversationId: w.group}))
		}),
		everybody("Subscribe", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			stream, err := w.server.Chat(p, u).Subscribe(ctx, &chatv1.SubscribeRequest{Hello: &chatv1.Hello{}})
			if err != nil {
				return err
			}
			defer stream.Close()
			stream.Receive()
			return stream.Err()
		}),
		everybody("Stream", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			stream, err := w.server.Chat(p, u).Stream(ctx)
			if err != nil {
				return err
			}
			_ = stream.Send(&chatv1.StreamRequest{Request: &chatv1.StreamRequest_Hello{Hello: &chatv1.Hello{}}}) // Receive tells more
			_, err = stream.Receive()
			return err
		}),

		everybody("ListSessions", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			return failure(w.server.Auth(p, u).ListSessions(ctx, &authv1.ListSessionsRequest{}))
		}),
		{"RevokeSession", notThere, notThere, notThere, notThere, notThere, notThere, func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			another := w.server.SignUp("another") // whose sessions are nobody else's business
			return failure(w.server.Auth(p, u).RevokeSession(ctx, &authv1.RevokeSessionRequest{SessionId: another.Session.GetId()}))
		}},
		everybody("RevokeAllSessions", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			return failure(w.server.Auth(p, u).RevokeAllSessions(ctx, &authv1.RevokeAllSessionsRequest{KeepCurrent: true}))
		}),
		everybody("SignOut", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			if u != nil && u != w.revoked {
				u = w.server.SignIn(u) // another session, for the others to go on
			}
			return failure(w.server.Auth(p, u).SignOut(ctx, &authv1.SignOutRequest{}))
		}),
		everybody("ChangePassword", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			return failure(w.server.Auth(p, u).ChangePassword(ctx, &authv1.ChangePasswordRequest{
				CurrentPassword: nodetest.Password, NewPassword: nodetest.Password,
			}))
		}),
		everybody("GetAccount", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			return failure(w.server.Auth(p, u).GetAccount(ctx, &authv1.GetAccountRequest{}))
		}),
		everybody("UpdateProfile", func(ctx context.Context, w *world, p nodetest.Protocol, u *nodetest.User) error {
			name := "Somebody"
			return failure(w.server.Auth(p, u).UpdateProfile(ctx, &authv1.UpdateProfileRequest{DisplayName: &name}))
		}),
	}
}

var errNotThere = func() error {
	e := connect.NewError(connect.CodeNotFound, context.Canceled)
	d, err := connect.NewErrorDetail(&chatv1.ErrorDetail{Reason: chatv1.ErrorReason_ERROR_REASON_NOT_FOUND})
	if err != nil {
		panic(err)
	}
	e.AddDetail(d)
	return e
}()

func TestEveryProcedureLetsInWhomItShould(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	w := newWorld(t, s)
	for _, p := range nodetest.Protocols() {
		for _, row := range accessTable() {
			for _, column := range []struct {
				name string
				user *nodetest.User
				want want
			}{
				{"anonymous", nil, noToken},
				{"stranger", w.stranger, row.stranger},
				{"former member", w.former, row.former},
				{"reader", w.reader, row.reader},
				{"member", w.member, row.member},
				{"admin", w.admin, row.admin},
				{"owner", w.owner, row.owner},
				{"revoked session", w.revoked, noToken},
			} {
				t.Run(p.Name+"/"+row.procedure+"/"+column.name, func(t *testing.T) {
					column.want.check(t, row.call(within(t), w, p, column.user))
				})
			}
		}
	}
}

func TestTheAccessTableNamesEveryProcedure(t *testing.T) {
	t.Parallel()
	named := map[string]bool{"SignUp": true, "SignIn": true, "RefreshSession": true} // those that take no token
	for _, row := range accessTable() {
		named[row.procedure] = true
	}
	for _, name := range procedures() {
		if !named[name] {
			t.Errorf("%s is not in the access table", name)
		}
	}
}

// procedures are the names of all methods of the schema.
func procedures() []string {
	var names []string
	chat, auth := chatv1.File_natterjack_chat_v1_chat_service_proto.Services(), authv1.File_natterjack_auth_v1_auth_service_proto.Services()
	for i := range chat.Get(0).Methods().Len() {
		names = append(names, string(chat.Get(0).Methods().Get(i).Name()))
	}
	for i := range auth.Get(0).Methods().Len() {
		names = append(names, string(auth.Get(0).Methods().Get(i).Name()))
	}
	return names
}
