package store

import (
	"context"
	"database/sql"

	"gorm.io/gorm"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// Member is that of [chat.Store].
func (s *Store) Member(ctx context.Context, key chat.MemberKey) (chat.Member, bool, error) {
	found, err := membersByKey(s.db(ctx), []chat.MemberKey{key})
	if err != nil || found[key] == nil {
		return chat.Member{}, false, translateRead(ctx, err)
	}
	return *found[key], true, nil
}

// ConversationState is that of [chat.Store].
func (s *Store) ConversationState(ctx context.Context, id chat.ConversationID) (chat.ConversationState, bool, error) {
	states, _, err := statesByID(s.db(ctx), []chat.ConversationID{id})
	if err != nil || states[id] == nil {
		return chat.ConversationState{}, false, translateRead(ctx, err)
	}
	return *states[id], true, nil
}

// ReadByOthers is that of [chat.Store].
func (s *Store) ReadByOthers(ctx context.Context, id chat.ConversationID, user chat.UserID) (chat.Seq, error) {
	_, heads, err := statesByID(s.db(ctx), []chat.ConversationID{id})
	return heads[id].reads.byOthers(user), translateRead(ctx, err)
}

func statesByID(db *gorm.DB, ids []chat.ConversationID) (map[chat.ConversationID]*chat.ConversationState, map[chat.ConversationID]head, error) {
	v := view{View: &chat.View{
		Conversations: make(map[chat.ConversationID]*chat.ConversationState, len(ids)),
		CreateKeys:    make(map[string]chat.ConversationID),
	}, heads: make(map[chat.ConversationID]head, len(ids))}
	err := v.readConversations(db, &chat.Reads{Conversations: ids})
	return v.Conversations, v.heads, err
}

// Memberships is that of [chat.Store].
func (s *Store) Memberships(ctx context.Context, user chat.UserID) ([]chat.ConversationID, error) {
	var ids []chat.ConversationID
	err := s.db(ctx).Raw(`SELECT conversation_id FROM members WHERE user_id = ? AND left_seq = 0 ORDER BY conversation_id`, user).Scan(&ids).Error
	return ids, translateRead(ctx, err)
}

// Members is that of [chat.Store].
func (s *Store) Members(ctx context.Context, id chat.ConversationID, after chat.UserID, limit int) ([]chat.MemberInfo, error) {
	var members []chat.MemberInfo
	err := s.snapshot(ctx, func(db *gorm.DB) error {
		var users []chat.UserID
		err := each(db, `SELECT `+memberColumns+` FROM members m
			WHERE m.conversation_id = ? AND m.user_id > ? AND m.left_seq = 0 ORDER BY m.user_id LIMIT ?`, []any{id, after, limit},
			func(rows *sql.Rows) error {
				m, err := scanMember(rows)
				if err != nil {
					return err
				}
				members = append(members, chat.MemberInfo{Member: *m})
				users = append(users, m.User)
				return nil
			})
		if err != nil {
			return err
		}
		profiles, err := usersByID(db, users)
		for i := range members {
			members[i].Profile = profiles[members[i].User]
		}
		return err
	})
	return members, err
}

// Shared is that of [chat.Store].
func (s *Store) Shared(ctx context.Context, user chat.UserID, others []chat.UserID) (map[chat.UserID]bool, error) {
	shared := make(map[chat.UserID]bool, len(others))
	err := inChunks(others, func(part []chat.UserID) error {
		// The search for one of them ends at the first conversation they share.
		return each(s.db(ctx), `SELECT u.id FROM users u WHERE u.id IN (`+marks(len(part))+`) AND EXISTS (
				SELECT 1 FROM members theirs JOIN members mine ON mine.user_id = ? AND mine.conversation_id = theirs.conversation_id
				WHERE theirs.user_id = u.id AND theirs.left_seq = 0 AND mine.left_seq = 0)`,
			append(anys(part), user), func(rows *sql.Rows) error {
				var id chat.UserID
				err := rows.Scan(&id)
				shared[id] = true
				return err
			})
	})
	for _, u := range others {
		if u == user {
			shared[u] = true
		}
	}
	return shared, translateRead(ctx, err)
}
