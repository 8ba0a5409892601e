package rpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	authv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1/authv1connect"
	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1/chatv1connect"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

// tour calls procedures of the schema in a sensible order, each with a look at its answer.
type tour struct {
	t      *testing.T
	ctx    context.Context
	server *nodetest.Server
	p      nodetest.Protocol
	ada    *nodetest.User
	bob    *nodetest.User
	chat   chatv1connect.ChatServiceClient // ada's
	auth   authv1connect.AuthServiceClient // ada's
	group  string
	seq    int64
	called map[string]bool
}

// did notes that a procedure answered, and stops the test where it didn't.
func did[T any](r *tour, procedure string) func(T, error) T {
	r.t.Helper()
	return func(v T, err error) T {
		r.t.Helper()
		if err != nil {
			r.t.Fatalf("%s: %v", procedure, err)
		}
		r.called[procedure] = true
		return v
	}
}

func (r *tour) equal(what string, got, want any) {
	r.t.Helper()
	if got != want {
		r.t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestEveryProcedureAnswersOverEveryProtocol(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	for _, p := range slices.Concat(nodetest.Protocols(), nodetest.HTTP1()) {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			r := &tour{t: t, ctx: within(t), server: s, p: p, called: make(map[string]bool)}
			r.accounts()
			r.conversations()
			r.messages()
			r.reading()
			r.members()
			r.streams()
			r.goodbye()
			for _, name := range procedures() {
				if !r.called[name] && !(name == "Stream" && p.HTTP1) {
					t.Errorf("%s was not called", name)
				}
			}
		})
	}
}

func (r *tour) accounts() {
	nobody := r.server.Auth(r.p, nil)
	name := "Ada-" + nodetest.UUID()[:8]
	up := did[*authv1.SignUpResponse](r, "SignUp")(nobody.SignUp(r.ctx, &authv1.SignUpRequest{
		Username: name, Password: nodetest.Password, DisplayName: "Ada Lovelace", DeviceName: "engine",
	}))
	r.equal("display name", up.GetUser().GetDisplayName(), "Ada Lovelace")
	in := did[*authv1.SignInResponse](r, "SignIn")(nobody.SignIn(r.ctx, &authv1.SignInRequest{Username: strings.ToUpper(name), Password: nodetest.Password}))
	r.equal("user", in.GetUser().GetId(), up.GetUser().GetId())
	fresh := did[*authv1.RefreshSessionResponse](r, "RefreshSession")(nobody.RefreshSession(r.ctx, &authv1.RefreshSessionRequest{
		RefreshToken: in.GetSession().GetRefreshToken(),
	}))
	r.ada = &nodetest.User{ID: up.GetUser().GetId(), Username: name, Password: nodetest.Password, Session: fresh.GetSession()}
	r.bob = r.server.SignUp("bob")
	r.chat, r.auth = r.server.Chat(r.p, r.ada), r.server.Auth(r.p, r.ada)

	sessions := did[*authv1.ListSessionsResponse](r, "ListSessions")(r.auth.ListSessions(r.ctx, &authv1.ListSessionsRequest{}))
	r.equal("sessions", len(sessions.GetSessions()), 2)
	did[*authv1.RevokeSessionResponse](r, "RevokeSession")(r.auth.RevokeSession(r.ctx, &authv1.RevokeSessionRequest{SessionId: up.GetSession().GetId()}))
	hidden := false
	account := did[*authv1.UpdateProfileResponse](r, "UpdateProfile")(r.auth.UpdateProfile(r.ctx, &authv1.UpdateProfileRequest{
		AvatarUrl: new("https://example.org/ada.png"), PresenceHidden: &hidden,
	}))
	r.equal("avatar", account.GetAccount().GetUser().GetAvatarUrl(), "https://example.org/ada.png")
	got := did[*authv1.GetAccountResponse](r, "GetAccount")(r.auth.GetAccount(r.ctx, &authv1.GetAccountRequest{}))
	if !proto.Equal(got.GetAccount(), account.GetAccount()) {
		r.t.Errorf("account: got %v, want %v", got.GetAccount(), account.GetAccount())
	}
}

func (r *tour) conversations() {
	group := did[*chatv1.CreateConversationResponse](r, "CreateConversation")(r.chat.CreateConversation(r.ctx, &chatv1.CreateConversationRequest{
		Kind: chatv1.ConversationKind_CONVERSATION_KIND_GROUP, Title: "Group", MemberIds: []string{r.bob.ID}, ClientConversationId: nodetest.UUID(),
	}))
	r.group = group.GetConversation().GetId()
	r.equal("members", group.GetSummary().GetMemberCount(), int32(2))
	renamed := did[*chatv1.UpdateConversationResponse](r, "UpdateConversation")(r.chat.UpdateConversation(r.ctx, &chatv1.UpdateConversationRequest{
		ConversationId: r.group, Title: "Analytical Engine",
	}))
	r.equal("title", renamed.GetConversation().GetTitle(), "Analytical Engine")
	got := did[*chatv1.GetConversationResponse](r, "GetConversation")(r.chat.GetConversation(r.ctx, &chatv1.GetConversationRequest{ConversationId: r.group}))
	if !proto.Equal(got.GetSummary().GetConversation(), renamed.GetConversation()) {
		r.t.Errorf("conversation: got %v, want %v", got.GetSummary().GetConversation(), renamed.GetConversation())
	}
	list := did[*chatv1.ListConversationsResponse](r, "ListConversations")(r.chat.ListConversations(r.ctx, &chatv1.ListConversationsRequest{PageSize: 10}))
	r.equal("conversations", len(list.GetSummaries()), 1)
}

func (r *tour) messages() {
	request := &chatv1.SendMessageRequest{ConversationId: r.group, ClientMessageId: nodetest.UUID(), Content: "Grüße 🐸\n\tzwei"}
	sent := did[*chatv1.SendMessageResponse](r, "SendMessage")(r.chat.SendMessage(r.ctx, request))
	r.equal("content", sent.GetMessage().GetContent(), request.GetContent())
	r.equal("client id", sent.GetMessage().GetClientMessageId(), request.GetClientMessageId())
	again := did[*chatv1.SendMessageResponse](r, "SendMessage")(r.chat.SendMessage(r.ctx, request))
	r.equal("duplicate", again.GetDuplicate(), true)
	r.equal("seq of the duplicate", again.GetMessage().GetSeq(), sent.GetMessage().GetSeq())
	r.seq = sent.GetMessage().GetSeq()

	edited := did[*chatv1.EditMessageResponse](r, "EditMessage")(r.chat.EditMessage(r.ctx, &chatv1.EditMessageRequest{
		ConversationId: r.group, Seq: r.seq, Content: "weave algebraical patterns",
	}))
	r.equal("edited", edited.GetMessage().GetContent(), "weave algebraical patterns")
	reacted := did[*chatv1.AddReactionResponse](r, "AddReaction")(r.chat.AddReaction(r.ctx, &chatv1.AddReactionRequest{
		ConversationId: r.group, Seq: r.seq, Emoji: "🧵",
	}))
	r.equal("reactions", reacted.GetMessage().GetReactions()[0].GetUserIds()[0], r.ada.ID)
	cleared := did[*chatv1.RemoveReactionResponse](r, "RemoveReaction")(r.chat.RemoveReaction(r.ctx, &chatv1.RemoveReactionRequest{
		ConversationId: r.group, Seq: r.seq, Emoji: "🧵",
	}))
	r.equal("reactions", len(cleared.GetMessage().GetReactions()), 0)
	second := must[*chatv1.SendMessageResponse](r.t)(r.chat.SendMessage(r.ctx, &chatv1.SendMessageRequest{
		ConversationId: r.group, ClientMessageId: nodetest.UUID(), Content: "a mistake", ReplyToSeq: r.seq,
	}))
	deleted := did[*chatv1.DeleteMessageResponse](r, "DeleteMessage")(r.chat.DeleteMessage(r.ctx, &chatv1.DeleteMessageRequest{
		ConversationId: r.group, Seq: second.GetMessage().GetSeq(),
	}))
	r.equal("content of a tombstone", deleted.GetMessage().GetContent(), "")
	did[*chatv1.SetTypingResponse](r, "SetTyping")(r.chat.SetTyping(r.ctx, &chatv1.SetTypingRequest{ConversationId: r.group, Typing: true}))
	bob := r.server.Chat(r.p, r.bob)
	delivered := did[*chatv1.MarkDeliveredResponse](r, "MarkDelivered")(bob.MarkDelivered(r.ctx, &chatv1.MarkDeliveredRequest{ConversationId: r.group, Seq: r.seq}))
	r.equal("delivered", delivered.GetReceipt().GetDeliveredSeq(), r.seq)
	read := did[*chatv1.MarkReadResponse](r, "MarkRead")(bob.MarkRead(r.ctx, &chatv1.MarkReadRequest{ConversationId: r.group, Seq: r.seq}))
	r.equal("read", read.GetReceipt().GetReadSeq(), r.seq)
}

func (r *tour) reading() {
	page := did[*chatv1.ListMessagesResponse](r, "ListMessages")(r.chat.ListMessages(r.ctx, &chatv1.ListMessagesRequest{ConversationId: r.group, Limit: 10}))
	r.equal("messages", len(page.GetMessages()), 2)
	r.equal("read by bob", page.GetMessages()[0].GetRead(), true)
	r.equal("not read by bob", page.GetMessages()[1].GetRead(), false)
	sync := did[*chatv1.SyncResponse](r, "Sync")(r.chat.Sync(r.ctx, &chatv1.SyncRequest{}))
	r.equal("changed conversations", len(sync.GetSummaries()), 1)
	later := must[*chatv1.SyncResponse](r.t)(r.chat.Sync(r.ctx, &chatv1.SyncRequest{Token: sync.GetToken()}))
	r.equal("changed since", len(later.GetSummaries()), 0)
	events := did[*chatv1.ListEventsResponse](r, "ListEvents")(r.chat.ListEvents(r.ctx, &chatv1.ListEventsRequest{
		Positions: []*chatv1.Position{{ConversationId: r.group, Seq: r.seq - 1}},
	}))
	r.equal("first event", events.GetEvents()[0].GetSeq(), r.seq)
	found := did[*chatv1.SearchMessagesResponse](r, "SearchMessages")(r.chat.SearchMessages(r.ctx, &chatv1.SearchMessagesRequest{Query: "algebra*"}))
	r.equal("found", len(found.GetMessages()), 1)
	users := did[*chatv1.SearchUsersResponse](r, "SearchUsers")(r.chat.SearchUsers(r.ctx, &chatv1.SearchUsersRequest{Query: r.bob.Username}))
	r.equal("users", users.GetUsers()[0].GetId(), r.bob.ID)
	profiles := did[*chatv1.GetUsersResponse](r, "GetUsers")(r.chat.GetUsers(r.ctx, &chatv1.GetUsersRequest{UserIds: []string{r.bob.ID, r.ada.ID}}))
	r.equal("second profile", profiles.GetUsers()[1].GetDisplayName(), "Ada Lovelace")
	presence := did[*chatv1.GetPresenceResponse](r, "GetPresence")(r.chat.GetPresence(r.ctx, &chatv1.GetPresenceRequest{UserIds: []string{r.bob.ID}}))
	r.equal("presence", presence.GetPresences()[0].GetState(), chatv1.PresenceState_PRESENCE_STATE_OFFLINE)
}

func (r *tour) members() {
	carl := r.server.SignUp("carl")
	added := did[*chatv1.AddMembersResponse](r, "AddMembers")(r.chat.AddMembers(r.ctx, &chatv1.AddMembersRequest{ConversationId: r.group, UserIds: []string{carl.ID}}))
	r.equal("role", added.GetMembers()[0].GetRole(), chatv1.MemberRole_MEMBER_ROLE_MEMBER)
	updated := did[*chatv1.UpdateMemberResponse](r, "UpdateMember")(r.chat.UpdateMember(r.ctx, &chatv1.UpdateMemberRequest{
		ConversationId: r.group, UserId: carl.ID, Role: chatv1.MemberRole_MEMBER_ROLE_ADMIN,
	}))
	r.equal("role", updated.GetMember().GetRole(), chatv1.MemberRole_MEMBER_ROLE_ADMIN)
	did[*chatv1.RemoveMemberResponse](r, "RemoveMember")(r.chat.RemoveMember(r.ctx, &chatv1.RemoveMemberRequest{ConversationId: r.group, UserId: carl.ID}))
	list := did[*chatv1.ListMembersResponse](r, "ListMembers")(r.chat.ListMembers(r.ctx, &chatv1.ListMembersRequest{ConversationId: r.group}))
	r.equal("members", len(list.GetMembers()), 2)
	r.equal("receipts", len(list.GetReceipts()), 2)
}

func (r *tour) streams() {
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	down := did[*connect.ServerStreamForClient[chatv1.SubscribeResponse]](r, "Subscribe")(r.chat.Subscribe(ctx, &chatv1.SubscribeRequest{Hello: &chatv1.Hello{DeviceId: "down"}}))
	if !down.Receive() || down.Msg().GetEvents()[0].GetReady().GetUserId() != r.ada.ID {
		r.t.Errorf("Subscribe began with %v, %v", down.Msg(), down.Err())
	}
	if r.p.HTTP1 {
		return
	}
	both, err := r.chat.Stream(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := both.Send(&chatv1.StreamRequest{RequestId: 7, Request: &chatv1.StreamRequest_Hello{Hello: &chatv1.Hello{DeviceId: "both"}}}); err != nil {
		r.t.Fatal(err)
	}
	first := did[*chatv1.StreamResponse](r, "Stream")(both.Receive())
	r.equal("user", first.GetEvents()[0].GetReady().GetUserId(), r.ada.ID)
	// Half-closed: the client gets what it still has to get, and then the end.
	if err := both.CloseRequest(); err != nil {
		r.t.Fatal(err)
	}
	for err == nil {
		_, err = both.Receive()
	}
	if !errors.Is(err, io.EOF) {
		r.t.Errorf("the stream ended with %v", err)
	}
}

func (r *tour) goodbye() {
	did[*authv1.ChangePasswordResponse](r, "ChangePassword")(r.auth.ChangePassword(r.ctx, &authv1.ChangePasswordRequest{
		CurrentPassword: nodetest.Password, NewPassword: "another password",
	}))
	did[*authv1.RevokeAllSessionsResponse](r, "RevokeAllSessions")(r.auth.RevokeAllSessions(r.ctx, &authv1.RevokeAllSessionsRequest{KeepCurrent: true}))
	did[*authv1.SignOutResponse](r, "SignOut")(r.auth.SignOut(r.ctx, &authv1.SignOutRequest{}))
	_, err := r.auth.GetAccount(r.ctx, &authv1.GetAccountRequest{})
	noToken.check(r.t, err)
}

func TestConnectJSONIsWhatTheReadmeShows(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	ada, bob := s.SignUp("ada"), s.SignUp("bob")
	post := func(path, body string) map[string]any {
		t.Helper()
		r, err := http.NewRequestWithContext(within(t), http.MethodPost, s.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+ada.Session.GetAccessToken())
		res, err := s.HTTP(true).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var out map[string]any
		if err := json.NewDecoder(res.Body).Decode(&out); err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: status %d, %v, %v", path, res.StatusCode, out, err)
		}
		return out
	}
	made := post("/natterjack.chat.v1.ChatService/CreateConversation", `{"kind":"CONVERSATION_KIND_DIRECT","memberIds":["`+bob.ID+`"]}`)
	id := made["conversation"].(map[string]any)["id"].(string)
	sent := post("/natterjack.chat.v1.ChatService/SendMessage",
		`{"conversationId":"`+id+`","clientMessageId":"`+nodetest.UUID()+`","content":"hi","somethingNewer":1}`)
	if m := sent["message"].(map[string]any); m["content"] != "hi" || m["senderId"] != ada.ID {
		t.Errorf("sent %v", sent)
	}
}

func TestLargeAnswersAreCompressedWhereTheClientAsksForIt(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	w := newWorld(t, s)
	w.send(w.owner, strings.Repeat("again and ", 1000))
	get := func(encoding string) (*http.Response, []byte) {
		t.Helper()
		r, err := http.NewRequestWithContext(within(t), http.MethodPost, s.URL+chatv1connect.ChatServiceListMessagesProcedure,
			strings.NewReader(`{"conversationId":"`+w.group+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept-Encoding", encoding)
		r.Header.Set("Authorization", "Bearer "+w.owner.Session.GetAccessToken())
		res, err := s.HTTP(true).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body := must[[]byte](t)(io.ReadAll(res.Body))
		return res, body
	}
	if res, body := get("gzip"); res.Header.Get("Content-Encoding") != "gzip" || len(body) > 2000 {
		t.Errorf("asked for gzip, got %q and %d bytes", res.Header.Get("Content-Encoding"), len(body))
	}
	if res, body := get("identity"); res.Header.Get("Content-Encoding") != "" || !bytes.Contains(body, []byte("again and again")) {
		t.Errorf("asked for no compression, got %q", res.Header.Get("Content-Encoding"))
	}
}
