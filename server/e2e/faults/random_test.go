package faults

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/natterjack-chat/natterjack/server/e2e/fleet"
)

// TestRandomFaults is one round with a fixed seed.
func TestRandomFaults(t *testing.T) { round(t, 12, 5000) }

// TestSoak goes on with other seeds until so many messages are acknowledged as NATTERJACK_SOAK says.
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
	for goal := total.acknowledged.Load() + messages; total.acknowledged.Load() < goal && !t.Failed(); {
		seed := rand.Uint64() //nolint:gosec // printed, so that it can be repeated
		if !t.Run("seed "+strconv.FormatUint(seed, 10), func(t *testing.T) { round(t, seed, 20_000) }) {
			return
		}
		t.Logf("%s: %s", time.Since(start).Round(time.Second), summary())
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
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // repeatable
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
				return Wire{CutUp: 2000 + random.Int64N(9000), CutDown: 5000 + random.Int64N(30_000), Slice: 7}
			})
			p.CutAll()
		}},
		{"good wire", func() { p.Set(func() Wire { return Wire{} }) }},
		{"member", func() {
			var err error
			if member {
				err = owner.Remove(limit(t), room, guest)
			} else {
				err = owner.Add(limit(t), room, guest)
			}
			if err == nil {
				member = !member
			}
		}},
	}
	order := random.Perm(len(faults))
	during(t, f, fleet.Work{Seed: seed, Sends: sends}, sends/12, func(n int) {
		fault := faults[order[n%len(order)]]
		inject(fault.name)
		fault.do()
	})
	p.Set(func() Wire { return Wire{} })
	judge(t, f)
}
