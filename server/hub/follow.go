package hub

import (
	"context"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// restartSpread is the time over which clients come back whose streams had to be ended because the hub lost the log.
const restartSpread = 5 * time.Second

// lostReason says why a shard can't follow its log any more.
type lostReason struct {
	shard   int
	trimmed bool // the log doesn't reach back; otherwise it is another log
}

// lose asks for a new beginning. One is enough for all shards.
func (h *Hub) lose(why lostReason) {
	select {
	case h.lost <- why:
	default:
	}
}

// follow takes up the log and then compares positions with it until ctx ends: the one thing that finds every loss on the bus.
func (h *Hub) follow(ctx context.Context) {
	if !h.begin(ctx) {
		return
	}
	close(h.ready)
	timer := time.NewTimer(h.checkInterval())
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-h.checkNow:
		case why := <-h.lost:
			h.restart(ctx, why)
		case <-ctx.Done():
			return
		}
		h.check(ctx)
		timer.Reset(h.checkInterval())
	}
}

func (h *Hub) checkInterval() time.Duration {
	if h.bus != nil && !h.bus.Confirmed() {
		return h.limits.CheckUnconfirmed
	}
	return h.limits.CheckEvery
}

// begin reads the present end of the log, as often as it takes, and starts the shards there. False: ctx has ended.
func (h *Hub) begin(ctx context.Context) bool {
	for {
		tops, err := h.tops(ctx)
		if err == nil {
			return h.beginAt(ctx, tops)
		}
		h.logger.Warn("reading the end of the log failed; trying again", "error", err)
		select {
		case <-time.After(retryRead):
		case <-ctx.Done():
			return false
		}
	}
}

// beginAt starts the shards, and then lets streams in.
func (h *Hub) beginAt(ctx context.Context, tops chat.Positions) bool {
	done := make(chan struct{}, len(h.shards))
	for i, sh := range h.shards {
		select {
		case sh.reset <- beginning{at: position{epoch: tops.Epoch, no: tops.Nos[i], id: tops.IDs[i]}, done: done}:
		case <-ctx.Done():
			return false
		}
	}
	for range h.shards {
		<-done
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state != draining {
		h.state = serving
	}
	return true
}

func (h *Hub) tops(ctx context.Context) (chat.Positions, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return h.log.Tops(ctx)
}

// check compares what has been applied with the end of the log.
func (h *Hub) check(ctx context.Context) {
	applied := h.Positions() // Before the log is read: it must be there.
	tops, err := h.tops(ctx)
	if err != nil {
		if ctx.Err() == nil {
			h.logger.Warn("comparing positions with the log failed", "error", err)
		}
		return
	}
	var ahead int64
	for i, sh := range h.shards {
		no := tops.Nos[i]
		if tops.Epoch != applied.Epoch || no < applied.Nos[i] || no == applied.Nos[i] && tops.IDs[i] != applied.IDs[i] {
			h.restart(ctx, lostReason{shard: i})
			return
		}
		ahead = max(ahead, no-applied.Nos[i])
		if no > applied.Nos[i] {
			sh.sawTop(no)
		}
	}
	h.stats.ahead.Store(ahead)
}

// restart ends all streams, whose clients resume from what they have, and takes up the log at its present end: the changes in between
// are not known, those of memberships least of all.
func (h *Hub) restart(ctx context.Context, why lostReason) {
	h.mu.Lock()
	if h.state != draining {
		h.state = restarting
	}
	h.mu.Unlock()
	followed := h.Positions()
	h.stats.restarts.Add(1)
	if why.trimmed {
		h.logger.Error("the log no longer reaches back to what this node has; all streams begin anew", "shard", why.shard)
	} else {
		h.stats.divergences.Add(1)
		h.logger.Error("the log is not the one that this node has followed; all streams begin anew", "shard", why.shard)
	}
	h.endAll(GoodbyeInternal, restartSpread)
	if !why.trimmed && h.diverged != nil {
		h.diverged(followed)
	}
	if !h.begin(ctx) {
		return
	}
	select {
	case <-h.lost: // by another shard, before it began anew
	default:
	}
}
