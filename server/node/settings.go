package node

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/natterjack-chat/natterjack/server/cluster"
)

// setting is one setting of a server, as a flag (--name) and as an environment variable (NATTERJACK_NAME).
type setting struct {
	name  string
	usage string // what it is, in which unit, and why one would change it; `word` names the value
	value flag.Value
}

// settings is the one table of all settings. Their defaults are what c holds.
func (c *Config) settings() []setting {
	return []setting{
		{"listen", "`address` to serve on; port 0 takes a free one, an address beyond this machine wants TLS or a proxy that has it", text(&c.Listen)},
		{"metrics-listen", "`address` to serve Prometheus metrics and profiles on, for operators only; empty for none", text(&c.MetricsListen)},
		{"database-url", "`url` of the database: sqlite: and the path of a file, which is made with its folder, or postgres:// and the rest of a connection string", text(&c.DatabaseURL)},
		{"redis-url", "`url` of the Redis that joins several nodes: redis://, rediss:// (TLS) or redis+sentinel://, more hosts with commas between; empty for a node alone", text(&c.RedisURL)},
		{"redis-prefix", "`text` that begins all names in Redis, for installations that share one", text(&c.RedisPrefix)},
		{"log-level", "`level` from which on to log: debug (each request), info, warn or error", levelValue{&c.LogLevel}},
		{"log-format", "`format` of the log: text or json", choice(&c.LogFormat, "text", "json")},
		{"tls-cert", "`file` with the certificate chain (PEM), to serve with TLS", text(&c.TLSCert)},
		{"tls-key", "`file` with the certificate's key (PEM)", text(&c.TLSKey)},
		{"allowed-origins", "`origins`, with commas between, of web pages that may use this server from a browser, beside its own", &originList{&c.AllowedOrigins}},
		{"trusted-proxies", "`networks`, with commas between, whose X-Forwarded-For is believed", &prefixes{&c.TrustedProxies}},

		{"sign-up", "`open` lets anybody make an account, closed nobody", &openClosed{&c.Accounts.SignUpClosed}},
		{"access-token-life", "how long an access token is valid", duration(&c.Accounts.AccessTokenLife, time.Minute, 24*time.Hour)},
		{"session-life", "how long a session lives without being refreshed", duration(&c.Accounts.SessionLife, time.Hour, 400*24*time.Hour)},
		{"sessions-per-user", "sessions that a user may have; one more ends the one refreshed the longest ago", number(&c.Accounts.SessionsPerUser, 1, 1000)},

		{"drain-notice", "time between being not ready and saying goodbye, for load balancers to notice", duration(&c.Drain.Notice, 0, 10*time.Minute)},
		{"drain-spread", "time over which clients are told to come back", duration(&c.Drain.Spread, 0, 10*time.Minute)},
		{"drain-grace", "time for all of the shutdown; what isn't over by then is cut off", duration(&c.Drain.Grace, time.Second, time.Hour)},

		{"limit-request-bytes", "largest request, also decompressed, in `bytes`", number(&c.RPC.RequestBytes, 1<<10, 16<<20)},
		{"limit-header-bytes", "largest headers with the request line, in `bytes`", number(&c.HeaderBytes, 4<<10, 1<<20)},
		{"limit-unary-timeout", "longest unary call", duration(&c.RPC.UnaryTimeout, time.Second, 10*time.Minute)},
		{"limit-user-rate", "requests per second of one user; above it calls are refused and streams read more slowly", number(&c.RPC.UserRate, 1, 1e6)},
		{"limit-user-burst", "requests that one user may make at once", number(&c.RPC.UserBurst, 1, 1e6)},
		{"limit-address-rate", "calls per second from one address, not counting what streams carry; not for this machine itself", number(&c.RPC.AddressRate, 1, 1e6)},
		{"limit-address-burst", "calls that one address may make at once", number(&c.RPC.AddressBurst, 1, 1e6)},
		{"limit-streams-per-user", "streams that one user may have open", number(&c.Hub.StreamsPerUser, 1, 10_000)},
		{"limit-streams-per-address", "streams that one address may have open; not for this machine itself", number(&c.RPC.StreamsPerAddress, 1, 1e6)},
		{"limit-streams-per-connection", "calls and streams that one HTTP/2 connection may have open", number(&c.StreamsPerConnection, 1, 10_000)},
		{"limit-members", "members of a conversation", number(&c.Chat.MaxMembers, 2, 100_000)},
		{"limit-unanswered", "requests of one stream that may be unanswered before it is read no further", number(&c.RPC.Unanswered, 1, 100_000)},
		{"limit-queue-frames", "events that may wait for one slow stream before it is told to resync", number(&c.Hub.QueueFrames, 16, 1e6)},
		{"limit-queue-bytes", "the same in `bytes`", number(&c.Hub.QueueBytes, 64<<10, 64<<20)},
		{"limit-slow-after", "how long a stream may be behind before it is closed", duration(&c.Hub.SlowAfter, time.Second, 10*time.Minute)},
		{"limit-idle", "how long a client may say nothing on a stream", duration(&c.RPC.Idle, 30*time.Second, time.Hour)},
		{"limit-write-stall", "how long one write to a client may take", duration(&c.RPC.WriteStall, time.Second, 10*time.Minute)},
		{"limit-hash-line", "sign-ins and sign-ups that may wait for their turn to hash a password", number(&c.Accounts.HashLine, 1, 100_000)},
		{"limit-hashes", "passwords hashed at once, each with 19 MiB of memory", number(&c.Accounts.HashesAtOnce, 1, 256)},
		{"commit-lanes", "transactions under way at once; SQLite has one writer in any case", number(&c.Chat.Lanes, 1, 64)},
	}
}

// envPrefix begins the names of all environment variables of this program.
const envPrefix = "NATTERJACK_"

// othersVariables are those that begin so and aren't the server's: of other commands, and of tests.
var othersVariables = []string{"SERVER", "PASSWORD", "PLANTED", "SOAK"}

const testsVariables = "TEST_"

// serviceVariables begin those that Kubernetes sets in every container beside a Service that is called natterjack.
var serviceVariables = regexp.MustCompile(`^NATTERJACK_(SERVICE_HOST|SERVICE_PORT|PORT)(_|$)`)

func (s *setting) variable() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(s.name, "-", "_"))
}

// Load makes the configuration of flags and environment variables (each "NAME=value", an empty value counting as none); flags count more. Errors are one line each, and say what to do; flag.ErrHelp
// means that usage was asked for, and written.
func Load(args, environment []string, usage io.Writer) (Config, error) {
	c := DefaultConfig()
	table := c.settings()
	flags := flag.NewFlagSet("natterjack serve", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	for i := range table {
		flags.Var(table[i].value, table[i].name, table[i].usage)
	}
	if err := loadEnvironment(table, environment); err != nil {
		return c, err
	}
	var err error
	if c.Traces, err = tracesWanted(environment); err != nil {
		return c, err
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		writeUsage(usage, table)
		return c, err
	case err != nil:
		return c, flagError(err, table)
	case flags.NArg() > 0:
		return c, fmt.Errorf("unexpected argument %q: settings are flags (--help lists them)", flags.Arg(0))
	}
	return c, c.validate()
}

func loadEnvironment(table []setting, environment []string) error {
	for _, e := range environment {
		variable, value, _ := strings.Cut(e, "=")
		short, ours := strings.CutPrefix(variable, envPrefix)
		if !ours || value == "" || slices.Contains(othersVariables, short) || strings.HasPrefix(short, testsVariables) ||
			serviceVariables.MatchString(variable) {
			continue
		}
		i := slices.IndexFunc(table, func(s setting) bool { return s.variable() == variable })
		if i < 0 {
			return fmt.Errorf("the environment sets %s, which is no setting%s", variable, suggestion(table, func(s *setting) string { return s.variable() }, variable))
		}
		if err := table[i].value.Set(value); err != nil {
			return fmt.Errorf("%s=%q: %w", variable, value, err)
		}
	}
	return nil
}

// flagError says what is wrong with the flags in our words.
func flagError(err error, table []setting) error {
	if name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); unknown {
		return fmt.Errorf("--%s is no flag%s", name, suggestion(table, func(s *setting) string { return "--" + s.name }, "--"+name))
	}
	return errors.New(strings.Replace(err.Error(), " -", " --", 1))
}

// suggestion is the end of a message about a name that isn't known: the nearest one that is, if it is near.
func suggestion(table []setting, nameOf func(*setting) string, unknown string) string {
	best, distance := "", len(strings.TrimPrefix(unknown, envPrefix))/2
	for i := range table {
		name := nameOf(&table[i])
		if d := editDistance(unknown, name); d < distance {
			best, distance = name, d
		}
	}
	if best == "" {
		return " (--help lists all)"
	}
	return "; did you mean " + best + "?"
}

// editDistance is Levenshtein's, by Wagner and Fischer's table, one row at a time.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func writeUsage(w io.Writer, table []setting) {
	fmt.Fprint(w, "Usage: natterjack serve [flags]\n\nServes chat over gRPC, gRPC-Web, Connect and REST on one port. Each flag can be given as the environment variable beside it, too.\n\n")
	for i := range table {
		s := &table[i]
		value, text := flag.UnquoteUsage(&flag.Flag{Name: s.name, Usage: s.usage, Value: s.value})
		switch s.value.(type) {
		case durationValue:
			value = "time"
		case numberValue:
			value = "number"
		}
		fmt.Fprintf(w, "  --%s %s   %s\n        %s", s.name, value, s.variable(), text)
		if d := s.value.String(); d != "" {
			fmt.Fprintf(w, " (default %s)", d)
		}
		fmt.Fprintln(w)
	}
}

// validate holds settings against each other.
func (c *Config) validate() error {
	switch {
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key belong together: set both or none")
	case c.RPC.UserBurst < c.RPC.UserRate/10, c.RPC.AddressBurst < c.RPC.AddressRate/10:
		return errors.New("a burst below a tenth of its rate would refuse even clients: raise --limit-user-burst or --limit-address-burst")
	}
	if err := c.validateRedis(); err != nil {
		return err
	}
	for name, address := range map[string]string{"listen": c.Listen, "metrics-listen": c.MetricsListen} {
		if address == "" && name == "metrics-listen" {
			continue
		}
		if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
			return fmt.Errorf("--%s %q has to be an address with a port, such as 127.0.0.1:8080 or :8080", name, address)
		}
	}
	return nil
}

func (c *Config) validateRedis() error {
	switch {
	case c.RedisURL == "":
		return nil
	case strings.HasPrefix(c.DatabaseURL, "sqlite:"):
		return errors.New("--redis-url joins several nodes, and those can't share a file of SQLite: set --database-url to a postgres:// URL, or leave --redis-url out")
	case c.RedisPrefix == "" || strings.ContainsAny(c.RedisPrefix, "{} "):
		return errors.New("--redis-prefix needs a text without spaces and braces")
	}
	if _, err := cluster.OpenRedis(cluster.RedisConfig{URL: c.RedisURL}); err != nil {
		return fmt.Errorf("--redis-url: %w", err)
	}
	return nil
}
