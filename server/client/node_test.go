package client_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/node"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

// These tests hold the client against real nodes.

func options(s *nodetest.Server, u *nodetest.User) client.Options {
	return client.Options{ServerURL: s.URL, Session: client.MemorySession(&client.Session{
		UserID: u.ID, Username: u.Username, SessionID: u.Session.GetId(), AccessToken: u.Session.GetAccessToken(), RefreshToken: u.Session.GetRefreshToken(),
		AccessTokenExpire: u.Session.GetAccessTokenExpireTime().AsTime(), RefreshTokenExpire: u.Session.GetRefreshTokenExpireTime().AsTime(),
	}), Backoff: client.Backoff{Base: 5 * time.Millisecond, Cap: 50 * time.Millisecond}}
}

func start(t *testing.T, o client.Options) *client.Client {
	t.Helper()
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	c.Start()
	return c
}

// until takes events until one is what the test waits for.
func until(t *testing.T, c *client.Client, what string, is func(client.Event) bool) client.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		e, err := c.Next(ctx)
		if err != nil {
			t.Fatalf("waiting for %s: %v", what, err)
		}
		if is(e) {
			return e
		}
	}
}

func body[B any](is func(B) bool) func(client.Event) bool {
	return func(e client.Event) bool {
		b, ok := e.Body.(B)
		return ok && is(b)
	}
}

func ok[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func live(client.Live) bool { return true }

func TestEveryCallOnARealNode(t *testing.T) {
	s := nodetest.Start(t)
	ada, bob, eve := s.SignUp("ada"), s.SignUp("bob"), s.SignUp("eve")
	a, b := start(t, options(s, ada)), start(t, options(s, bob))
	ctx := t.Context()
	until(t, a, "live", body(live)) // what is typed without a connection is told nobody
	until(t, b, "live", body(live))

	direct := ok[*chatv1.ConversationSummary](t)(a.CreateDirect(ctx, bob.ID))
	if again := ok[*chatv1.ConversationSummary](t)(b.CreateDirect(ctx, ada.ID)); again.GetConversation().GetId() != direct.GetConversation().GetId() {
		t.Fatal("two direct conversations of one pair")
	}
	group := ok[*chatv1.ConversationSummary](t)(a.CreateGroup(ctx, "Toads", bob.ID)).GetConversation().GetId()
	until(t, b, "the group", body(func(s *chatv1.ConversationSummary) bool { return s.GetConversation().GetId() == group }))
	b.Track(group)

	a.SetTyping(group, true)
	until(t, b, "typing", body(func(y *chatv1.Typing) bool { return y.GetUserId() == ada.ID && y.GetTyping() }))
	sending := ok[*client.Sending](t)(a.Send(group, "croak once", client.SendOptions{}))
	sent := ok[client.Sent](t)(sending.Wait(ctx))
	got := until(t, b, "the message", body(func(m *chatv1.Message) bool { return m.GetContent() == "croak once" }))
	if m := got.Body.(*chatv1.Message); got.Seq != sent.Seq || m.GetId() != sent.ID || m.GetClientMessageId() != sending.ID() || !m.GetTimestamp().AsTime().Equal(sent.Time) {
		t.Fatalf("sent %+v, got %+v", sent, got)
	}
	again := ok[*client.Sending](t)(a.Send(group, "croak once", client.SendOptions{ClientID: sending.ID()}))
	if dup := ok[client.Sent](t)(again.Wait(ctx)); !dup.Duplicate || dup.Seq != sent.Seq {
		t.Fatalf("the same again: %+v", dup)
	}
	other := ok[*client.Sending](t)(a.Send(group, "something else", client.SendOptions{ClientID: sending.ID()}))
	if _, err := other.Wait(ctx); client.ReasonOf(err) != chatv1.ErrorReason_ERROR_REASON_ID_REUSED {
		t.Fatalf("other content under the same id: %v", err)
	}

	b.MarkRead(group, sent.Seq)
	until(t, a, "the read mark", body(func(r *chatv1.Receipt) bool { return r.GetUserId() == bob.ID && r.GetReadSeq() == sent.Seq }))
	if m := ok[*chatv1.Message](t)(b.React(ctx, group, sent.Seq, "🐸")); len(m.GetReactions()) != 1 {
		t.Fatalf("reacted: %v", m)
	}
	if m := ok[*chatv1.Message](t)(b.Unreact(ctx, group, sent.Seq, "🐸")); len(m.GetReactions()) != 0 {
		t.Fatalf("took the reaction back: %v", m)
	}
	if m := ok[*chatv1.Message](t)(a.Edit(ctx, group, sent.Seq, "croak twice")); m.GetContent() != "croak twice" {
		t.Fatalf("edited: %v", m)
	}
	until(t, b, "the edit", body(func(m *chatv1.Message) bool { return m.GetSeq() == sent.Seq && m.GetContent() == "croak twice" }))
	if found := ok[[]*chatv1.Message](t)(b.SearchMessages(ctx, "twice", group, 0)); len(found) != 1 {
		t.Fatalf("found %v", found)
	}
	if page := ok[*chatv1.ListMessagesResponse](t)(b.Messages(ctx, group, client.Page{Around: sent.Seq, Limit: 1})); len(page.GetMessages()) != 1 {
		t.Fatalf("page %v", page)
	}
	if m := ok[*chatv1.Message](t)(a.Delete(ctx, group, sent.Seq)); m.GetDeleteTime() == nil {
		t.Fatalf("deleted: %v", m)
	}

	if c := ok[*chatv1.Conversation](t)(a.Rename(ctx, group, "Natterjacks")); c.GetTitle() != "Natterjacks" {
		t.Fatalf("renamed: %v", c)
	}
	if m := ok[[]*chatv1.Member](t)(a.AddMembers(ctx, group, chatv1.MemberRole_MEMBER_ROLE_READER, eve.ID)); len(m) != 1 {
		t.Fatalf("added %v", m)
	}
	if m := ok[*chatv1.Member](t)(a.UpdateMember(ctx, group, bob.ID, chatv1.MemberRole_MEMBER_ROLE_ADMIN)); m.GetRole() != chatv1.MemberRole_MEMBER_ROLE_ADMIN {
		t.Fatalf("role %v", m)
	}
	members, receipts, err := a.Members(ctx, group)
	if err != nil || len(members) != 3 || len(receipts) != 3 {
		t.Fatalf("members %v %v %v", members, receipts, err)
	}
	if all := ok[[]*chatv1.ConversationSummary](t)(b.Conversations(ctx)); len(all) != 2 || all[0].GetConversation().GetTitle() != "Natterjacks" {
		t.Fatalf("conversations %v", all)
	}
	sync := ok[*chatv1.SyncResponse](t)(b.Sync(ctx, nil))
	if len(sync.GetSummaries()) != 2 || len(sync.GetToken()) == 0 {
		t.Fatalf("sync %v", sync)
	}

	if err := b.WatchPresence(ada.ID); err != nil {
		t.Fatal(err)
	}
	until(t, b, "ada online", body(func(p *chatv1.Presence) bool {
		return p.GetUserId() == ada.ID && p.GetState() == chatv1.PresenceState_PRESENCE_STATE_ONLINE
	}))
	a.SetAway(true)
	until(t, b, "ada away", body(func(p *chatv1.Presence) bool { return p.GetState() == chatv1.PresenceState_PRESENCE_STATE_AWAY }))
	if p := ok[[]*chatv1.Presence](t)(b.Presence(ctx, ada.ID)); len(p) != 1 || p[0].GetState() != chatv1.PresenceState_PRESENCE_STATE_AWAY {
		t.Fatalf("presence %v", p)
	}
	if u := ok[[]*chatv1.User](t)(b.Users(ctx, ada.ID)); len(u) != 1 || u[0].GetUsername() != ada.Username {
		t.Fatalf("users %v", u)
	}
	if u := ok[[]*chatv1.User](t)(b.SearchUsers(ctx, eve.Username, 5)); len(u) != 1 {
		t.Fatalf("found %v", u)
	}
	if all := ok[int](t)(len(ok2(a.Sessions(ctx))), nil); all != 1 {
		t.Fatalf("%d sessions", all)
	}

	if err := a.RemoveMember(ctx, group, bob.ID); err != nil {
		t.Fatal(err)
	}
	until(t, b, "the removal", func(e client.Event) bool {
		left, ok := e.Body.(*chatv1.ConversationSummary)
		_, gone := e.Body.(*client.Gone)
		return e.Conversation == group && (gone || ok && left.GetSelf().GetLeftSeq() > 0)
	})
	late := ok[*client.Sending](t)(b.Send(group, "still here?", client.SendOptions{}))
	if _, err := late.Wait(ctx); client.ReasonOf(err) != chatv1.ErrorReason_ERROR_REASON_NOT_FOUND {
		t.Fatalf("sent by a former member: %v", err)
	}
	if _, err := b.Conversation(ctx, group); client.ReasonOf(err) != chatv1.ErrorReason_ERROR_REASON_NOT_FOUND {
		t.Fatalf("read by a former member: %v", err)
	}

	if err := a.SignOut(ctx); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = a.Next(ctx)
	}
	if !errors.Is(err, client.ErrSessionEnded) {
		t.Fatalf("after signing out: %v", err)
	}
}

func ok2[T any](v T, _ error) T { return v }

// scissors cuts the streams of the transports that share it.
type scissors struct {
	mu   sync.Mutex
	open []context.CancelFunc
}

func (s *scissors) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, cancel := range s.open {
		cancel()
	}
	s.open = nil
}

type cutTransport struct {
	client.Transport
	by *scissors
}

func (c cutTransport) Open(ctx context.Context, h http.Header) (client.Stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	c.by.mu.Lock()
	c.by.open = append(c.by.open, cancel)
	c.by.mu.Unlock()
	return c.Transport.Open(ctx, h)
}

// A mirror holds exactly what a fresh one gets, though its connection and the senders' are cut all the time.
func TestMirrorIsExactThroughCutsOnARealNode(t *testing.T) {
	for _, p := range nodetest.Streams() {
		t.Run(p.Name, func(t *testing.T) {
			s := nodetest.Start(t)
			ada, bob := s.SignUp("ada"), s.SignUp("bob")
			cutting := &scissors{}
			with := func(u *nodetest.User) client.Options {
				o := options(s, u)
				o.ConnectOptions = p.Options
				o.HTTPClient = client.NewHTTPClient()
				t.Cleanup(o.HTTPClient.CloseIdleConnections)
				o.Transport = cutTransport{client.NewHTTPTransport(o.HTTPClient, s.URL, p.Options...), cutting}
				if p.WebSocket {
					o.Transport = cutTransport{s.Transport(p), cutting}
				}
				return o
			}
			o := with(bob)
			o.Mode, o.Queue = client.Full, 64
			mirror := start(t, o)
			o = with(ada)
			o.ConversationWindow = 4
			sender := start(t, o)
			var convs []string
			for i := range 3 {
				convs = append(convs, ok[*chatv1.ConversationSummary](t)(sender.CreateGroup(t.Context(), fmt.Sprint("group ", i), bob.ID)).GetConversation().GetId())
			}
			const each = 150
			var answers sync.WaitGroup
			for i := range each {
				for _, id := range convs {
					answers.Add(1)
					_, err := sender.Send(id, fmt.Sprint(i), client.SendOptions{OnDone: func(_ client.Sent, err error) {
						defer answers.Done()
						if err != nil {
							t.Error(err)
						}
					}})
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			answered := make(chan struct{})
			go func() { answers.Wait(); close(answered) }()
			for range 25 { // then in peace: on a slow machine it would never be done
				select {
				case <-answered:
				case <-time.After(time.Duration(rand.IntN(30)) * time.Millisecond):
					cutting.cut()
				}
			}
			<-answered
			heads := map[string]int64{}
			for _, c := range ok[[]*chatv1.ConversationSummary](t)(mirror.Conversations(t.Context())) {
				heads[c.GetConversation().GetId()] = c.GetLastSeq()
			}
			seqs := map[string]int64{}
			until(t, mirror, "everything", func(e client.Event) bool {
				if e.Seq > 0 {
					if e.Seq != seqs[e.Conversation]+1 {
						t.Fatalf("%s: %d after %d", e.Conversation, e.Seq, seqs[e.Conversation])
					}
					seqs[e.Conversation] = e.Seq
				}
				for id, head := range heads {
					if seqs[id] < head {
						return false
					}
				}
				return true
			})
			for _, id := range convs {
				if n := heads[id]; n < each+1 || n > each+10 {
					t.Fatalf("%d events in a conversation of %d messages", n, each)
				}
			}
		})
	}
}

func TestNewerClientOfADeviceTakesOver(t *testing.T) {
	s := nodetest.Start(t)
	ada := s.SignUp("ada")
	o := options(s, ada)
	o.DeviceID = "phone"
	first := start(t, o)
	until(t, first, "live", body(live))
	second := start(t, o)
	until(t, second, "live", body(live))
	var err error
	for err == nil {
		_, err = first.Next(t.Context())
	}
	if !errors.Is(err, client.ErrSuperseded) {
		t.Fatalf("the older one ended with %v", err)
	}
	if first.Device() != "phone" {
		t.Fatalf("device %q", first.Device())
	}
}

func TestStreamGoesOnWhenItsTokenRunsOut(t *testing.T) {
	s := nodetest.Start(t, nodetest.Config(func(c *node.Config) { c.Accounts.AccessTokenLife = 3 * time.Second }))
	ada, bob := s.SignUp("ada"), s.SignUp("bob")
	a := start(t, options(s, ada))
	b := start(t, options(s, bob))
	id := ok[*chatv1.ConversationSummary](t)(a.CreateDirect(t.Context(), bob.ID)).GetConversation().GetId()
	until(t, b, "live", body(live))
	b.Track(id)
	for range 2 { // goodbyes for the token: only a new connection is live again, while the Offline before may give way to what follows it
		until(t, b, "live again", body(live))
	}
	ok[*client.Sending](t)(a.Send(id, "still there?", client.SendOptions{}))
	until(t, b, "the message", body(func(m *chatv1.Message) bool { return m.GetContent() == "still there?" }))
}

func TestErrorsOfTheRawClients(t *testing.T) {
	s := nodetest.Start(t)
	a := start(t, options(s, s.SignUp("ada")))
	_, err := a.Chat().GetConversation(t.Context(), &chatv1.GetConversationRequest{ConversationId: ""})
	var e *client.Error
	if !errors.As(client.AsError(err), &e) || e.Code != connect.CodeInvalidArgument || e.Field != "conversation_id" || e.Reason != chatv1.ErrorReason_ERROR_REASON_INVALID_FIELD {
		t.Fatalf("error %#v", client.AsError(err))
	}
	if client.AsError(nil) != nil || !errors.Is(client.AsError(context.Canceled), context.Canceled) {
		t.Fatal("errors of others are changed")
	}
}
