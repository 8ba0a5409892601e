package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/chat"
)

// nobody is a publisher and a presence for tests without streams.
type nobody struct{}

func (nobody) Publish(chat.Batch)                                          {}
func (nobody) Typing(chat.ConversationID, chat.UserID, bool)               {}
func (nobody) Presence(context.Context, []chat.UserID) []chat.PresenceInfo { return nil }

// serve returns a service on a store, as a node runs one. It is closed before the store.
func serve(t testing.TB, s *Store) *chat.Service {
	t.Helper()
	service := chat.New(chat.Config{Store: s, Publisher: nobody{}, Presence: nobody{}, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(service.Close)
	return service
}

// newGroup makes n users, and a conversation of all of them, of which the first is the owner.
func newGroup(t testing.TB, s *Store, service *chat.Service, n int) (chat.ConversationID, []chat.Caller) {
	t.Helper()
	var members []chat.Caller
	var others []chat.UserID
	for range n {
		u := newUser(t, s)
		members = append(members, chat.Caller{User: u})
		others = append(others, u)
	}
	c, _, err := service.CreateConversation(t.Context(), members[0], chat.CreateRequest{Kind: chat.Group, Title: "test", Members: others[1:]})
	if err != nil {
		t.Fatal(err)
	}
	return c.Conversation.ID, members
}

// newUser stores an account with a name of its own.
func newUser(t testing.TB, s *Store) chat.UserID {
	t.Helper()
	id := chat.UserID(rand.Int64N(1<<62) + 1)
	a := account.Account{User: chat.User{ID: id, Username: fmt.Sprint("user", id), DisplayName: fmt.Sprint("User ", id)}}
	if err := s.CreateAccount(t.Context(), a, a.Username, "hash", account.NewSession{
		Session: account.Session{ID: chat.SessionID(id), User: id},
		Series:  uniqueHash(), Refresh: account.RefreshToken{Secret: uniqueHash()}, Access: account.AccessToken{Hash: uniqueHash(), User: id},
	}); err != nil {
		t.Fatal(err)
	}
	return id
}

func uniqueHash() (h account.Hash) {
	binary.BigEndian.PutUint64(h[:], rand.Uint64())
	return h
}

func newUUID() (id chat.UUID) {
	binary.BigEndian.PutUint64(id[:], rand.Uint64())
	binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	return id
}

// sent is what a writer knows of a message of its own.
type sent struct {
	id      chat.UUID
	content string
	seq     chat.Seq
}

// sendUntilStored sends a message, again and again under the same id, until it is acknowledged. failed is told of every error in between.
func sendUntilStored(ctx context.Context, service *chat.Service, caller chat.Caller, id chat.ConversationID, content string, failed func(error)) (sent, error) {
	x := sent{id: newUUID(), content: content}
	for {
		s, err := service.Send(ctx, caller, chat.SendRequest{Conversation: id, ClientID: x.id, Content: content})
		if err == nil {
			x.seq = s.Message.Seq
			return x, nil
		}
		if ctx.Err() != nil {
			return x, err
		}
		failed(err)
	}
}

// checkStored holds a conversation against what its writers were told: each message once, where it was said to be, and no seq left out.
func checkStored(t testing.TB, s *Store, id chat.ConversationID, acknowledged []sent) {
	t.Helper()
	events := allEvents(t, s, id)
	byID := make(map[chat.UUID]chat.Message)
	for i, e := range events {
		if e.Seq != chat.Seq(i+1) {
			t.Fatalf("event %d has seq %d", i+1, e.Seq)
		}
		if e.Kind != chat.EventMessage {
			continue
		}
		if twice, ok := byID[e.Message.ClientID]; ok {
			t.Errorf("stored twice, at %d and %d: %q", twice.Seq, e.Seq, e.Message.Content)
		}
		byID[e.Message.ClientID] = *e.Message
	}
	for _, x := range acknowledged {
		m, ok := byID[x.id]
		if !ok || m.Seq != x.seq || m.Content != x.content {
			t.Errorf("acknowledged at %d: %q; stored: %v at %d, %q", x.seq, x.content, ok, m.Seq, m.Content)
		}
	}
	if len(byID) != len(acknowledged) {
		t.Errorf("%d messages are stored, and %d were acknowledged", len(byID), len(acknowledged))
	}
}

func allEvents(t testing.TB, s *Store, id chat.ConversationID) (events []chat.Event) {
	t.Helper()
	for {
		after := chat.Seq(0)
		if n := len(events); n > 0 {
			after = events[n-1].Seq
		}
		page, more, err := s.Events(context.Background(), []chat.EventPosition{{Conversation: id, After: after}}, 1000, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		events = slices.Concat(events, page)
		if !more {
			return events
		}
	}
}
