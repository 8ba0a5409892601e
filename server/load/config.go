package load

import (
	"errors"
	"fmt"
	"net/url"
	"time"
)

// Config says what load to make.
type Config struct {
	// Servers are base URLs of one system; users are spread over them in turn, and go on to the next where theirs can't be reached. At least one.
	Servers []string
	// Users is the number of users, each with one stream.
	Users int
	// GroupSize is the number of members of each conversation: 2 makes direct conversations, more makes groups.
	// Users that don't fill a group form a smaller one.
	GroupSize int
	// Listeners is the number of streams that only listen, beside those of the users: further devices of theirs, over HTTP/2 in any case. They cost
	// this program little, so that what is measured is the server.
	Listeners int
	// Rate is the number of messages per second over all users; 0 sends as fast as Window allows.
	Rate float64
	// Window is the number of messages that a user may have unanswered.
	Window int
	// Duration is how long messages are sent. What is on its way then is waited for.
	Duration time.Duration
	// Size is the length of each message in bytes, at least 64.
	Size int
	// Slow is the number of users, spread over all, who read their stream slowly while messages are sent. They have to get everything in the end; their
	// latency doesn't count.
	Slow int
	// CutEvery, unless 0, is how often the streams of all users are cut at the same moment.
	CutEvery time.Duration
	// Presence is the number of times per second that some user goes away or comes back, each watched by the members of their conversation (200 of them at most).
	Presence float64
	// Late is the latency from which a message counts as late; 0 means 1 s.
	Late time.Duration
	// StreamsPerConnection is how many streams share an HTTP/2 connection.
	StreamsPerConnection int
	// Transport is what streams go over: HTTP2 or WebSocket. A WebSocket has a connection of its own; calls share HTTP/2 connections in any case.
	Transport string
	// PID is the process of the server, for its CPU time and memory (Linux); 0: not measured.
	PID int
	// Idle, unless 0, opens that many streams that only listen, instead of sending, and keeps them for Duration; what else is about messages doesn't matter then.
	Idle int
	// StreamsPerUser is how many idle streams each user opens; 0 means 16, which servers allow by default.
	StreamsPerUser int
	// Progress, if set, is told what the run is about to do.
	Progress func(string)
}

// Transports.
const (
	HTTP2     = "http2"
	WebSocket = "websocket"
)

// minSize leaves room for what a message carries: run, sender, number and time.
const minSize = 64

// Validate returns what is wrong, or nil.
func (c *Config) Validate() error {
	if len(c.Servers) == 0 {
		return errors.New("--server is needed: the URL of a running server")
	}
	for _, s := range c.Servers {
		if u, err := url.Parse(s); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("--server %q is not an http or https URL", s)
		}
	}
	for _, r := range []struct {
		name      string
		value     int
		low, high int
	}{
		{"--users", c.Users, 2, 1_000_000},
		{"--group-size", c.GroupSize, 2, 1000},
		{"--window", c.Window, 1, 4096},
		{"--size", c.Size, minSize, 16_384},
		{"--streams-per-connection", c.StreamsPerConnection, 1, 250},
		{"--slow", c.Slow, 0, c.Users},
		{"--listeners", c.Listeners, 0, 1_000_000},
		{"--idle", c.Idle, 0, 1_000_000},
		{"--streams-per-user", c.StreamsPerUser, 0, 10_000},
		{"--pid", c.PID, 0, 1 << 30},
	} {
		if r.value < r.low || r.value > r.high {
			return fmt.Errorf("%s is %d; it has to be from %d to %d", r.name, r.value, r.low, r.high)
		}
	}
	switch {
	case c.Transport != HTTP2 && c.Transport != WebSocket:
		return fmt.Errorf("--transport is %q; it has to be %s or %s", c.Transport, HTTP2, WebSocket)
	case c.Transport == WebSocket && c.StreamsPerConnection != 1:
		return errors.New("--streams-per-connection is for --transport http2; each WebSocket is a connection")
	case c.Rate < 0 || c.Rate > 1e6:
		return fmt.Errorf("--rate is %g; it has to be from 0 to 1,000,000 messages per second", c.Rate)
	case c.Presence < 0 || c.Presence > 1e6:
		return fmt.Errorf("--presence is %g; it has to be from 0 to 1,000,000 changes per second", c.Presence)
	case c.Duration < time.Second || c.Duration > 24*time.Hour:
		return fmt.Errorf("--duration is %v; it has to be from 1s to 24h", c.Duration)
	case c.CutEvery < 0 || c.CutEvery > 0 && c.CutEvery < time.Second:
		return fmt.Errorf("--cut-every is %v; it has to be 0, or 1s and more", c.CutEvery)
	case c.Late < 0 || c.Late > maxLatency:
		return fmt.Errorf("--late is %v; it has to be from 0 to %v", c.Late, maxLatency)
	}
	return nil
}

func (c *Config) late() time.Duration {
	if c.Late == 0 {
		return time.Second
	}
	return c.Late
}

// isSlow spreads the slow readers over all users.
func (c *Config) isSlow(i int) bool { return i*c.Slow/c.Users != (i+1)*c.Slow/c.Users }

// listenersOf is how many of the listeners are devices of user i.
func (c *Config) listenersOf(i int) int {
	n := c.Listeners / c.Users
	if i < c.Listeners%c.Users {
		n++
	}
	return n
}
