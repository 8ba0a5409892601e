package faults

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/natterjack-chat/natterjack/server/e2e/fleet"
	"github.com/natterjack-chat/natterjack/server/e2e/history"
)

// wanted is how many messages have to be acknowledged under faults when all tests of the package run: two thirds of them over one node, the others over two.
const wanted = 45_000

// total is what all tests of this process did.
var total struct {
	acknowledged, lost, doubled atomic.Int64
	mu                          sync.Mutex                 // guards what follows
	injected                    map[string]int             // by fault
	durations                   map[string][]time.Duration // by what they are of
}

// inject counts a fault.
func inject(fault string) {
	total.mu.Lock()
	defer total.mu.Unlock()
	if total.injected == nil {
		total.injected = map[string]int{}
	}
	total.injected[fault]++
}

// took notes how long something took.
func took(what string, d time.Duration) {
	total.mu.Lock()
	defer total.mu.Unlock()
	if total.durations == nil {
		total.durations = map[string][]time.Duration{}
	}
	total.durations[what] = append(total.durations[what], d)
}

// back begins the names of what was measured from the end of a fault.
const back = "back after: "

// slow returns the p99 of what took longer than a limit after a fault was over.
func slow(limit time.Duration) map[string]time.Duration {
	total.mu.Lock()
	defer total.mu.Unlock()
	out := map[string]time.Duration{}
	for what, all := range total.durations {
		if p99 := quantile(all, 99); strings.HasPrefix(what, back) && p99 > limit {
			out[what] = p99
		}
	}
	return out
}

// quantile returns the time within which so many of a hundred were. It sorts them.
func quantile(all []time.Duration, percent int) time.Duration {
	slices.Sort(all)
	return all[(len(all)-1)*percent/100]
}

func summary() string {
	total.mu.Lock()
	defer total.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "injected %v; acknowledged %d, lost %d, doubled %d",
		total.injected, total.acknowledged.Load(), total.lost.Load(), total.doubled.Load())
	for _, what := range slices.Sorted(maps.Keys(total.durations)) {
		all := total.durations[what]
		fmt.Fprintf(&b, "\n  %-60s p50 %5.2f s, p99 %5.2f s, longest %5.2f s of %d",
			what, quantile(all, 50).Seconds(), quantile(all, 99).Seconds(), quantile(all, 100).Seconds(), len(all))
	}
	return b.String()
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if err := RemoveBinaries(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	fmt.Println("faults:", summary())
	all := flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.skip").Value.String() == "" && flag.Lookup("test.list").Value.String() == ""
	if acknowledged := total.acknowledged.Load(); code == 0 && all && acknowledged < wanted {
		fmt.Fprintf(os.Stderr, "%d messages were acknowledged under faults; at least %d are wanted\n", acknowledged, wanted)
		code = 1
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// limit is a context that ends when a test has taken too long by far.
func limit(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// newFleet returns a fleet for a server, which ends with the test.
func newFleet(t testing.TB, url string) *fleet.Fleet {
	t.Helper()
	f := fleet.New(url)
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// populated returns a fleet with users and devices.
func populated(t testing.TB, url string, s fleet.Shape) *fleet.Fleet {
	t.Helper()
	f := newFleet(t, url)
	if err := f.Populate(limit(t), s); err != nil {
		t.Fatal(err)
	}
	return f
}

// settle lets a fleet come to rest and returns what the checker says of it.
func settle(t testing.TB, f *fleet.Fleet) *history.Report {
	t.Helper()
	run, err := f.Settle(limit(t), Patience)
	if err != nil {
		t.Fatal(err)
	}
	return history.Check(run)
}

// judge expects that all is well.
func judge(t testing.TB, f *fleet.Fleet) {
	t.Helper()
	r := settle(t, f)
	total.acknowledged.Add(int64(f.Recorder.Acknowledged()))
	total.lost.Add(int64(r.Count(history.AckedStored) + r.Count(history.SurvivesKill)))
	total.doubled.Add(int64(r.Count(history.Once)))
	if !r.Clean() {
		t.Fatal(r)
	}
}

// during runs do while the fleet works, each time that so many more messages have been acknowledged.
func during(t testing.TB, f *fleet.Fleet, w fleet.Work, every int, do func(n int)) {
	t.Helper()
	ctx := limit(t)
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx, w) }()
	next := f.Recorder.Acknowledged() + every
	for n := 0; ; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return
		case <-time.After(2 * time.Millisecond):
		}
		if f.Recorder.Acknowledged() >= next {
			do(n)
			n++
			next = f.Recorder.Acknowledged() + every
		}
	}
}
