package store

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
	"unicode"

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

// maxNameMatches is how many users with a matching word are looked at: enough to fill any page, and a bound for a beginning that everyone has.
const maxNameMatches = 2000

// SearchUsers is that of [chat.Store]. Of several words in prefix, all have to occur in the display name, the last as a beginning.
func (s *Store) SearchUsers(ctx context.Context, prefix string, limit int) ([]chat.User, error) {
	from, to := beginsWith(strings.ToLower(prefix))
	found, args := `SELECT id FROM users WHERE username_key >= ? AND username_key < ?`, []any{from, to}
	if words := splitWords(prefix); len(words) > 0 {
		last := len(words) - 1
		from, to := beginsWith(words[last])
		found += ` UNION SELECT user_id FROM (SELECT user_id FROM user_words w WHERE w.word >= ? AND w.word < ?`
		args = append(args, from, to)
		for _, w := range words[:last] {
			found += ` AND EXISTS (SELECT 1 FROM user_words o WHERE o.word = ? AND o.user_id = w.user_id)`
			args = append(args, w)
		}
		found += ` LIMIT ?) AS named`
		args = append(args, maxNameMatches)
	}
	var rows []userRow
	err := s.db(ctx).Raw(`SELECT id, username, display_name, avatar_url FROM users WHERE id IN (`+found+`) ORDER BY username_key LIMIT ?`,
		append(args, limit)...).Scan(&rows).Error
	users := make([]chat.User, len(rows))
	for i := range rows {
		users[i] = rows[i].user()
	}
	return users, translateRead(ctx, err)
}

// beginsWith returns the bounds, the second one excluded, of the texts that begin with prefix.
func beginsWith(prefix string) (from, to string) { return prefix, prefix + string(unicode.MaxRune) }

// indexName replaces the words by which a user is found.
func indexName(tx *gorm.DB, user chat.UserID, displayName string) error {
	if err := tx.Exec(`DELETE FROM user_words WHERE user_id = ?`, user).Error; err != nil {
		return err
	}
	for _, w := range foldedWords(displayName) {
		if err := tx.Exec(`INSERT INTO user_words (word, user_id) VALUES (?, ?)`, w, user).Error; err != nil {
			return err
		}
	}
	return nil
}
