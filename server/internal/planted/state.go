package planted

import (
	"os"
	"sync"
	"sync/atomic"
)

// What faults need to remember. One fault is on in a process, so they can share it.
var (
	calls  atomic.Int64
	firsts sync.Map // by key

	mu   sync.Mutex
	last = map[any]int64{} // by key; guarded by mu
)

// Every reports true once in n calls.
func Every(n int64) bool { return calls.Add(1)%n == 0 }

// Die kills the process, as kill -9 does. It doesn't return.
func Die() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {} // until the signal has come
}

// First returns the value with which it was first called for a key.
func First[T any](key any, v T) T {
	first, _ := firsts.LoadOrStore(key, v)
	return first.(T) //nolint:forcetypeassert // one type for each key
}

// Next returns a higher number with each call for a key, at least the one given.
func Next(key any, least int64) int64 {
	mu.Lock()
	defer mu.Unlock()
	last[key] = max(last[key]+1, least)
	return last[key]
}
