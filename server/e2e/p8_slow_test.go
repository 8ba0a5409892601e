package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/natterjack-chat/natterjack/server/e2e/faults"
	"github.com/natterjack-chat/natterjack/server/e2e/fleet"
	"github.com/natterjack-chat/natterjack/server/node"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

// TestP8ASlowReaderHurtsOnlyItself stops one device's reading. The others get everything meanwhile; it is told where to go on, and loses nothing.
func TestP8ASlowReaderHurtsOnlyItself(t *testing.T) {
	onNodes(t, holdsP8ASlowReaderHurtsOnlyItself, standing)
}

// standing lets a stream stand still for as long as the test takes: those that end one for its silence, at either end, do so without a word.
var standing = nodetest.Config(func(c *node.Config) {
	c.RPC.WriteStall, c.RPC.Heartbeat, c.Hub.SlowAfter = time.Hour, time.Hour, time.Hour
})

func holdsP8ASlowReaderHurtsOnlyItself(t *testing.T, w *world) {
	ctx := limit(t)
	read, stop := context.WithCancel(context.Background())
	defer stop()
	stopped := make(chan struct{}) // closed: stop reading
	slow := must(w.eve.Device("slow", fleet.DeviceOptions{URL: w.at(w.bob), ReceiveBuffer: 64 << 10, Brake: func(ctx context.Context) {
		select {
		case <-stopped:
		default:
			return
		}
		select {
		case <-read.Done():
		case <-ctx.Done():
		}
	}}))(t)
	if err := w.AwaitLive(ctx); err != nil {
		t.Fatal(err)
	}
	stream := slow.Record.Current()
	close(stopped)
	const sends, size = 500, 4000
	fast := []*fleet.Device{w.annPhone, w.bobPhone, w.evePhone}
	work := fleet.Work{Seed: 8, Sends: sends, Bytes: size, Rooms: []string{w.room}, SendOnly: true}
	if err := w.RunOn(ctx, fast, work); err != nil {
		t.Fatal(err)
	}
	for _, d := range fast {
		faults.Await(t, d.Name+" has everything", func() bool { return d.Mirror.Head(w.room) == sends+2 })
	}
	if got := slow.Mirror.Head(w.room); got == sends+2 {
		t.Fatal("the slow device wasn't slow")
	}
	stop()
	w.clean(t)
	if stream.Resyncs() == 0 && stream.Farewell() == "" {
		t.Error("the slow stream got everything: the server must have kept it all")
	}
}
