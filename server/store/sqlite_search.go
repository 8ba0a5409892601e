package store

import (
	"cmp"
	"context"
	"database/sql"
	"math"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/natterjack-chat/natterjack/server/chat"
)

const (
	// searchPatience is how long a search waits for the index to catch up, before it says that it can't be done now.
	searchPatience = 3 * time.Second
	// searchFanout is how many conversations one MATCH covers.
	searchFanout = 100
)

// search finds messages by the index, newest first, which is the order in which they were stored.
func (e *sqliteEngine) search(ctx context.Context, x search) ([]chat.Message, error) {
	patient, cancel := context.WithTimeout(ctx, searchPatience)
	defer cancel()
	if err := e.waitIndexed(patient); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, chat.Unavailable(err)
	}
	before, err := e.eventID(ctx, x.before)
	if err != nil {
		return nil, translateRead(ctx, err)
	}
	var found []chat.Message
	for len(found) < x.limit {
		ids, err := e.index.find(ctx, x, before)
		if err != nil {
			return nil, translateRead(ctx, err)
		}
		messages, err := e.messagesByID(ctx, ids)
		if err != nil {
			return nil, translateRead(ctx, err)
		}
		found = append(found, messages...)
		if len(ids) < x.limit {
			break
		}
		// Some were deleted since the index was read.
		before = ids[len(ids)-1]
	}
	return found[:min(len(found), x.limit)], nil
}

// eventID returns the row of the message that a cursor stands at; the end of the table for none.
func (e *sqliteEngine) eventID(ctx context.Context, c chat.SearchCursor) (int64, error) {
	id := int64(math.MaxInt64)
	if c == (chat.SearchCursor{}) {
		return id, nil
	}
	err := each(e.reads.WithContext(ctx), `SELECT id FROM events WHERE conversation_id = ? AND seq = ?`, []any{c.Conversation, c.Seq},
		func(rows *sql.Rows) error { return rows.Scan(&id) })
	return id, err
}

// messagesByID reads messages by their rows, in the order of ids. Deleted ones are left out.
func (e *sqliteEngine) messagesByID(ctx context.Context, ids []int64) ([]chat.Message, error) {
	type found struct {
		id int64
		chat.Message
	}
	var rows []found
	err := inChunks(ids, func(part []int64) error {
		return each(e.reads.WithContext(ctx), `SELECT `+eventColumns+`, e.id FROM events e WHERE e.id IN (`+marks(len(part))+`)`, anys(part),
			func(r *sql.Rows) error {
				var f found
				row, err := scanEvent(r, &f.id)
				if err == nil && !row.message.Deleted() {
					f.Message = row.message
					rows = append(rows, f)
				}
				return err
			})
	})
	slices.SortFunc(rows, func(a, b found) int { return cmp.Compare(b.id, a.id) })
	messages := make([]chat.Message, len(rows))
	for i := range rows {
		messages[i] = rows[i].Message
	}
	return messages, err
}

// waitIndexed waits until the index holds everything that is committed now.
func (e *sqliteEngine) waitIndexed(ctx context.Context) error {
	var last int64
	err := e.reads.WithContext(ctx).Raw(`SELECT COALESCE(max(id), 0) FROM events`).Row().Scan(&last)
	if err != nil {
		return translateRead(ctx, err)
	}
	return e.index.wait(ctx, last)
}

// find returns the rows of the newest messages that match, below a row. Its cost depends only on what the user's conversations hold.
func (x *searchIndex) find(ctx context.Context, s search, before int64) ([]int64, error) {
	var ids []int64
	var floor int64 // what is not above can't be among the newest
	for part := range slices.Chunk(s.conversations, searchFanout) {
		var more []int64
		err := x.reads.WithContext(ctx).
			Raw(`SELECT rowid FROM messages WHERE messages MATCH ? AND rowid < ? AND rowid > ? ORDER BY rowid DESC LIMIT ?`,
				matchExpression(part, s.words, s.beginnings), before, floor, s.limit).
			Scan(&more).Error
		if err != nil {
			return nil, err
		}
		ids = append(ids, more...)
		slices.SortFunc(ids, func(a, b int64) int { return cmp.Compare(b, a) })
		if len(ids) >= s.limit {
			ids = ids[:s.limit]
			floor = ids[s.limit-1]
		}
	}
	return ids, nil
}

// matchExpression is FTS5's for: in one of these conversations, all of these words and beginnings.
func matchExpression(conversations []chat.ConversationID, words, beginnings []string) string {
	var b strings.Builder
	for i, id := range conversations {
		if i > 0 {
			b.WriteString(" OR ")
		}
		b.WriteByte('(')
		for j, w := range words {
			if j > 0 {
				b.WriteString(" AND ")
			}
			b.WriteString(`"` + term(id, w) + `"`)
		}
		for j, w := range beginnings {
			if j+len(words) > 0 {
				b.WriteString(" AND ")
			}
			b.WriteString(`"` + term(id, w) + `"*`)
		}
		b.WriteByte(')')
	}
	return b.String()
}

// term is a word of a conversation's as the index knows it.
func term(id chat.ConversationID, word string) string { return id.String() + word }

// terms is all that the index knows of a message.
func terms(id chat.ConversationID, content string) string {
	var b strings.Builder
	prefix := id.String()
	for _, w := range foldedWords(content) {
		b.WriteString(prefix)
		b.WriteString(w)
		b.WriteByte(' ')
	}
	return b.String()
}

// change is what an event means for the index.
type change struct {
	id, target   int64 // the event's row; for an edit or deletion the message's
	conversation chat.ConversationID
	seq          chat.Seq
	content      string
	deleted      bool
}

// readChanges reads events after a row, with the present state of the messages that they make or change.
func readChanges(db *gorm.DB, after int64, limit int) (changes []change, last int64, err error) {
	err = each(db, `SELECT e.id, e.conversation_id, e.seq, m.id, m.content, m.deleted_at IS NOT NULL
		FROM events e LEFT JOIN events m ON m.conversation_id = e.conversation_id AND m.kind = 1 AND e.kind <= 3
			AND m.seq = CASE e.kind WHEN 1 THEN e.seq ELSE e.target_seq END
		WHERE e.id > ? ORDER BY e.id LIMIT ?`, []any{after, limit},
		func(rows *sql.Rows) error {
			var c change
			var target sql.NullInt64
			var content sql.NullString
			if err := rows.Scan(&last, &c.conversation, &c.seq, &target, &content, &c.deleted); err != nil {
				return err
			}
			c.id, c.target, c.content = last, target.Int64, content.String
			changes = append(changes, c)
			return nil
		})
	return changes, last, err
}
