package rpc

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/chat"
)

// countingLimiter is what nodes share. Used by one goroutine.
type countingLimiter struct {
	*account.MemoryLimiter
	taken int
	err   error
}

func (l *countingLimiter) Take(ctx context.Context, b account.Bucket) (time.Duration, error) {
	l.taken++
	if l.err != nil {
		return 0, l.err
	}
	return l.MemoryLimiter.Take(ctx, b)
}

// twoNodes are limited to 100 requests at once and 10 a second.
func twoNodes() (shared *countingLimiter, nodes [2]*userRates) {
	shared = &countingLimiter{MemoryLimiter: account.NewMemoryLimiter(nil)}
	for i := range nodes {
		nodes[i] = newUserRates(&Limits{UserRate: 10, UserBurst: 100}, shared)
	}
	return shared, nodes
}

func TestAUsersRequestsCountOnAllNodesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := twoNodes()
		allow := func(requests int) (allowed int) {
			for i := range requests {
				err := nodes[i%2].allow(t.Context(), ada)
				if err == nil {
					allowed++
					continue
				}
				if e, ok := chat.AsError(err); !ok || e.Reason != chat.ReasonRateLimited || e.RetryAfter <= 0 || e.RetryAfter > time.Second {
					t.Fatalf("refused with %v", err)
				}
			}
			return allowed
		}
		if n := allow(1000); n != 100+2*10 {
			t.Errorf("%d requests were allowed at once, want the burst and each node's own portion", n)
		}
		if err := nodes[0].allow(t.Context(), ada+1); err != nil {
			t.Errorf("another user is told %v", err)
		}
		time.Sleep(5 * time.Second)
		if n := allow(1000); n != 50 {
			t.Errorf("after 5 s %d were allowed, want 50", n)
		}
	})
}

func TestOneNodeIsAsLimitedAsEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := twoNodes()
		alone := newUserRates(&Limits{UserRate: 10, UserBurst: 100}, nil)
		for _, u := range []*userRates{nodes[0], alone} {
			n := 0
			for u.allow(t.Context(), ada) == nil {
				n++
			}
			if n != 100 {
				t.Errorf("%d requests were allowed at once, want 100", n)
			}
		}
	})
}

func TestWhoAsksLittleIsNotCountedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared, nodes := twoNodes()
		for i := range 10 {
			if err := nodes[0].allow(t.Context(), ada); err != nil || shared.taken != 0 {
				t.Fatalf("request %d: %v, after asking %d times", i, err, shared.taken)
			}
		}
		if err := nodes[0].allow(t.Context(), ada); err != nil || shared.taken != 1 {
			t.Errorf("the first one beyond: %v, after asking %d times", err, shared.taken)
		}
	})
}

func TestAStreamIsReadAsFastAsAllNodesAllow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := twoNodes()
		start := time.Now()
		for i := range 220 {
			if err := nodes[i%2].wait(t.Context(), ada); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 10*time.Second { // 120 at once, and then 10 a second
			t.Errorf("220 requests took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var err error
		for err == nil {
			err = nodes[0].wait(ctx, ada)
		}
		if ctx.Err() == nil {
			t.Errorf("waiting ended before its context: %v", err)
		}
	})
}

func TestALimiterThatFailsIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared, nodes := twoNodes()
		shared.err = errors.New("gone")
		var err error
		for range 11 {
			err = nodes[0].allow(t.Context(), ada)
		}
		if !errors.Is(err, shared.err) || !errors.Is(nodes[0].wait(t.Context(), ada), shared.err) {
			t.Errorf("the error is %v", err)
		}
	})
}
