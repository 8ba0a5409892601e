package figures

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/natterjack-chat/natterjack/server/load"
)

// all are the figures in the order of the table.
func all() []figure {
	return []figure{
		{"latency", "streams with two users in a conversation at a fixed rate, PostgreSQL: send to delivery", latency},
		{"postgres", "durable messages over Stream, everything on this machine, PostgreSQL", postgresThroughput},
		{"two-nodes", "the same with two nodes and Redis", twoNodesThroughput},
		{"sqlite", "the same with SQLite", sqliteThroughput},
		{"websocket", "the same over WebSockets, PostgreSQL", webSocketThroughput},
		{"fan-out", "one conversation, everybody listening", fanOut},
		{"idle", "idle streams, each on its own connection", idle},
		{"idle-websocket", "idle streams over WebSockets", idleWebSocket},
		{"idle-shared", "idle streams, 50 on a connection", idleShared},
		{"history", "a page of 50 messages anywhere in the history, PostgreSQL, over the wire", history},
		{"resume", "a device comes back to 20 conversations with news, PostgreSQL", resume},
		{"killed", "one of two nodes is killed: until its clients are back and caught up", killed},
		{"growth", "what a message costs the server as members and streams grow, SQLite", growth},
		{"second-node", "what delivery to another node costs", secondNode},
	}
}

func latency(t *testing.T, s sizes) []line {
	r := generate(t, s, serve(t, onPostgres(t)), "--users", strconv.Itoa(s.users), "--rate", fmt.Sprint(s.rate))
	echo := bareSpec{Role: "echo", Streams: s.users, Rate: s.rate, Duration: s.duration / 2}.run(t)
	return []line{
		{what: "p50", value: r.LatencyMS.P50, unit: "ms", hold: 1, aim: 0.6, anchor: fmt.Sprintf("bare echo %s ms", number(echo.P50))},
		{what: "p99", value: r.LatencyMS.P99, unit: "ms", hold: 10, aim: 3, anchor: fmt.Sprintf("bare echo %s ms", number(echo.P99))},
		{what: "server's CPU a message", value: cpu(r, r.Acknowledged), unit: "µs", mayBeZero: coarse},
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
		{what: "server's CPU a message", value: cpu(r, r.Acknowledged), unit: "µs", mayBeZero: coarse},
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
		{what: "server's CPU a message", value: cpu(r, r.Acknowledged), unit: "µs", mayBeZero: coarse},
	}
}

func webSocketThroughput(t *testing.T, s sizes) []line {
	r := generate(t, s, serve(t, onPostgres(t)), append([]string{"--transport", "websocket"}, closedLoop...)...)
	echo := bareSpec{Role: "websocket", Streams: 50, Window: 64, Duration: s.duration / 2}.run(t)
	return []line{
		{
			what: "sent, stored, acknowledged, delivered", value: r.ThroughputPerSecond, unit: "/s", hold: 27_000, aim: 40_000, atLeast: true,
			anchor: fmt.Sprintf("bare echo (x/net/websocket) %s/s", number(echo.PerSecond)),
		},
		{what: "server's CPU a message", value: cpu(r, r.Acknowledged), unit: "µs", mayBeZero: coarse},
	}
}

// fanOut has few senders, so that the generator leaves the machine to the server: the other streams are light listeners. What is offered has to be taken for
// its p99 to mean anything.
func fanOut(t *testing.T, s sizes) []line {
	senders := max(2, s.fanOut/100)
	r := generate(t, s, serve(t), "--users", strconv.Itoa(senders), "--group-size", strconv.Itoa(senders), "--listeners", strconv.Itoa(s.fanOut-senders),
		"--rate", fmt.Sprint(s.fanOutRate), "--streams-per-connection", "50")
	flood := bareSpec{Role: "flood", Streams: s.fanOut, Share: 50, Rate: s.fanOutRate, Duration: s.duration / 2}.run(t)
	offered := s.fanOutRate * float64(s.fanOut-1)
	return []line{
		{
			what: "deliveries", value: r.DeliveriesPerSecond, unit: "/s", hold: 500_000, aim: 1_000_000, atLeast: true,
			anchor: fmt.Sprintf("%s/s offered; bare flood of as many streams %s/s", number(offered), number(flood.PerSecond)),
		},
		{what: "p99", value: r.LatencyMS.P99, unit: "ms", hold: 50, anchor: fmt.Sprintf("bare flood %s ms", number(flood.P99))},
		{what: "server's CPU a delivery", value: cpu(r, r.Delivered), unit: "µs", mayBeZero: coarse},
	}
}

func idle(t *testing.T, s sizes) []line {
	return idleStreams(t, s, s.own, 1, line{hold: 50, aim: 30})
}

func idleWebSocket(t *testing.T, s sizes) []line {
	return idleStreams(t, s, s.own, 1, line{hold: 26, aim: 20}, "--transport", "websocket")
}

func idleShared(t *testing.T, s sizes) []line {
	return idleStreams(t, s, s.shared, 50, line{aim: 15})
}

// idleStreams opens streams that only listen; memory says what each is held to, in KiB.
func idleStreams(t *testing.T, s sizes, n, share int, memory line, flags ...string) []line {
	t.Helper()
	some := n / s.bareIdleShare
	bare := bareIdle(t, some, share)
	flags = append(flags, "--idle", strconv.Itoa(n), "--streams-per-connection", strconv.Itoa(share), "--streams-per-user", "100", "--duration", s.rest.String())
	r := generate(t, s, serve(t), flags...)
	memory.what, memory.value, memory.unit = "the server's memory for each", float64(r.Idle.BytesPerStream)/1024, "KiB"
	memory.anchor = fmt.Sprintf("%s KiB for each of %s HTTP/2 streams of a bare server", number(bare()), number(float64(some)))
	memory.mayBeZero = "a few streams fit in what the server has already"
	return []line{{what: "live", value: float64(r.Idle.Streams), unit: "streams", hold: float64(n), atLeast: true}, memory}
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
	const noise = "less than what differs from run to run"
	return []line{
		{what: "p50", value: max(other50-same50, 0), mayBeZero: noise, unit: "ms more", anchor: fmt.Sprintf("same node %s ms, other node %s ms", number(same50), number(other50))},
		{
			what: "p99", value: max(other99-same99, 0), mayBeZero: noise, unit: "ms more", hold: 5, aim: 1,
			anchor: fmt.Sprintf("same node %s ms, other node %s ms", number(same99), number(other99)),
		},
	}
}

// growth shows how cost grows. How it does with what is stored is told by the store's benchmarks, BenchmarkStored and BenchmarkLists.
func growth(t *testing.T, s sizes) (lines []line) {
	server := serve(t)
	for _, members := range []int{2, s.users / 5, s.users} {
		r := generate(t, s, server, "--users", strconv.Itoa(s.users), "--group-size", strconv.Itoa(members), "--rate", fmt.Sprint(s.rate/10),
			"--streams-per-connection", "50")
		lines = append(lines, line{what: fmt.Sprintf("CPU a delivery, conversations of %d", members), value: cpu(r, r.Delivered), unit: "µs", mayBeZero: coarse})
	}
	for _, users := range []int{s.users / 5, s.users} {
		r := generate(t, s, server, "--users", strconv.Itoa(users), "--rate", fmt.Sprint(s.rate))
		lines = append(lines, line{what: fmt.Sprintf("CPU a message, %d streams", users), value: cpu(r, r.Acknowledged), unit: "µs", mayBeZero: coarse})
	}
	return lines
}

// coarse says why CPU time may be 0.
const coarse = "the kernel counts it in hundredths of a second"

// cpu is the server's CPU time for each of n, in microseconds.
func cpu(r *load.Report, n int64) float64 { return r.Server.CPUSeconds * 1e6 / float64(max(n, 1)) }
