package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// selfQuery begins at the user's own rows, which lie together, and looks the rest up by primary keys.
const selfQuery = `SELECT ` + stateColumns + `, ` + memberColumns + ` FROM members m
	JOIN conversation_heads h ON h.conversation_id = m.conversation_id
	JOIN conversations c ON c.id = m.conversation_id
	WHERE m.user_id = ?`

// Summaries is that of [chat.Store]; the answers are in the order of ids.
func (s *Store) Summaries(ctx context.Context, user chat.UserID, ids []chat.ConversationID) ([]chat.Summary, error) {
	var list []chat.Summary
	err := s.snapshot(ctx, func(db *gorm.DB) error {
		return inChunks(ids, func(part []chat.ConversationID) error {
			page, err := summaries(db, user, selfQuery+` AND m.conversation_id IN (`+marks(len(part))+`)`, append([]any{user}, anys(part)...))
			list = append(list, page...)
			return err
		})
	})
	place := make(map[chat.ConversationID]int, len(ids))
	for i, id := range ids {
		place[id] = i
	}
	slices.SortFunc(list, func(a, b chat.Summary) int { return cmp.Compare(place[a.Conversation.ID], place[b.Conversation.ID]) })
	return list, err
}

// ChangedSummaries is that of [chat.Store].
func (s *Store) ChangedSummaries(ctx context.Context, user chat.UserID, since []int64, after chat.ConversationID, limit int) ([]chat.Summary, error) {
	query, args := selfQuery+` AND m.conversation_id > ?`, []any{user, after}
	if since == nil {
		query += ` AND m.left_seq = 0`
	} else {
		if len(since) != s.shards {
			return nil, fmt.Errorf("positions of %d shards, where there are %d", len(since), s.shards)
		}
		no, nos := sinceExpression(since)
		query += ` AND (m.changed_no > ` + no + ` OR m.left_seq = 0 AND h.changed_no > ` + no + `)`
		args = append(append(args, nos...), nos...)
	}
	query += ` ORDER BY m.conversation_id LIMIT ?`
	var list []chat.Summary
	err := s.snapshot(ctx, func(db *gorm.DB) (err error) {
		list, err = summaries(db, user, query, append(args, limit))
		return err
	})
	return list, err
}

// sinceExpression is SQL for the number that belongs to the shard of a member's conversation, with its arguments. A shard is a range
// of ids, since an id begins with its slot.
func sinceExpression(since []int64) (string, []any) {
	if len(since) == 1 {
		return "?", []any{since[0]}
	}
	var b strings.Builder
	var args []any
	b.WriteString("CASE")
	for shard, no := range since[:len(since)-1] {
		b.WriteString(" WHEN m.conversation_id < ? THEN ?")
		args = append(args, firstOfShard(shard+1, len(since)), no)
	}
	b.WriteString(" ELSE CAST(? AS bigint) END") // the type of the whole
	return b.String(), append(args, since[len(since)-1])
}

// firstOfShard is the lowest id that a conversation of a shard can have.
func firstOfShard(shard, shards int) chat.ConversationID {
	const slots, slotShift = 1 << 10, 53 // see chat.ConversationID
	return chat.ConversationID((int64(shard)*slots + int64(shards) - 1) / int64(shards) << slotShift)
}

// RecentSummaries is that of [chat.Store].
func (s *Store) RecentSummaries(ctx context.Context, user chat.UserID, before chat.RecentCursor, limit int) ([]chat.Summary, error) {
	query, args := selfQuery+` AND m.left_seq = 0`, []any{user}
	if before != (chat.RecentCursor{}) {
		query += ` AND (h.updated_at, h.conversation_id) < (?, ?)`
		args = append(args, millis(before.UpdateTime), before.Conversation)
	}
	query += ` ORDER BY h.updated_at DESC, h.conversation_id DESC LIMIT ?`
	var list []chat.Summary
	err := s.snapshot(ctx, func(db *gorm.DB) (err error) {
		list, err = summaries(db, user, query, append(args, limit))
		return err
	})
	return list, err
}

// summaries completes the rows that a query beginning with selfQuery finds, in their order. It takes the same number of statements
// however many there are, up to maxChunk.
func summaries(db *gorm.DB, user chat.UserID, query string, args []any) ([]chat.Summary, error) {
	var (
		list  []chat.Summary
		last  []chat.MessageKey
		small []chat.ConversationID
	)
	err := each(db, query, args, func(rows *sql.Rows) error {
		c, h, m, err := scanSelf(rows)
		if err != nil {
			return err
		}
		x := chat.Summary{Conversation: c.Conversation, Self: chat.MemberInfo{Member: *m}}
		if m.Active() {
			x.Head = c.Head
			if h.lastMessage > 0 {
				last = append(last, chat.MessageKey{Conversation: c.ID, Seq: h.lastMessage})
			}
			if c.MemberCount <= SmallConversation {
				small = append(small, c.ID)
			}
		}
		list = append(list, x)
		return nil
	})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	messages, err := messagesAt(db, last)
	if err != nil {
		return nil, err
	}
	peers, err := peersOf(db, user, small)
	if err != nil {
		return nil, err
	}
	return list, completeSummaries(db, user, list, messages, peers)
}

func completeSummaries(db *gorm.DB, user chat.UserID, list []chat.Summary, messages map[chat.MessageKey]*chat.Message,
	peers map[chat.ConversationID][]chat.Receipt,
) error {
	people := []chat.UserID{user}
	newest := make(map[chat.ConversationID]*chat.Message, len(messages))
	for k, m := range messages {
		newest[k.Conversation] = m
	}
	for i := range list {
		x := &list[i]
		x.LastMessage, x.Peers = newest[x.Conversation.ID], peers[x.Conversation.ID]
		if x.Conversation.Kind == chat.Direct && len(x.Peers) == 1 {
			people = append(people, x.Peers[0].User)
		}
	}
	profiles, err := usersByID(db, people)
	if err != nil {
		return err
	}
	for i := range list {
		x := &list[i]
		x.Self.Profile = profiles[user]
		if x.Conversation.Kind != chat.Direct || len(x.Peers) != 1 {
			continue
		}
		if peer, ok := profiles[x.Peers[0].User]; ok {
			x.Peer = &peer
		}
	}
	return nil
}

// peersOf reads the marks of the members of conversations other than user.
func peersOf(db *gorm.DB, user chat.UserID, ids []chat.ConversationID) (map[chat.ConversationID][]chat.Receipt, error) {
	peers := make(map[chat.ConversationID][]chat.Receipt, len(ids))
	err := inChunks(ids, func(part []chat.ConversationID) error {
		return each(db, `SELECT `+memberColumns+` FROM members m
			WHERE m.conversation_id IN (`+marks(len(part))+`) AND m.user_id <> ? AND m.left_seq = 0 ORDER BY m.conversation_id, m.user_id`,
			append(anys(part), user), func(rows *sql.Rows) error {
				m, err := scanMember(rows)
				if err != nil {
					return err
				}
				peers[m.Conversation] = append(peers[m.Conversation], m.Receipt())
				return nil
			})
	})
	return peers, err
}
