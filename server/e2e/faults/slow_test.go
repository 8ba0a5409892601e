package faults

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/e2e/fleet"
)

// gate stops readers until it is opened.
type gate struct {
	mu     sync.Mutex
	opened chan struct{} // closed while open
}

func newGate() *gate {
	g := &gate{opened: make(chan struct{})}
	close(g.opened)
	return g
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened = make(chan struct{})
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.opened:
	default:
		close(g.opened)
	}
}

func (g *gate) wait(ctx context.Context) {
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	select {
	case <-opened:
	case <-ctx.Done():
	}
}

// TestStoppedReadersHurtOnlyThemselves lets 16 devices stop reading while others chat. The others get everything meanwhile, the server doesn't keep
// it all for those who don't read, and they catch up without a loss.
func TestStoppedReadersHurtOnlyThemselves(t *testing.T) {
	const stopped, sends, size, allowed = 16, 2500, 3000, 64 << 20
	s := Start(t, Options{})
	f := populated(t, s.URL, fleet.Shape{Users: 3, Devices: 1})
	fast, room, g := f.Devices(), f.Rooms()[0], newGate()
	t.Cleanup(g.open) // closing them waits for their readers
	for i := range stopped {
		_, err := f.Users()[2].Device(fmt.Sprintf("slow%d", i), fleet.DeviceOptions{Brake: g.wait, ReceiveBuffer: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.AwaitLive(limit(t)); err != nil {
		t.Fatal(err)
	}
	before := s.Memory()
	g.shut()
	inject("stop reading")
	// Only the fast devices work: f.Run would let the slow ones send too.
	if err := f.RunOn(limit(t), fast, fleet.Work{Seed: 9, Sends: sends, Bytes: size, Rooms: []string{room}, SendOnly: true}); err != nil {
		t.Fatal(err)
	}
	log, err := f.Users()[0].Log(limit(t), room)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range fast {
		Await(t, d.Name+" has everything", func() bool { return d.Mirror.Head(room) == log.Head })
	}
	if grown := s.Memory() - before; grown > allowed {
		t.Errorf("the server has grown by %d MiB; %d MiB wait for each of %d readers", grown>>20, sends*size>>20, stopped)
	} else {
		t.Logf("the server has grown by %d MiB; %d MiB wait for each of %d readers", grown>>20, sends*size>>20, stopped)
	}
	g.open()
	judge(t, f)
}

// TestFullDisk takes away the room to store anything. Sends are refused by the reason, reads and streams go on, and all works again when
// there is room, without a restart.
func TestFullDisk(t *testing.T) {
	s := Start(t, Options{DiskBytes: 48 << 20})
	f := populated(t, s.URL, fleet.Shape{Users: 3, Devices: 1})
	if err := f.Run(limit(t), fleet.Work{Seed: 10, Sends: 500}); err != nil {
		t.Fatal(err)
	}
	room, ctx := f.Rooms()[0], limit(t)
	raw, err := f.Users()[0].Raw(ctx, "raw", fleet.Connect, "")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	remove := s.Ballast()
	inject("fill the disk")
	refused := fill(ctx, raw, room, 5000)
	if client.ReasonOf(refused) != chatv1.ErrorReason_ERROR_REASON_STORE_FULL || connect.CodeOf(refused) != connect.CodeResourceExhausted {
		t.Errorf("a send to a full disk ended with %v", refused)
	}
	if _, err := raw.Page(ctx, room, 0, 0, 50); err != nil {
		t.Errorf("a read while the disk is full: %v", err)
	}
	if !s.Ready() {
		t.Log("the server says that it isn't ready while its disk is full")
	}
	for _, d := range f.Devices() {
		if !d.Mirror.Live() {
			t.Errorf("%s is not live while the disk is full", d.Name)
		}
	}
	remove()
	if _, err := raw.SendUntilStored(ctx, room, uuid.NewString(), "there is room again", 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := f.Run(ctx, fleet.Work{Seed: 11, Sends: 500}); err != nil {
		t.Fatal(err)
	}
	judge(t, f)
}

// fill sends large messages until one is refused, and returns the refusal; nil after so many. That a busy disk takes too long for one is no refusal.
func fill(ctx context.Context, raw *fleet.Raw, room string, most int) error {
	text := strings.Repeat("fill the disk ", 1000)
	for range most {
		_, err := raw.Send(ctx, room, uuid.Must(uuid.NewV7()).String(), text)
		reason := client.ReasonOf(err)
		slow := reason == chatv1.ErrorReason_ERROR_REASON_UNAVAILABLE || reason == chatv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN
		if err != nil && !slow {
			return err
		}
	}
	return nil
}
