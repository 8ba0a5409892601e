package client

import (
	"context"
	"time"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
)

const (
	// maxFetch is how many events one ListEvents may return (a rule of the schema).
	maxFetch = 500
	// fetchTimeout bounds one ListEvents.
	fetchTimeout = 30 * time.Second
)

// refill begins what waited for room in the queue, or for a connection: fetching what is missing, and asking for presence
// that was dropped. mu is held.
func (c *Client) refill() {
	k := c.conn
	if k == nil {
		return
	}
	if c.in.rewatch && c.in.lag == nil {
		c.in.rewatch = false
		c.says.watching, c.says.watchAt = len(c.says.watch) > 0, time.Time{}
		k.wake()
	}
	if !k.fetching && c.in.canFetch() {
		k.fetching = true
		k.workers.Go(k.fetch)
	}
}

// fetch gets what is missing until nothing is, or there is no room for it, or the connection ends.
func (k *conn) fetch() {
	c := k.c
	for failures := 0; ; {
		c.mu.Lock()
		positions := c.in.missing()
		if len(positions) == 0 || k.ctx.Err() != nil {
			k.fetching = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		ctx, cancel := context.WithTimeout(k.ctx, fetchTimeout)
		page, err := c.chat.ListEvents(ctx, &chatv1.ListEventsRequest{
			Positions: positions, Limit: int32(min(maxFetch, c.o.Queue/2)),
		})
		cancel()
		progress := false
		if err == nil {
			c.mu.Lock()
			progress = k.ctx.Err() == nil && c.in.fetched(page)
			c.mu.Unlock()
			c.signal()
		}
		if progress {
			failures = 0
			continue
		}
		// Nothing came: the server is in trouble, or behind what it told. It is asked again until it tells.
		c.o.Logger.Debug("missing events were not fetched", "conversations", len(positions), "error", err)
		k.pause(c.o.Backoff.Delay(failures))
		failures++
	}
}

// pause waits, or until the connection ends.
func (k *conn) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-k.ctx.Done():
	}
}
