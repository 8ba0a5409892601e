package e2e

import (
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/e2e/faults"
	"github.com/natterjack-chat/natterjack/server/e2e/fleet"
)

// TestP2SameIDSameMessage repeats a send over every protocol, by another session, and after a restart. It stays one message with one seq,
// delivered once.
func TestP2SameIDSameMessage(t *testing.T) {
	s := faults.Start(t, faults.Options{})
	w := newWorld(t, s.URL)
	ctx, id := limit(t), uuid.NewString()
	before := w.bobPhone.Mirror.Messages()
	first := must(w.raw(t, w.ann, fleet.Connect).Send(ctx, w.room, id, "once"))(t)
	again := func() {
		t.Helper()
		for _, p := range fleet.Protocols {
			if seq := must(w.raw(t, w.ann, p).Send(ctx, w.room, id, "once"))(t); seq != first {
				t.Fatalf("by %s it got seq %d, at first %d", p, seq, first)
			}
		}
	}
	again()
	if _, err := w.ann.Device("tablet", fleet.DeviceOptions{OwnSession: true}); err != nil {
		t.Fatal(err)
	}
	again()
	s.Kill()
	w.Recorder.Crashed()
	s.Start()
	again()
	say(t, w.annPhone, w.room, "after it")
	faults.Await(t, "bob has what came after it", func() bool { return w.bobPhone.Mirror.Messages() >= before+2 })
	wantEqual(t, "messages", contents(t, w.bob, w.room), []string{"once", "after it"})
	w.clean(t)
}

// TestP2AnotherMessageUnderTheIDIsRefused also after an edit: what was sent counts, not what it says now.
func TestP2AnotherMessageUnderTheIDIsRefused(t *testing.T) {
	onNodes(t, holdsP2AnotherMessageUnderTheIDIsRefused)
}

func holdsP2AnotherMessageUnderTheIDIsRefused(t *testing.T, w *world) {
	ctx, id, r := limit(t), uuid.NewString(), w.raw(t, w.ann, fleet.GRPC)
	must(r.Send(ctx, w.room, id, "once"))(t)
	_, err := r.Send(ctx, w.room, id, "something else")
	if connect.CodeOf(err) != connect.CodeAlreadyExists || client.ReasonOf(err) != chatv1.ErrorReason_ERROR_REASON_ID_REUSED {
		t.Fatalf("got %v", err)
	}
	// The id is the sender's and the conversation's own: others may use the same.
	must(w.raw(t, w.bob, fleet.GRPC).Send(ctx, w.room, id, "bob's"))(t)
	wantEqual(t, "messages", contents(t, w.ann, w.room), []string{"once", "bob's"})
}

// TestP2AnUnansweredSendIsSettledByItsID cuts the answer off.
func TestP2AnUnansweredSendIsSettledByItsID(t *testing.T) {
	onNodes(t, holdsP2AnUnansweredSendIsSettledByItsID)
}

func holdsP2AnUnansweredSendIsSettledByItsID(t *testing.T, w *world) {
	p := faults.NewProxy(t, w.at(w.ann))
	p.Set(func() faults.Wire { return faults.Wire{CutDown: 1} })
	ctx, id := limit(t), uuid.NewString()
	cut := must(w.ann.Raw(ctx, "cut", fleet.JSON, p.URL))(t)
	defer cut.Close()
	if _, err := cut.Send(ctx, w.room, id, "heard?"); err == nil {
		t.Fatal("the answer came through")
	}
	must(w.raw(t, w.ann, fleet.JSON).SendUntilStored(ctx, w.room, id, "heard?", time.Second))(t)
	wantEqual(t, "messages", contents(t, w.ann, w.room), []string{"heard?"})
	w.clean(t)
}
