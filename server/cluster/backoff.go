package cluster

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is a wait that doubles from retryLeast to retryMost, with jitter, so that nodes don't all come back at once. The zero value begins.
type backoff struct{ last time.Duration }

// sleep waits; false: ctx has ended.
func (b *backoff) sleep(ctx context.Context) bool {
	b.last = min(max(2*b.last, retryLeast), retryMost)
	select {
	case <-time.After(b.last/2 + rand.N(b.last/2)):
		return true
	case <-ctx.Done():
		return false
	}
}

func (b *backoff) reset() { b.last = 0 }
