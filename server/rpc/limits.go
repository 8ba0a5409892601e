package rpc

import (
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// Limits bounds what clients may make this package do. All have to be set; see [DefaultLimits].
type Limits struct {
	// RequestBytes is the largest request, as it comes and decompressed: a unary call, or one request of a stream. It has to
	// hold the largest message with every character outside ASCII escaped.
	RequestBytes int
	// CompressAbove is the size from which answers of unary calls are compressed for clients that ask for it.
	CompressAbove int
	// UserRate is the number of requests per second that one user may make, on all nodes together where they share limits: unary calls are refused
	// above it, streams are read more slowly. UserBurst is how many may come at once.
	UserRate, UserBurst int
	// AddressRate and AddressBurst bound the requests from one address, not counting those within a stream. They don't hold for this
	// machine itself: it is the operator's own tools, or all users at once behind a proxy that doesn't say where they come from.
	AddressRate, AddressBurst int
	// StreamsPerAddress is the number of streams that one address may have open on this node; not for this machine itself.
	StreamsPerAddress int
	// Openings is how many streams at a time may have the database read what it takes to open them. OpeningLine is how many may wait for their turn; who
	// comes on top is told to come back.
	Openings, OpeningLine int
	// Unanswered is how many requests of one stream may be waiting for their answer to be sent; above it the stream isn't read.
	Unanswered int
	// FrameBytes is about the size at which what waits for a stream is split into several frames; one event may be larger.
	FrameBytes int

	// UnaryTimeout bounds a unary call, from its first byte to the last of its answer.
	UnaryTimeout time.Duration
	// HelloTimeout is how long a stream may take to say hello.
	HelloTimeout time.Duration
	// Heartbeat is the longest silence of a stream; the server speaks before that.
	Heartbeat time.Duration
	// Idle is how long a client may say nothing on a Stream.
	Idle time.Duration
	// Checkpoint is how often a stream on which something happens gets a newer token.
	Checkpoint time.Duration
	// WriteStall is how long one write to a client may take.
	WriteStall time.Duration
	// RetrySpread bounds the random part of the delay that a client is told to wait with after an error of the server.
	RetrySpread time.Duration
}

// DefaultLimits returns limits that fit a server with up to 100,000 streams.
func DefaultLimits() Limits {
	return Limits{
		RequestBytes: 64 << 10, CompressAbove: 1 << 10,
		UserRate: 1000, UserBurst: 2000, AddressRate: 2000, AddressBurst: 4000, StreamsPerAddress: 5000,
		Openings: max(16, 8*runtime.GOMAXPROCS(0)), OpeningLine: 2000, Unanswered: 256, FrameBytes: 256 << 10,
		UnaryTimeout: 30 * time.Second, HelloTimeout: 10 * time.Second, Heartbeat: 20 * time.Second, Idle: 90 * time.Second,
		Checkpoint: 45 * time.Second, WriteStall: 15 * time.Second, RetrySpread: 5 * time.Second,
	}
}

// maxBuckets bounds the memory of rates, about 200 bytes a bucket.
const maxBuckets = 100_000

// rates holds each key to a number of requests per second. Keys that are silent for a minute are forgotten, which changes nothing as
// long as a bucket fills in that time. Safe for concurrent use.
type rates[K comparable] struct {
	limit rate.Limit
	burst int

	mu         sync.Mutex
	young, old map[K]*bucket // guarded by mu: used since, and before, the last turn
	turned     time.Time     // guarded by mu
}

// bucket is what a key has left on this node.
type bucket struct {
	*rate.Limiter
	spent atomic.Int64 // see userRates
}

func newRates[K comparable](perSecond, burst int) *rates[K] {
	return &rates[K]{limit: rate.Limit(perSecond), burst: burst, young: make(map[K]*bucket), turned: time.Now()}
}

func (r *rates[K]) bucket(key K) *bucket {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.turned) > time.Minute || len(r.young) >= maxBuckets {
		r.old, r.young, r.turned = r.young, make(map[K]*bucket), now
	}
	b := r.young[key]
	if b == nil {
		if b = r.old[key]; b == nil {
			b = &bucket{Limiter: rate.NewLimiter(r.limit, r.burst)}
		}
		r.young[key] = b
	}
	return b
}

// allow takes one request from a key's rate, or returns the error to answer.
func (r *rates[K]) allow(key K) error {
	if b := r.bucket(key); !b.Allow() {
		return rateLimited(time.Duration(float64(time.Second) / float64(r.limit)))
	}
	return nil
}

func rateLimited(wait time.Duration) *chat.Error {
	return &chat.Error{
		Code: chat.CodeResourceExhausted, Reason: chat.ReasonRateLimited, RetryAfter: max(wait, 100*time.Millisecond),
		Message: "too many requests; come back a little later",
	}
}

// counts counts what each address has open. Safe for concurrent use.
type counts struct {
	most int

	mu   sync.Mutex
	open map[netip.Addr]int // guarded by mu; no zeros
}

// take adds one to an address and returns how to take it back.
func (c *counts) take(address netip.Addr) (release func(), err error) {
	if exempt(address) {
		return func() {}, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[address] >= c.most {
		return nil, chat.LimitReached("too many streams are open from this address; close one")
	}
	c.open[address]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.open[address]--; c.open[address] == 0 {
			delete(c.open, address)
		}
	}, nil
}

// exempt reports whether limits per address don't hold for an address; see [Limits].
func exempt(address netip.Addr) bool { return !address.IsValid() || address.IsLoopback() }
