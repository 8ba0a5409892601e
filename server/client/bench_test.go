package client

import (
	"fmt"
	"runtime"
	"testing"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
)

// BenchmarkSend sends over one real HTTP/2 stream, with so many messages unanswered, and takes the events of all. The model's work is in it too.
func BenchmarkSend(b *testing.B) {
	for _, window := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("window=%d", window), func(b *testing.B) {
			m := newModel()
			m.create("c1")
			c, err := New(Options{
				ServerURL: m.serve(b), Session: MemorySession(validSession()), Window: window, ConversationWindow: window, KeepSent: -1, MaxPending: 1 << 30,
			})
			must(b, err)
			defer c.Close()
			c.Start()
			go func() {
				for {
					if _, err := c.Next(b.Context()); err != nil {
						return
					}
				}
			}()
			room := make(chan struct{}, window)
			b.ReportAllocs()
			for b.Loop() {
				room <- struct{}{}
				_, err := c.Send("c1", "a message of a usual length, which is to say not long", SendOptions{OnDone: func(_ Sent, err error) { <-room }})
				must(b, err)
			}
			for range window {
				room <- struct{}{}
			}
		})
	}
}

// BenchmarkIdleClient tells what a connected client costs in goroutines and memory, net/http's and the model's share included.
func BenchmarkIdleClient(b *testing.B) {
	m := newModel()
	h := NewHTTPClient()
	defer h.CloseIdleConnections()
	url := m.serve(b)
	m.greet = func(*chatv1.Hello) []*chatv1.Event {
		return []*chatv1.Event{{Event: &chatv1.Event_Ready{Ready: &chatv1.Ready{UserId: me}}}, caughtUpEvent("t")}
	}
	var clients []*Client
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	goroutines := runtime.NumGoroutine()
	for b.Loop() {
		c, err := New(Options{ServerURL: url, Session: MemorySession(validSession()), HTTPClient: h})
		must(b, err)
		c.Start()
		for c.State() != (Live{}) {
			_, err := c.Next(b.Context())
			must(b, err)
		}
		clients = append(clients, c)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/float64(len(clients)), "goroutines/client")
	b.ReportMetric(float64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse)/float64(len(clients)), "bytes/client")
	for _, c := range clients {
		must(b, c.Close())
	}
}
