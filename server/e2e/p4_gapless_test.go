package e2e

import (
	"fmt"
	"testing"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/e2e/faults"
	"github.com/natterjack-chat/natterjack/server/e2e/fleet"
)

// TestP4ResumeAtEveryPosition stops after n events and resumes, for every n: it gets exactly the suffix.
func TestP4ResumeAtEveryPosition(t *testing.T) { onNodes(t, holdsP4ResumeAtEveryPosition) }

func holdsP4ResumeAtEveryPosition(t *testing.T, w *world) {
	ctx := limit(t)
	const head = 42
	for i := range head - 2 {
		say(t, w.annPhone, w.room, fmt.Sprint(i))
	}
	r := w.raw(t, w.bob, fleet.Connect)
	for n := range int64(head) {
		got := follow(ctx, t, r, w.room, n, head)
		for i, seq := range got {
			if want := n + int64(i) + 1; seq != want {
				t.Fatalf("after %d came %d in place of %d", n, seq, want)
			}
		}
		if len(got) != int(head-n) {
			t.Fatalf("after %d came %d events, not %d", n, len(got), head-n)
		}
	}
	w.clean(t)
}

// TestP4CutStreamsLoseNothing cuts a device off again and again, each time some bytes later, while others write.
func TestP4CutStreamsLoseNothing(t *testing.T) { onNodes(t, holdsP4CutStreamsLoseNothing) }

func holdsP4CutStreamsLoseNothing(t *testing.T, w *world) {
	p := faults.NewProxy(t, w.at(w.bob))
	down := int64(1000)
	p.Set(func() faults.Wire { down += 101; return faults.Wire{CutDown: down} })
	cut := must(w.bob.Device("cut", fleet.DeviceOptions{URL: p.URL}))(t)
	for i := range 100 {
		say(t, w.annPhone, w.room, fmt.Sprint(i))
	}
	faults.Await(t, "the device has everything in spite of the cuts", func() bool { return cut.Mirror.Head(w.room) == 102 })
	if p.Cuts.Load() == 0 {
		t.Error("nothing was cut")
	}
	p.Set(func() faults.Wire { return faults.Wire{} })
	w.clean(t)
}

// TestP4TooFarBehindIsToldSo resumes from further back than the server bridges: it says so, by the head.
func TestP4TooFarBehindIsToldSo(t *testing.T) { onNodes(t, holdsP4TooFarBehindIsToldSo) }

func holdsP4TooFarBehindIsToldSo(t *testing.T, w *world) {
	if err := w.RunOn(limit(t), w.Devices(), fleet.Work{Seed: 1, Sends: 1100, Rooms: []string{w.room}, SendOnly: true}); err != nil {
		t.Fatal(err)
	}
	var told *chatv1.Resync
	hello := &chatv1.Hello{Positions: []*chatv1.Position{{ConversationId: w.room, Seq: 1}}}
	err := w.raw(t, w.bob, fleet.Connect).Subscribe(limit(t), hello, func(e *chatv1.Event) bool {
		if e.GetSeq() > 0 {
			t.Errorf("seq %d of a history that is not bridged", e.GetSeq())
		}
		if e.GetResync() != nil {
			told = e.GetResync()
		}
		return e.GetCaughtUp() == nil
	})
	if err != nil || told.GetConversationId() != w.room || told.GetLastSeq() != 1102 {
		t.Fatalf("told %v (%v)", told, err)
	}
}
