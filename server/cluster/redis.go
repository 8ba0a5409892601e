package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// RedisConfig says where Redis is.
type RedisConfig struct {
	// URL names a server, a Redis Cluster, or the sentinels of a master; see [OpenRedis].
	URL string
	// Prefix begins all names in Redis, so that installations can share one. Default: nj.
	Prefix string
	// Shards is the number of log shards.
	Shards int
	Logger *slog.Logger
}

// Redis is a node's connection to Redis, on which stand its [RedisBus], [RedisPresence] and [RedisLimiter]. Everything works, each in its own reduced way,
// while Redis is away; it is looked for until it is back, and each change is logged once. Safe for concurrent use.
type Redis struct {
	options rueidis.ClientOption
	keys    keys
	shards  int
	logger  *slog.Logger
	plain   bool // for tests: as if the server had no sharded pub/sub
	waits   waits

	client     atomic.Pointer[rueidis.Client] // nil: not yet connected, or closed
	up         atomic.Bool
	upChanged  []func(up bool) // set before Run, as emptied; neither blocks
	emptied    []func()        // called when Redis knows no nodes
	subscriber *subscriber
	publisher  *publisher
	bus        *RedisBus
	stats      redisCounters
}

const (
	// pulseEvery is how often Redis is asked whether it is there, and pulseTimeout how long it may take to answer.
	pulseEvery, pulseTimeout = time.Second, time.Second
	// retryLeast and retryMost bound the waits between attempts to connect.
	retryLeast, retryMost = 50 * time.Millisecond, time.Second
	// publishRest is the time that is left for frames that wait when the node ends.
	publishRest = 500 * time.Millisecond
)

// waits are how long Redis has for its answers. Tests of what happens while it is there give it longer: on a busy machine it may take its time.
type waits struct{ pulse, publish, rest time.Duration }

func defaultWaits() waits {
	return waits{pulse: pulseTimeout, publish: publishTimeout, rest: publishRest}
}

// errRedisAway is the answer where it is known without asking that there would be none.
var errRedisAway = errors.New("redis is away")

// OpenRedis checks the configuration and connects to nothing; [Redis.Run] does. Errors say in one line what the URL has to be, and never show it.
//
// URLs are redis:// and rediss:// (TLS) with one host, or with the hosts of a cluster with commas between, and redis+sentinel:// or rediss+sentinel://
// with the hosts of sentinels and the name of the master as the path. A number as the path, or after the name, chooses the database.
func OpenRedis(c RedisConfig) (*Redis, error) {
	o, err := parseRedisURL(c.URL)
	if err != nil {
		return nil, err
	}
	if c.Prefix == "" {
		c.Prefix = "nj"
	}
	r := &Redis{options: o, keys: keys{c.Prefix}, shards: c.Shards, logger: c.Logger, waits: defaultWaits()}
	r.subscriber = &subscriber{redis: r, channels: map[string]func([]byte){}}
	r.publisher = newPublisher(r)
	r.bus = newRedisBus(r)
	return r, nil
}

// Bus returns the node's end of the bus; always the same.
func (r *Redis) Bus() *RedisBus { return r.bus }

// Up reports whether Redis answers.
func (r *Redis) Up() bool { return r.up.Load() }

// Check returns what is wrong: nil while Redis answers and the node hears all channels.
func (r *Redis) Check(context.Context) error {
	switch {
	case !r.Up():
		return errRedisAway
	case !r.subscriber.whole.Load():
		return errors.New("the node doesn't hear the others")
	default:
		return nil
	}
}

// Run keeps the connection until ctx ends, then sends what waits and closes it. It doesn't fail. Called once; what stands on the connection
// should have ended before.
func (r *Redis) Run(ctx context.Context) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { r.keepConnected(ctx, life) })
	running.Go(func() { r.subscriber.run(ctx) })
	running.Go(func() { r.publisher.run(ctx, life) })
	<-ctx.Done()
	if r.client.Load() == nil {
		end() // an attempt to connect need not go on
	}
	running.Wait()
	rest, cancel := context.WithTimeout(life, r.waits.rest)
	r.publisher.flush(rest)
	cancel()
	r.setUp(false)
	client := r.client.Swap(nil)
	end()
	if client != nil {
		(*client).Close()
	}
	return nil
}

// keepConnected connects, and then looks whether Redis is there, until ctx ends. Connections last until life ends.
func (r *Redis) keepConnected(ctx, life context.Context) {
	var wait backoff
	for first := true; ; first = false {
		client, err := r.newClient(life, r.options)
		if err == nil {
			r.client.Store(&client)
			break
		}
		if first && ctx.Err() == nil {
			r.logger.Warn("Redis can't be reached; nodes go on by themselves until it can", "error", err)
		}
		if !wait.sleep(ctx) {
			return
		}
	}
	pulse := time.NewTicker(pulseEvery)
	defer pulse.Stop()
	for {
		err := r.pulse(ctx)
		if ctx.Err() != nil {
			return
		}
		if was := r.setUp(err == nil); was && err != nil {
			r.logger.Warn("Redis doesn't answer; nodes go on by themselves until it does", "error", err)
		} else if !was && err == nil {
			r.logger.Info("Redis answers")
		}
		select {
		case <-pulse.C:
		case <-ctx.Done():
			return
		}
	}
}

// pulse asks Redis for something that every node needs.
func (r *Redis) pulse(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.waits.pulse)
	defer cancel()
	known, err := r.do(ctx, func(c rueidis.Client) rueidis.Completed { return c.B().Exists().Key(r.keys.nodes()).Build() }).AsInt64()
	if err == nil && known == 0 {
		for _, tell := range r.emptied {
			tell()
		}
	}
	return err
}

// do runs one command, unless there is no connection yet.
func (r *Redis) do(ctx context.Context, build func(rueidis.Client) rueidis.Completed) rueidis.RedisResult {
	client := r.client.Load()
	if client == nil {
		return rueidis.NewErrorResult(errRedisAway)
	}
	return (*client).Do(ctx, build(*client))
}

// setUp notes whether Redis answers, and returns whether it did before.
func (r *Redis) setUp(up bool) (was bool) {
	if was = r.up.Swap(up); was != up {
		for _, tell := range r.upChanged {
			tell(up)
		}
	}
	return was
}

// newClient connects. Connections are closed when life ends, whatever they wait for.
func (r *Redis) newClient(life context.Context, o rueidis.ClientOption) (rueidis.Client, error) {
	dial := o.DialCtxFn
	if dial == nil {
		dial = dialTCP
	}
	o.DialCtxFn = func(ctx context.Context, address string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(life, cancel)()
		conn, err := dial(ctx, address, dialer, config)
		if err != nil {
			return nil, err
		}
		b := &boundConn{Conn: conn}
		b.unbind = context.AfterFunc(life, func() { _ = conn.Close() })
		return b, nil
	}
	client, err := rueidis.NewClient(o)
	if err != nil {
		return nil, fmt.Errorf("connecting to Redis: %w", err)
	}
	return client, nil
}

func dialTCP(ctx context.Context, address string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
	if config != nil {
		return (&tls.Dialer{NetDialer: dialer, Config: config}).DialContext(ctx, "tcp", address)
	}
	return dialer.DialContext(ctx, "tcp", address)
}

// boundConn is closed when a context ends, and leaves nothing with the context when it is closed before.
type boundConn struct {
	net.Conn
	unbind func() bool
}

// Close implements [net.Conn].
func (c *boundConn) Close() error {
	c.unbind()
	return c.Conn.Close()
}
