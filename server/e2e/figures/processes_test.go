package figures

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/natterjack-chat/natterjack/server/e2e/faults"
	"github.com/natterjack-chat/natterjack/server/internal/testservers"
	"github.com/natterjack-chat/natterjack/server/load"
)

// serve starts a server with settings, "NAME=value" without their prefix.
func serve(t *testing.T, settings ...string) *faults.Server {
	t.Helper()
	env := []string{"NATTERJACK_LOG_LEVEL=warn", "NATTERJACK_LIMIT_STREAMS_PER_USER=1000"}
	for _, s := range settings {
		env = append(env, "NATTERJACK_"+s)
	}
	return faults.Start(t, faults.Options{Env: env})
}

// onPostgres is the setting of a database of its own on a private PostgreSQL, which is as durable as in production.
func onPostgres(t *testing.T) string {
	t.Helper()
	return "DATABASE_URL=" + testservers.StartPostgres(t).URL
}

// twoNodes starts two nodes of one system.
func twoNodes(t *testing.T) (a, b *faults.Server) {
	t.Helper()
	database, redis := onPostgres(t), "REDIS_URL="+testservers.StartRedis(t).URL
	return serve(t, database, redis), serve(t, database, redis)
}

// generate puts load on a server by `natterjack load`, and returns its report. A message that was lost, doubled or out of order fails the test.
func generate(t *testing.T, s sizes, server *faults.Server, flags ...string) *load.Report {
	t.Helper()
	return generateOn(t, s, server, []string{server.URL}, func(string) {}, flags...)
}

// generateOn does it on several nodes; progress is told what the generator is about to do.
func generateOn(t *testing.T, s sizes, measured *faults.Server, urls []string, progress func(string), flags ...string) *load.Report {
	t.Helper()
	args := []string{"load", "--json", "--server", strings.Join(urls, ","), "--duration", s.duration.String(), "--pid", strconv.Itoa(measured.PID())}
	cmd := exec.CommandContext(t.Context(), faults.Binary(t, ""), append(args, flags...)...)
	var out bytes.Buffer
	words := &watcher{progress: progress}
	cmd.Stdout, cmd.Stderr = &out, words
	if err := cmd.Run(); err != nil {
		t.Fatalf("natterjack %s: %v\n%s%s", strings.Join(cmd.Args[1:], " "), err, words.all.String(), out.String())
	}
	report := new(load.Report)
	if err := json.Unmarshal(out.Bytes(), report); err != nil {
		t.Fatal(err)
	}
	return report
}

// watcher hands on what a process writes. exec's goroutine alone writes to it.
type watcher struct {
	progress func(string)
	all      bytes.Buffer
}

func (w *watcher) Write(p []byte) (int, error) {
	w.progress(string(p))
	return w.all.Write(p)
}

// rawInserts is how many rows of messages per second are stored by nothing but batched inserts through pgx, of the same rows: a benchmark of the store.
func rawInserts(t *testing.T, s sizes) float64 {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-run", "^$", "-bench", "BenchmarkCommitAgainstRawInserts/batch=500$", "-benchtime", s.rawBenchTime,
		"github.com/natterjack-chat/natterjack/server/store")
	out, err := cmd.CombinedOutput()
	m := regexp.MustCompile(`([0-9.e+]+) raw/s`).FindSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("%v\n%s", err, out)
	}
	rate, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return rate
}
