package faults

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/natterjack-chat/natterjack/server/e2e/fleet"
)

// crew is a fleet that chats over the nodes of an installation. Each user's devices are spread: some go straight to their node and wait for it when it is away,
// the others go over a load balancer.
type crew struct {
	*fleet.Fleet
	t      *testing.T
	in     *Installation
	random *rand.Rand // of the faults

	senders []*fleet.Raw   // one for each node, straight to it, of the first user
	homes   map[string]int // by the name of a device that goes straight to a node: that
	guest   *fleet.User    // comes and goes in the group of all
	member  bool           // guest is there
	patient bool           // faults last long
}

// newCrew signs users up, and connects their devices.
func newCrew(t *testing.T, in *Installation, seed uint64, users, devices int) *crew {
	t.Helper()
	c := &crew{t: t, in: in, random: rand.New(rand.NewPCG(seed, 2)), homes: map[string]int{}, member: true}
	nodes := len(in.Nodes)
	c.Fleet = populated(t, in.Nodes[0].Balanced.URL, fleet.Shape{Users: users, Devices: devices, Options: func(user, device int) fleet.DeviceOptions {
		if node := user % nodes; device%2 == 0 {
			c.homes[fmt.Sprintf("user%02d/device%d", user, device)] = node
			return fleet.DeviceOptions{URL: in.Nodes[node].Clients.URL, GRPC: user%2 == 1}
		}
		return fleet.DeviceOptions{URL: in.Nodes[(user+1)%nodes].Balanced.URL}
	}})
	c.guest = c.Users()[users-1]
	for i, n := range in.Nodes {
		c.senders = append(c.senders, c.raw(0, fmt.Sprintf("over node %d", i), n.Clients.URL))
	}
	if err := c.AwaitLive(limit(t)); err != nil {
		t.Fatal(err)
	}
	return c
}

// raw returns a device of a user without the Go client.
func (c *crew) raw(user int, name, url string) *fleet.Raw {
	c.t.Helper()
	r, err := c.Users()[user].Raw(limit(c.t), name, fleet.Connect, url)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(r.Close)
	return r
}

// room is the group of all.
func (c *crew) room() string { return c.Rooms()[0] }

// reach sends a message over each node but those that are away, and waits until every device that isn't bound to one of those is live and has them all. It
// notes how long after a time each of them had.
func (c *crew) reach(what string, since time.Time, away ...int) {
	c.t.Helper()
	c.t.Logf("%s: sending", what)
	gone := map[int]bool{}
	for _, n := range away {
		gone[n] = true
	}
	var seq int64
	for i, r := range c.senders {
		if gone[i] {
			continue
		}
		got, err := r.SendUntilStored(limit(c.t), c.room(), uuid.Must(uuid.NewV7()).String(), what, 2*time.Second)
		if err != nil {
			c.t.Fatal(err)
		}
		seq = max(seq, got)
	}
	for _, d := range c.Devices() {
		if home, bound := c.homes[d.Name]; bound && gone[home] || d.User == c.guest {
			continue
		}
		Await(c.t, d.Name+" has what was sent: "+what, func() bool { return d.Mirror.Live() && d.Mirror.Head(c.room()) >= seq })
		took(what, time.Since(since))
	}
}

// toggle removes the guest from the group of all, or lets them in again.
func (c *crew) toggle() {
	owner := c.Devices()[0]
	var err error
	if c.member {
		err = owner.Remove(limit(c.t), c.room(), c.guest)
	} else {
		err = owner.Add(limit(c.t), c.room(), c.guest)
	}
	if err == nil { // else it is in the records
		c.member = !c.member
		inject("member in or out")
	}
}

// endure lets the crew chat, and something go wrong in the middle of it, for each fault in turn. After each, everybody has to be back.
func (c *crew) endure(faults []fault, sends int) {
	c.t.Helper()
	for _, f := range faults {
		wait := scripts(c.t, c.Fleet, c.in.Nodes[c.anyNode()].Balanced.URL, sends/40)
		injected := false
		suffer := func(int) {
			if injected {
				return
			}
			injected = true
			inject(f.name)
			ended := f.do(c)
			c.reach(back+f.name, ended)
			c.toggle()
		}
		during(c.t, c.Fleet, fleet.Work{Seed: c.random.Uint64(), Sends: sends}, sends/3, suffer)
		suffer(0) // if all was sent too quickly
		wait()
	}
}
