package store

import (
	"context"
	"sync"
	"testing"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// TestReadersOfANewStoreDoNotHoldEachOtherUp sends more readers than there are connections at statements that nobody has used before.
func TestReadersOfANewStoreDoNotHoldEachOtherUp(t *testing.T) {
	for range 20 {
		s, err := Open(t.Context(), Options{URL: "sqlite:" + t.TempDir() + "/db"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		var readers sync.WaitGroup
		for range 32 {
			readers.Go(func() {
				for _, read := range reads(ctx, s) {
					if err := read(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		readers.Wait()
		cancel()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			return
		}
	}
}

// reads returns reads that share statements, within transactions and without.
func reads(ctx context.Context, s *Store) []func() error {
	return []func() error{
		func() error { _, _, err := s.Member(ctx, chat.MemberKey{Conversation: 1, User: 1}); return err },
		func() error { _, err := s.Messages(ctx, 1, chat.MessagePage{Limit: 10}); return err },
		func() error { _, err := s.Messages(ctx, 1, chat.MessagePage{Around: 5, Limit: 10}); return err },
		func() error {
			_, _, err := s.Events(ctx, []chat.EventPosition{{Conversation: 1}}, 10, 1000)
			return err
		},
		func() error { _, err := s.Summaries(ctx, 1, []chat.ConversationID{1}); return err },
		func() error { _, err := s.ChangedSummaries(ctx, 1, nil, 0, 10); return err },
		func() error { _, err := s.RecentSummaries(ctx, 1, chat.RecentCursor{}, 10); return err },
		func() error { _, err := s.Memberships(ctx, 1); return err },
		func() error { _, err := s.Tops(ctx); return err },
		func() error { _, err := s.BatchIDs(ctx, []int64{1}); return err },
		func() error { _, err := s.Batches(ctx, 0, 0, 10); return err },
		func() error { _, err := s.Members(ctx, 1, 0, 10); return err },
		func() error { _, err := s.Users(ctx, []chat.UserID{1}); return err },
	}
}
