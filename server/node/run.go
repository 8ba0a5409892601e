package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/natterjack-chat/natterjack/server/store"
)

const (
	// cleanUpEvery is how often sessions and tokens that have run out are removed, and the commit log is trimmed. Nothing depends on it but the size of tables.
	cleanUpEvery = 10 * time.Minute
	// cutOff bounds what comes after the grace time is over.
	cutOff = 5 * time.Second
)

// Run serves until ctx ends, then drains, and returns once everything of the node has ended. An error says that it could not serve, or that
// something had to be cut off.
func (n *Node) Run(ctx context.Context) error {
	defer n.release()
	// The parts outlive ctx: they end in their order, when those that need them have.
	parts, stopParts := context.WithCancel(context.WithoutCancel(ctx))
	defer stopParts()
	defer n.runRedis(ctx)()
	var running sync.WaitGroup
	running.Go(func() { _ = n.hub.Run(parts) }) // returns nil when parts ends
	if n.shared == nil {
		running.Go(func() { _ = n.presence.Run(parts) }) // likewise
	}
	running.Go(func() { n.cleanUp(parts) })
	if n.redis != nil {
		running.Go(func() { n.askForEnded(parts) })
	}

	failed := make(chan error, 2)
	var err error
	select {
	case <-n.hub.Ready():
		n.serve(&running, failed)
		n.announce()
		select {
		case err = <-failed:
		case <-ctx.Done():
		}
	case <-ctx.Done():
	}
	n.logger.Info("shutting down", "grace", n.config.Drain.Grace)
	err = errors.Join(err, n.drain(parts))
	n.chat.Close() // stores what was accepted
	stopParts()
	running.Wait()
	n.logger.Info("stopped")
	return err
}

// runRedis runs the connection to Redis, if there is one, until stop is called: after all that stands on it.
func (n *Node) runRedis(ctx context.Context) (stop func()) {
	if n.redis == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = n.redis.Run(ctx) // returns nil when ctx ends
	}()
	return func() { cancel(); <-done }
}

// serve lets requests in.
func (n *Node) serve(running *sync.WaitGroup, failed chan<- error) {
	start := func(serve func() error) {
		running.Go(func() {
			if err := serve(); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serving: %w", err)
			}
		})
	}
	start(func() error {
		if n.tls != nil {
			return n.server.ServeTLS(n.listener, "", "")
		}
		return n.server.Serve(n.listener)
	})
	if n.metricsListener != nil {
		start(func() error { return n.metricsServer.Serve(n.metricsListener) })
	}
}

// announce says that the server serves, and to who starts it for the first time what it did and what to do now.
func (n *Node) announce() {
	args := []any{"url", n.URL(), "database", redactURL(n.config.DatabaseURL)}
	if n.config.RedisURL != "" {
		args = append(args, "redis", redactURL(n.config.RedisURL))
	}
	if m := n.MetricsURL(); m != "" {
		args = append(args, "metrics", m)
	}
	if n.created != "" {
		n.logger.Info("first start: made the database", "path", n.created)
	}
	n.logger.Info("serving", args...)
	if n.created != "" {
		n.logger.Info("to chat, open the url in a browser, or run this in another terminal, and again as somebody else", "command", "natterjack chat --server "+n.URL())
		n.logger.Info("all settings are listed by", "command", "natterjack serve --help")
	}
}

// drain ends the service to clients within the grace time: no new ones, goodbye to streams, time for calls to end.
func (n *Node) drain(ctx context.Context) error {
	n.health.Drain()
	ctx, cancel := context.WithTimeout(ctx, n.config.Drain.Grace)
	defer cancel()
	select {
	case <-time.After(min(n.config.Drain.Notice, n.config.Drain.Grace/2)):
	case <-ctx.Done():
	}
	n.rpc.Drain()
	done := make(chan error, 2)
	go func() { done <- n.server.Shutdown(ctx) }()
	go func() { done <- n.rpc.Shutdown(ctx) }()
	err := errors.Join(n.hub.Drain(ctx, n.config.Drain.Spread), <-done, <-done)
	if err != nil {
		err = fmt.Errorf("not all requests ended within the grace time: %w", err)
		n.logger.Warn("cutting off what didn't end within the grace time")
		_ = n.server.Close() // the listener is closed already
		late, cancelLate := context.WithTimeout(context.WithoutCancel(ctx), cutOff)
		defer cancelLate()
		_ = n.hub.Drain(late, 0) // handlers return soon after their connection is cut
	}
	_ = n.metricsServer.Close()
	return err
}

// cleanUp removes what has run out, at the start and now and then.
func (n *Node) cleanUp(ctx context.Context) {
	every := time.NewTicker(cleanUpEvery)
	defer every.Stop()
	for {
		n.removeOld(ctx)
		select {
		case <-every.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n *Node) removeOld(ctx context.Context) {
	ended, err := n.accounts.CleanUp(ctx)
	switch {
	case err != nil && ctx.Err() == nil:
		n.logger.Warn("removing sessions that have run out failed; trying again later", "error", err)
	case ended > 0:
		n.logger.Info("removed sessions that had run out", "sessions", ended)
	}
	switch gone, err := n.store.Trim(ctx, store.DefaultRetention); {
	case err != nil && ctx.Err() == nil:
		n.logger.Warn("trimming the commit log failed; trying again later", "error", err)
	case gone > 0:
		n.logger.Debug("trimmed the commit log", "batches", gone)
	}
}

// release gives back what New took; also what of it there is after an error. It may be called again.
func (n *Node) release() {
	if n.listener != nil {
		_ = n.listener.Close() // closed already after serving
	}
	if n.metricsListener != nil {
		_ = n.metricsListener.Close()
	}
	if n.tracing != nil {
		n.tracing.close(n.logger)
		n.tracing = nil
	}
	if n.store != nil && n.shared == nil {
		if err := n.store.Close(); err != nil {
			n.logger.Error("closing the database failed", "error", err)
		}
		n.store = nil
	}
}

// redactURL leaves out what may be a secret: the password, and parameters.
func redactURL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		scheme, _, _ := strings.Cut(s, ":")
		return scheme + ":…"
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	u.RawQuery = ""
	return u.String()
}
