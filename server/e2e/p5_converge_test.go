package e2e

import (
	"testing"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/e2e/faults"
	"github.com/natterjack-chat/natterjack/server/e2e/fleet"
)

// TestP5WhoWasAwayEndsWithAFreshFetch lets a device miss one of everything that can happen. It comes back with what it had, and ends with what a new
// client fetches.
func TestP5WhoWasAwayEndsWithAFreshFetch(t *testing.T) {
	onNodes(t, holdsP5WhoWasAwayEndsWithAFreshFetch)
}

func holdsP5WhoWasAwayEndsWithAFreshFetch(t *testing.T, w *world) {
	ctx := limit(t)
	seqs := say(t, w.annPhone, w.room, "to be edited", "to be deleted", "to be liked")
	checkpoint := client.FileCheckpoint(t.TempDir() + "/checkpoint.json")
	away := must(w.bob.Device("tablet", fleet.DeviceOptions{URL: w.at(w.bob), Checkpoint: checkpoint}))(t)
	faults.Await(t, "the tablet has the messages", func() bool { return away.Mirror.Head(w.room) == seqs[2] && away.Mirror.Live() })
	if err := away.Close(); err != nil {
		t.Fatal(err)
	}

	dan := must(w.SignUp(ctx, "dan"))(t)
	for what, err := range map[string]error{
		"edit":   w.annPhone.Edit(ctx, w.room, seqs[0], "edited"),
		"delete": w.annPhone.Delete(ctx, w.room, seqs[1]),
		"react":  w.evePhone.React(ctx, w.room, seqs[2], "🐸", true),
		"add":    w.annPhone.Add(ctx, w.room, dan),
		"remove": w.annPhone.Remove(ctx, w.room, w.eve),
		"rename": second(w.annPhone.Client.Rename(ctx, w.room, "Us, but eve")),
		"role":   second(w.annPhone.Client.UpdateMember(ctx, w.room, dan.ID, chatv1.MemberRole_MEMBER_ROLE_ADMIN)),
		"direct": second(w.ann.Direct(ctx, w.bob)),
		"group":  second(w.bob.Group(ctx, "Made meanwhile", dan)),
	} {
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	say(t, w.annPhone, w.room, "and something new")
	must(w.raw(t, dan, fleet.JSON).MarkRead(ctx, w.room, seqs[2]))(t)

	must(w.bob.Device("tablet", fleet.DeviceOptions{URL: w.at(w.bob), Checkpoint: checkpoint, Continue: away}))(t)
	w.clean(t)
}

func second[T any](_ T, err error) error { return err }
