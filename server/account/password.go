package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// HashCost is what one hash of a password costs. Passwords that were hashed at another cost are hashed anew when their users sign in.
type HashCost struct {
	MemoryKiB uint32 // 8 per thread to 1 GiB
	Passes    uint32 // 1 to 64
	Threads   uint8  // 1 to 16
}

// DefaultHashCost is a recommendation of OWASP's Password Storage Cheat Sheet for argon2id (19 MiB, 2 passes, 1 thread; it lists
// five of the same strength). Of these it balances memory, of which each hash under way has its own, against time.
var DefaultHashCost = HashCost{MemoryKiB: 19 * 1024, Passes: 2, Threads: 1}

// valid reports whether a cost is within the bounds, which keep a damaged row from taking all memory.
func (c HashCost) valid() bool {
	return c.Threads >= 1 && c.Threads <= 16 && c.Passes >= 1 && c.Passes <= 64 &&
		c.MemoryKiB >= 8*uint32(c.Threads) && c.MemoryKiB <= 1<<20
}

const (
	saltBytes = 16
	keyBytes  = 32
	// retryHash is when to try again where the line of hashes is full; at the default cost it moves on by some dozens in that time.
	retryHash = 2 * time.Second
)

// defaultHashesAtOnce is one per core, and not more than what 160 MB of memory are for.
func defaultHashesAtOnce() int { return min(runtime.GOMAXPROCS(0), 8) }

// hasher hashes passwords, a bounded number at once with a bounded line behind them. Safe for concurrent use. Hashes run on their callers' goroutines.
type hasher struct {
	cost    HashCost
	running chan struct{} // holds one element for each hash under way
	line    int64         // how many may wait
	waiting atomic.Int64
	dummy   string // hash of a password that nobody has, at the same cost

	// derive is argon2.IDKey; tests count its calls.
	derive func(password, salt []byte, passes, memoryKiB uint32, threads uint8, keyLen uint32) []byte
}

func newHasher(cost HashCost, atOnce, line int) *hasher {
	key, salt := make([]byte, keyBytes), make([]byte, saltBytes)
	_, _ = rand.Read(key)
	_, _ = rand.Read(salt)
	return &hasher{
		cost: cost, running: make(chan struct{}, atOnce), line: int64(line), dummy: phc{cost, salt, key}.String(), derive: argon2.IDKey,
	}
}

// hash returns the password's hash in the PHC string format.
func (h *hasher) hash(ctx context.Context, password Secret) (string, error) {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt)
	p := phc{cost: h.cost, salt: salt}
	key, err := h.run(ctx, password, p, keyBytes)
	if err != nil {
		return "", err
	}
	p.key = key
	return p.String(), nil
}

// verify reports whether the password has the hash, and whether that is of another cost than new ones. One hash is computed in every case.
func (h *hasher) verify(ctx context.Context, password Secret, hash string) (ok, outdated bool, err error) {
	p, err := parsePHC(hash)
	if err != nil {
		return false, false, fmt.Errorf("stored password hash: %w", err)
	}
	key, err := h.run(ctx, password, p, len(p.key))
	if err != nil {
		return false, false, err
	}
	return subtle.ConstantTimeCompare(key, p.key) == 1, p.cost != h.cost || len(p.key) != keyBytes, nil
}

// pretend takes as much work as verify with a wrong password does.
func (h *hasher) pretend(ctx context.Context, password Secret) error {
	_, _, err := h.verify(ctx, password, h.dummy)
	return err
}

func (h *hasher) run(ctx context.Context, password Secret, p phc, keyLen int) ([]byte, error) {
	if err := h.enter(ctx); err != nil {
		return nil, err
	}
	defer func() { <-h.running }()
	// Different keyboards spell the same character differently (RFC 8265 asks for this form too).
	text := norm.NFC.String(password.Reveal())
	return h.derive([]byte(text), p.salt, p.cost.Passes, p.cost.MemoryKiB, p.cost.Threads, uint32(keyLen)), nil
}

// enter waits for a place among the hashes under way.
func (h *hasher) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case h.running <- struct{}{}:
		return nil
	default:
	}
	if h.waiting.Add(1) > h.line {
		h.waiting.Add(-1)
		return rateLimited("too many people sign in at this moment; try again shortly", retryHash)
	}
	defer h.waiting.Add(-1)
	select {
	case h.running <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func rateLimited(message string, wait time.Duration) *chat.Error {
	return &chat.Error{Code: chat.CodeResourceExhausted, Reason: chat.ReasonRateLimited, Message: message, RetryAfter: wait}
}

// phc is an argon2id hash in the PHC string format: $argon2id$v=19$m=19456,t=2,p=1$salt$key.
type phc struct {
	cost      HashCost
	salt, key []byte
}

var phcEncoding = base64.RawStdEncoding.Strict()

func (p phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.cost.MemoryKiB, p.cost.Passes, p.cost.Threads,
		phcEncoding.EncodeToString(p.salt), phcEncoding.EncodeToString(p.key))
}

var errNotPHC = errors.New("not an argon2id hash in the PHC string format, or one outside of the bounds")

// parsePHC reads what String wrote, in that spelling only.
func parsePHC(s string) (phc, error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return phc{}, errNotPHC
	}
	var p phc
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.cost.MemoryKiB, &p.cost.Passes, &p.cost.Threads); n != 3 || err != nil {
		return phc{}, errNotPHC
	}
	var err1, err2 error
	p.salt, err1 = phcEncoding.DecodeString(parts[4])
	p.key, err2 = phcEncoding.DecodeString(parts[5])
	sane := err1 == nil && err2 == nil && p.cost.valid() && len(p.salt) >= 8 && len(p.salt) <= 64 && len(p.key) >= 16 && len(p.key) <= 64
	if !sane || p.String() != s {
		return phc{}, errNotPHC
	}
	return p, nil
}
