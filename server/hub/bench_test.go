package hub

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// benchEncoder costs about what marshalling a short message costs, and makes pieces of that size.
type benchEncoder struct{ textEncoder }

func (benchEncoder) Event(e chat.Event) []byte {
	out := make([]byte, 0, 256)
	for range 20 {
		out = binary.AppendVarint(out, int64(e.Seq))
	}
	out = append(out, e.Conversation.String()...)
	return append(out, e.Message.Content...)
}

type benchHub struct {
	*Hub
	log  *memoryLog
	stop func()
	next int64
}

func newBenchHub(b *testing.B) *benchHub {
	log := newMemoryLog()
	h := New(Config{Encoder: benchEncoder{}, Log: log, Logger: slog.New(slog.DiscardHandler), Limits: DefaultLimits()})
	h.limits.CheckEvery = time.Hour // the batches are not in the log
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.Run(ctx)
	}()
	<-h.Ready()
	return &benchHub{Hub: h, log: log, stop: func() { cancel(); <-done }}
}

var benchMessage = &chat.Message{Content: "a message of the usual length, so that there is something to copy and to write"}

// publish publishes a batch of so many messages in a conversation.
func (h *benchHub) publish(c chat.ConversationID, seq *chat.Seq, messages int) {
	h.next++
	batch := chat.Batch{Epoch: 1, Shard: c.Shard(fakeShards), No: h.next, ID: uint64(h.next), PrevID: uint64(h.next - 1)}
	batch.Events = make([]chat.Event, messages)
	for i := range batch.Events {
		*seq++
		batch.Events[i] = chat.Event{Conversation: c, Seq: *seq, Kind: chat.EventMessage, Message: benchMessage}
	}
	h.Publish(batch)
}

// BenchmarkFanout measures one conversation with so many streams, each with its own reader: an operation is one message delivered to
// all of them. The publisher keeps at most 1,000 messages ahead of the readers, so nothing is left out.
func BenchmarkFanout(b *testing.B) {
	for _, streams := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("streams=%d", streams), func(b *testing.B) {
			h := newBenchHub(b)
			defer h.stop()
			c := conv(0, 1)
			var readers sync.WaitGroup
			progress := make(chan struct{}, streams)
			const window = 1000
			for i := range streams {
				woken := make(chan struct{}, 1)
				wake := func() {
					select {
					case woken <- struct{}{}:
					default:
					}
				}
				s, err := h.Open(Options{Caller: caller(chat.UserID(i + 1)), Wake: wake})
				if err != nil {
					b.Fatal(err)
				}
				s.Attach([]chat.ConversationID{c})
				s.Live(nil)
				readers.Go(func() {
					defer s.Close()
					var buf []*Frame
					for taken := 0; taken < b.N; {
						<-woken
						buf, _ = s.Take(buf)
						before := taken
						taken += len(buf)
						if taken/window > before/window {
							progress <- struct{}{}
						}
					}
				})
			}
			b.ReportAllocs()
			b.ResetTimer()
			var seq chat.Seq
			for sent := 0; sent < b.N; {
				n := min(10, b.N-sent)
				h.publish(c, &seq, n)
				if sent += n; sent%window == 0 {
					for range streams {
						<-progress
					}
				}
			}
			readers.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)*float64(streams)/b.Elapsed().Seconds(), "deliveries/s")
			if st := h.Stats(); st.Collapsed != 0 {
				b.Fatalf("deliveries were left out: %+v", st)
			}
		})
	}
}

// BenchmarkFanoutEncoding compares encoding a message once for 1,000 streams, as the hub does, with encoding it for each.
func BenchmarkFanoutEncoding(b *testing.B) {
	const streams = 1000
	event := chat.Event{Conversation: conv(0, 1), Seq: 1 << 20, Message: benchMessage}
	queues := make([][]*Frame, streams)
	for i := range queues {
		queues[i] = make([]*Frame, 1)
	}
	b.Run("once", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			f := NewFrame(benchEncoder{}, benchEncoder{}.Event(event))
			for i := range queues {
				queues[i][0] = f
			}
		}
	})
	b.Run("per receiver", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for i := range queues {
				queues[i][0] = NewFrame(benchEncoder{}, benchEncoder{}.Event(event))
			}
		}
	})
}

// BenchmarkIdleStream reports the memory that a live stream with 20 conversations costs the hub while nothing happens.
func BenchmarkIdleStream(b *testing.B) {
	h := newBenchHub(b)
	defer h.stop()
	ids := make([]chat.ConversationID, 20)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	streams := make([]*Stream, 0, b.N)
	b.ResetTimer()
	for i := range b.N {
		s, err := h.Open(Options{Caller: caller(chat.UserID(i + 1)), Device: "phone"})
		if err != nil {
			b.Fatal(err)
		}
		for j := range ids {
			ids[j] = conv(j%fakeShards, 1+i*len(ids)/2+j) // each conversation has two members
		}
		s.Attach(ids)
		s.Live(nil)
		streams = append(streams, s)
	}
	b.StopTimer()
	b.ReportMetric(float64(heap()-before)/float64(b.N), "B/stream")
	for _, s := range streams {
		s.Close()
	}
}
