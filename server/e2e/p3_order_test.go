package e2e

import (
	"context"
	"sync"
	"testing"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/e2e/fleet"
)

// TestP3OneOrderForAll lets all write and change at once. Every device, live or afterwards, gets the same events under the same seqs 1, 2, 3 …
func TestP3OneOrderForAll(t *testing.T) { onNodes(t, holdsP3OneOrderForAll) }

func holdsP3OneOrderForAll(t *testing.T, w *world) {
	ctx := limit(t)
	const changes = 5 // of each device, beside as many messages
	var writing sync.WaitGroup
	for _, d := range w.Devices() {
		writing.Go(func() {
			for range changes {
				seq, err := d.SendWait(ctx, w.room, "first")
				if err == nil {
					err = d.Edit(ctx, w.room, seq, "second")
				}
				if err == nil {
					err = d.React(ctx, w.room, seq, "🐸", true)
				}
				if err == nil {
					err = d.Delete(ctx, w.room, seq)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	const head = 2 + 3*changes*4
	w.clean(t)
	want := follow(ctx, t, w.raw(t, w.ann, fleet.Connect), w.room, 0, head)
	for i, seq := range want {
		if seq != int64(i+1) {
			t.Fatalf("seq %d is event %d", seq, i+1)
		}
	}
	for _, u := range w.Users() {
		wantEqual(t, "the seqs that "+u.Name+" gets", follow(ctx, t, w.raw(t, u, fleet.GRPCWeb), w.room, 0, head), want)
	}
}

// follow resumes a one-way stream after a seq and returns the seqs that come, up to another.
func follow(ctx context.Context, t *testing.T, r *fleet.Raw, room string, after, upTo int64) []int64 {
	t.Helper()
	hello := &chatv1.Hello{DeviceId: "follower", Positions: []*chatv1.Position{{ConversationId: room, Seq: after}}}
	var seqs []int64
	err := r.Subscribe(ctx, hello, func(e *chatv1.Event) bool {
		if e.GetConversationId() == room && e.GetSeq() > 0 {
			seqs = append(seqs, e.GetSeq())
		}
		return e.GetCaughtUp() == nil && len(seqs) < int(upTo-after)
	})
	if err != nil {
		t.Fatal(err)
	}
	return seqs
}
