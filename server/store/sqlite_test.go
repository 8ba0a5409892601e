package store

import (
	"strings"
	"testing"

	"gorm.io/gorm"

	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/chat/chattest"
)

func TestSQLiteHoldsTheContract(t *testing.T) {
	chattest.TestStore(t, func(tb testing.TB) *chattest.Harness {
		return newHarness(tb, Options{URL: "sqlite:" + tb.TempDir() + "/data/test.db"})
	})
}

// newHarness opens a store for the contract suite.
func newHarness(tb testing.TB, o Options) *chattest.Harness {
	tb.Helper()
	s, err := Open(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	h := &chattest.Harness{Store: s}
	h.AddUser = func(u chat.User) error {
		return s.write(tb.Context(), func(tx *gorm.DB) error {
			err := tx.Exec(`INSERT INTO users (id, username, username_key, display_name, avatar_url, created_at) VALUES (?, ?, ?, ?, ?, 0)`,
				u.ID, u.Username, strings.ToLower(u.Username), u.DisplayName, u.AvatarURL).Error
			if err != nil {
				return err
			}
			return indexName(tx, u.ID, u.DisplayName)
		})
	}
	h.Hide = func(id chat.UserID) error {
		return s.write(tb.Context(), func(tx *gorm.DB) error {
			return tx.Exec(`UPDATE users SET presence_hidden = ? WHERE id = ?`, true, id).Error
		})
	}
	h.Reopen = func() (chat.Store, error) {
		if err := s.Close(); err != nil {
			return nil, err
		}
		s, err = Open(tb.Context(), o)
		return s, err
	}
	h.Close = func() error { return s.Close() }
	return h
}
