package node

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/hub"
	"github.com/natterjack-chat/natterjack/server/rpc"
)

// Config holds every setting of a server. [DefaultConfig] has the defaults; settings.go names each, with its unit and its reason.
type Config struct {
	Listen        string
	MetricsListen string
	DatabaseURL   string
	// RedisURL joins the nodes of an installation; empty: this is the only one. RedisPrefix begins all names in Redis.
	RedisURL, RedisPrefix string
	LogLevel              slog.Level
	LogFormat             string
	TLSCert               string
	TLSKey                string
	// TrustedProxies are believed when they say where a request comes from.
	TrustedProxies []netip.Prefix
	// AllowedOrigins are those of web pages, beside the server's own, that may use it from a browser.
	AllowedOrigins []string
	// Traces is whether to tell a collector, which OpenTelemetry's own variables name, of requests and commits.
	Traces bool

	Drain    Drain
	RPC      rpc.Limits
	Hub      hub.Limits
	Chat     chat.Limits
	Accounts account.Settings
	// StreamsPerConnection is the number of calls and streams that one HTTP/2 connection may have open.
	StreamsPerConnection int
	// HeaderBytes bounds the request line and the headers; a Connect GET carries its request there.
	HeaderBytes int
}

// Drain says how a server goes down.
type Drain struct {
	// Notice is the time between being not ready and saying goodbye, in which load balancers stop sending.
	Notice time.Duration
	// Spread is over how long clients are told to come back, so that they don't all do at once.
	Spread time.Duration
	// Grace bounds the whole; what isn't over by then is cut off.
	Grace time.Duration
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		Listen: "127.0.0.1:8080", DatabaseURL: "sqlite:data/natterjack.db", RedisPrefix: "nj", LogLevel: slog.LevelInfo, LogFormat: "text",
		Drain: Drain{Spread: 10 * time.Second, Grace: 30 * time.Second},
		RPC:   rpc.DefaultLimits(), Hub: hub.DefaultLimits(), Chat: chat.Limits{MaxMembers: 1000, Lanes: 4},
		Accounts:             account.DefaultSettings(),
		StreamsPerConnection: 250, HeaderBytes: 32 << 10,
	}
}
