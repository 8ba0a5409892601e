package rpc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	authv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1"
	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

func TestAFieldThatBreaksARuleIsNamed(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	w := newWorld(t, s)
	other := newWorld(t, s)
	page := must[*chatv1.ListMembersResponse](t)(w.as(w.owner).ListMembers(t.Context(), &chatv1.ListMembersRequest{ConversationId: w.group, PageSize: 1}))
	foreign := must[*chatv1.ListMembersResponse](t)(other.as(other.owner).ListMembers(t.Context(), &chatv1.ListMembersRequest{ConversationId: other.group, PageSize: 1}))
	uuid := nodetest.UUID()
	group := chatv1.ConversationKind_CONVERSATION_KIND_GROUP
	for _, c := range []struct {
		name  string
		want  want
		field string
		call  func(ctx context.Context, p nodetest.Protocol) error
	}{
		// Sending.
		{"content empty", invalidField, "content", sends(w, func(r *chatv1.SendMessageRequest) { r.Content = "" })},
		{"content at its limit", allowed, "", sends(w, func(r *chatv1.SendMessageRequest) { r.Content = letters(16384) })},
		{"content one above", invalidField, "content", sends(w, func(r *chatv1.SendMessageRequest) { r.Content = letters(16385) })},
		{"content of 10,000 combining marks", invalidField, "content", sends(w, func(r *chatv1.SendMessageRequest) { r.Content = "e" + strings.Repeat("\u0301", 10000) })},
		{"content of 8,000 combining marks", allowed, "", sends(w, func(r *chatv1.SendMessageRequest) { r.Content = "e" + strings.Repeat("\u0301", 8000) })},
		{"content with NUL", invalidField, "content", sends(w, func(r *chatv1.SendMessageRequest) { r.Content = "a\x00" })},
		{"content with an escape", invalidField, "content", sends(w, func(r *chatv1.SendMessageRequest) { r.Content = "\x1b[31m" })},
		{"content with lines and tabs", allowed, "", sends(w, func(r *chatv1.SendMessageRequest) { r.Content = "a\r\n\tb" })},
		{"client id empty", invalidField, "client_message_id", sends(w, func(r *chatv1.SendMessageRequest) { r.ClientMessageId = "" })},
		{"client id no UUID", invalidField, "client_message_id", sends(w, func(r *chatv1.SendMessageRequest) { r.ClientMessageId = uuid + "0" })},
		{"client id in braces", invalidField, "client_message_id", sends(w, func(r *chatv1.SendMessageRequest) { r.ClientMessageId = "{" + uuid + "}" })},
		{"client id in capitals", allowed, "", sends(w, func(r *chatv1.SendMessageRequest) { r.ClientMessageId = strings.ToUpper(nodetest.UUID()) })},
		{"reply below 0", invalidField, "reply_to_seq", sends(w, func(r *chatv1.SendMessageRequest) { r.ReplyToSeq = -1 })},
		{"reply to nothing", invalidField, "reply_to_seq", sends(w, func(r *chatv1.SendMessageRequest) { r.ReplyToSeq = 1 << 62 })},
		{"conversation empty", invalidField, "conversation_id", sends(w, func(r *chatv1.SendMessageRequest) { r.ConversationId = "" })},
		{"conversation too long", invalidField, "conversation_id", sends(w, func(r *chatv1.SendMessageRequest) { r.ConversationId = letters(33) })},
		{"conversation a user", invalidID, "conversation_id", sends(w, func(r *chatv1.SendMessageRequest) { r.ConversationId = w.owner.ID })},
		{"conversation a session", invalidID, "conversation_id", sends(w, func(r *chatv1.SendMessageRequest) { r.ConversationId = w.owner.Session.GetId() })},
		{"conversation in capitals", invalidID, "conversation_id", sends(w, func(r *chatv1.SendMessageRequest) { r.ConversationId = strings.ToUpper(w.group) })},
		{"conversation of others", notThere, "", sends(w, func(r *chatv1.SendMessageRequest) { r.ConversationId = other.group })},
		{"conversation with SQL", invalidID, "conversation_id", sends(w, func(r *chatv1.SendMessageRequest) { r.ConversationId = "c' OR 1=1 --" })},

		// Changing.
		{"edit of seq 0", invalidField, "seq", func(ctx context.Context, p nodetest.Protocol) error {
			return failure(s.Chat(p, w.member).EditMessage(ctx, &chatv1.EditMessageRequest{ConversationId: w.group, Content: "x"}))
		}},
		{"edit of nothing", notThere, "", func(ctx context.Context, p nodetest.Protocol) error {
			return failure(s.Chat(p, w.member).EditMessage(ctx, &chatv1.EditMessageRequest{ConversationId: w.group, Seq: 1 << 40, Content: "x"}))
		}},
		{"emoji with a space", invalidField, "emoji", func(ctx context.Context, p nodetest.Protocol) error {
			return failure(s.Chat(p, w.member).AddReaction(ctx, &chatv1.AddReactionRequest{ConversationId: w.group, Seq: w.message, Emoji: "a b"}))
		}},
		{"emoji of 65 bytes", invalidField, "emoji", func(ctx context.Context, p nodetest.Protocol) error {
			return failure(s.Chat(p, w.member).AddReaction(ctx, &chatv1.AddReactionRequest{ConversationId: w.group, Seq: w.message, Emoji: letters(65)}))
		}},
		{"emoji joined", allowed, "", func(ctx context.Context, p nodetest.Protocol) error {
			return failure(s.Chat(p, w.member).AddReaction(ctx, &chatv1.AddReactionRequest{ConversationId: w.group, Seq: w.message, Emoji: "👩‍👩‍👧‍👦"}))
		}},
		{"mark above the head", allowed, "", func(ctx context.Context, p nodetest.Protocol) error {
			return failure(s.Chat(p, w.member).MarkRead(ctx, &chatv1.MarkReadRequest{ConversationId: w.group, Seq: 1 << 62}))
		}},
		{"title with an override", invalidField, "title", func(ctx context.Context, p nodetest.Protocol) error {
			return failure(s.Chat(p, w.owner).UpdateConversation(ctx, &chatv1.UpdateConversationRequest{ConversationId: w.group, Title: "a\u202eb"}))
		}},
		{"kind unknown", invalidField, "kind", creates(w, func(r *chatv1.CreateConversationRequest) { r.Kind = 3 })},
		{"kind unset", invalidField, "kind", creates(w, func(r *chatv1.CreateConversationRequest) { r.Kind = 0 })},
		{"group without a title", invalidField, "title", creates(w, func(r *chatv1.CreateConversationRequest) { r.Kind, r.Title = group, "" })},
		{"title of 128 characters", allowed, "", creates(w, func(r *chatv1.CreateConversationRequest) { r.Title = strings.Repeat("ü", 128) })},
		{"title of 129 characters", invalidField, "title", creates(w, func(r *chatv1.CreateConversationRequest) { r.Title = strings.Repeat("ü", 129) })},
		{"member a conversation", invalidID, "member_ids[1]", creates(w, func(r *chatv1.CreateConversationRequest) { r.MemberIds = []string{w.member.ID, w.group} })},
		{"member nobody", notThere, "", creates(w, func(r *chatv1.CreateConversationRequest) { r.MemberIds = []string{"u000000000000a"} })},
		{"members too many", invalidField, "member_ids", creates(w, func(r *chatv1.CreateConversationRequest) { r.MemberIds = make([]string, 501) })},
		{"direct with oneself", invalidField, "member_ids", creates(w, func(r *chatv1.CreateConversationRequest) {
			r.Kind, r.Title, r.MemberIds = chatv1.ConversationKind_CONVERSATION_KIND_DIRECT, "", []string{w.owner.ID}
		})},
		{"role unknown", invalidField, "role", func(ctx context.Context, p nodetest.Protocol) error {
			return failure(s.Chat(p, w.owner).AddMembers(ctx, &chatv1.AddMembersRequest{ConversationId: w.group, UserIds: []string{w.stranger.ID}, Role: 9}))
		}},

		// Reading.
		{"limit below 0", invalidField, "limit", lists(w, &chatv1.ListMessagesRequest{Limit: -1})},
		{"limit huge", allowed, "", lists(w, &chatv1.ListMessagesRequest{Limit: 1<<31 - 1})},
		{"two places", invalidField, "", lists(w, &chatv1.ListMessagesRequest{BeforeSeq: 1, AfterSeq: 1})},
		{"before the beginning", allowed, "", lists(w, &chatv1.ListMessagesRequest{BeforeSeq: 1})},
		{"after the end", allowed, "", lists(w, &chatv1.ListMessagesRequest{AfterSeq: 1<<63 - 1})},
		{"around the end of numbers", allowed, "", lists(w, &chatv1.ListMessagesRequest{AroundSeq: 1<<63 - 1})},
		{"page size below 0", invalidField, "page_size", func(ctx context.Context, p nodetest.Protocol) error {
			return failure(s.Chat(p, w.owner).ListConversations(ctx, &chatv1.ListConversationsRequest{PageSize: -1}))
		}},
		{"page token of none", invalidToken, "page_token", func(ctx context.Context, p nodetest.Protocol) error {
			return failure(s.Chat(p, w.owner).ListConversations(ctx, &chatv1.ListConversationsRequest{PageToken: "x"}))
		}},
		{"page token of another list", invalidToken, "page_token", func(ctx context.Context, p nodetest.Protocol) error {
			return failure(s.Chat(p, w.owner).ListConversations(ctx, &chatv1.ListConversationsRequest{PageToken: page.GetNextPageToken()}))
		}},
		{"page token of another conversation", invalidToken, "page_token", func(ctx context.Context, p nodetest.Protocol) error {
			return failure(s.Chat(p, w.owner).ListMembers(ctx, &chatv1.ListMembersRequest{ConversationId: w.group, PageToken: foreign.GetNextPageToken()}))
		}},
		{"sync token of none", invalidToken, "token", func(ctx context.Context, p nodetest.Protocol) error {
			return failure(s.Chat(p, w.owner).Sync(ctx, &chatv1.SyncRequest{Token: []byte("\x01token")}))
		}},
		{"positions none", invalidField, "positions", func(ctx context.Context, p nodetest.Protocol) error {
			return failure(s.Chat(p, w.owner).ListEvents(ctx, &chatv1.ListEventsRequest{}))
		}},
		{"positions twice", invalidField, "positions[1].conversation_id", func(ctx context.Context, p nodetest.Protocol) error {
			at := &chatv1.Position{ConversationId: w.group}
			return failure(s.Chat(p, w.owner).ListEvents(ctx, &chatv1.ListEventsRequest{Positions: []*chatv1.Position{at, at}}))
		}},
		{"users none", invalidField, "user_ids", func(ctx context.Context, p nodetest.Protocol) error {
			return failure(s.Chat(p, w.owner).GetUsers(ctx, &chatv1.GetUsersRequest{}))
		}},
		{"query of signs", invalidField, "query", func(ctx context.Context, p nodetest.Protocol) error {
			return failure(s.Chat(p, w.owner).SearchMessages(ctx, &chatv1.SearchMessagesRequest{Query: `"*)(:^-`}))
		}},
		{"query with NUL", allowed, "", func(ctx context.Context, p nodetest.Protocol) error {
			return failure(s.Chat(p, w.owner).SearchUsers(ctx, &chatv1.SearchUsersRequest{Query: "a\x00b"}))
		}},

		// Accounts.
		{"username with SQL", invalidField, "username", func(ctx context.Context, p nodetest.Protocol) error {
			return failure(s.Auth(p, nil).SignUp(ctx, &authv1.SignUpRequest{Username: "a'; DROP TABLE users", Password: nodetest.Password}))
		}},
		{"password of 7 characters", invalidField, "password", func(ctx context.Context, p nodetest.Protocol) error {
			return failure(s.Auth(p, nil).SignUp(ctx, &authv1.SignUpRequest{Username: "somebody", Password: "1234567"}))
		}},
		{"avatar of another scheme", invalidField, "avatar_url", func(ctx context.Context, p nodetest.Protocol) error {
			return failure(s.Auth(p, w.owner).UpdateProfile(ctx, &authv1.UpdateProfileRequest{AvatarUrl: new("javascript:alert(1)")}))
		}},
		{"display name with an override", invalidField, "display_name", func(ctx context.Context, p nodetest.Protocol) error {
			return failure(s.Auth(p, w.owner).UpdateProfile(ctx, &authv1.UpdateProfileRequest{DisplayName: new("a\u2066b")}))
		}},
		{"session a user", invalidID, "session_id", func(ctx context.Context, p nodetest.Protocol) error {
			return failure(s.Auth(p, w.owner).RevokeSession(ctx, &authv1.RevokeSessionRequest{SessionId: w.owner.ID}))
		}},
	} {
		for _, p := range nodetest.Protocols() {
			t.Run(c.name+"/"+p.Name, func(t *testing.T) {
				err := c.call(within(t), p)
				c.want.check(t, err)
				if _, field := reason(err); field != c.field {
					t.Errorf("the error names %q, want %q: %v", field, c.field, err)
				}
			})
		}
	}
}

func sends(w *world, change func(*chatv1.SendMessageRequest)) func(context.Context, nodetest.Protocol) error {
	return func(ctx context.Context, p nodetest.Protocol) error {
		r := &chatv1.SendMessageRequest{ConversationId: w.group, ClientMessageId: nodetest.UUID(), Content: "x"}
		change(r)
		return failure(w.server.Chat(p, w.member).SendMessage(ctx, r))
	}
}

func creates(w *world, change func(*chatv1.CreateConversationRequest)) func(context.Context, nodetest.Protocol) error {
	return func(ctx context.Context, p nodetest.Protocol) error {
		r := &chatv1.CreateConversationRequest{Kind: chatv1.ConversationKind_CONVERSATION_KIND_GROUP, Title: "x"}
		change(r)
		return failure(w.server.Chat(p, w.owner).CreateConversation(ctx, r))
	}
}

func lists(w *world, r *chatv1.ListMessagesRequest) func(context.Context, nodetest.Protocol) error {
	return func(ctx context.Context, p nodetest.Protocol) error {
		r.ConversationId = w.group
		return failure(w.server.Chat(p, w.reader).ListMessages(ctx, r))
	}
}

func TestTextIsTextWhateverItSays(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	w := newWorld(t, s)
	for _, text := range []string{
		`'; DROP TABLE events; --`, `<script>alert("x")</script>`, `%s%n{{.}}${x}`, `\u0000\`, `"*" OR 1`, "\u202eabc", "a\u0301\u0302", "🐸\U0010ffff",
	} {
		t.Run(text, func(t *testing.T) {
			m := w.send(w.member, text)
			list := must[*chatv1.ListMessagesResponse](t)(w.as(w.reader).ListMessages(t.Context(), &chatv1.ListMessagesRequest{ConversationId: w.group, AroundSeq: m.GetSeq(), Limit: 1}))
			if got := list.GetMessages()[0].GetContent(); got != text {
				t.Errorf("sent %q, read %q", text, got)
			}
			for _, p := range nodetest.Protocols() {
				_, err := s.Chat(p, w.reader).SearchMessages(within(t), &chatv1.SearchMessagesRequest{Query: text + " x"})
				allowed.check(t, err)
				_, err = s.Chat(p, w.reader).SearchUsers(within(t), &chatv1.SearchUsersRequest{Query: text})
				allowed.check(t, err)
			}
		})
	}
}

// get makes a GET with the user's token.
func get(t *testing.T, s *nodetest.Server, path string, u *nodetest.User) (int, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(within(t), http.MethodGet, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	header := map[string]string{}
	if u != nil {
		header["Authorization"] = "Bearer " + u.Session.GetAccessToken()
	}
	res, body := do(t, s, true, r, header)
	return res.StatusCode, body
}

func TestRESTReadsHistory(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	w := newWorld(t, s)
	for n := range 5 {
		w.send(w.member, fmt.Sprint("message ", n))
	}
	all := readREST(t, s, w, "")
	if len(all.Messages) != 6 || all.HasMore {
		t.Fatalf("got %d messages, more: %v", len(all.Messages), all.HasMore)
	}
	first := all.Messages[0]
	for _, name := range []string{"id", "conversationId", "seq", "senderId", "content", "timestamp", "read", "clientMessageId", "replyToSeq", "reactions", "changedSeq", "ordinal"} {
		if _, ok := first[name]; !ok {
			t.Errorf("a message has no %s: %v", name, first)
		}
	}
	seq := func(n int) string { return all.Messages[n]["seq"].(string) }
	for query, want := range map[string]struct {
		contents string
		more     bool
	}{
		"&limit=2":                      {"message 3,message 4", true},
		"&limit=2&beforeSeq=" + seq(3):  {"message 0,message 1", true},
		"&limit=2&afterSeq=" + seq(3):   {"message 3,message 4", false},
		"&limit=3&aroundSeq=" + seq(2):  {"message 0,message 1,message 2", true},
		"&limit=0&beforeSeq=" + seq(1):  {"hello", false},
		"&afterSeq=9223372036854775807": {"", false},
	} {
		t.Run(query, func(t *testing.T) {
			page := readREST(t, s, w, query)
			var contents []string
			for _, m := range page.Messages {
				contents = append(contents, m["content"].(string))
			}
			if got := strings.Join(contents, ","); got != want.contents || page.HasMore != want.more {
				t.Errorf("got %q (more: %v), want %q (more: %v)", got, page.HasMore, want.contents, want.more)
			}
		})
	}
}

type restPage struct {
	Messages []map[string]any `json:"messages"`
	HasMore  bool             `json:"hasMore"`
}

func readREST(t *testing.T, s *nodetest.Server, w *world, query string) restPage {
	t.Helper()
	status, body := get(t, s, "/api/messages?conversationId="+w.group+query, w.reader)
	var page restPage
	if err := json.Unmarshal(body, &page); err != nil || status != http.StatusOK {
		t.Fatalf("status %d, %s, %v", status, body, err)
	}
	if page.Messages == nil {
		t.Errorf("an empty page has no list: %s", body)
	}
	return page
}

func TestRESTNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	w := newWorld(t, s)
	id := "conversationId=" + w.group
	for query, c := range map[string]struct {
		user   *nodetest.User
		status int
		reason string
		field  string
	}{
		id:                                    {nil, http.StatusUnauthorized, "INVALID_SESSION", ""},
		id + "&a":                             {w.revoked, http.StatusUnauthorized, "INVALID_SESSION", ""},
		id + "&":                              {w.stranger, http.StatusNotFound, "NOT_FOUND", ""},
		id + "&&":                             {w.former, http.StatusNotFound, "NOT_FOUND", ""},
		"":                                    {w.reader, http.StatusBadRequest, "INVALID_FIELD", "conversation_id"},
		"conversationId=":                     {w.reader, http.StatusBadRequest, "INVALID_FIELD", "conversation_id"},
		"conversationId=x":                    {w.reader, http.StatusBadRequest, "INVALID_ID", "conversation_id"},
		id + "&" + id:                         {w.reader, http.StatusBadRequest, "INVALID_FIELD", "conversationId"},
		id + "&limit=1&limit=2":               {w.reader, http.StatusBadRequest, "INVALID_FIELD", "limit"},
		id + "&limit=many":                    {w.reader, http.StatusBadRequest, "INVALID_FIELD", "limit"},
		id + "&limit=-1":                      {w.reader, http.StatusBadRequest, "INVALID_FIELD", "limit"},
		id + "&limit=2147483648":              {w.reader, http.StatusBadRequest, "INVALID_FIELD", "limit"},
		id + "&beforeSeq=1.5":                 {w.reader, http.StatusBadRequest, "INVALID_FIELD", "beforeSeq"},
		id + "&beforeSeq=9223372036854775808": {w.reader, http.StatusBadRequest, "INVALID_FIELD", "beforeSeq"},
		id + "&beforeSeq=1&afterSeq=1":        {w.reader, http.StatusBadRequest, "INVALID_FIELD", ""},
		id + "&before_seq=1":                  {w.reader, http.StatusBadRequest, "INVALID_FIELD", "before_seq"},
		id + "&access_token=x":                {w.reader, http.StatusBadRequest, "INVALID_FIELD", "access_token"},
		id + "&%zz":                           {w.reader, http.StatusBadRequest, "INVALID_FIELD", ""},
		id + ";limit=1":                       {w.reader, http.StatusBadRequest, "INVALID_FIELD", ""},
		"conversationId=" + url.QueryEscape("c\x00'--"): {w.reader, http.StatusBadRequest, "INVALID_ID", "conversation_id"},
	} {
		t.Run(query, func(t *testing.T) {
			status, body := get(t, s, "/api/messages?"+query, c.user)
			e := parseError(t, body)
			if status != c.status || e.Details[0].Debug.Reason != "ERROR_REASON_"+c.reason || e.Details[0].Debug.Field != c.field {
				t.Errorf("status %d, %s; want %d, %s for %q", status, body, c.status, c.reason, c.field)
			}
		})
	}
	if res, _ := postBytes(t, s, true, "/api/messages?"+id, nil, nil); res.StatusCode != http.StatusMethodNotAllowed && res.StatusCode != http.StatusNotFound {
		t.Errorf("a POST is answered with status %d", res.StatusCode)
	}
}
