package cluster

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/natterjack-chat/natterjack/server/internal/testservers"
)

// busEnd is what a hub needs of a bus.
type busEnd interface {
	PublishBatch(shard int, frame []byte)
	PublishSignal(frame []byte)
	Subscribe(batch, signal func(frame []byte), subscribed func()) (stop func())
	Confirmed() bool
}

// buses are the kinds of a bus; each function returns one that makes ends.
var buses = map[string]func(t *testing.T) (join func() busEnd){
	"memory": func(*testing.T) func() busEnd {
		b := NewMemoryBus()
		return func() busEnd { return b.Join() }
	},
	"redis": func(t *testing.T) func() busEnd { return redisEnds(t, testservers.Redis(t)) },
	"redis without sharded pub/sub": func(t *testing.T) func() busEnd {
		return redisEnds(t, testservers.Redis(t), plainOnly)
	},
	"redis over RESP2": func(t *testing.T) func() busEnd {
		return redisEnds(t, withQuery(t, testservers.Redis(t), "protocol", "2"))
	},
	"redis cluster": func(t *testing.T) func() busEnd { return redisEnds(t, clusterURL(t)) },
	"redis cluster without sharded pub/sub": func(t *testing.T) func() busEnd {
		return redisEnds(t, clusterURL(t), plainOnly)
	},
	"redis behind sentinels": func(t *testing.T) func() busEnd { return redisEnds(t, sentinelURL(t)) },
}

func clusterURL(t *testing.T) string {
	t.Helper()
	var addresses []string
	for _, s := range testservers.StartRedisCluster(t) {
		addresses = append(addresses, s.Addr)
	}
	return "redis://" + strings.Join(addresses, ",")
}

// withQuery sets a parameter of a URL, which may have others.
func withQuery(t *testing.T, address, name, value string) string {
	t.Helper()
	base, query, _ := strings.Cut(address, "?") // apart, as the hosts of a cluster are no host of a URL
	parameters, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	parameters.Set(name, value)
	return base + "?" + parameters.Encode()
}

func redisEnds(t *testing.T, url string, change ...redisOption) func() busEnd {
	prefix, change := freshPrefix(), append(change, patient)
	return func() busEnd {
		r := openRedis(t, url, prefix, change...)
		runRedis(t, r)
		return r.Bus()
	}
}

// hears records what an end of a bus is called with.
type hears struct {
	mu               sync.Mutex
	batches, signals []string
	subscribed       int
}

func (h *hears) on(b busEnd) (stop func()) {
	note := func(list *[]string) func([]byte) {
		return func(frame []byte) {
			h.mu.Lock()
			defer h.mu.Unlock()
			*list = append(*list, string(frame))
		}
	}
	return b.Subscribe(note(&h.batches), note(&h.signals), func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.subscribed++
	})
}

func (h *hears) has(batches, signals []string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Equal(h.batches, batches) && slices.Equal(h.signals, signals)
}

func (h *hears) begun() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.subscribed
}

func TestABusCarriesFramesToOtherNodesInOrder(t *testing.T) {
	for name, open := range buses {
		t.Run(name, func(t *testing.T) {
			join := open(t)
			a, b := join(), join()
			var in hears
			stop := in.on(b)
			// At once, and perhaps once more: the end may be confirmed a moment before all are told that it is.
			eventually(t, "subscribed", func() bool { return in.begun() > 0 && b.Confirmed() })
			var want []string
			for i := range 300 {
				frame := fmt.Sprintf("frame %d %s", i, strings.Repeat("x", i*10))
				want = append(want, frame)
				a.PublishBatch(7, []byte(frame))
			}
			a.PublishSignal([]byte("signal\x00\xff\r\n"))
			eventually(t, "all frames arrive in order, once", func() bool { return in.has(want, []string{"signal\x00\xff\r\n"}) })

			// On all channels, both ways.
			var back hears
			back.on(a)
			for shard := range 16 {
				b.PublishBatch(shard, []byte(fmt.Sprint(shard)))
			}
			eventually(t, "each channel works", func() bool {
				back.mu.Lock()
				defer back.mu.Unlock()
				own := func(f string) bool { return strings.HasPrefix(f, "frame") } // a node hears itself on some buses
				return len(slices.DeleteFunc(slices.Clone(back.batches), own)) == 16
			})
			stop()
			a.PublishBatch(7, []byte("after the end"))
			a.PublishSignal([]byte("after the end"))
			join() // goes through the same connections later than these
			in.mu.Lock()
			defer in.mu.Unlock()
			if slices.Contains(in.batches, "after the end") || slices.Contains(in.signals, "after the end") {
				t.Error("a handler was called after stop")
			}
		})
	}
}
