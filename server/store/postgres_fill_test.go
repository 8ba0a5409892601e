package store

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// filling is a database with many rows.
type filling struct {
	store         *Store
	url           string
	conversations []chat.ConversationID // each of three users; the first 100 also of the users 1 and 2
	each          int                   // messages in each
}

// fill stores conversations with messages, by the same statements as commits, but not one by one. Their words are as frequent as those of a
// language: w0 is in most messages, w1000 in few.
func fill(tb testing.TB, url string, conversations, each int) *filling {
	tb.Helper()
	f := &filling{store: open(tb, url), url: url, each: each}
	random := rand.New(rand.NewPCG(3, 4))
	for range conversations {
		f.conversations = append(f.conversations, chat.ConversationID(random.Int64N(math.MaxInt64)+1))
	}
	conn, err := pgx.Connect(context.Background(), url) // without the store's time-outs
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	run := func(query string, args ...any) {
		tb.Helper()
		if _, err := conn.Exec(context.Background(), query, args...); err != nil {
			tb.Fatal(err)
		}
	}
	run(`INSERT INTO users (id, username, username_key, display_name, created_at)
		SELECT n, 'User' || n, 'user' || n, 'Name ' || n, 0 FROM generate_series(1, 2 + $1) AS n`, conversations)
	run(`INSERT INTO user_words (word, user_id) SELECT 'name', n FROM generate_series(1, 2 + $1) AS n
		UNION ALL SELECT n::text, n FROM generate_series(1, 2 + $1) AS n`, conversations)
	all := ids(f.conversations)
	run(`INSERT INTO conversations (id, kind, title, creator_id, created_at, changed_seq, create_key)
		SELECT id, 2, '', 1, 0, 0, 'key' || id FROM unnest($1::bigint[]) AS id`, all)
	run(`INSERT INTO conversation_heads (conversation_id, last_seq, last_ordinal, last_message_seq, changed_no, member_count, owner_count,
			updated_at, top_read_seq, top_reader_id, next_read_seq)
		SELECT id, $2, $2, $2, 1, 3, 1, $2, 0, 0, 0 FROM unnest($1::bigint[]) AS id`, all, each)
	run(`INSERT INTO members (user_id, conversation_id, role, joined_seq, left_seq, read_seq, read_ordinal, delivered_seq, read_at, delivered_at, changed_no)
		SELECT u, id, 2, 1, 0, 0, 0, 0, 0, 0, 1 FROM unnest($1::bigint[]) WITH ORDINALITY AS c(id, n),
			unnest(CASE WHEN n <= 100 THEN ARRAY[1, 2] ELSE '{}' END || ARRAY[2 + n, 2 + (n + 7) % $2, 2 + (n + 11) % $2]) AS u
		ON CONFLICT DO NOTHING`, all, conversations)
	run(`INSERT INTO commit_log (shard, no, id, prev_id, at, touched)
		SELECT shard, no, no, no - 1, 0, $2 FROM generate_series(0, 15) AS shard, generate_series(1, $1) AS no`,
		max(1000, each/10), (&touched{}).encode())
	run(`INSERT INTO credentials (user_id, password_hash, version) SELECT n, 'hash', 1 FROM generate_series(1, 2 + $1) AS n`, conversations)
	run(`INSERT INTO sessions (id, user_id, series_hash, device_name, address, created_at, refreshed_at, expires_at)
		SELECT n, n, decode(lpad(to_hex(n), 64, '0'), 'hex'), '', '', 0, 0, n FROM generate_series(1, 2 + $1) AS n`, conversations)
	run(`INSERT INTO refresh_tokens (session_id, secret_hash, generation, spent_at)
		SELECT id, series_hash, 0, 0 FROM sessions`)
	run(`INSERT INTO access_tokens (hash, session_id, user_id, expires_at) SELECT series_hash, id, user_id, id FROM sessions`)
	f.messages(tb, conn, random)
	for _, table := range []string{"credentials", "sessions", "refresh_tokens", "access_tokens", "users", "user_words", "conversations", "conversation_heads", "members", "events", "commit_log"} {
		run(`VACUUM ANALYZE ` + table)
	}
	return f
}

// messages stores the conversations' messages in turn, as they would have come.
func (f *filling) messages(tb testing.TB, conn *pgx.Conn, random *rand.Rand) {
	tb.Helper()
	const chunk = 5000
	word := rand.NewZipf(random, 1.2, 4, 50_000)
	at := time.UnixMilli(1_700_000_000_000)
	total := f.each * len(f.conversations)
	for start := 0; start < total; start += chunk {
		rows := newEventArrays(min(chunk, total-start))
		for i := range rows.ids {
			n := start + i
			seq := chat.Seq(n/len(f.conversations) + 1)
			m := &chat.Message{Conversation: f.conversations[n%len(f.conversations)], Seq: seq, ChangedSeq: seq, Sender: chat.UserID(1 + n%2), ClientID: newUUID()}
			var words strings.Builder
			for range 8 {
				fmt.Fprintf(&words, "w%d ", word.Uint64())
			}
			m.Content = words.String()
			e := chat.Event{
				Conversation: m.Conversation, Seq: seq, Kind: chat.EventMessage, Actor: m.Sender, Time: at.Add(time.Duration(n) * time.Millisecond), Message: m,
			}
			if err := rows.add(i, &e, int64(seq)); err != nil {
				tb.Fatal(err)
			}
		}
		batch := &pgx.Batch{}
		batch.Queue(insertEvents("events"), rows.arrays()...)
		if err := conn.SendBatch(context.Background(), batch).Close(); err != nil {
			tb.Fatal(err)
		}
	}
}
