package main

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/natterjack-chat/natterjack/server/internal/testservers"
	"github.com/natterjack-chat/natterjack/server/node"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"natterjack": main})
}

// Each script has a node of its own, and a home of its own for what is remembered.
func TestChatScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/chat_*.txt")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, script := range append(scripts, "testdata/load.txt") {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txt"), func(t *testing.T) {
			data := t.TempDir()
			// A port that the node can have again: of those that the system gives, a client that dials meanwhile may get this one.
			address := net.JoinHostPort("127.0.0.1", strconv.Itoa(testservers.FreePort()))
			start := func() *nodetest.Server {
				return nodetest.Start(t, nodetest.Dir(data), nodetest.Config(func(c *node.Config) { c.Listen = address }))
			}
			server := start()
			testscript.Run(t, testscript.Params{
				Files: []string{script},
				Setup: func(e *testscript.Env) error {
					e.Setenv("XDG_CONFIG_HOME", filepath.Join(e.WorkDir, "config"))
					e.Setenv("HOME", e.WorkDir)
					e.Setenv("NATTERJACK_SERVER", server.URL)
					e.Setenv("NATTERJACK_PASSWORD", nodetest.Password)
					e.Setenv("TZ", "UTC")
					return nil
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"await": await,
					// node stop, node start: the server goes away, and comes back where it was with its data.
					"node": func(ts *testscript.TestScript, _ bool, args []string) {
						switch strings.Join(args, " ") {
						case "stop":
							server.Stop()
						case "start":
							server = start()
						default:
							ts.Fatalf("usage: node stop|start")
						}
					},
				},
			})
		})
	}
}

// await FILE PATTERN waits until a file that a background command writes has a match.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await FILE PATTERN")
	}
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	deadline := time.Now().Add(time.Minute)
	for tick := time.Tick(10 * time.Millisecond); ; <-tick {
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && pattern.Match(b) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s has no %q:\n%s", args[0], args[1], b)
		}
	}
}
