package node

import (
	"context"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/cluster"
	"github.com/natterjack-chat/natterjack/server/hub"
	"github.com/natterjack-chat/natterjack/server/rpc"
)

const metricsPath = "/metrics"

// metrics are the figures of a node for Prometheus. The parts count in plain numbers; here they get their names.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	batches  prometheus.Histogram
	commits  prometheus.Histogram
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "natterjack_request_duration_seconds", Help: "Time that requests took, by procedure, code and transport (http1, http2, websocket); streams count when they end.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"procedure", "code", "transport"}),
		batches: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "natterjack_commit_changes", Help: "Changes in one transaction.", Buckets: prometheus.ExponentialBuckets(1, 2, 10),
		}),
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "natterjack_commit_duration_seconds", Help: "Time that one transaction took.", Buckets: prometheus.ExponentialBuckets(.0002, 2, 14),
		}),
	}
	m.registry.MustRegister(m.requests, m.batches, m.commits, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) request(o rpc.Observation) {
	m.requests.WithLabelValues(o.Procedure, o.Code, o.Transport).Observe(o.Took.Seconds())
}

func (m *metrics) commit(s chat.CommitStats) {
	m.batches.Observe(float64(s.Ops))
	m.commits.Observe(s.Duration.Seconds())
}

// ready adds what /readyz says. It is asked when somebody reads the metrics.
func (m *metrics) ready(check func(context.Context) bool) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "natterjack_ready", Help: "1 while the server takes requests, 0 while it drains or lacks its database.",
	}, func() float64 {
		if check(context.Background()) { // which has a timeout of its own
			return 1
		}
		return 0
	}))
}

// watch adds the figures of the hub and of the accounts, read when somebody asks.
func (m *metrics) watch(h *hub.Hub, a *account.Service) {
	m.registry.MustRegister(newSnapshot(h.Stats, []figure[hub.Stats]{
		{"hub_streams", "Streams that are open.", gauge, func(s *hub.Stats) float64 { return float64(s.Streams) }},
		{"hub_conversations", "Conversations with at least one stream.", gauge, func(s *hub.Stats) float64 { return float64(s.Conversations) }},
		{"hub_batches_behind", "Batches by which the log was ahead of the hub at the last comparison.", gauge, func(s *hub.Stats) float64 { return float64(s.Ahead) }},
		{"hub_frames_total", "Events given to streams.", counter, func(s *hub.Stats) float64 { return float64(s.Queued) }},
		{"hub_dropped_total", "Typing that busy streams did not get.", counter, func(s *hub.Stats) float64 { return float64(s.Dropped) }},
		{"hub_collapsed_total", "Events that full streams get as part of a resync.", counter, func(s *hub.Stats) float64 { return float64(s.Collapsed) }},
		{"hub_resyncs_total", "Resyncs sent to streams that were full.", counter, func(s *hub.Stats) float64 { return float64(s.Resyncs) }},
		{"hub_slow_closed_total", "Streams closed as too slow.", counter, func(s *hub.Stats) float64 { return float64(s.SlowClosed) }},
		{"hub_superseded_total", "Streams replaced by a newer one of their device.", counter, func(s *hub.Stats) float64 { return float64(s.Superseded) }},
		{"hub_repairs_total", "Reads of the log because of a hole.", counter, func(s *hub.Stats) float64 { return float64(s.Repairs) }},
		{"hub_repaired_batches_total", "Batches read from the log.", counter, func(s *hub.Stats) float64 { return float64(s.Repaired) }},
		{"hub_divergences_total", "Times that the log was another one than the hub had followed.", counter, func(s *hub.Stats) float64 { return float64(s.Divergences) }},
		{"hub_restarts_total", "Times that all streams had to be ended.", counter, func(s *hub.Stats) float64 { return float64(s.Restarts) }},
		{"hub_bad_frames_total", "Frames of other nodes that couldn't be read.", counter, func(s *hub.Stats) float64 { return float64(s.BadFrames) }},
		{"hub_log_holes_total", "Events missing in the log itself.", counter, func(s *hub.Stats) float64 { return float64(s.Holes) }},
	}))
	m.registry.MustRegister(newSnapshot(a.Stats, []figure[account.Stats]{
		{"account_sign_ups_total", "Accounts made.", counter, func(s *account.Stats) float64 { return float64(s.SignUps) }},
		{"account_sign_ins_total", "Sign-ins.", counter, func(s *account.Stats) float64 { return float64(s.SignIns) }},
		{"account_refreshes_total", "Sessions refreshed.", counter, func(s *account.Stats) float64 { return float64(s.Refreshes) }},
		{"account_wrong_credentials_total", "Attempts with a wrong password or username.", counter, func(s *account.Stats) float64 { return float64(s.WrongCredentials) }},
		{"account_limited_total", "Attempts refused because of too many.", counter, func(s *account.Stats) float64 { return float64(s.Limited) }},
		{"account_reused_tokens_total", "Sessions ended because a spent refresh token was used.", counter, func(s *account.Stats) float64 { return float64(s.ReusedTokens) }},
		{"account_hashes_waiting", "Passwords that wait for being hashed.", gauge, func(s *account.Stats) float64 { return float64(s.HashesWaiting) }},
		{"account_cached_tokens", "Access tokens remembered.", gauge, func(s *account.Stats) float64 { return float64(s.CachedTokens) }},
	}))
}

// watchRedis adds the figures of the connection to Redis.
func (m *metrics) watchRedis(r *cluster.Redis) {
	m.registry.MustRegister(newSnapshot(r.Stats, []figure[cluster.RedisStats]{
		{"redis_up", "1 while Redis answers.", gauge, func(s *cluster.RedisStats) float64 { return oneIf(s.Up) }},
		{"redis_subscribed", "1 while this node hears the others.", gauge, func(s *cluster.RedisStats) float64 { return oneIf(s.Subscribed) }},
		{"redis_subscriptions_total", "Times that the subscription to other nodes began.", counter, func(s *cluster.RedisStats) float64 { return float64(s.Subscriptions) }},
		{"bus_published_total", "Frames that Redis took.", counter, func(s *cluster.RedisStats) float64 { return float64(s.Published) }},
		{"bus_failed_total", "Frames that Redis didn't take, or of which that isn't known.", counter, func(s *cluster.RedisStats) float64 { return float64(s.Failed) }},
		{"bus_dropped_total", "Frames for which there was no room, or no Redis.", counter, func(s *cluster.RedisStats) float64 { return float64(s.Dropped) }},
		{"bus_received_total", "Frames that came in, this node's own among them.", counter, func(s *cluster.RedisStats) float64 { return float64(s.Received) }},
		{"presence_changes_total", "Entries of users written to Redis.", counter, func(s *cluster.RedisStats) float64 { return float64(s.PresenceChanges) }},
		{"presence_losses_total", "Times that Redis had lost what it knew of users, or of this node.", counter, func(s *cluster.RedisStats) float64 { return float64(s.PresenceLosses) }},
		{"presence_reaped_nodes_total", "Dead nodes after which this node cleared up.", counter, func(s *cluster.RedisStats) float64 { return float64(s.PresenceReaped) }},
		{"presence_followed", "Users whose presence is followed for streams of this node.", gauge, func(s *cluster.RedisStats) float64 { return float64(s.PresenceWatched) }},
		{"presence_bad_messages_total", "Messages about presence that couldn't be read.", counter, func(s *cluster.RedisStats) float64 { return float64(s.BadMessages) }},
		{"limits_here_total", "Attempts that this node counted alone, because Redis was away.", counter, func(s *cluster.RedisStats) float64 { return float64(s.LimitsHere) }},
	}))
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// handler serves the metrics, and profiles for whoever looks into a slow server.
func (m *metrics) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+metricsPath, promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

// figure is one number of a part's statistics S.
type figure[S any] struct {
	name, help string
	kind       prometheus.ValueType
	value      func(*S) float64
}

// snapshot collects figures that are read together.
type snapshot[S any] struct {
	read    func() S
	figures []figure[S]
	names   []*prometheus.Desc
}

func newSnapshot[S any](read func() S, figures []figure[S]) *snapshot[S] {
	s := &snapshot[S]{read: read, figures: figures}
	for _, f := range figures {
		s.names = append(s.names, prometheus.NewDesc("natterjack_"+f.name, f.help, nil, nil))
	}
	return s
}

// Describe implements [prometheus.Collector].
func (s *snapshot[S]) Describe(names chan<- *prometheus.Desc) {
	for _, n := range s.names {
		names <- n
	}
}

// Collect implements [prometheus.Collector].
func (s *snapshot[S]) Collect(values chan<- prometheus.Metric) {
	stats := s.read()
	for i, f := range s.figures {
		values <- prometheus.MustNewConstMetric(s.names[i], f.kind, f.value(&stats))
	}
}
