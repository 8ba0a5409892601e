package store

import (
	"context"
	"database/sql"
	"slices"

	"gorm.io/gorm"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// messagesFrom is a page of history in one direction. Each row also carries the conversation's last ordinal, from the same snapshot.
const messagesFrom = `SELECT ` + eventColumns + `, h.last_ordinal FROM conversation_heads h
	JOIN events e ON e.conversation_id = h.conversation_id
	WHERE h.conversation_id = ? AND e.kind = 1`

// Messages is that of [chat.Store].
func (s *Store) Messages(ctx context.Context, id chat.ConversationID, page chat.MessagePage) (chat.MessageList, error) {
	var messages []chat.Message
	var last int64 // the ordinal of the conversation's newest message
	read := func(db *gorm.DB, where string, args ...any) error {
		return each(db, messagesFrom+where, append([]any{id}, args...), func(rows *sql.Rows) error {
			e, err := scanEvent(rows, &last)
			if err == nil {
				messages = append(messages, *e.Message)
			}
			return err
		})
	}
	var err error
	switch {
	case page.Around > 0:
		err = s.snapshot(ctx, func(db *gorm.DB) error {
			if err := read(db, ` AND e.seq < ? ORDER BY e.seq DESC LIMIT ?`, page.Around, page.Limit); err != nil {
				return err
			}
			slices.Reverse(messages)
			older := len(messages)
			err := read(db, ` AND e.seq >= ? ORDER BY e.seq LIMIT ?`, page.Around, page.Limit)
			messages = middle(messages, older, page.Limit)
			return err
		})
	case page.After > 0:
		err = read(s.db(ctx), ` AND e.seq > ? ORDER BY e.seq LIMIT ?`, page.After, page.Limit)
	case page.Before > 0:
		err = read(s.db(ctx), ` AND e.seq < ? ORDER BY e.seq DESC LIMIT ?`, page.Before, page.Limit)
		slices.Reverse(messages)
	default:
		err = read(s.db(ctx), ` ORDER BY e.seq DESC LIMIT ?`, page.Limit)
		slices.Reverse(messages)
	}
	if err != nil {
		return chat.MessageList{}, translateRead(ctx, err)
	}
	if len(messages) > 0 {
		return chat.MessageList{Messages: messages, HasOlder: messages[0].Ordinal > 1, HasNewer: messages[len(messages)-1].Ordinal < last}, nil
	}
	return s.emptyPage(ctx, id, page)
}

// middle takes limit messages around the place between older and the rest, evenly as far as there are enough on both sides.
func middle(messages []chat.Message, older, limit int) []chat.Message {
	newer := len(messages) - older
	take := min(older, max(limit/2, limit-newer))
	return messages[older-take:][:min(limit, take+newer)]
}

// emptyPage tells on which side of an empty page the messages are.
func (s *Store) emptyPage(ctx context.Context, id chat.ConversationID, page chat.MessagePage) (chat.MessageList, error) {
	c, _, err := s.ConversationState(ctx, id)
	some := c.LastOrdinal > 0
	return chat.MessageList{HasOlder: some && page.After > 0, HasNewer: some && page.Before > 0}, err
}

// Events is that of [chat.Store].
func (s *Store) Events(ctx context.Context, positions []chat.EventPosition, limit, maxBytes int) (events []chat.Event, more bool, err error) {
	err = s.snapshot(ctx, func(db *gorm.DB) error {
		var found []*eventRow
		for _, p := range positions {
			// One more than may be returned, to see whether there is more.
			err := each(db, `SELECT `+eventColumns+` FROM events e WHERE e.conversation_id = ? AND e.seq > ? ORDER BY e.seq LIMIT ?`,
				[]any{p.Conversation, p.After, limit + 1 - len(found)}, func(rows *sql.Rows) error {
					e, err := scanEvent(rows)
					if err != nil {
						return err
					}
					if len(found) == limit || maxBytes <= 0 && len(found) > 0 {
						more = true
						return errEnough
					}
					maxBytes -= len(e.message.Content)
					found = append(found, e)
					return nil
				})
			if more {
				break
			}
			if err != nil {
				return err
			}
		}
		events, err = resolve(db, found)
		return err
	})
	return events, more, err
}
