package e2e

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/natterjack-chat/natterjack/server/cluster"
	"github.com/natterjack-chat/natterjack/server/e2e/faults"
	"github.com/natterjack-chat/natterjack/server/e2e/fleet"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

// TestP6TheBusIsADoorbell makes the bus between two nodes as bad as it can be. Everything reaches the users of the other node all the same, because
// the nodes compare their positions with the log.
func TestP6TheBusIsADoorbell(t *testing.T) {
	bad := map[string]func(frame []byte) []time.Duration{
		"all is lost": func([]byte) []time.Duration { return nil },
		"lost, doubled, late and out of order": func([]byte) []time.Duration {
			copies := make([]time.Duration, rand.IntN(3))
			for i := range copies {
				copies[i] = rand.N(50 * time.Millisecond)
			}
			return copies
		},
	}
	for name, fate := range bad {
		t.Run(name, func(t *testing.T) {
			bus := cluster.NewMemoryBus()
			nodes := nodetest.StartCluster(t, 2, patient, nodetest.Bus(bus))
			w := newWorld(t, nodes[0].URL, nodes[1].URL)
			bus.SetFate(fate)
			before := w.bobPhone.Mirror.Head(w.room)
			say(t, w.annPhone, w.room, "to the other node")
			faults.Await(t, "the message reaches the other node", func() bool { return w.bobPhone.Mirror.Head(w.room) == before+1 })
			if err := w.Run(limit(t), fleet.Work{Seed: 6, Sends: 600}); err != nil {
				t.Fatal(err)
			}
			w.clean(t)
		})
	}
}
