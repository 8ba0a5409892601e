package cluster

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The client of Redis looks for its servers once more within a second after it was closed.
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"),
		// That of a cluster closes connections that it needs no more after five seconds.
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"),
	)
}

// inbox records what a node is called with.
type inbox struct {
	mu              sync.Mutex
	batches         []string
	signals         []string
	subscribedCalls int
}

func (i *inbox) subscribe(n *MemoryNode) (stop func()) {
	return n.Subscribe(
		func(f []byte) { i.note(&i.batches, f) },
		func(f []byte) { i.note(&i.signals, f) },
		func() {
			i.mu.Lock()
			defer i.mu.Unlock()
			i.subscribedCalls++
		})
}

func (i *inbox) note(list *[]string, frame []byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	*list = append(*list, string(frame))
}

func (i *inbox) want(t *testing.T, batches, signals []string, subscribed int) {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	if !slices.Equal(i.batches, batches) || !slices.Equal(i.signals, signals) || i.subscribedCalls != subscribed {
		t.Fatalf("batches %q, signals %q, subscribed %d times; want %q, %q, %d",
			i.batches, i.signals, i.subscribedCalls, batches, signals, subscribed)
	}
}

func TestFramesReachAllNodesButTheSender(t *testing.T) {
	bus := NewMemoryBus()
	a, b, c := bus.Join(), bus.Join(), bus.Join()
	var inA, inB, inC inbox
	inA.subscribe(a)
	inB.subscribe(b)
	inC.subscribe(c)
	a.PublishBatch(3, []byte("one"))
	a.PublishBatch(0, []byte("two"))
	b.PublishSignal([]byte("sign"))
	inA.want(t, nil, []string{"sign"}, 1)
	inB.want(t, []string{"one", "two"}, nil, 1)
	inC.want(t, []string{"one", "two"}, []string{"sign"}, 1)
}

func TestANodeThatHasStoppedHearsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := NewMemoryBus()
		a, b := bus.Join(), bus.Join()
		var in inbox
		stop := in.subscribe(b)
		bus.SetFate(func([]byte) []time.Duration { return []time.Duration{time.Second} })
		a.PublishBatch(0, []byte("on its way"))
		stop()
		a.PublishBatch(0, []byte("after"))
		b.SetConnected(false)
		b.SetConnected(true)
		time.Sleep(time.Minute)
		in.want(t, nil, nil, 1)
	})
}

func TestANodeThatIsCutOffHearsAndSaysNothing(t *testing.T) {
	bus := NewMemoryBus()
	a, b := bus.Join(), bus.Join()
	var inA, inB inbox
	a.SetConnected(false)
	inA.subscribe(a)
	inB.subscribe(b)
	if a.Confirmed() || !b.Confirmed() {
		t.Fatal("a node that is cut off takes itself for connected, or the other way round")
	}
	a.PublishBatch(0, []byte("lost"))
	b.PublishSignal([]byte("lost"))
	inA.want(t, nil, nil, 0)
	inB.want(t, nil, nil, 1)
	a.SetConnected(true)
	a.SetConnected(true)
	b.PublishSignal([]byte("back"))
	inA.want(t, nil, []string{"back"}, 1)
}

func TestFateLosesDoublesAndReorders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := NewMemoryBus()
		a, b := bus.Join(), bus.Join()
		var in inbox
		in.subscribe(b)
		fates := map[string][]time.Duration{
			"lost": nil, "twice": {0, 2 * time.Second}, "late": {time.Second}, "once": {0},
		}
		bus.SetFate(func(f []byte) []time.Duration { return fates[string(f)] })
		for _, f := range []string{"lost", "late", "twice", "once"} {
			a.PublishBatch(0, []byte(f))
		}
		time.Sleep(time.Minute)
		bus.SetFate(nil)
		a.PublishBatch(0, []byte("lost"))
		in.want(t, []string{"twice", "once", "late", "twice", "lost"}, nil, 1)
	})
}
