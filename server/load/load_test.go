package load

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestStampIsReadBackFromAMessageOfAnySize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := stamp{
			rapid.Uint32().Draw(t, "run"), rapid.Uint32().Draw(t, "sender"), rapid.Uint32().Draw(t, "number"),
			time.Duration(rapid.Int64Min(0).Draw(t, "due")),
		}
		size := rapid.IntRange(minSize, 3000).Draw(t, "size")
		text := want.text(size)
		if len(text) != size {
			t.Fatalf("%d bytes, want %d", len(text), size)
		}
		if got, ok := parseStamp([]byte(text)); !ok || got != want {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	})
	for _, text := range []string{"", "hello", strings.Repeat("x", 100)} {
		if _, ok := parseStamp([]byte(text)); ok {
			t.Errorf("%q was read as a stamp", text)
		}
	}
}

func TestSeenCountsEachNumberOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s seen
		model := map[uint32]bool{}
		for _, n := range rapid.SliceOf(rapid.Uint32Range(0, 500)).Draw(t, "numbers") {
			if s.add(n) == model[n] {
				t.Fatalf("number %d: new %v", n, !model[n])
			}
			model[n] = true
		}
		if s.count() != int64(len(model)) {
			t.Fatalf("counted %d of %d", s.count(), len(model))
		}
	})
}

func TestGroupsHoldEverybodyOnceAndNobodyAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		users := make([]*user, rapid.IntRange(2, 60).Draw(t, "users"))
		for i := range users {
			users[i] = &user{receipts: receipts{index: i}}
		}
		size := rapid.IntRange(2, 12).Draw(t, "size")
		next := 0
		for _, g := range groups(users, size) {
			if len(g) < 2 || len(g) > size+1 {
				t.Fatalf("a group of %d", len(g))
			}
			for _, u := range g {
				if u.index != next {
					t.Fatalf("user %d where %d belongs", u.index, next)
				}
				next++
			}
		}
		if next != len(users) {
			t.Fatalf("%d of %d users", next, len(users))
		}
	})
}

func TestConfigNamesWhatIsWrong(t *testing.T) {
	good := Config{
		Servers: []string{"http://localhost:8080"}, Users: 2, GroupSize: 2, Window: 1, Duration: time.Second, Size: minSize, StreamsPerConnection: 1, Transport: HTTP2,
	}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*Config){
		"--server is":                     func(c *Config) { c.Servers = nil },
		"--server \"ftp://x\"":            func(c *Config) { c.Servers = []string{"ftp://x"} },
		"--server \"localhost\"":          func(c *Config) { c.Servers = []string{"localhost"} },
		"--users":                         func(c *Config) { c.Users = 1 },
		"--group-size":                    func(c *Config) { c.GroupSize = 1001 },
		"--window":                        func(c *Config) { c.Window = 0 },
		"--size":                          func(c *Config) { c.Size = minSize - 1 },
		"--streams-per-connection":        func(c *Config) { c.StreamsPerConnection = 0 },
		"--transport":                     func(c *Config) { c.Transport = "quic" },
		"--streams-per-connection is for": func(c *Config) { c.Transport, c.StreamsPerConnection = WebSocket, 2 },
		"--listeners":                     func(c *Config) { c.Listeners = -1 },
		"--idle":                          func(c *Config) { c.Idle = -1 },
		"--slow":                          func(c *Config) { c.Slow = 3 },
		"--streams-per-user":              func(c *Config) { c.StreamsPerUser = -1 },
		"--presence":                      func(c *Config) { c.Presence = -1 },
		"--cut-every":                     func(c *Config) { c.CutEvery = time.Millisecond },
		"--late":                          func(c *Config) { c.Late = time.Hour },
		"--rate":                          func(c *Config) { c.Rate = -1 },
		"--duration":                      func(c *Config) { c.Duration = 0 },
	} {
		c := good
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestProcessIsReadWhateverItsName(t *testing.T) {
	stat := []byte("42 (a) b (c) R 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0\n")
	p := parseProcess(stat, []byte("Name:\tx\nVmHWM:\t 2048 kB\nVmRSS:\t 1024 kB\n"))
	if p == nil || p.cpu != 2*time.Second || p.rss != 1<<20 || p.peak != 2<<20 {
		t.Fatalf("got %+v", p)
	}
	for _, bad := range []string{"", "42 (x", "42 (x) R 1", "42 (x) R 1 2 3 4 5 6 7 8 9 10 a b"} {
		if got := parseProcess([]byte(bad), nil); got != nil {
			t.Errorf("%q was read as %+v", bad, got)
		}
	}
	if readProcess(0) != nil || readProcess(1<<30) != nil {
		t.Error("a process that isn't there was read")
	}
	if self := readProcess(os.Getpid()); self == nil || self.rss == 0 {
		t.Errorf("of this process: %+v", self)
	}
	u := usage(&process{cpu: time.Second}, &process{cpu: 3 * time.Second, rss: 5, peak: 6})
	if *u != (ServerUsage{2, 5, 6}) || usage(nil, nil) != nil {
		t.Errorf("got %+v", u)
	}
}

func TestReportHasTheNamesThatScriptsRelyOn(t *testing.T) {
	r := &Report{Server: &ServerUsage{CPUSeconds: 1}}
	var out bytes.Buffer
	if err := r.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"sent", "acknowledged", "expected", "delivered", "lost", "duplicated", "out_of_order", "late", "away", "back_ms", "throughput_per_second", "latency_ms", "server",
	} {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
	for _, name := range []string{"p50", "p90", "p99", "p999", "max"} {
		if _, ok := got["latency_ms"].(map[string]any)[name]; !ok {
			t.Errorf("latency_ms.%s is missing", name)
		}
	}
	out.Reset()
	r.Idle = &IdleReport{Streams: 7, BytesPerStream: 2048}
	if err := r.WriteText(&out); err != nil || !strings.Contains(out.String(), "2.0 KiB per stream") {
		t.Errorf("%v: %s", err, out.String())
	}
}
