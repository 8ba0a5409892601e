package cluster

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/natterjack-chat/natterjack/server/account"
)

// limitTimeout is how long one attempt may wait for Redis before this node counts it alone.
const limitTimeout = 300 * time.Millisecond

// takeScript takes one from a token bucket, of which it keeps one number: the moment at which the bucket is full again, in microseconds of the server's
// clock. (It is the generic cell rate algorithm: ITU-T I.371, annex A.) An empty bucket is answered with the microseconds until it isn't, and one that is
// full is not kept.
//
// KEYS: the bucket. ARGV: burst, microseconds for one.
var takeScript = rueidis.NewLuaScript(`
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local burst, every = tonumber(ARGV[1]), tonumber(ARGV[2])
local full = tonumber(redis.call('GET', KEYS[1]) or now)
full = math.min(math.max(full, now), now + burst * every) -- the clock may have been set back
local wait = full - now - (burst - 1) * every
if wait > 0 then
  return math.ceil(wait)
end
full = full + every
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
return 0
`)

// RedisLimiter is an [account.Limiter] whose buckets all nodes share. While Redis is away each node counts by itself, from full buckets. Safe for
// concurrent use.
type RedisLimiter struct {
	redis   *Redis
	local   *account.MemoryLimiter
	timeout time.Duration // limitTimeout, but in tests
}

// Limiter returns a limiter.
func (r *Redis) Limiter() *RedisLimiter {
	return &RedisLimiter{redis: r, local: account.NewMemoryLimiter(nil), timeout: limitTimeout}
}

// Take implements [account.Limiter]. Its error is that of ctx.
func (l *RedisLimiter) Take(ctx context.Context, b account.Bucket) (time.Duration, error) {
	if client := l.redis.client.Load(); client != nil && l.redis.Up() {
		limited, cancel := context.WithTimeout(ctx, l.timeout)
		defer cancel()
		wait, err := takeScript.Exec(limited, *client, []string{l.redis.keys.bucket(b.Kind, b.Key)}, []string{
			strconv.Itoa(b.Rate.Burst), strconv.FormatInt(max(b.Rate.Every.Microseconds(), 1), 10),
		}).AsInt64()
		if err == nil {
			return time.Duration(wait) * time.Microsecond, nil
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
	l.redis.stats.limitsHere.Add(1)
	return l.local.Take(ctx, b)
}

// Fill implements [account.Limiter]. It never fails: a bucket that can't be filled fills itself.
func (l *RedisLimiter) Fill(ctx context.Context, b account.Bucket) error {
	if l.redis.Up() {
		limited, cancel := context.WithTimeout(ctx, l.timeout)
		defer cancel()
		_ = l.redis.do(limited, func(c rueidis.Client) rueidis.Completed {
			return c.B().Del().Key(l.redis.keys.bucket(b.Kind, b.Key)).Build()
		})
	}
	return l.local.Fill(ctx, b)
}
