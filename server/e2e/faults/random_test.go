package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/natterjack-chat/natterjack/server/e2e/fleet"
)

// TestRandomFaults is one round with a fixed seed.
func TestRandomFaults(t *testing.T) { round(t, 12, 5000) }

// backWithin is how soon after a fault all but one in a hundred of the devices have to be back and caught up.
const backWithin = 5 * time.Second

// TestSoak goes on with other seeds, over one node on SQLite and over two on PostgreSQL and Redis in turns, until so many messages are acknowledged as
// NATTERJACK_SOAK says. NATTERJACK_TEST_SEED repeats the rounds with one seed.
func TestSoak(t *testing.T) {
	budget := os.Getenv("NATTERJACK_SOAK")
	if budget == "" {
		t.Skip("set NATTERJACK_SOAK to a number of messages")
	}
	messages, err := strconv.ParseInt(budget, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	goal := total.acknowledged.Load() + messages
	for n := 0; total.acknowledged.Load() < goal && !t.Failed(); n++ {
		seed := rand.Uint64() // printed, so that it can be repeated
		if given := os.Getenv("NATTERJACK_TEST_SEED"); given != "" {
			if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
				t.Fatal(err)
			}
		}
		name, run := "one node", func(t *testing.T) { round(t, seed, 20_000) }
		if n%2 == 1 {
			name, run = "two nodes", func(t *testing.T) { roundOverNodes(t, seed) }
		}
		if !t.Run(fmt.Sprintf("%s, seed %d", name, seed), run) {
			return
		}
		t.Logf("%s: %s", time.Since(start).Round(time.Second), summary())
	}
	for what, p99 := range slow(backWithin) {
		t.Errorf("%s: p99 is %v, and has to be below %v", what, p99, backWithin)
	}
}

// round lets a fleet chat, half of it by way of a proxy, while what goes wrong is drawn by lot.
func round(t *testing.T, seed uint64, sends int) {
	s := Start(t, Options{})
	p := NewProxy(t, s.URL)
	f := populated(t, s.URL, fleet.Shape{Users: 6, Devices: 2, Options: func(_, device int) fleet.DeviceOptions {
		if device == 0 {
			return fleet.DeviceOptions{}
		}
		return fleet.DeviceOptions{URL: p.URL}
	}})
	random := rand.New(rand.NewPCG(seed, 1))
	owner, guest, room, member := f.Devices()[0], f.Users()[5], f.Rooms()[0], true
	faults := []struct {
		name string
		do   func()
	}{
		{"kill", func() { s.Kill(); f.Recorder.Crashed(); s.Start() }},
		{"terminate", func() {
			if err := s.Terminate(); err != nil {
				t.Errorf("the server ended with %v", err)
			}
			f.Recorder.Crashed()
			s.Start()
		}},
		{"freeze", func() { s.Freeze(); <-time.After(time.Second); s.Thaw() }},
		{"cut all", p.CutAll},
		{"bad wire", func() {
			p.Set(func() Wire {
				return Wire{CutUp: 4000 + random.Int64N(20_000), CutDown: 10_000 + random.Int64N(60_000), Slice: 50}
			})
			p.CutAll()
		}},
		{"good wire", func() { p.Set(func() Wire { return Wire{} }) }},
	}
	toggle := func() {
		var err error
		if member {
			err = owner.Remove(limit(t), room, guest)
		} else {
			err = owner.Add(limit(t), room, guest)
		}
		if err == nil { // else the server is away
			member = !member
			inject("member in or out")
		}
	}
	order := random.Perm(len(faults))
	wait := scripts(t, f, p.URL, sends/40)
	during(t, f, fleet.Work{Seed: seed, Sends: sends}, sends/14, func(n int) {
		fault := faults[order[n%len(order)]]
		inject(fault.name)
		fault.do()
		toggle()
	})
	p.Set(func() Wire { return Wire{} })
	p.CutAll()
	wait()
	judge(t, f)
}

// scripts lets one user of each protocol send so many messages by unary calls over the proxy, each repeated until it is stored, and some again
// after that, and read and mark in between. The returned function waits for them.
func scripts(t *testing.T, f *fleet.Fleet, url string, sends int) (wait func()) {
	t.Helper()
	ctx, room := limit(t), f.Rooms()[0]
	var running sync.WaitGroup
	for i, protocol := range fleet.Protocols {
		r, err := f.Users()[(i+1)%len(f.Users())].Raw(ctx, string(protocol), protocol, url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		running.Go(func() {
			var first int64
			for n := range sends {
				id, text := uuid.Must(uuid.NewV7()).String(), fmt.Sprintf("%d by %s", n, protocol)
				seq, err := r.SendUntilStored(ctx, room, id, text, 2*time.Second)
				if err != nil {
					t.Error(err)
					return
				}
				if first == 0 {
					first = seq
				}
				switch n % 4 { // what fails is in the records
				case 0:
					_, _ = r.Send(ctx, room, id, text)
				case 1:
					_, _ = r.MarkRead(ctx, room, seq)
				case 2:
					_, _ = r.Page(ctx, room, seq, 0, 10)
				case 3: // as a device does that is behind another one of its user
					_, _ = r.MarkRead(ctx, room, first)
				}
			}
		})
	}
	return running.Wait
}
