package load

import (
	"errors"
	"fmt"
	"net/url"
	"time"
)

// Config says what load to make.
type Config struct {
	// Servers are base URLs; users are spread over them in turn. At least one.
	Servers []string
	// Users is the number of users, each with one stream.
	Users int
	// GroupSize is the number of members of each conversation: 2 makes direct conversations, more makes groups. Users that don't fill a group form a smaller one.
	GroupSize int
	// Rate is the number of messages per second over all users; 0 sends as fast as Window allows.
	Rate float64
	// Window is the number of messages that a user may have unanswered.
	Window int
	// Duration is how long messages are sent. What is on its way then is waited for.
	Duration time.Duration
	// Size is the length of each message in bytes, at least 64.
	Size int
	// StreamsPerConnection is how many streams share an HTTP/2 connection.
	StreamsPerConnection int
	// Transport is what streams go over: HTTP2 or WebSocket. A WebSocket has a connection of its own; calls share HTTP/2 connections in any case.
	Transport string
	// PID is the process of the server, for its CPU time and memory (Linux); 0: not measured.
	PID int
	// Idle, unless 0, opens that many streams that only listen, instead of sending; Rate, Window, Duration and Size don't matter then.
	Idle int
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
		{"--group-size", c.GroupSize, 2, 500},
		{"--window", c.Window, 1, 4096},
		{"--size", c.Size, minSize, 16_384},
		{"--streams-per-connection", c.StreamsPerConnection, 1, 250},
		{"--idle", c.Idle, 0, 1_000_000},
		{"--pid", c.PID, 0, 1 << 30},
	} {
		if r.value < r.low || r.value > r.high {
			return fmt.Errorf("%s is %d; it has to be from %d to %d", r.name, r.value, r.low, r.high)
		}
	}
	if c.Transport != HTTP2 && c.Transport != WebSocket {
		return fmt.Errorf("--transport is %q; it has to be %s or %s", c.Transport, HTTP2, WebSocket)
	}
	if c.Transport == WebSocket && c.StreamsPerConnection != 1 {
		return errors.New("--streams-per-connection is for --transport http2; each WebSocket is a connection")
	}
	if c.Rate < 0 || c.Rate > 1e6 {
		return fmt.Errorf("--rate is %g; it has to be from 0 to 1,000,000 messages per second", c.Rate)
	}
	if c.Duration < time.Second || c.Duration > 24*time.Hour {
		return fmt.Errorf("--duration is %v; it has to be from 1s to 24h", c.Duration)
	}
	return nil
}
