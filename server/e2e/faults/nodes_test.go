package faults

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// fault is something that goes wrong while a crew chats.
type fault struct {
	name string
	// do makes it go wrong for a while, and returns when it was over.
	do func(*crew) (ended time.Time)
}

// sendsPerFault is how many messages are sent around each fault in CI.
const sendsPerFault = 500

// TestNodesGoAway has nodes killed, ended and stopped. The others go on meanwhile, and a node that was stopped tells nothing that is no longer true.
func TestNodesGoAway(t *testing.T) { endures(t, 21, nodeFaults()) }

// TestPostgresGoesAway has the database stopped, restarted, paused and locked, and each node cut off from it.
func TestPostgresGoesAway(t *testing.T) { endures(t, 22, postgresFaults()) }

// TestRedisGoesAway has Redis killed, emptied and paused, its connections cut, and each node cut off from it. Messages reach other nodes all the time.
func TestRedisGoesAway(t *testing.T) { endures(t, 23, redisFaults()) }

// TestClientsAreCutOff has a node that all others reach but its clients, and wires that are slow and cut everything into small pieces.
func TestClientsAreCutOff(t *testing.T) { endures(t, 24, wireFaults()) }

func endures(t *testing.T, seed uint64, faults []fault) {
	t.Helper()
	t.Parallel()
	c := newCrew(t, StartInstallation(t, InstallationOptions{Database: smallPool}), seed, 6, 2)
	c.endure(faults, sendsPerFault)
	c.mend()
	judge(t, c.Fleet)
}

// roundOverNodes is a round of the soak test: all faults, in an order drawn by lot, lasting for up to a minute.
func roundOverNodes(t *testing.T, seed uint64) {
	t.Helper()
	c := newCrew(t, StartInstallation(t, InstallationOptions{Database: smallPool}), seed, 6, 2)
	c.patient = true
	faults := slices.Concat(nodeFaults(), postgresFaults(), redisFaults(), wireFaults())
	c.random.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	c.endure(faults, 2*sendsPerFault)
	c.mend()
	judge(t, c.Fleet)
}

// smallPool makes nodes run out of connections to the database easily.
const smallPool = "&pool_max_conns=6"

// mend ends what faults may have left behind.
func (c *crew) mend() {
	for _, n := range c.in.Nodes {
		for _, p := range []*Proxy{n.Clients, n.Balanced, n.Database, n.Redis} {
			p.Set(func() Wire { return Wire{} })
			p.Mend()
		}
	}
}

// while lets a fault last: for a time between a half and a whole one; if the crew is patient, up to thirty times as long.
func (c *crew) while(most time.Duration) {
	d := most/2 + time.Duration(c.random.Int64N(int64(most/2)))
	if c.patient {
		d = time.Duration(float64(d) * math.Pow(30, c.random.Float64()))
	}
	<-time.After(d)
}

func (c *crew) anyNode() int { return c.random.IntN(len(c.in.Nodes)) }

func nodeFaults() []fault {
	return []fault{
		{"kill a node", func(c *crew) time.Time {
			n := c.anyNode()
			killed := time.Now()
			c.in.Nodes[n].Kill()
			c.Recorder.Crashed()
			c.reach("others while a node is killed", killed, n)
			c.in.Nodes[n].Start()
			return time.Now()
		}},
		{"terminate a node", func(c *crew) time.Time {
			n := c.anyNode()
			if err := c.in.Nodes[n].Terminate(); err != nil {
				c.t.Errorf("the node ended with %v", err)
			}
			c.Recorder.Crashed()
			c.reach("others while a node is terminated", time.Now(), n)
			c.in.Nodes[n].Start()
			return time.Now()
		}},
		{"freeze a node", func(c *crew) time.Time {
			n := c.anyNode()
			frozen := time.Now()
			c.in.Nodes[n].Freeze()
			c.in.Evade(n)
			c.reach("others while a node is frozen", frozen, n)
			c.while(2 * time.Second)
			c.in.Nodes[n].Thaw()
			c.in.Return(n)
			return time.Now()
		}},
	}
}

func postgresFaults() []fault {
	cut := func(cut func(*Proxy)) func(*crew) time.Time {
		return func(c *crew) time.Time {
			n := c.anyNode()
			cut(c.in.Nodes[n].Database)
			c.in.Evade(n)
			c.reach("others while a node is cut off from PostgreSQL", time.Now(), n)
			c.while(2 * time.Second)
			c.in.Nodes[n].Database.Mend()
			c.in.Return(n)
			return time.Now()
		}
	}
	return []fault{
		{"stop PostgreSQL", func(c *crew) time.Time {
			c.in.Postgres.Kill(c.t)
			c.Recorder.Crashed()
			c.while(time.Second)
			c.in.Postgres.Start(c.t)
			return time.Now()
		}},
		{"terminate all backends", func(c *crew) time.Time {
			c.in.Execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
			return time.Now()
		}},
		{"pause PostgreSQL", func(c *crew) time.Time {
			c.in.Postgres.Pause(c.t)
			c.while(3 * time.Second)
			c.in.Postgres.Resume(c.t)
			return time.Now()
		}},
		{"exhaust the pools", func(c *crew) time.Time {
			c.in.LockAll(2*time.Second, "conversations, events, members, commit_log")
			return time.Now()
		}},
		{"cut a node off from PostgreSQL", cut((*Proxy).Refuse)},
		{"silence between a node and PostgreSQL", cut((*Proxy).Silence)},
		{"slow wire to PostgreSQL", func(c *crew) time.Time {
			return c.wired(c.in.Nodes[c.anyNode()].Database, time.Second, func() Wire { return Wire{Slice: 7, Delay: 2 * time.Millisecond} })
		}},
	}
}

// wired lets all connections through a proxy begin anew on such wires, for some time.
func (c *crew) wired(p *Proxy, lasts time.Duration, wire func() Wire) time.Time {
	p.Set(wire)
	p.CutAll()
	c.while(lasts)
	p.Set(func() Wire { return Wire{} })
	p.CutAll()
	return time.Now()
}

func redisFaults() []fault {
	cut := func(cut func(*Proxy)) func(*crew) time.Time {
		return func(c *crew) time.Time {
			p := c.in.Nodes[c.anyNode()].Redis
			cut(p)
			c.reach("delivery while a node is cut off from Redis", time.Now())
			c.while(2 * time.Second)
			c.reach("delivery while a node is cut off from Redis", time.Now())
			p.Mend()
			return time.Now()
		}
	}
	tell := func(command string) func(*crew) time.Time {
		return func(c *crew) time.Time {
			c.in.TellRedis(command)
			return time.Now()
		}
	}
	return []fault{
		{"kill Redis", func(c *crew) time.Time {
			c.in.Redis.Kill(c.t)
			c.reach("delivery while Redis is away", time.Now())
			c.while(time.Second)
			c.reach("delivery while Redis is away", time.Now())
			c.in.Redis.Start(c.t)
			return time.Now()
		}},
		{"cut subscriptions", tell("CLIENT KILL TYPE pubsub")},
		{"cut connections to Redis", tell("CLIENT KILL TYPE normal")},
		{"flush Redis", tell("FLUSHALL")},
		{"pause Redis", func(c *crew) time.Time {
			c.in.Redis.Pause(c.t)
			c.reach("delivery while Redis is paused", time.Now())
			c.while(3 * time.Second)
			c.reach("delivery while Redis is paused", time.Now())
			c.in.Redis.Resume(c.t)
			return time.Now()
		}},
		{"cut a node off from Redis", cut((*Proxy).Refuse)},
		{"silence between a node and Redis", cut((*Proxy).Silence)},
		{"slow wire to Redis", func(c *crew) time.Time {
			return c.wired(c.in.Nodes[c.anyNode()].Redis, time.Second, func() Wire { return Wire{Slice: 7, Delay: 5 * time.Millisecond} })
		}},
	}
}

func wireFaults() []fault {
	return []fault{
		{"silence between a node and its clients", func(c *crew) time.Time {
			n := c.anyNode()
			c.in.Nodes[n].Clients.Silence()
			c.in.Evade(n)
			c.reach("others while a node's clients are cut off", time.Now(), n)
			c.while(2 * time.Second)
			c.in.Nodes[n].Clients.Mend()
			c.in.Return(n)
			return time.Now()
		}},
		{"bad wire to clients", func(c *crew) time.Time {
			random := rand.New(rand.NewPCG(c.random.Uint64(), 3))
			return c.wired(c.in.Nodes[c.anyNode()].Clients, 2*time.Second, func() Wire {
				return Wire{CutUp: 4000 + random.Int64N(20_000), CutDown: 10_000 + random.Int64N(60_000), Slice: 1 + random.IntN(7)}
			})
		}},
		{"cut all clients", func(c *crew) time.Time {
			for _, n := range c.in.Nodes {
				n.Clients.CutAll()
				n.Balanced.CutAll()
			}
			return time.Now()
		}},
	}
}
