package client

import (
	"math/rand/v2"
	"time"
)

// Backoff spaces out repetitions with full jitter: the n-th waits a random time between 0 and Base·2ⁿ, at most Cap, so that
// many clients that failed together don't come back together ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
type Backoff struct {
	// Base bounds the first delay; 0 means 500 ms.
	Base time.Duration
	// Cap bounds every delay; 0 means 30 s.
	Cap time.Duration
}

// Delay returns the delay before a repetition; n is the number of failures before, from 0.
func (b Backoff) Delay(n int) time.Duration {
	if b.Base <= 0 {
		b.Base = 500 * time.Millisecond
	}
	if b.Cap <= 0 {
		b.Cap = 30 * time.Second
	}
	most := b.Cap
	if n < 32 && b.Base<<n < b.Cap && b.Base<<n > 0 {
		most = b.Base << n
	}
	return rand.N(most + 1)
}
