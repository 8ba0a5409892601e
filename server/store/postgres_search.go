package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// Terms in the index of messages begin with a mark of their conversation, so that a search costs what the conversations searched hold and
// not what all hold. The mark is short, and so may be that of another conversation too; the conversation is compared besides.
const markDigits = "0123456789abcdefghjkmnpqrstvwxyz"

func conversationMark(id chat.ConversationID) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(id))
	h := fnv.New32a()
	_, _ = h.Write(b[:]) // never fails
	sum := h.Sum32()
	var mark [5]byte
	for i := range mark {
		mark[i] = markDigits[sum>>(5*i)&31]
	}
	return string(mark[:])
}

// postgresTerms is what a message is found by, with spaces between terms.
func postgresTerms(id chat.ConversationID, content string) string {
	words := foldedWords(content)
	if len(words) == 0 {
		return ""
	}
	mark := conversationMark(id)
	var b strings.Builder
	b.Grow(len(content) + len(words)*(len(mark)+1))
	for i, w := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(mark)
		b.WriteString(w)
	}
	return b.String()
}

// One statement of a search looks at searchFanIn conversations at first, then at twice as many each time, up to maxFanIn.
const (
	searchFanIn = 16
	maxFanIn    = 256
)

// search is that of engine.
func (e *postgresEngine) search(ctx context.Context, s search) (found []chat.Message, err error) {
	limited, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	if len(s.conversations) == 1 {
		found, err = e.searchOne(limited, s)
	} else {
		found, err = e.searchMany(limited, s)
	}
	return found, translateRead(ctx, err)
}

// searchMany begins with the conversations that were written to last, and ends where what it has found is newer than anything the others can hold.
func (e *postgresEngine) searchMany(ctx context.Context, s search) ([]chat.Message, error) {
	var found []chat.Message
	recent, err := e.byRecency(ctx, s.conversations)
	for size := searchFanIn; err == nil && len(recent) > 0; size = min(2*size, maxFanIn) {
		if len(found) == s.limit && found[s.limit-1].Time.After(recent[0].updated) {
			break
		}
		n := min(size, len(recent))
		var more []chat.Message
		more, err = e.searchPart(ctx, s, column(recent[:n], func(r recency) chat.ConversationID { return r.id }))
		found = append(found, more...)
		slices.SortFunc(found, func(a, b chat.Message) int {
			return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(b.Conversation, a.Conversation), cmp.Compare(b.Seq, a.Seq))
		})
		found, recent = found[:min(len(found), s.limit)], recent[n:]
	}
	return found, err
}

// recency is when a conversation's newest event happened; none of its messages is newer.
type recency struct {
	id      chat.ConversationID
	updated time.Time
}

func (e *postgresEngine) byRecency(ctx context.Context, conversations []chat.ConversationID) ([]recency, error) {
	rows, err := e.pool.Query(ctx, `SELECT h.conversation_id, h.updated_at FROM unnest($1::bigint[]) AS k(id)
		JOIN conversation_heads h ON h.conversation_id = k.id ORDER BY h.updated_at DESC`, ids(conversations))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r recency, err error) {
		var at int64
		err = row.Scan(&r.id, &at)
		r.updated = fromMillis(at)
		return r, err
	})
}

// searchOne searches one conversation. The server's statistics decide between walking back through its messages, which is best for
// common words, and the index of words.
func (e *postgresEngine) searchOne(ctx context.Context, s search) ([]chat.Message, error) {
	args := []any{int64(s.conversations[0]), searchExpression(s.conversations, s), s.limit}
	where := ``
	if s.before != (chat.SearchCursor{}) {
		where = ` AND (e.at, e.conversation_id, e.seq) < ($4::bigint, $5::bigint, $6::bigint)`
		args = append(args, millis(s.before.Time), int64(s.before.Conversation), int64(s.before.Seq))
		if s.before.Conversation == s.conversations[0] {
			where += ` AND e.seq < $6` // where the walk begins
		}
	}
	return e.found(ctx, `SELECT `+eventColumns+` FROM events e WHERE e.conversation_id = $1 AND e.words @@ $2::text::tsquery`+where+`
		ORDER BY e.seq DESC LIMIT $3`, args)
}

// searchPart searches some conversations by the index of words. The sum hides that there is an index of conversations, too: the planner takes
// many terms for many messages, and would compare each message of the conversations with all of them.
func (e *postgresEngine) searchPart(ctx context.Context, s search, part []chat.ConversationID) ([]chat.Message, error) {
	args := []any{ids(part), searchExpression(part, s), s.limit}
	where := ``
	if s.before != (chat.SearchCursor{}) {
		where = ` AND (e.at, e.conversation_id, e.seq) < ($4::bigint, $5::bigint, $6::bigint)`
		args = append(args, millis(s.before.Time), int64(s.before.Conversation), int64(s.before.Seq))
	}
	return e.found(ctx, `SELECT `+eventColumns+` FROM events e WHERE e.conversation_id + 0 = ANY ($1::bigint[]) AND e.words @@ $2::text::tsquery`+where+`
		ORDER BY e.at DESC, e.conversation_id DESC, e.seq DESC LIMIT $3`, args)
}

// found runs a search. It is planned anew each time: the best way depends on how common the words are.
func (e *postgresEngine) found(ctx context.Context, query string, args []any) ([]chat.Message, error) {
	rows, err := e.pool.Query(ctx, query, append([]any{pgx.QueryExecModeExec}, args...)...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (chat.Message, error) {
		r, err := scanEvent(row)
		if err != nil {
			return chat.Message{}, err
		}
		return r.message, nil
	})
}

// searchExpression is a tsquery for: in one of these conversations, all words and beginnings. Folded words hold letters, digits and marks only, so
// nothing needs an escape.
func searchExpression(conversations []chat.ConversationID, s search) string {
	var b strings.Builder
	for i, id := range conversations {
		if i > 0 {
			b.WriteString(" | ")
		}
		mark := conversationMark(id)
		b.WriteByte('(')
		for j, w := range s.words {
			if j > 0 {
				b.WriteString(" & ")
			}
			b.WriteString("'" + mark + w + "'")
		}
		for j, w := range s.beginnings {
			if j+len(s.words) > 0 {
				b.WriteString(" & ")
			}
			b.WriteString("'" + mark + w + "':*")
		}
		b.WriteByte(')')
	}
	return b.String()
}

// waitIndexed is that of engine: what is committed is found.
func (e *postgresEngine) waitIndexed(context.Context) error { return nil }
