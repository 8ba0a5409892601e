package account

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// bucketsPerKind bounds the memory of a [MemoryLimiter] to about 20 MB per kind. Past it the bucket that was used the longest ago is
// forgotten, which is full again by then unless thousands of addresses attack at once.
const bucketsPerKind = 100_000

// MemoryLimiter is a [Limiter] that counts for one node. Safe for concurrent use.
type MemoryLimiter struct {
	clock func() time.Time

	mu    sync.Mutex
	kinds map[string]*simplelru.LRU[string, *rate.Limiter] // guarded by mu
}

// NewMemoryLimiter returns a limiter whose buckets are all full. A nil clock is time.Now.
func NewMemoryLimiter(clock func() time.Time) *MemoryLimiter {
	if clock == nil {
		clock = time.Now
	}
	return &MemoryLimiter{clock: clock, kinds: make(map[string]*simplelru.LRU[string, *rate.Limiter])}
}

// Take implements [Limiter]. It never fails.
func (l *MemoryLimiter) Take(_ context.Context, b Bucket) (time.Duration, error) {
	now := l.clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	kind := l.kinds[b.Kind]
	if kind == nil {
		kind, _ = simplelru.NewLRU[string, *rate.Limiter](bucketsPerKind, nil) // fails only for sizes below 1
		l.kinds[b.Kind] = kind
	}
	bucket, ok := kind.Get(b.Key)
	if !ok {
		bucket = rate.NewLimiter(rate.Every(b.Rate.Every), b.Rate.Burst)
		kind.Add(b.Key, bucket)
	}
	if bucket.AllowN(now, 1) {
		return 0, nil
	}
	return untilOne(bucket, b.Rate, now), nil
}

// wait returns after what time Take would take one; 0: now.
func (l *MemoryLimiter) wait(b Bucket) time.Duration {
	now := l.clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if kind := l.kinds[b.Kind]; kind != nil {
		if bucket, ok := kind.Get(b.Key); ok && bucket.TokensAt(now) < 1 {
			return untilOne(bucket, b.Rate, now)
		}
	}
	return 0
}

// untilOne returns how long it takes until a bucket that is empty isn't: more than 0, which would say that it isn't now.
func untilOne(bucket *rate.Limiter, r Rate, now time.Time) time.Duration {
	return max(time.Duration((1-bucket.TokensAt(now))*float64(r.Every)), time.Millisecond)
}

// Fill implements [Limiter]. It never fails.
func (l *MemoryLimiter) Fill(_ context.Context, b Bucket) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if kind := l.kinds[b.Kind]; kind != nil {
		kind.Remove(b.Key)
	}
	return nil
}

// take takes one from each bucket in turn, and says what is wrong with the first that is empty.
func (s *Service) take(ctx context.Context, message string, buckets ...Bucket) error {
	for _, b := range buckets {
		if b.Key == "" {
			continue
		}
		wait, err := s.limiter.Take(ctx, b)
		if err != nil {
			return err
		}
		if wait > 0 {
			s.stats.limited.Add(1)
			return rateLimited(message, wait)
		}
	}
	return nil
}

// addressKey returns what stands for an address where attempts are counted: the address, or the /64 of an IPv6 one, which is the
// least that one customer gets. It is empty for those that aren't limited: this machine, unless the settings say otherwise.
func (s *Service) addressKey(address netip.Addr) string {
	ip := address.Unmap()
	if ip.IsLoopback() && !s.settings.LimitLoopback {
		return ""
	}
	if ip.Is6() {
		p, _ := ip.Prefix(64) // fails only for more bits than an address has
		return p.String()
	}
	return ip.String()
}

// addressText is an address as it is kept; empty where it isn't known.
func addressText(address netip.Addr) string {
	if !address.IsValid() {
		return ""
	}
	return address.Unmap().String()
}
