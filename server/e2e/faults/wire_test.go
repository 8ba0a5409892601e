package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/natterjack-chat/natterjack/server/e2e/fleet"
)

// TestStreamsOverABadWire lets devices chat over connections that are cut after a random number of bytes either way, sliced and delayed.
func TestStreamsOverABadWire(t *testing.T) {
	s := Start(t, Options{})
	p := NewProxy(t, s.URL)
	random := rand.New(rand.NewPCG(6, 6))
	p.Set(func() Wire {
		w := Wire{CutUp: 2000 + random.Int64N(20_000), CutDown: 2000 + random.Int64N(60_000)}
		switch random.IntN(3) {
		case 0:
			w.Slice = 1 + random.IntN(7)
		case 1:
			w.Delay = time.Duration(random.IntN(4)) * time.Millisecond
		}
		return w
	})
	f := populated(t, s.URL, fleet.Shape{Users: 4, Devices: 2, Options: func(_, device int) fleet.DeviceOptions {
		return fleet.DeviceOptions{URL: p.URL, GRPC: device == 1}
	}})
	if err := f.Run(limit(t), fleet.Work{Seed: 6, Sends: 3000}); err != nil {
		t.Fatal(err)
	}
	cuts := p.Cuts.Load()
	t.Logf("%d connections were cut", cuts)
	if cuts < 50 {
		t.Errorf("only %d connections were cut", cuts)
	}
	for range cuts {
		inject("cut")
	}
	p.Set(func() Wire { return Wire{} })
	judge(t, f)
}

// TestSendCutAtEveryByte cuts the connection of a send after n bytes, for every n of its life, in both directions and by two
// protocols. Each message is then stored once and found by its id.
func TestSendCutAtEveryByte(t *testing.T) {
	s := Start(t, Options{})
	p := NewProxy(t, s.URL)
	f := populated(t, s.URL, fleet.Shape{Users: 2, Devices: 1})
	room := f.Rooms()[0]
	for _, protocol := range []fleet.Protocol{fleet.JSON, fleet.GRPC} {
		cutEverywhere(t, f, p, room, protocol)
	}
	judge(t, f)
}

// cutEverywhere sends a message for each place at which to cut, until one gets through uncut.
func cutEverywhere(t *testing.T, f *fleet.Fleet, p *Proxy, room string, protocol fleet.Protocol) {
	t.Helper()
	ctx, user := limit(t), f.Users()[0]
	direct, err := user.Raw(ctx, "direct", protocol, "")
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	for _, up := range []bool{true, false} {
		for n := int64(1); ; n++ {
			p.Set(func() Wire {
				if up {
					return Wire{CutUp: n}
				}
				return Wire{CutDown: n}
			})
			before := p.Cuts.Load()
			r, err := user.Raw(ctx, fmt.Sprintf("%s cut at %d", protocol, n), protocol, p.URL)
			if err != nil {
				t.Fatal(err)
			}
			id := uuid.Must(uuid.NewV7()).String()
			first, failed := r.Send(ctx, room, id, "cut me")
			r.Close()
			seq, err := direct.SendUntilStored(ctx, room, id, "cut me", time.Second)
			if err != nil || failed == nil && first != seq {
				t.Fatalf("%s, cut at %d: seq %d (%v), then seq %d (%v)", protocol, n, first, failed, seq, err)
			}
			if p.Cuts.Load() == before {
				if failed != nil {
					t.Fatalf("%s: nothing was cut at %d, and it failed: %v", protocol, n, failed)
				}
				break
			}
			inject("cut a send")
		}
	}
}

// TestOneIDFiftyTimes sends one client_message_id fifty times at once, over all protocols, several times.
func TestOneIDFiftyTimes(t *testing.T) {
	s := Start(t, Options{})
	f := populated(t, s.URL, fleet.Shape{Users: 2, Devices: 1})
	sendFiftyTimes(t, f, s.URL)
	judge(t, f)
}

// sendFiftyTimes spreads the sends over the servers at some URLs.
func sendFiftyTimes(t *testing.T, f *fleet.Fleet, urls ...string) {
	t.Helper()
	ctx, user, room := limit(t), f.Users()[0], f.Rooms()[0]
	senders := make([]*fleet.Raw, 50)
	for i := range senders {
		var err error
		protocol := fleet.Protocols[i/len(urls)%len(fleet.Protocols)]
		if senders[i], err = user.Raw(ctx, fmt.Sprintf("%s %d", protocol, i), protocol, urls[i%len(urls)]); err != nil {
			t.Fatal(err)
		}
		defer senders[i].Close()
	}
	for range 10 {
		id := uuid.Must(uuid.NewV7()).String()
		seqs := make([]int64, len(senders))
		errs := make([]error, len(senders))
		var at sync.WaitGroup
		for i, r := range senders {
			at.Go(func() { seqs[i], errs[i] = r.SendUntilStored(ctx, room, id, "fifty times", 10*time.Second) })
		}
		at.Wait()
		inject("send 50 times")
		for i := range seqs {
			if errs[i] != nil || seqs[i] != seqs[0] {
				t.Fatalf("%s got seq %d (%v); the first one got %d", senders[i].Record.Name, seqs[i], errs[i], seqs[0])
			}
		}
	}
}

// TestManyWriters has 64 devices write into one conversation, while readers follow it by pages and by one-way streams that they open
// anew from where they are.
func TestManyWriters(t *testing.T) {
	s := Start(t, Options{})
	f := populated(t, s.URL, fleet.Shape{Users: 4, Devices: 16})
	writeTogether(t, f, s.URL)
	judge(t, f)
}

// writeTogether spreads the readers over the servers at some URLs; where the writers are is the fleet's business.
func writeTogether(t *testing.T, f *fleet.Fleet, urls ...string) {
	t.Helper()
	room := f.Rooms()[0]
	ctx, stop := context.WithCancel(limit(t))
	var reading sync.WaitGroup
	var read atomic.Int64
	for i, u := range f.Users() {
		r, err := u.Raw(ctx, "reader", fleet.Protocols[i], urls[i%len(urls)])
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		reading.Go(func() { tailPages(ctx, r, room, &read) })
		reading.Go(func() { tailStreams(ctx, r, room, &read) })
	}
	err := f.Run(ctx, fleet.Work{Seed: 7, Sends: 3000, Rooms: []string{room}, SendOnly: true})
	stop()
	reading.Wait()
	if err != nil {
		t.Fatal(err)
	}
	inject("64 writers")
	t.Logf("readers got %d messages", read.Load())
}

// tailPages reads history forwards, page by page, until ctx ends.
func tailPages(ctx context.Context, r *fleet.Raw, room string, read *atomic.Int64) {
	for after := int64(1); ctx.Err() == nil; {
		page, err := r.Page(ctx, room, 0, after, 50)
		if err != nil {
			continue
		}
		for _, m := range page.GetMessages() {
			after = m.GetSeq()
			read.Add(1)
		}
		if len(page.GetMessages()) > 0 {
			continue
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// tailStreams opens a one-way stream from where it is, takes some events, and begins again, until ctx ends.
func tailStreams(ctx context.Context, r *fleet.Raw, room string, read *atomic.Int64) {
	at := fleet.Place{Conversation: room}
	for n := 1; ctx.Err() == nil; n++ {
		got := 0
		// What it ended with is in the records, as far as it counts.
		_ = r.Follow(ctx, &at, func() bool { got++; read.Add(1); return got < 50*n })
	}
}
