package rpc_test

import (
	"net/http"
	"runtime"
	"strconv"
	"testing"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/node"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

// BenchmarkTransport is what carrying a stream costs, both ends together, over HTTP/2 and over a WebSocket: a round trip alone, a round trip among
// 64 that are sent at once, and the memory of a stream on which nothing happens, each with a connection of its own.
func BenchmarkTransport(b *testing.B) {
	s := nodetest.Start(b, nodetest.Config(func(c *node.Config) {
		c.RPC.UserRate, c.RPC.UserBurst, c.Hub.StreamsPerUser, c.RPC.Unanswered = 1e6, 1e6, 100_000, 1024
	}))
	ada := s.SignUp("ada")
	for _, p := range []nodetest.Protocol{nodetest.WebSocket(), binary} {
		device := 0
		open := func(b *testing.B) client.Stream {
			b.Helper()
			h := client.NewHTTPClient()
			b.Cleanup(h.CloseIdleConnections)
			over := client.NewHTTPTransport(h, s.URL)
			if p.WebSocket {
				over = s.Transport(p)
			}
			device++
			return openBench(b, over, ada, device)
		}
		b.Run(p.Name+"/echo", func(b *testing.B) {
			st := open(b)
			b.ReportAllocs()
			for b.Loop() {
				roundTrips(b, st, 1)
			}
		})
		b.Run(p.Name+"/64 at once", func(b *testing.B) {
			st := open(b)
			b.ReportAllocs()
			for b.Loop() {
				roundTrips(b, st, 64)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/request")
		})
		b.Run(p.Name+"/idle", func(b *testing.B) {
			const streams = 500
			for b.Loop() {
				before := inUse()
				for range streams {
					open(b)
				}
				b.ReportMetric(float64(inUse()-before)/streams, "B/stream")
			}
		})
	}
}

// inUse is the memory of what is alive, with the stacks.
func inUse() int64 {
	var m runtime.MemStats
	for range 3 { // stacks shrink by half each time
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse) //nolint:gosec // far below
}

func openBench(b *testing.B, over client.Transport, u *nodetest.User, device int) client.Stream {
	b.Helper()
	st, err := over.Open(b.Context(), http.Header{"Authorization": {"Bearer " + u.Session.GetAccessToken()}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = st.Close() })
	hello := &chatv1.Hello{DeviceId: "device-" + strconv.Itoa(device)}
	if err := st.Send(&chatv1.StreamRequest{Request: &chatv1.StreamRequest_Hello{Hello: hello}}); err != nil {
		b.Fatal(err)
	}
	for {
		r, err := st.Receive()
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range r.GetEvents() {
			if isCaughtUp(e) {
				return st
			}
		}
	}
}

var benchPings = func() (all []*chatv1.StreamRequest) {
	for n := range uint64(64) {
		all = append(all, &chatv1.StreamRequest{RequestId: n + 1, Request: ping})
	}
	return all
}()

func roundTrips(b *testing.B, st client.Stream, n int) {
	b.Helper()
	if err := st.Send(benchPings[:n]...); err != nil {
		b.Fatal(err)
	}
	for n > 0 {
		r, err := st.Receive()
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range r.GetEvents() {
			if e.GetAck() != nil {
				n--
			}
		}
	}
}
