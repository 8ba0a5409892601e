package nodetest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/cluster"
	"github.com/natterjack-chat/natterjack/server/node"
	"github.com/natterjack-chat/natterjack/server/store"
)

// Option changes how nodes are started.
type Option func(*options)

type options struct {
	dir     string
	change  []func(*node.Config)
	allowed []string
	bus     *cluster.MemoryBus
}

// Dir keeps the data in a folder, so that a later node finds them. By default each Start has a fresh one.
func Dir(path string) Option { return func(o *options) { o.dir = path } }

// Config changes the settings, which are the defaults but for cheap passwords.
func Config(change func(*node.Config)) Option {
	return func(o *options) { o.change = append(o.change, change) }
}

// AllowErrors lets the node log errors whose message contains text.
func AllowErrors(text string) Option { return func(o *options) { o.allowed = append(o.allowed, text) } }

// Bus is what connects the nodes of a cluster, for tests that make it bad. By default it is a good one.
func Bus(b *cluster.MemoryBus) Option { return func(o *options) { o.bus = b } }

// Server is a running node. Safe for concurrent use.
type Server struct {
	// URL is where it serves, without a slash at the end.
	URL string
	// Node is the node itself.
	Node *node.Node

	t      testing.TB
	cancel context.CancelFunc
	done   chan struct{} // closed when Run has returned
	err    error         // of Run; set before done is closed
	once   sync.Once
	http   httpClients
}

// Start starts a node, which ends with the test.
func Start(t testing.TB, change ...Option) *Server {
	t.Helper()
	return start(t, apply(t, change), nil)
}

// StartCluster starts nodes that share a store, presence and a bus, as nodes of one installation do. They end with the test.
func StartCluster(t testing.TB, nodes int, change ...Option) []*Server {
	t.Helper()
	o := apply(t, change)
	logger := slog.New(&handler{t: t, allowed: o.allowed})
	shared, err := store.Open(t.Context(), store.Options{URL: databaseURL(o.dir), Logger: logger})
	if err != nil {
		t.Fatalf("opening the nodes' store: %v", err)
	}
	presence := cluster.NewMemoryPresence(cluster.PresenceConfig{Store: shared, Logger: logger})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { // after the nodes, whose clean-up is registered later
		cancel()
		running.Wait()
		if err := shared.Close(); err != nil {
			t.Errorf("closing the nodes' store: %v", err)
		}
	})
	parts := &node.Shared{Store: shared, Bus: o.bus, Presence: presence}
	servers := make([]*Server, nodes)
	for i := range servers {
		servers[i] = start(t, o, parts)
	}
	running.Go(func() { _ = presence.Run(ctx) }) // after all nodes have asked to be told
	return servers
}

func apply(t testing.TB, change []Option) *options {
	t.Helper()
	o := &options{bus: cluster.NewMemoryBus()}
	for _, c := range change {
		c(o)
	}
	if o.dir == "" {
		o.dir = t.TempDir()
	}
	return o
}

func databaseURL(dir string) string { return "sqlite:" + filepath.Join(dir, "natterjack.db") }

func start(t testing.TB, o *options, shared *node.Shared) *Server {
	t.Helper()
	c := node.DefaultConfig()
	c.Listen, c.DatabaseURL = "127.0.0.1:0", databaseURL(o.dir)
	c.Accounts.HashCost = account.HashCost{MemoryKiB: 8, Passes: 1, Threads: 1}
	for _, change := range o.change {
		change(&c)
	}
	n, err := node.New(t.Context(), c, slog.New(&handler{t: t, allowed: o.allowed}), shared)
	if err != nil {
		t.Fatalf("starting a node: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{URL: n.URL(), Node: n, t: t, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.err = n.Run(ctx)
	}()
	t.Cleanup(s.Stop)
	return s
}

// stopTimeout is far above what a node needs to drain.
const stopTimeout = time.Minute

// Stop drains the node as SIGTERM does, and waits for its end. The clean-up of the test does so too; only the first call counts.
func (s *Server) Stop() {
	s.once.Do(func() {
		s.http.close()
		s.cancel()
		select {
		case <-s.done:
		case <-time.After(stopTimeout):
			s.t.Errorf("the node at %s didn't end", s.URL)
			return
		}
		if s.err != nil {
			s.t.Errorf("the node at %s ended with: %v", s.URL, s.err)
		}
	})
}

// Done is closed when the node has ended.
func (s *Server) Done() <-chan struct{} { return s.done }

// VerifyMain runs a package's tests, and fails if they leave goroutines behind. Call it from TestMain.
func VerifyMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := leak(); err != nil {
			fmt.Fprintf(os.Stderr, "goroutines were left behind: %v\n", err)
			code = 1
		}
	}
	os.Exit(code)
}

// leak returns what goroutines were left behind. On a busy machine those of closed connections take their time to end: goleak alone waits half a second.
func leak() (err error) {
	// The client of Redis looks for its servers once more within a second after it was closed.
	ignored := goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1")
	for deadline := time.Now().Add(leakPatience); ; {
		if err = goleak.Find(ignored); err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// leakPatience is far above what goroutines need to end that will.
const leakPatience = 20 * time.Second

// handler writes a node's log into the test, and fails it on errors.
type handler struct {
	t       testing.TB
	allowed []string
	attrs   []slog.Attr
}

func (h *handler) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (h *handler) Handle(_ context.Context, r slog.Record) error {
	var line strings.Builder
	line.WriteString(r.Level.String() + " " + r.Message)
	write := func(a slog.Attr) bool {
		line.WriteString(" " + a.String())
		return true
	}
	for _, a := range h.attrs {
		write(a)
	}
	r.Attrs(write)
	text := line.String()
	allowed := slices.ContainsFunc(h.allowed, func(a string) bool { return strings.Contains(text, a) })
	if r.Level >= slog.LevelError && !allowed {
		h.t.Error(text)
		return nil
	}
	h.t.Log(text)
	return nil
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.t, h.allowed, append(slices.Clone(h.attrs), attrs...)}
}

func (h *handler) WithGroup(string) slog.Handler { return h }
