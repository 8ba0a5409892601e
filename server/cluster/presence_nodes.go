package cluster

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/redis/rueidis"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// standing is what another node's entries are worth.
type standing int8

const (
	counts   standing = iota // it holds its lease, or did a moment ago
	doubtful                 // it doesn't, but the database knows it to be alive
	gone
)

// peer is another node, under one of its names.
type peer struct {
	at       time.Time // when its lease was last seen, or else when it was first heard of
	held     bool      // its lease was there at the last look
	listed   bool      // it was among the nodes then
	standing standing
}

const (
	// forgetPeer is how long a node that is gone is remembered; entries of one that isn't known count as little.
	forgetPeer = 10 * time.Minute
	// reapLock is how long one node has to clear up after another before a third may try.
	reapLock = 30 * time.Second
	// leaveTimeout is what a node that ends spends on telling so.
	leaveTimeout = 500 * time.Millisecond
)

func newName() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// meet takes a node that was named in a message for alive until the next look. mu is held.
func (p *RedisPresence) meet(node string) {
	if p.isStranger(node) {
		p.peers[node] = &peer{at: time.Now(), held: true}
		p.beatSoon()
	}
}

// mu is held.
func (p *RedisPresence) isStranger(node string) bool {
	return node != p.own && p.peers[node] == nil && !slices.Contains(p.olds, node)
}

// ask looks whether nodes of which nothing was heard yet are alive.
func (p *RedisPresence) ask(ctx context.Context, nodes []string) {
	leases := make([]string, len(nodes))
	for i, node := range nodes {
		leases[i] = p.redis.keys.lease(node)
	}
	held, err := p.redis.do(ctx, func(c rueidis.Client) rueidis.Completed { return c.B().Mget().Key(leases...).Build() }).ToArray()
	if err != nil || len(held) != len(nodes) {
		return // they count for nothing this time
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, node := range nodes {
		if !held[i].IsNil() && p.isStranger(node) {
			p.peers[node] = &peer{at: time.Now(), held: true}
		}
	}
}

// beatSoon asks for a look at Redis before its time.
func (p *RedisPresence) beatSoon() { signal(p.beatNow) }

// upChanged is told whether Redis answers.
func (p *RedisPresence) upChanged(up bool) {
	if up {
		p.beatSoon()
		return
	}
	p.setAway()
}

// setAway notes that nothing can be told of users of other nodes.
func (p *RedisPresence) setAway() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		return
	}
	p.away = true
	for _, f := range p.followed {
		f.known = false
	}
	p.markAll()
}

// beats renews the lease and looks after the other nodes until ctx ends.
func (p *RedisPresence) beats(ctx context.Context) {
	tick := time.NewTicker(p.times.beat)
	defer tick.Stop()
	for {
		if p.redis.Up() {
			if err := p.beat(ctx); err == nil {
				p.judge(ctx)
			} else if ctx.Err() == nil {
				p.setAway()
				p.logger.Debug("presence can't reach Redis", "error", err)
			}
		}
		select {
		case <-tick.C:
		case <-p.beatNow:
		case <-ctx.Done():
			return
		}
	}
}

// beat renews this node's lease, and takes in how the others are and whether Redis has lost anything.
func (p *RedisPresence) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	client := p.redis.client.Load()
	if client == nil {
		return errRedisAway
	}
	c, keys := *client, p.redis.keys
	own := p.name()
	commands := []rueidis.Completed{
		c.B().Set().Key(keys.lease(own)).Value("1").Xx().Px(p.times.lease).Build(),
		c.B().Smembers().Key(keys.nodes()).Build(),
	}
	fresh := newName()
	for i := range partitions {
		commands = append(commands,
			c.B().Hsetnx().Key(keys.partition(i)).Field("birth").Value(fresh).Build(),
			c.B().Hget().Key(keys.partition(i)).Field("birth").Build())
	}
	results := c.DoMulti(ctx, commands...)
	err := results[0].Error()
	lost := rueidis.IsRedisNil(err)
	if err != nil && !lost {
		return err
	}
	members, err := results[1].AsStrSlice()
	if err != nil {
		return err
	}
	var births [partitions]string
	for i := range births {
		if births[i], err = results[3+2*i].ToString(); err != nil {
			return err
		}
	}
	if lost || !slices.Contains(members, own) {
		if err := p.join(ctx, c); err != nil {
			return err
		}
	}
	held, err := p.heldLeases(ctx, c, members)
	if err != nil {
		return err
	}
	p.look(births, members, held)
	return nil
}

func (p *RedisPresence) heldLeases(ctx context.Context, c rueidis.Client, members []string) (map[string]bool, error) {
	held := map[string]bool{}
	if len(members) == 0 {
		return held, nil
	}
	leases := make([]string, len(members))
	for i, m := range members {
		leases[i] = p.redis.keys.lease(m)
	}
	values, err := c.Do(ctx, c.B().Mget().Key(leases...).Build()).ToArray()
	if err != nil {
		return nil, err
	}
	for i := range values {
		held[members[i]] = !values[i].IsNil()
	}
	return held, nil
}

// join takes a lease under a new name, and has all users told anew: others may have written off the entries under the old one.
func (p *RedisPresence) join(ctx context.Context, c rueidis.Client) error {
	name := newName()
	for _, result := range c.DoMulti(ctx,
		c.B().Set().Key(p.redis.keys.lease(name)).Value("1").Px(p.times.lease).Build(),
		c.B().Sadd().Key(p.redis.keys.nodes()).Member(name).Build(),
	) {
		if err := result.Error(); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.own != "" {
		p.olds = append(p.olds, p.own)
		p.redis.stats.losses.Add(1)
		p.logger.Warn("this node's lease in Redis was lost; telling its users anew")
	}
	p.own = name
	p.dirty.add(time.Time{}, p.local.here(func(chat.UserID, bool) bool { return true })...)
	return nil
}

// look takes in what a beat read.
func (p *RedisPresence) look(births [partitions]string, members []string, held map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for i, birth := range births {
		p.sawBirth(i, birth)
		if until := p.young[i]; !until.IsZero() && now.After(until) {
			p.young[i] = time.Time{}
			p.reload(i)
		}
	}
	for _, one := range p.peers {
		one.held, one.listed = false, false
	}
	for _, m := range members {
		if m == p.own || slices.Contains(p.olds, m) {
			continue
		}
		one := p.peers[m]
		if one == nil {
			one = &peer{at: now}
			p.peers[m] = one
		}
		one.listed, one.held = true, held[m]
		if one.held {
			one.at = now
		}
	}
	if p.away {
		p.away = false
		for user := range p.followed {
			p.markStale(user)
		}
		signal(p.dirty.wake)
	}
}

// sawBirth notes the birth of a partition; another one than before, or none, says that Redis lost the partition. mu is held.
func (p *RedisPresence) sawBirth(i int, birth string) {
	known := p.births[i]
	switch {
	case birth == known, birth == "" && known == "":
		return
	case birth == "":
		p.beatSoon() // which gives it a new one
	case known == "":
		p.births[i] = birth
		return
	default:
		p.births[i] = birth
		p.redis.stats.losses.Add(1)
		p.dirty.add(time.Time{}, p.local.here(func(user chat.UserID, _ bool) bool { return partition(user) == i })...)
	}
	if p.hasPeers() {
		p.young[i] = time.Now().Add(p.times.rebuild)
	}
	for user, f := range p.followed {
		if partition(user) == i {
			f.version = 0
		}
	}
}

// hasPeers reports whether there are other nodes that may have something to tell. mu is held.
func (p *RedisPresence) hasPeers() bool {
	for _, one := range p.peers {
		if one.standing != gone {
			return true
		}
	}
	return false
}

// reload has the followed users of a partition read. mu is held.
func (p *RedisPresence) reload(i int) {
	for user := range p.followed {
		if partition(user) == i {
			p.markStale(user)
		}
	}
}

// witness tells the database now and then that this node is alive, and asks it for the others, until ctx ends. It goes on while Redis is away: that is
// what it is for.
func (p *RedisPresence) witness(ctx context.Context) {
	if p.nodes == nil {
		return
	}
	tick := time.NewTicker(p.times.witness)
	defer tick.Stop()
	for {
		if own := p.name(); own != "" {
			asked, cancel := context.WithTimeout(ctx, workTimeout)
			alive, err := p.nodes.NodesAlive(asked, own, p.times.alive)
			cancel()
			p.mu.Lock()
			p.alive, p.aliveKnown = alive, err == nil
			p.mu.Unlock()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// judge decides what the entries of the other nodes are worth, and clears up after those that are gone.
func (p *RedisPresence) judge(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for name, one := range p.peers {
		before := one.standing
		switch {
		case one.held || before != gone && now.Sub(one.at) < p.linger:
			one.standing = counts
		case before != gone && p.nodes != nil && (!p.aliveKnown || slices.Contains(p.alive, name)):
			one.standing = doubtful
		default:
			one.standing = gone
		}
		if one.standing != before {
			p.markUsersOf(name)
		}
		switch {
		case one.standing != gone:
		case one.listed && !p.reaping[name]:
			p.reaping[name] = true
			at := one.at
			p.reapers.Go(func() { p.reap(ctx, name, at) })
		case !one.listed && now.Sub(one.at) > forgetPeer:
			delete(p.peers, name)
		}
	}
}

// markUsersOf has the followed users told who are connected to a node. mu is held.
func (p *RedisPresence) markUsersOf(node string) {
	for user, f := range p.followed {
		if slices.ContainsFunc(f.entries, func(e entry) bool { return e.node == node }) {
			p.mark(user)
		}
	}
}

// reap removes the entries of a dead node, unless another node does, and has it stored when its users were last seen.
func (p *RedisPresence) reap(ctx context.Context, node string, at time.Time) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.reaping, node)
	}()
	ctx, cancel := context.WithTimeout(ctx, reapLock)
	defer cancel()
	won := p.redis.do(ctx, func(c rueidis.Client) rueidis.Completed {
		return c.B().Set().Key(p.redis.keys.reap(node)).Value(p.name()).Nx().Px(reapLock).Build()
	}).Error()
	if won != nil {
		return // it is being done, or Redis is away; the next beat sees
	}
	users := 0
	for i := range partitions {
		n, err := p.reapPartition(ctx, i, node, at)
		if users += n; err != nil {
			p.logger.Warn("clearing up after a dead node failed; trying again", "node", node, "error", err)
			return
		}
	}
	if err := p.unlist(ctx, node); err != nil {
		p.logger.Warn("clearing up after a dead node failed; trying again", "node", node, "error", err)
		return
	}
	p.redis.stats.reaped.Add(1)
	p.logger.Info("cleared up after a dead node", "node", node, "users", users)
}

// reapPartition removes the entries of a dead node in one partition, and returns how many.
func (p *RedisPresence) reapPartition(ctx context.Context, i int, node string, at time.Time) (users int, err error) {
	for {
		ids, err := p.redis.do(ctx, func(c rueidis.Client) rueidis.Completed {
			return c.B().Srandmember().Key(p.redis.keys.usersOf(i, node)).Count(writeUsers).Build()
		}).AsIntSlice()
		if err != nil || len(ids) == 0 {
			return users, err
		}
		changes := make([]change, len(ids))
		for j, id := range ids {
			changes[j] = change{user: chat.UserID(id), lastSeen: at}
		}
		if _, err := p.redis.write(ctx, i, node, nil, changes); err != nil {
			return users, err
		}
		p.local.noteSeen(changes)
		users += len(ids)
	}
}

// retire removes names that this node no longer has, and under which nothing is left.
func (p *RedisPresence) retire(ctx context.Context, names []string) {
	for _, name := range names {
		for i := range partitions {
			err := p.redis.do(ctx, func(c rueidis.Client) rueidis.Completed {
				return c.B().Del().Key(p.redis.keys.usersOf(i, name)).Build()
			}).Error()
			if err != nil {
				return // the next time
			}
		}
		if p.unlist(ctx, name) != nil {
			return
		}
		p.mu.Lock()
		p.olds = slices.DeleteFunc(slices.Clone(p.olds), func(old string) bool { return old == name })
		p.mu.Unlock()
	}
}

// unlist takes a node out of the list, and its lease away if it is there.
func (p *RedisPresence) unlist(ctx context.Context, node string) error {
	keys := p.redis.keys
	return errors.Join(
		p.redis.do(ctx, func(c rueidis.Client) rueidis.Completed { return c.B().Srem().Key(keys.nodes()).Member(node).Build() }).Error(),
		p.redis.do(ctx, func(c rueidis.Client) rueidis.Completed { return c.B().Del().Key(keys.lease(node)).Build() }).Error(),
	)
}

// leave gives up the lease. The entries stay: most of the users are on their way to another node, and the others linger.
func (p *RedisPresence) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	err := p.redis.do(ctx, func(c rueidis.Client) rueidis.Completed {
		return c.B().Del().Key(p.redis.keys.lease(p.name())).Build()
	}).Error()
	if err != nil {
		p.logger.Debug("the node's lease runs out by itself", "error", err)
	}
}
