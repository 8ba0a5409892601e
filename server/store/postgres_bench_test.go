package store

import (
	"fmt"
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
