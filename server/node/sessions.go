package node

import (
	"context"
	"time"

	"github.com/natterjack-chat/natterjack/server/hub"
)

// A session that another node ends is told over Redis. In case that it isn't, because Redis is away or a message was lost, each node asks the database which
// of the sessions with streams have ended: in one query for all.
const (
	// askUntold is how often while this node may not hear of others, and askAnyway how often in any case.
	askUntold, askAnyway = 10 * time.Second, time.Minute
	// lookEvery is how often it is looked whether to ask: at once when the node hears others again, for what it didn't hear.
	lookEvery  = time.Second
	askTimeout = 5 * time.Second
)

// askForEnded ends the streams here of sessions that have ended elsewhere, until ctx ends.
func (n *Node) askForEnded(ctx context.Context) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var asked time.Time
	var heardFrom int64 // the subscription that there was when it was asked
	for {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
		every := askAnyway
		if !n.redis.Bus().Confirmed() {
			every = askUntold
		}
		subscription := n.redis.Stats().Subscriptions
		if subscription == heardFrom && time.Since(asked) < every {
			continue
		}
		if err := n.endEnded(ctx); err != nil {
			if ctx.Err() == nil {
				n.logger.Warn("asking which sessions have ended failed; trying again", "error", err)
			}
			continue
		}
		asked, heardFrom = time.Now(), subscription
	}
}

func (n *Node) endEnded(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	sessions := n.hub.Sessions()
	if len(sessions) == 0 {
		return nil
	}
	ended, err := n.accounts.Ended(ctx, sessions)
	if err != nil {
		return err
	}
	n.hub.EndSessionsHere(ended, hub.GoodbyeSessionRevoked)
	return nil
}
