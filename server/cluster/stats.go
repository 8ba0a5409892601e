package cluster

import "sync/atomic"

// RedisStats is a snapshot of what a node's connection to Redis has done since it was made, and how it is now.
type RedisStats struct {
	Up         bool // Redis answers
	Subscribed bool // the node hears all channels

	Subscriptions int64 // times that the subscription began; each after the first means that frames may have been lost before
	Published     int64 // frames that Redis took
	Failed        int64 // frames that it didn't, or of which that isn't known
	Dropped       int64 // frames for which there was no room, or no Redis
	Received      int64 // frames that came in, this node's own among them

	PresenceChanges int64 // entries of users that were written
	PresenceLosses  int64 // times that Redis had lost what it knew of users, or of this node
	PresenceReaped  int64 // dead nodes whose entries this node removed
	PresenceWatched int64 // users whose presence is followed now
	BadMessages     int64 // messages about presence that couldn't be read

	LimitsHere int64 // attempts that were counted by this node alone
}

type redisCounters struct {
	subscriptions, published, failed, dropped, received atomic.Int64
	changes, losses, reaped, watched, badMessages       atomic.Int64
	limitsHere                                          atomic.Int64
}

// Stats returns the connection's figures.
func (r *Redis) Stats() RedisStats {
	s := &r.stats
	return RedisStats{
		Up: r.Up(), Subscribed: r.subscriber.whole.Load(),
		Subscriptions: s.subscriptions.Load(), Published: s.published.Load(), Failed: s.failed.Load(), Dropped: s.dropped.Load(), Received: s.received.Load(),
		PresenceChanges: s.changes.Load(), PresenceLosses: s.losses.Load(), PresenceReaped: s.reaped.Load(), PresenceWatched: s.watched.Load(), BadMessages: s.badMessages.Load(),
		LimitsHere: s.limitsHere.Load(),
	}
}
