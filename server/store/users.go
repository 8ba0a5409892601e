package store

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// Users is that of [chat.Store].
func (s *Store) Users(ctx context.Context, ids []chat.UserID) (map[chat.UserID]chat.User, error) {
	users, err := usersByID(s.db(ctx), ids)
	return users, translateRead(ctx, err)
}

func usersByID(db *gorm.DB, ids []chat.UserID) (map[chat.UserID]chat.User, error) {
	users := make(map[chat.UserID]chat.User, len(ids))
	err := inChunks(ids, func(part []chat.UserID) error {
		var rows []userRow
		err := db.Raw(`SELECT id, username, display_name, avatar_url FROM users WHERE id IN (`+marks(len(part))+`)`, anys(part)...).
			Scan(&rows).Error
		for i := range rows {
			users[rows[i].ID] = rows[i].user()
		}
		return err
	})
	return users, err
}

// LastSeen is that of [chat.Store].
func (s *Store) LastSeen(ctx context.Context, ids []chat.UserID) (seen map[chat.UserID]time.Time, hidden map[chat.UserID]bool, err error) {
	seen, hidden = make(map[chat.UserID]time.Time), make(map[chat.UserID]bool)
	err = inChunks(ids, func(part []chat.UserID) error {
		var rows []userRow
		err := s.db(ctx).Raw(`SELECT id, presence_hidden, last_seen_at FROM users WHERE id IN (`+marks(len(part))+`)`, anys(part)...).
			Scan(&rows).Error
		for _, r := range rows {
			switch {
			case r.PresenceHidden:
				hidden[r.ID] = true
			case r.LastSeenAt > 0:
				seen[r.ID] = fromMillis(r.LastSeenAt)
			}
		}
		return err
	})
	return seen, hidden, translateRead(ctx, err)
}

// lastSeenChunk is how many users one transaction updates: commits wait for it.
const lastSeenChunk = 500

// SetLastSeen is that of [chat.Store].
func (s *Store) SetLastSeen(ctx context.Context, seen map[chat.UserID]time.Time) error {
	ids := make([]chat.UserID, 0, len(seen))
	for id := range seen {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, cmp.Compare[chat.UserID])
	for part := range slices.Chunk(ids, lastSeenChunk) {
		err := s.write(ctx, func(tx *gorm.DB) error {
			for _, id := range part {
				at := millis(seen[id])
				err := tx.Exec(`UPDATE users SET last_seen_at = ? WHERE id = ? AND last_seen_at < ?`, at, id, at).Error
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// SearchUsers is that of [chat.Store].
func (s *Store) SearchUsers(ctx context.Context, prefix string, limit int) ([]chat.User, error) {
	var rows []userRow
	key := strings.ToLower(prefix)
	err := s.db(ctx).Raw(`SELECT id, username, display_name, avatar_url FROM users
		WHERE username_key >= ? AND username_key < ? OR id IN (SELECT rowid FROM user_names WHERE user_names MATCH ? LIMIT 2000)
		ORDER BY username_key LIMIT ?`, key, key+"\U0010ffff", `"`+strings.ReplaceAll(prefix, `"`, `""`)+`"*`, limit).Scan(&rows).Error
	users := make([]chat.User, len(rows))
	for i := range rows {
		users[i] = rows[i].user()
	}
	return users, translateRead(ctx, err)
}
