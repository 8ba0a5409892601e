package figures

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// all are the figures in the order of the table.
func all() []figure {
	return []figure{
		{"latency", "streams with two users in a conversation at a fixed rate, PostgreSQL: send to delivery", latency},
		{"postgres", "durable messages over Stream, everything on this machine, PostgreSQL", postgresThroughput},
		{"two-nodes", "the same with two nodes and Redis", twoNodesThroughput},
		{"sqlite", "the same with SQLite", sqliteThroughput},
		{"fan-out", "one conversation, everybody listening", fanOut},
		{"idle", "idle streams, each on its own connection", idle},
		{"idle-shared", "idle streams, 50 on a connection", idleShared},
		{"history", "a page of 50 messages anywhere in the history, PostgreSQL, over the wire", history},
		{"resume", "a device comes back to 20 conversations with news, PostgreSQL", resume},
		{"killed", "one of two nodes is killed: until its clients are back and caught up", killed},
		{"second-node", "what delivery to another node costs", secondNode},
	}
}

func latency(t *testing.T, s sizes) []line {
	r := generate(t, s, serve(t, onPostgres(t)), "--users", strconv.Itoa(s.users), "--rate", fmt.Sprint(s.rate))
	echo := bareSpec{Role: "echo", Streams: s.users, Window: 64, Rate: s.rate, Duration: s.duration / 2}.run(t)
	return []line{
		{what: "p50", value: r.LatencyMS.P50, unit: "ms", hold: 1, aim: 0.6, anchor: fmt.Sprintf("bare echo %s ms", number(echo.P50))},
		{what: "p99", value: r.LatencyMS.P99, unit: "ms", hold: 10, aim: 3, anchor: fmt.Sprintf("bare echo %s ms", number(echo.P99))},
		{what: "server's CPU a message", value: r.Server.CPUSeconds * 1e6 / float64(r.Acknowledged), unit: "µs"},
	}
}

// closedLoop makes as many messages as a server takes.
var closedLoop = []string{"--users", "50", "--rate", "0", "--window", "64"}

func postgresThroughput(t *testing.T, s sizes) []line {
	r := generate(t, s, serve(t, onPostgres(t)), closedLoop...)
	raw := rawInserts(t, s)
	echo := bareSpec{Role: "echo", Streams: 50, Window: 64, Duration: s.duration / 2}.run(t)
	rate := r.ThroughputPerSecond
	return []line{
		{
			what: "sent, stored, acknowledged, delivered", value: rate, unit: "/s", hold: 20_000, aim: 30_000, atLeast: true,
			anchor: fmt.Sprintf("raw inserts of such rows %s/s (ratio %s), bare echo %s/s", number(raw), number(rate/raw), number(echo.PerSecond)),
		},
		{what: "server's CPU a message", value: r.Server.CPUSeconds * 1e6 / float64(r.Acknowledged), unit: "µs"},
	}
}

func twoNodesThroughput(t *testing.T, s sizes) []line {
	a, b := twoNodes(t)
	r := generateOn(t, s, a, []string{a.URL, b.URL}, func(string) {}, closedLoop...)
	return []line{{what: "sent, stored, acknowledged, delivered to the other node", value: r.ThroughputPerSecond, unit: "/s"}}
}

func sqliteThroughput(t *testing.T, s sizes) []line {
	r := generate(t, s, serve(t), closedLoop...)
	return []line{
		{what: "sent, stored, acknowledged, delivered", value: r.ThroughputPerSecond, unit: "/s"},
		{what: "server's CPU a message", value: r.Server.CPUSeconds * 1e6 / float64(r.Acknowledged), unit: "µs"},
	}
}

func fanOut(t *testing.T, s sizes) []line {
	n := strconv.Itoa(s.fanOut)
	r := generate(t, s, serve(t), "--users", n, "--group-size", n, "--rate", fmt.Sprint(s.fanOutRate), "--streams-per-connection", "50")
	flood := bareSpec{Role: "flood", Streams: s.fanOut, Share: 50, Rate: s.fanOutRate, Duration: s.duration / 2}.run(t)
	return []line{
		{
			what: "deliveries", value: r.DeliveriesPerSecond, unit: "/s", hold: 500_000, aim: 1_000_000, atLeast: true,
			anchor: fmt.Sprintf("bare flood of as many streams %s/s", number(flood.PerSecond)),
		},
		{what: "p99", value: r.LatencyMS.P99, unit: "ms", hold: 50, anchor: fmt.Sprintf("bare flood %s ms", number(flood.P99))},
		{what: "server's CPU a delivery", value: r.Server.CPUSeconds * 1e6 / float64(r.Delivered), unit: "µs"},
	}
}

func idle(t *testing.T, s sizes) []line { return idleStreams(t, s, s.own, 1, 50, 30) }

func idleShared(t *testing.T, s sizes) []line { return idleStreams(t, s, s.shared, 50, 0, 15) }

// idleStreams opens streams that only listen; hold and aim are in KiB each.
func idleStreams(t *testing.T, s sizes, n, share int, hold, aim float64) []line {
	t.Helper()
	r := generate(t, s, serve(t), "--idle", strconv.Itoa(n), "--streams-per-connection", strconv.Itoa(share), "--streams-per-user", "100")
	some := n / s.bareIdleShare
	bare := bareIdle(t, some, share)
	return []line{
		{what: "live", value: float64(r.Idle.Streams), unit: "streams", hold: float64(n), atLeast: true},
		{
			what: "the server's memory for each", value: float64(r.Idle.BytesPerStream) / 1024, unit: "KiB", hold: hold, aim: aim,
			anchor:    fmt.Sprintf("%s KiB for each of %s streams of a bare server", number(bare), number(float64(some))),
			mayBeZero: "a few streams fit in what the server has already",
		},
	}
}

func killed(t *testing.T, s sizes) []line {
	a, b := twoNodes(t)
	var once sync.Once
	kill := func(progress string) {
		if strings.Contains(progress, "sending") {
			once.Do(a.Kill)
		}
	}
	// The first server is the one that is killed: half of the clients have to be its, so there are twice as many.
	r := generateOn(t, s, b, []string{a.URL, b.URL}, kill, "--users", strconv.Itoa(2*s.clients), "--rate", "100", "--streams-per-connection", "50")
	return []line{
		{what: "clients that lost their node", value: float64(r.Reconnects), unit: ""},
		{what: "the last one back after", value: r.BackMS.Max / 1000, unit: "s", hold: 30, aim: 10},
		{what: "p99 of them", value: r.BackMS.P99 / 1000, unit: "s"},
		{what: "messages lost or doubled", value: float64(r.Lost + r.Duplicated), mayBeZero: "none should be"},
	}
}

func secondNode(t *testing.T, s sizes) []line {
	a, b := twoNodes(t)
	pairs := []string{"--users", strconv.Itoa(s.users / 5 * 2), "--rate", fmt.Sprint(s.rate)}
	measure := func(urls ...string) (p50, p99 float64) {
		r := generateOn(t, s, a, urls, func(string) {}, pairs...)
		return r.LatencyMS.P50, r.LatencyMS.P99
	}
	// Users take the servers in turn, and two after one another share a conversation.
	same50, same99 := measure(a.URL, a.URL, b.URL, b.URL)
	other50, other99 := measure(a.URL, b.URL)
	return []line{
		{what: "p50", value: max(other50-same50, 0.001), unit: "ms more", anchor: fmt.Sprintf("same node %s ms, other node %s ms", number(same50), number(other50))},
		{
			what: "p99", value: max(other99-same99, 0.001), unit: "ms more", hold: 5, aim: 1,
			anchor: fmt.Sprintf("same node %s ms, other node %s ms", number(same99), number(other99)),
		},
	}
}
