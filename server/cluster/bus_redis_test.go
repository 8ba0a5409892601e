package cluster

import (
	"strconv"
	"sync"
	"testing"

	"github.com/natterjack-chat/natterjack/server/internal/testservers"
)

// pair is two ends of a bus over a server, of which the second listens.
type pair struct {
	a, b *Redis
	in   hears
	sent int
}

func newPair(t *testing.T, url string) *pair {
	p := &pair{a: openRedis(t, url, "nj"), b: openRedis(t, url, "nj")}
	p.in.on(p.b.Bus())
	runRedis(t, p.a)
	runRedis(t, p.b)
	return p
}

// wantCarried waits until frames arrive.
func (p *pair) wantCarried(t *testing.T) {
	t.Helper()
	eventually(t, "a frame arrives", func() bool {
		p.sent++
		frame := strconv.Itoa(p.sent)
		p.a.Bus().PublishBatch(p.sent%16, []byte(frame))
		p.in.mu.Lock()
		defer p.in.mu.Unlock()
		return len(p.in.batches) > 0
	})
	p.in.mu.Lock()
	defer p.in.mu.Unlock()
	p.in.batches = nil
}

func TestEveryBreakOfTheSubscriptionIsTold(t *testing.T) {
	server := testservers.StartRedis(t)
	p := newPair(t, server.URL)
	faults := map[string]func(t *testing.T){
		"connections killed": func(t *testing.T) { command(t, server.URL, "CLIENT", "KILL", "TYPE", "pubsub") },
		"all connections killed": func(t *testing.T) {
			command(t, server.URL, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
			command(t, server.URL, "CLIENT", "KILL", "TYPE", "pubsub")
		},
		"restarted": func(t *testing.T) { server.Kill(t); server.Start(t) },
		"too slow a reader": func(t *testing.T) {
			command(t, server.URL, "CONFIG", "SET", "client-output-buffer-limit", "pubsub 1 1 1")
			begun := p.in.begun()
			eventually(t, "it is cut off", func() bool {
				p.a.Bus().PublishBatch(0, make([]byte, 1<<20)) // again, as what is published while a connection is being made may not go out
				return p.in.begun() > begun || !p.b.subscriber.whole.Load()
			})
			command(t, server.URL, "CONFIG", "SET", "client-output-buffer-limit", "pubsub 0 0 0")
		},
		"paused for long": func(t *testing.T) {
			server.Pause(t)
			eventually(t, "it is given up", func() bool { return !p.b.subscriber.whole.Load() })
			server.Resume(t)
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			begun := p.in.begun()
			fault(t)
			eventually(t, "it begins anew", func() bool { return p.in.begun() > begun && p.b.Bus().Confirmed() })
			p.wantCarried(t)
		})
	}
	command(t, server.URL, "FLUSHALL") // nothing of the bus is stored
	p.wantCarried(t)
}

func TestTheBusFollowsAFailover(t *testing.T) {
	url, master := testservers.StartRedisSentinel(t)
	p := newPair(t, url)
	p.wantCarried(t)
	begun := p.in.begun()
	master.Kill(t)
	eventually(t, "it begins anew with the new master", func() bool { return p.in.begun() > begun && p.b.Bus().Confirmed() && p.a.Bus().Confirmed() })
	p.wantCarried(t)
}

func TestTheBusSurvivesTheLossOfAMasterOfACluster(t *testing.T) {
	masters := testservers.StartRedisCluster(t)
	url := "redis://" + masters[0].Addr + "," + masters[1].Addr + "," + masters[2].Addr
	p := newPair(t, url)
	p.wantCarried(t)
	begun := p.in.begun()
	masters[1].Kill(t)
	eventually(t, "it notices", func() bool { return !p.b.Bus().Confirmed() })
	masters[1].Start(t)
	eventually(t, "it begins anew", func() bool { return p.in.begun() > begun && p.b.Bus().Confirmed() && p.a.Bus().Confirmed() })
	p.wantCarried(t)
}

// Whoever publishes is a committer, and must not wait, whatever Redis does; what can't go out is counted, and signals have room of their own.
func TestPublishingNeverWaitsAndMemoryIsBounded(t *testing.T) {
	server := testservers.StartRedis(t)
	p := newPair(t, server.URL)
	server.Pause(t)
	frame := make([]byte, 1<<20)
	for range 200 {
		p.a.Bus().PublishBatch(0, frame)
	}
	for range 2 * queueFrames {
		p.a.Bus().PublishBatch(1, []byte("small"))
	}
	p.a.Bus().PublishSignal([]byte("signal"))
	p.a.publisher.mu.Lock()
	bytes, frames, signals := p.a.publisher.bytes, len(p.a.publisher.batches), len(p.a.publisher.signals)
	p.a.publisher.mu.Unlock()
	if bytes > queueBytes || frames > queueFrames || signals > 1 {
		t.Errorf("%d frames with %d bytes and %d signals wait", frames, bytes, signals)
	}
	if s := p.a.Stats(); s.Dropped == 0 {
		t.Errorf("stats %+v", s)
	}
	eventually(t, "it is given up", func() bool { return p.a.Stats().Failed > 0 && !p.a.Up() })
	server.Resume(t)
	eventually(t, "it is back", func() bool { return p.a.Check(t.Context()) == nil && p.b.Check(t.Context()) == nil })
	p.wantCarried(t)
}

func TestWhatWaitsWhenTheNodeEndsIsStillSent(t *testing.T) {
	server := testservers.StartRedis(t)
	a, b := openRedis(t, server.URL, "nj", patient), openRedis(t, server.URL, "nj", patient)
	var in hears
	in.on(b.Bus())
	stop := runRedis(t, a)
	runRedis(t, b)
	for range 50 {
		a.Bus().PublishBatch(3, []byte("last"))
	}
	stop()
	eventually(t, "all arrive", func() bool {
		in.mu.Lock()
		defer in.mu.Unlock()
		return len(in.batches) == 50
	})
}

func BenchmarkBus(b *testing.B) {
	url, prefix := testservers.Redis(b), freshPrefix()
	from, to := openRedis(b, url, prefix), openRedis(b, url, prefix)
	frame := make([]byte, 400)
	b.Run("one frame after another", func(b *testing.B) {
		arrived := make(chan struct{}, 1)
		defer to.Bus().Subscribe(func([]byte) { arrived <- struct{}{} }, func([]byte) {}, func() {})()
		runRedis(b, from)
		runRedis(b, to)
		b.ResetTimer()
		for range b.N {
			from.Bus().PublishBatch(5, frame)
			<-arrived
		}
	})
	from, to = openRedis(b, url, prefix), openRedis(b, url, prefix)
	b.Run("as many as it can", func(b *testing.B) {
		var arrived sync.WaitGroup
		defer to.Bus().Subscribe(func([]byte) { arrived.Done() }, func([]byte) {}, func() {})()
		runRedis(b, from)
		runRedis(b, to)
		b.ResetTimer()
		for sent := 0; sent < b.N; {
			n := min(b.N-sent, 1000)
			arrived.Add(n)
			for i := range n {
				from.Bus().PublishBatch(i%16, frame)
			}
			sent += n
			arrived.Wait()
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
	})
}
