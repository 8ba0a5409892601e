package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/cluster"
	"github.com/natterjack-chat/natterjack/server/hub"
	"github.com/natterjack-chat/natterjack/server/rpc"
	"github.com/natterjack-chat/natterjack/server/store"
	"github.com/natterjack-chat/natterjack/server/web"
)

// Shared is what nodes of one process have in common, so that tests can run several. A node alone shares nothing.
type Shared struct {
	Store    *store.Store
	Bus      *cluster.MemoryBus
	Presence *cluster.MemoryPresence
}

// presence is what every kind of presence does.
type presence interface {
	rpc.Presence
	chat.PresenceReader
	account.Hider
	OnChange(tell func(chat.PresenceInfo))
	Run(ctx context.Context) error
}

// Node is one server. Call Run once.
type Node struct {
	config   Config
	logger   *slog.Logger
	shared   *Shared // nil: all parts are the node's own
	store    *store.Store
	redis    *cluster.Redis // nil: the node is alone, or shares parts with others
	presence presence
	hub      *hub.Hub
	chat     *chat.Service
	accounts *account.Service
	health   *rpc.Health
	rpc      *rpc.Server
	metrics  *metrics
	tracing  *tracing    // nil: none
	tls      *tls.Config // nil: none

	server, metricsServer     *http.Server
	listener, metricsListener net.Listener // metricsListener: nil: none
	created                   string       // the database that didn't exist before
}

// New opens the database and takes the port, so that clients can connect; they are served once Run is called. shared is nil but for tests with
// several nodes. Errors say in one line what is wrong.
func New(ctx context.Context, c Config, logger *slog.Logger, shared *Shared) (_ *Node, err error) {
	n := &Node{config: c, logger: logger, shared: shared}
	defer func() {
		if err != nil {
			n.release()
		}
	}()
	if c.TLSCert != "" {
		cert, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert and --tls-key: %w", err)
		}
		n.tls = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	}
	if c.Traces {
		if n.tracing, err = newTracing(ctx, logger); err != nil {
			return nil, err
		}
	}
	if err := n.listen(ctx); err != nil {
		return nil, err
	}
	if err := n.open(ctx); err != nil {
		return nil, err
	}
	return n, n.wire()
}

// listen takes the ports.
func (n *Node) listen(ctx context.Context) (err error) {
	var lc net.ListenConfig
	if n.listener, err = lc.Listen(ctx, "tcp", n.config.Listen); err != nil {
		return fmt.Errorf("--listen %s: %w", n.config.Listen, err)
	}
	if n.config.MetricsListen == "" {
		return nil
	}
	if n.metricsListener, err = lc.Listen(ctx, "tcp", n.config.MetricsListen); err != nil {
		return fmt.Errorf("--metrics-listen %s: %w", n.config.MetricsListen, err)
	}
	return nil
}

// open opens the store.
func (n *Node) open(ctx context.Context) (err error) {
	if n.shared != nil {
		n.store = n.shared.Store
		return nil
	}
	if path, ok := strings.CutPrefix(n.config.DatabaseURL, "sqlite:"); ok {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			n.created = path
		}
	}
	n.store, err = store.Open(ctx, store.Options{URL: n.config.DatabaseURL, Logger: n.logger})
	return err
}

// wire joins the parts. Which of them knows of which is told by the imports; here is only who gets which value.
func (n *Node) wire() (err error) {
	c := &n.config
	n.metrics = newMetrics()
	if err := n.join(); err != nil {
		return err
	}
	n.presence.OnChange(n.hub.PresenceChanged)
	n.chat = chat.New(chat.Config{
		Store: n.store, Publisher: n.hub, Presence: n.presence, Logger: n.logger, Limits: c.Chat, Observe: n.committed,
	})
	accounts := account.Config{Store: n.store, Revoker: revoker{n.hub}, Hider: n.presence, Logger: n.logger, Settings: c.Accounts}
	helpful := map[string]func(context.Context) error{}
	var shared account.Limiter
	if n.redis != nil {
		shared = n.redis.Limiter()
		accounts.Limiter = shared
		helpful["redis"] = n.redis.Check
		n.metrics.watchRedis(n.redis)
	}
	n.accounts = account.New(accounts)
	n.health = rpc.NewHealth(map[string]func(context.Context) error{"store": n.checkStore, "hub": n.checkHub}, helpful)
	r := rpc.Config{
		Chat: n.chat, Hub: n.hub, Accounts: n.accounts, Auth: rpc.NewAuthHandler(n.accounts), Presence: n.presence, Health: n.health,
		Logger: n.logger, Limits: c.RPC, SharedLimits: shared, TrustedProxies: c.TrustedProxies, AllowedOrigins: c.AllowedOrigins, Observe: n.metrics.request,
	}
	if n.tracing != nil {
		r.Trace = n.tracing.request
	}
	if n.rpc, err = rpc.New(r); err != nil {
		return err
	}
	n.metrics.ready(n.health.Ready)
	n.metrics.watch(n.hub, n.accounts)
	handler, err := web.Handler(web.Built(), n.rpc)
	if err != nil {
		return err
	}
	n.server = n.newServer(handler)
	n.metricsServer = &http.Server{Handler: n.metrics.handler(), ReadHeaderTimeout: headerTimeout, ErrorLog: n.serverLog()}
	return nil
}

// committed is told of each transaction.
func (n *Node) committed(s chat.CommitStats) {
	n.metrics.commit(s)
	if n.tracing != nil {
		n.tracing.commit(s)
	}
}

// join makes the hub and presence, and joins them to those of other nodes if there may be some.
func (n *Node) join() (err error) {
	h := hub.Config{Encoder: rpc.Encoder{}, Log: n.store, Logger: n.logger, Limits: n.config.Hub}
	ended := func(sessions []chat.SessionID) { n.accounts.Forget(sessions) }
	p := cluster.PresenceConfig{Store: n.store, Logger: n.logger}
	switch {
	case n.shared != nil:
		h.Bus, h.SessionsEnded = n.shared.Bus.Join(), ended
		n.hub, n.presence = hub.New(h), n.shared.Presence
	case n.config.RedisURL != "":
		n.redis, err = cluster.OpenRedis(cluster.RedisConfig{
			URL: n.config.RedisURL, Prefix: n.config.RedisPrefix, Shards: n.store.Shards(), Logger: n.logger,
		})
		if err != nil {
			return fmt.Errorf("--redis-url: %w", err)
		}
		h.Bus, h.SessionsEnded = n.redis.Bus(), ended
		n.hub = hub.New(h)
		n.presence = n.redis.Presence(cluster.RedisPresenceConfig{PresenceConfig: p, Watched: n.hub.Watched, Nodes: n.store})
	default:
		n.hub, n.presence = hub.New(h), cluster.NewMemoryPresence(p)
	}
	return nil
}

// revoker ends the streams of sessions that have ended.
type revoker struct{ hub *hub.Hub }

func (r revoker) EndSessions(sessions []chat.SessionID) {
	r.hub.EndSessions(sessions, hub.GoodbyeSessionRevoked)
}

func (n *Node) checkStore(ctx context.Context) error {
	_, err := n.store.Tops(ctx)
	return err
}

var errHubStarting = errors.New("the hub doesn't know the log's end yet")

func (n *Node) checkHub(context.Context) error {
	select {
	case <-n.hub.Ready():
		return nil
	default:
		return errHubStarting
	}
}

const (
	// headerTimeout bounds how long a client may take to say what it wants.
	headerTimeout = 10 * time.Second
	// idleTimeout is how long a connection without requests is kept; above the minute after which proxies drop theirs, so that they do it first.
	idleTimeout = 2 * time.Minute
	// A connection on which nothing comes is pinged after pingAfter, and closed if no answer comes within pingTimeout: streams of clients that
	// have gone without a word end so.
	pingAfter, pingTimeout = 30 * time.Second, 15 * time.Second
	// headerTable is the size of the table that remembers headers of answers: none, for they hardly repeat, and each connection would have one.
	headerTable = 1
	// streamReceiveBuffer is what a client may send on a stream before the server takes it.
	streamReceiveBuffer = 64 << 10
)

// newServer has no timeouts for reading or writing as a whole: streams last. Package rpc sets deadlines where they belong.
func (n *Node) newServer(handler http.Handler) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: handler, Protocols: &protocols, TLSConfig: n.tls, ErrorLog: n.serverLog(),
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: n.config.HeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: n.config.StreamsPerConnection, SendPingTimeout: pingAfter, PingTimeout: pingTimeout,
			WriteByteTimeout: n.config.RPC.WriteStall, MaxReceiveBufferPerStream: streamReceiveBuffer, MaxEncoderHeaderTableSize: headerTable,
		},
	}
}

// serverLog is for what net/http has to say: mostly of clients that aren't any.
func (n *Node) serverLog() *log.Logger { return slog.NewLogLogger(n.logger.Handler(), slog.LevelDebug) }

// URL returns where the server can be reached from this machine.
func (n *Node) URL() string {
	scheme := "http"
	if n.tls != nil {
		scheme = "https"
	}
	return scheme + "://" + reachable(n.listener.Addr())
}

// MetricsURL returns where the metrics are, or "".
func (n *Node) MetricsURL() string {
	if n.metricsListener == nil {
		return ""
	}
	return "http://" + reachable(n.metricsListener.Addr()) + metricsPath
}

// reachable turns the address of all interfaces into one that a client can use.
func reachable(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return a.String()
	}
	if tcp.IP.IsUnspecified() {
		return fmt.Sprintf("localhost:%d", tcp.Port)
	}
	return tcp.String()
}
