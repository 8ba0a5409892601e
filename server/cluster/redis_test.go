package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/natterjack-chat/natterjack/server/internal/testservers"
)

// patience is how long a test waits for what has to happen.
const patience = time.Minute

// eventually waits until holds returns true.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still waiting: %s", what)
		}
	}
}

// prefixes gives each test names of its own in a server that it shares with others.
var prefixes atomic.Int64

func freshPrefix() string { return fmt.Sprintf("njtest%d-%d", time.Now().UnixNano(), prefixes.Add(1)) }

// logBook collects what is logged.
type logBook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logBook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logBook) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// redisOption changes a connection before it is used.
type redisOption func(*Redis)

func logTo(l *logBook) redisOption {
	return func(r *Redis) { r.logger = slog.New(slog.NewTextHandler(l, nil)) }
}

func plainOnly(r *Redis) { r.plain = true }

// patient never takes a server that is only slow for one that is away: for tests that want all that is sent to arrive.
func patient(r *Redis) {
	r.waits = waits{pulse: patience, publish: patience, rest: patience}
	r.options.ConnWriteTimeout, r.options.Dialer.Timeout = patience, patience
}

// openRedis opens a connection that isn't running yet.
func openRedis(t testing.TB, url, prefix string, change ...redisOption) *Redis {
	t.Helper()
	r, err := OpenRedis(RedisConfig{URL: url, Prefix: prefix, Shards: 16, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(r)
	}
	return r
}

// run runs something until stop is called, or the test ends.
func run(t testing.TB, what func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := what(ctx); err != nil {
			t.Errorf("ended with %v", err)
		}
	}()
	stop = func() {
		cancel()
		select {
		case <-done:
		case <-time.After(patience):
			t.Error("doesn't end")
		}
	}
	t.Cleanup(stop)
	return stop
}

// runRedis runs a connection until the test ends, and waits until it is whole.
func runRedis(t testing.TB, r *Redis) (stop func()) {
	t.Helper()
	stop = run(t, r.Run)
	eventually(t, "the connection is whole", func() bool { return r.Check(t.Context()) == nil })
	return stop
}

// command runs a command on a server, past what is tested.
func command(t testing.TB, url string, words ...string) rueidis.RedisResult {
	t.Helper()
	o, err := parseRedisURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.ForceSingleClient = true
	o.ConnWriteTimeout, o.Dialer.Timeout = patience, patience
	client, err := rueidis.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	result := client.Do(t.Context(), client.B().Arbitrary(words...).Build())
	if err := result.Error(); err != nil && !rueidis.IsRedisNil(err) {
		t.Fatalf("%q: %v", words, err)
	}
	return result
}

func TestRedisURLs(t *testing.T) {
	tests := map[string]struct{ addresses, master, user, password, sentinelPassword string }{
		"redis://localhost:6379":                             {addresses: "localhost:6379"},
		"redis://[::1]:7":                                    {addresses: "[::1]:7"},
		"redis://redis":                                      {addresses: "redis:6379"},
		"redis://:secret@redis:1":                            {addresses: "redis:1", password: "secret"},
		"redis://me:p%40ss@redis:1/0":                        {addresses: "redis:1", user: "me", password: "p@ss"},
		"redis://a:1,b:2,c:3":                                {addresses: "a:1 b:2 c:3"},
		"redis://me:secret@a:1,b:2?client_name=x":            {addresses: "a:1 b:2", user: "me", password: "secret"},
		"redis://a:1?addr=b:2":                               {addresses: "a:1 b:2"},
		"redis://s1:26379?addr=s2:26379&master_set=mymaster": {addresses: "s1:26379 s2:26379", master: "mymaster"},
		"redis+sentinel://s1:26379,s2:26379/mymaster":        {addresses: "s1:26379 s2:26379", master: "mymaster"},
		"redis+sentinel://me:x@s1:1/m/2?sentinel_password=y": {addresses: "s1:1", master: "m", user: "me", password: "x", sentinelPassword: "y"},
		"rediss://a:1":                                       {addresses: "a:1"},
		"rediss://a:1,b:2":                                   {addresses: "a:1 b:2"},
		"rediss+sentinel://s1:1,s2:2/m?skip_verify=true":     {addresses: "s1:1 s2:2", master: "m"},
	}
	for url, want := range tests {
		o, err := parseRedisURL(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if got := strings.Join(o.InitAddress, " "); got != want.addresses || o.Sentinel.MasterSet != want.master ||
			o.Username != want.user || o.Password != want.password || o.Sentinel.Password != want.sentinelPassword {
			t.Errorf("%s: %s, master %q, %s:%s, %s", url, got, o.Sentinel.MasterSet, o.Username, o.Password, o.Sentinel.Password)
		}
		if hasTLS := strings.HasPrefix(url, "rediss"); hasTLS != (o.TLSConfig != nil) || hasTLS && want.master != "" && o.Sentinel.TLSConfig == nil {
			t.Errorf("%s: TLS is wrong", url)
		}
		// Where there are several servers, the certificate of each is for its own name.
		if one := !strings.Contains(want.addresses, " ") && want.master == ""; o.TLSConfig != nil && one != (o.TLSConfig.ServerName != "") {
			t.Errorf("%s: the certificate has to be for %q", url, o.TLSConfig.ServerName)
		}
		if strings.Contains(url, "/2") && o.SelectDB != 2 {
			t.Errorf("%s: database %d", url, o.SelectDB)
		}
	}
}

func TestAWrongRedisURLIsExplainedWithoutItsPassword(t *testing.T) {
	for _, url := range []string{
		"", "redis", "redis://", "http://x:secret@host", "redis://x:secret@host:port:1", "redis://:secret@host/zero", "redis+sentinel://:secret@host:1",
		"redis://x:secret@host/0/1/2", "://secret", "redis://x:sec%ret@host",
	} {
		_, err := OpenRedis(RedisConfig{URL: url})
		if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestWithoutRedisANodeStartsAndSaysSoOnce(t *testing.T) {
	server := testservers.StartRedis(t)
	server.Kill(t)
	var log logBook
	r := openRedis(t, server.URL, "nj", logTo(&log))
	stop := run(t, r.Run)
	eventually(t, "it is logged", func() bool { return log.count("Redis can't be reached") == 1 })
	if r.Up() || r.Bus().Confirmed() || r.Check(t.Context()) == nil {
		t.Error("it takes Redis for there")
	}
	r.Bus().PublishBatch(0, []byte("lost"))
	server.Start(t)
	eventually(t, "it finds Redis", func() bool { return r.Check(t.Context()) == nil && r.Bus().Confirmed() })
	server.Kill(t)
	eventually(t, "it notices", func() bool { return !r.Up() && !r.Bus().Confirmed() })
	server.Start(t)
	eventually(t, "it finds Redis again", func() bool { return r.Check(t.Context()) == nil })
	stop()
	// On a busy machine it may have been away for a second more often.
	if a, b, c := log.count("can't be reached"), log.count("Redis doesn't answer"), log.count("Redis answers"); a != 1 || b < 1 || c != b+1 {
		t.Errorf("logged %d, %d and %d times:\n%s", a, b, c, log.text.String())
	}
	if s := r.Stats(); s.Up || s.Subscriptions < 2 || s.Dropped != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestAPausedRedisIsAwayAndComesBack(t *testing.T) {
	server := testservers.StartRedis(t)
	r := openRedis(t, server.URL, "nj")
	stop := runRedis(t, r)
	server.Pause(t)
	eventually(t, "it notices", func() bool { return !r.Up() })
	eventually(t, "it gives the subscription up", func() bool { return r.Check(t.Context()) != nil && !r.subscriber.whole.Load() })
	server.Resume(t)
	eventually(t, "it finds Redis again", func() bool { return r.Check(t.Context()) == nil })
	server.Pause(t)
	stop() // ends all the same
}
