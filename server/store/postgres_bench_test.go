package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/internal/testservers"
)

// BenchmarkCommitAgainstRawInserts commits batches by turns through the store and as what is the least that could store them: the same
// rows of events, in the same form, in a transaction of their own. The ratio is the store's rate by the raw one.
func BenchmarkCommitAgainstRawInserts(b *testing.B) {
	for _, n := range []int{1, 10, 100, 500} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			x := newSender(b, testservers.Postgres(b), benchConversations)
			pool := x.store.engine.(*postgresEngine).pool
			if _, err := pool.Exec(b.Context(), `CREATE TABLE raw (LIKE events INCLUDING ALL)`); err != nil {
				b.Fatal(err)
			}
			next := chat.Seq(0)
			var through, raw time.Duration
			for b.Loop() {
				start := time.Now()
				x.send(b, n)
				through += time.Since(start)
				rows := x.rawRows(b, n, &next)
				start = time.Now()
				if err := pool.SendBatch(b.Context(), rows).Close(); err != nil {
					b.Fatal(err)
				}
				raw += time.Since(start)
			}
			b.ReportMetric(float64(b.N*n)/through.Seconds(), "messages/s")
			b.ReportMetric(float64(b.N*n)/raw.Seconds(), "raw/s")
			b.ReportMetric(float64(raw)/float64(through), "ratio")
		})
	}
}

// rawRows is a pipeline that stores n messages like those of send, and nothing else.
func (x *sender) rawRows(tb testing.TB, n int, next *chat.Seq) *pgx.Batch {
	tb.Helper()
	now := time.Now()
	c := newEventArrays(n)
	for i := range n {
		*next++
		pair := x.random.IntN(len(x.pairs))
		id, user := x.pairs[pair], x.users(pair)[i%2]
		m := &chat.Message{Conversation: id, Seq: *next, Sender: user, ClientID: x.uuid(now), Content: x.content, ChangedSeq: *next}
		e := chat.Event{Conversation: id, Seq: *next, Kind: chat.EventMessage, Actor: user, Time: now, Message: m}
		if err := c.add(i, &e, int64(*next)); err != nil {
			tb.Fatal(err)
		}
	}
	batch := &pgx.Batch{}
	batch.Queue(`BEGIN`)
	batch.Queue(insertEvents("raw"), c.arrays()...)
	batch.Queue(`COMMIT`)
	return batch
}

// BenchmarkStored reads where ten thousand and where five million messages are stored. What a read costs must not grow with them.
func BenchmarkStored(b *testing.B) {
	for _, messages := range []int{10_000, 5_000_000} {
		b.Run(fmt.Sprint(messages), func(b *testing.B) {
			conversations := min(1000, messages/100)
			f := fill(b, testservers.StartPostgres(b).URL, conversations, messages/conversations)
			ctx := context.Background()
			last := chat.Seq(f.each)
			for name, page := range map[string]chat.MessagePage{
				"newest": {Limit: 50}, "middle": {Limit: 50, Before: last / 2}, "oldest": {Limit: 50, After: 1}, "around": {Limit: 50, Around: last / 3},
			} {
				repeat(b, "history/"+name, func() error {
					_, err := f.store.Messages(ctx, f.conversations[rand.IntN(conversations)], page)
					return err
				})
			}
			since := make([]int64, postgresShards)
			repeat(b, "conversation list", func() error {
				_, err := f.store.RecentSummaries(ctx, 1, chat.RecentCursor{}, 50)
				return err
			})
			repeat(b, "sync", func() error {
				_, err := f.store.ChangedSummaries(ctx, 1, since, 0, 200)
				return err
			})
			for name, word := range map[string]string{"rare": "w9000", "common": "w0", "absent": "absent", "beginning": "w90*"} {
				repeat(b, "search/"+name, func() error {
					_, err := f.store.SearchMessages(ctx, chat.SearchQuery{User: 1, Words: []string{word}, Limit: 20})
					return err
				})
				repeat(b, "search in one/"+name, func() error {
					id := f.conversations[rand.IntN(100)]
					_, err := f.store.SearchMessages(ctx, chat.SearchQuery{User: 1, Conversation: id, Words: []string{word}, Limit: 20})
					return err
				})
			}
		})
	}
}
