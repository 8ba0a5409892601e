package load

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/natterjack-chat/natterjack/server/client"
)

// setUpWorkers is how many users are signed up at the same time. The server hashes a password for each, which is slow on purpose.
const setUpWorkers = 8

// callsPerConnection is how many users share a connection for their calls, where their streams don't go over it.
const callsPerConnection = 100

// connections hands out HTTP clients so that so many streams share a connection.
type connections struct {
	cfg     *Config
	per     int
	socket  *http.Client // what WebSockets are made with; nil: streams go over clients
	clients []*http.Client
	used    int
}

func newConnections(cfg *Config) *connections {
	if cfg.Transport == WebSocket {
		return &connections{cfg: cfg, per: callsPerConnection, socket: client.NewWebSocketClient()}
	}
	return &connections{cfg: cfg, per: cfg.StreamsPerConnection}
}

// next returns a client for the calls of user or stream i, and the transport of the streams. Both begin at the server whose turn it is.
func (c *connections) next(i int) (*http.Client, client.Transport) {
	if c.used%c.per == 0 {
		c.clients = append(c.clients, client.NewHTTPClient())
	}
	c.used++
	h := c.cfg.roaming(c.clients[len(c.clients)-1], i)
	server := c.cfg.Servers[0] // the client decides
	if c.socket != nil {
		return h, client.NewWebSocketTransport(c.cfg.roaming(c.socket, i), server)
	}
	return h, client.NewHTTPTransport(h, server)
}

func (c *connections) close() {
	for _, h := range c.clients {
		h.CloseIdleConnections()
	}
	if c.socket != nil {
		c.socket.CloseIdleConnections()
	}
}

// signUp makes n users on the servers in turn.
func signUp(ctx context.Context, cfg Config, n int) ([]*client.Session, error) {
	var tag [5]byte
	_, _ = rand.Read(tag[:]) // never fails
	password := rand.Text()
	h := client.NewHTTPClient()
	defer h.CloseIdleConnections()
	sessions := make([]*client.Session, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(setUpWorkers)
	for i := range sessions {
		g.Go(func() error {
			s, err := patiently(ctx, func() (*client.Session, error) {
				return client.SignUp(ctx, client.Options{ServerURL: cfg.Servers[i%len(cfg.Servers)], HTTPClient: h}, client.Credentials{
					Username: fmt.Sprintf("load-%s-%d", hex.EncodeToString(tag[:]), i), Password: password, DeviceName: "load",
				}, "")
			})
			sessions[i] = s
			return err
		})
	}
	return sessions, g.Wait()
}

// patience is how long one call is repeated before the run is given up. A server that is only busy answers long before.
const patience = 30 * time.Second

// patiently repeats what the server asks to repeat later, for as long as there is patience.
func patiently[T any](ctx context.Context, do func() (T, error)) (T, error) {
	for begin := time.Now(); ; {
		v, err := do()
		var e *client.Error
		if !errors.As(err, &e) || !e.Retryable() {
			return v, err
		}
		if time.Since(begin) > patience {
			return v, fmt.Errorf("given up after %v: %w", patience, err)
		}
		select {
		case <-time.After(max(e.RetryAfter, 50*time.Millisecond)):
		case <-ctx.Done():
			return v, errors.Join(err, ctx.Err())
		}
	}
}

func (c *Config) progress(format string, args ...any) {
	if c.Progress != nil {
		c.Progress(fmt.Sprintf(format, args...))
	}
}
