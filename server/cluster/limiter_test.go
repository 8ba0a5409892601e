package cluster

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/internal/testservers"
)

// limiters are the kinds of a limiter.
var limiters = map[string]func(t *testing.T) account.Limiter{
	"memory": func(*testing.T) account.Limiter { return account.NewMemoryLimiter(nil) },
	"redis": func(t *testing.T) account.Limiter {
		return redisLimiter(t, testservers.Redis(t), freshPrefix(), patient)
	},
	"redis cluster": func(t *testing.T) account.Limiter { return redisLimiter(t, clusterURL(t), freshPrefix(), patient) },
}

func redisLimiter(t *testing.T, url, prefix string, change ...redisOption) *RedisLimiter {
	t.Helper()
	r := openRedis(t, url, prefix, change...)
	runRedis(t, r)
	l := r.Limiter()
	l.timeout = patience // on a busy machine an answer may take longer than it is worth waiting for
	return l
}

func take(t *testing.T, l account.Limiter, b account.Bucket) time.Duration {
	t.Helper()
	wait, err := l.Take(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return wait
}

func TestABucketHasItsBurstAndFillsWithTime(t *testing.T) {
	for name, open := range limiters {
		t.Run(name, func(t *testing.T) {
			l := open(t)
			b := account.Bucket{Kind: "kind", Key: "somebody\r\n {x}", Rate: account.Rate{Burst: 3, Every: time.Hour}}
			for i := range 3 {
				if wait := take(t, l, b); wait != 0 {
					t.Fatalf("attempt %d has to wait %v", i, wait)
				}
			}
			for range 3 { // refused attempts take nothing
				if wait := take(t, l, b); wait <= 59*time.Minute || wait > time.Hour {
					t.Fatalf("wait %v", wait)
				}
			}
			others := []account.Bucket{{Kind: "other", Key: b.Key, Rate: b.Rate}, {Kind: b.Kind, Key: "other", Rate: b.Rate}}
			for _, other := range others {
				if wait := take(t, l, other); wait != 0 {
					t.Errorf("another bucket has to wait %v", wait)
				}
			}
			if err := l.Fill(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if wait := take(t, l, b); wait != 0 {
					t.Fatalf("filled, it has to wait %v", wait)
				}
			}
			if take(t, l, b) == 0 {
				t.Error("filled, it has more than its burst")
			}

			quick := account.Bucket{Kind: "quick", Key: "somebody", Rate: account.Rate{Burst: 1, Every: 30 * time.Millisecond}}
			take(t, l, quick)
			eventually(t, "one more after a time", func() bool {
				wait := take(t, l, quick)
				if wait > quick.Rate.Every {
					t.Fatalf("wait %v", wait)
				}
				return wait == 0
			})
		})
	}
}

func TestNodesShareABucket(t *testing.T) {
	url, prefix := testservers.Redis(t), freshPrefix()
	nodes := []*RedisLimiter{redisLimiter(t, url, prefix, patient), redisLimiter(t, url, prefix, patient)}
	b := account.Bucket{Kind: "kind", Key: "somebody", Rate: account.Rate{Burst: 20, Every: time.Hour}}
	var taken atomic.Int64
	var running sync.WaitGroup
	for i := range 60 {
		running.Go(func() {
			if take(t, nodes[i%2], b) == 0 {
				taken.Add(1)
			}
		})
	}
	running.Wait()
	if taken.Load() != 20 {
		t.Errorf("%d of 20 were given", taken.Load())
	}
	key := nodes[0].redis.keys.bucket(b.Kind, b.Key)
	if life, err := command(t, url, "PTTL", key).AsInt64(); err != nil || life <= 0 || life > (20*time.Hour).Milliseconds() {
		t.Errorf("the bucket stays for %d ms: %v", life, err)
	}
	// A clock that was set back makes nobody wait for longer than an empty bucket does.
	far := strconv.FormatInt(time.Now().Add(1000*time.Hour).UnixMicro(), 10)
	command(t, url, "SET", key, far)
	if wait := take(t, nodes[1], b); wait <= 0 || wait > time.Hour {
		t.Errorf("wait %v", wait)
	}
}

func TestWithRedisAwayANodeLimitsByItself(t *testing.T) {
	for name, fault := range map[string]struct {
		begin, end func(*testservers.Server, testing.TB)
	}{
		"killed": {(*testservers.Server).Kill, (*testservers.Server).Start},
		"paused": {(*testservers.Server).Pause, (*testservers.Server).Resume},
	} {
		t.Run(name, func(t *testing.T) {
			server := testservers.StartRedis(t)
			l := redisLimiter(t, server.URL, "nj")
			l.timeout = limitTimeout
			b := account.Bucket{Kind: "kind", Key: "somebody", Rate: account.Rate{Burst: 2, Every: time.Hour}}
			take(t, l, account.Bucket{Kind: "other", Key: b.Key, Rate: b.Rate})
			fault.begin(server, t)
			given, before := 0, l.redis.Stats().LimitsHere
			for range 10 {
				if take(t, l, b) == 0 {
					given++
				}
			}
			if given != 2 || l.redis.Stats().LimitsHere != before+10 {
				t.Errorf("%d given, %d counted here", given, l.redis.Stats().LimitsHere-before)
			}
			if err := l.Fill(t.Context(), b); err != nil || take(t, l, b) != 0 {
				t.Errorf("not filled: %v", err)
			}
			fault.end(server, t)
			eventually(t, "Redis counts again", func() bool {
				here := l.redis.Stats().LimitsHere
				take(t, l, b)
				return l.redis.Stats().LimitsHere == here
			})
		})
	}
}

func TestALimitOfACallThatHasEndedIsItsError(t *testing.T) {
	l := redisLimiter(t, testservers.Redis(t), freshPrefix(), patient)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Take(ctx, account.Bucket{Kind: "kind", Key: "x", Rate: account.Rate{Burst: 1, Every: time.Hour}}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
