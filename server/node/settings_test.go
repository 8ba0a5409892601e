package node

import (
	"errors"
	"flag"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestEverySettingIsAFlagAndAVariableWithItsDefault(t *testing.T) {
	t.Parallel()
	c := DefaultConfig()
	var help strings.Builder
	if _, err := Load([]string{"--help"}, nil, &help); !errors.Is(err, flag.ErrHelp) {
		t.Fatalf("--help gives %v", err)
	}
	seen := make(map[string]bool)
	for _, s := range c.settings() {
		if seen[s.name] {
			t.Errorf("--%s is there twice", s.name)
		}
		seen[s.name] = true
		for _, text := range []string{"--" + s.name + " ", s.variable(), s.value.String()} {
			if !strings.Contains(help.String(), text) {
				t.Errorf("help doesn't tell %q", text)
			}
		}
		value := s.value.String()
		if value == "" {
			continue
		}
		// What is the default can be set, and changes nothing.
		for _, in := range []struct{ args, env []string }{{[]string{"--" + s.name, value}, nil}, {nil, []string{s.variable() + "=" + value}}} {
			got, err := Load(in.args, in.env, io.Discard)
			if err != nil || !reflect.DeepEqual(got, DefaultConfig()) {
				t.Errorf("%v: %+v, %v", in, got, err)
			}
		}
	}
}

func TestSettingsAreTakenFromFlagsThenFromTheEnvironment(t *testing.T) {
	t.Parallel()
	c, err := Load(
		[]string{"--listen", ":9000", "--log-level", "debug", "--trusted-proxies", "10.0.0.0/8, 192.0.2.1,2001:db8::1", "--sign-up=closed", "--limit-members", "7"},
		[]string{
			"NATTERJACK_ALLOWED_ORIGINS=https://chat.example.com, http://localhost:5173",
			"NATTERJACK_LISTEN=:1", "NATTERJACK_DATABASE_URL=sqlite:x.db", "NATTERJACK_DRAIN_GRACE=1m", "NATTERJACK_METRICS_LISTEN=", "NATTERJACK_NONSENSE=", "NATTERJACK_LOG_FORMAT=json",
			"NATTERJACK_SERVER=of another command", "NATTERJACK_PASSWORD=x", "NATTERJACK_TEST_DATABASE_URL=x", "NATTERJACK_SOAK=1",
			"NATTERJACK_SERVICE_HOST=10.96.0.7", "NATTERJACK_SERVICE_PORT_CHAT=80", "NATTERJACK_PORT=tcp://10.96.0.7:80", "NATTERJACK_PORT_80_TCP_ADDR=10.96.0.7", "PATH=/bin", "nonsense",
		}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultConfig()
	want.Listen, want.LogLevel, want.DatabaseURL, want.LogFormat = ":9000", slog.LevelDebug, "sqlite:x.db", "json"
	want.Drain.Grace, want.Accounts.SignUpClosed, want.Chat.MaxMembers = time.Minute, true, 7
	if len(c.TrustedProxies) != 3 || c.TrustedProxies[0].String() != "10.0.0.0/8" || c.TrustedProxies[1].String() != "192.0.2.1/32" || c.TrustedProxies[2].String() != "2001:db8::1/128" {
		t.Errorf("trusted proxies are %v", c.TrustedProxies)
	}
	c.TrustedProxies = nil
	want.AllowedOrigins = []string{"https://chat.example.com", "http://localhost:5173"}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, want %+v", c, want)
	}
}

func TestAWrongSettingIsOneClearLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		env  string
		says []string
	}{
		{[]string{"--listne", ":1"}, "", []string{"--listne", "did you mean --listen?"}},
		{[]string{"--x-y-z-w"}, "", []string{"--x-y-z-w", "--help"}},
		{[]string{"--listen"}, "", []string{"--listen", "argument"}},
		{[]string{"extra"}, "", []string{`"extra"`, "flags"}},
		{[]string{"--listen", "8080"}, "", []string{"--listen", `"8080"`, "port"}},
		{[]string{"--listen", ""}, "", []string{"--listen"}},
		{[]string{"--metrics-listen", "localhost"}, "", []string{"--metrics-listen", "port"}},
		{[]string{"--log-level", "loud"}, "", []string{"--log-level", "loud", "debug, info, warn or error"}},
		{[]string{"--log-format", "xml"}, "", []string{"--log-format", "text or json"}},
		{[]string{"--sign-up", "no"}, "", []string{"--sign-up", "open or closed"}},
		{[]string{"--tls-cert", "a.pem"}, "", []string{"--tls-cert", "--tls-key"}},
		{[]string{"--drain-grace", "30"}, "", []string{"--drain-grace", "30s"}},
		{[]string{"--drain-grace", "-1s"}, "", []string{"--drain-grace", "from 1s"}},
		{[]string{"--limit-members", "1"}, "", []string{"--limit-members", "from 2 to"}},
		{[]string{"--limit-members", "many"}, "", []string{"--limit-members", "whole number"}},
		{[]string{"--limit-user-burst", "5"}, "", []string{"burst"}},
		{[]string{"--trusted-proxies", "10.0.0.0/33"}, "", []string{"--trusted-proxies", "10.0.0.0/8"}},
		{[]string{"--allowed-origins", "*"}, "", []string{"--allowed-origins", "https://chat.example.com"}},
		{[]string{"--allowed-origins", "https://*.example.com"}, "", []string{"--allowed-origins", "https://chat.example.com"}},
		{[]string{"--allowed-origins", "chat.example.com"}, "", []string{"--allowed-origins", "https://chat.example.com"}},
		{[]string{"--allowed-origins", "https://chat.example.com/"}, "", []string{"--allowed-origins", "without a path"}},
		{[]string{"--allowed-origins", "https://Chat.example.com"}, "", []string{"--allowed-origins", "lower case"}},
		{[]string{"--allowed-origins", "https://u@chat.example.com"}, "", []string{"--allowed-origins"}},
		{[]string{"--allowed-origins", "https://a.example, ws://b.example"}, "", []string{"--allowed-origins"}},
		{[]string{"--redis-url", "redis://localhost"}, "", []string{"--redis-url", "--database-url", "SQLite"}},
		{[]string{"--redis-url", "http://:secret@x", "--database-url", "postgres://x"}, "", []string{"--redis-url", "redis://host:6379"}},
		{[]string{"--redis-url", "redis://x", "--redis-prefix", "a b", "--database-url", "postgres://x"}, "", []string{"--redis-prefix"}},
		{nil, "NATTERJACK_LISTNE=:1", []string{"NATTERJACK_LISTNE", "did you mean NATTERJACK_LISTEN?"}},
		{nil, "NATTERJACK_QQQQ=1", []string{"NATTERJACK_QQQQ", "--help"}},
		{nil, "NATTERJACK_DRAIN_GRACE=soon", []string{"NATTERJACK_DRAIN_GRACE", "soon", "30s"}},
	} {
		var env []string
		if c.env != "" {
			env = []string{c.env}
		}
		_, err := Load(c.args, env, io.Discard)
		if err == nil {
			t.Errorf("%v %s is taken", c.args, c.env)
			continue
		}
		for _, text := range append(c.says, "") {
			if !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v %s: %q doesn't tell %q in one line", c.args, c.env, err, text)
			}
		}
	}
}

func TestEditDistanceIsThatOfLevenshtein(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"kitten", "sitting", 3}, {"listen", "listne", 2}, {"same", "same", 0}} {
		if got := editDistance(c.a, c.b); got != c.want {
			t.Errorf("%q to %q is %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestPasswordsInURLsAreNotLogged(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"sqlite:data/natterjack.db":                          "sqlite:data/natterjack.db",
		"sqlite:/var/lib/natterjack.db":                      "sqlite:/var/lib/natterjack.db",
		"postgres://ada:secret@db:5432/chat?sslmode=disable": "postgres://ada@db:5432/chat",
		"postgres://db/chat?user=ada&password=secret":        "postgres://db/chat",
		"postgres://ada:secret@one:5432,two:5432/chat":       "postgres://ada@one:5432,two:5432/chat",
		"redis://:secret@cache:6379/2":                       "redis://@cache:6379/2",
		"postgres://ada:100%secret@db/chat":                  "postgres:…", // no URL
	} {
		if got := redactURL(given); got != want {
			t.Errorf("%s is logged as %s", given, got)
		}
	}
}
