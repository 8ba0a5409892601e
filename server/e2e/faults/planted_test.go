package faults

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/e2e/fleet"
	"github.com/natterjack-chat/natterjack/server/e2e/history"
	"github.com/natterjack-chat/natterjack/server/internal/planted"
)

// plantedPatience is how long a server with a planted fault has for coming to rest, which it may never do.
const plantedPatience = 3 * time.Second

// TestCheckerFindsPlantedFaults runs, for each known fault, the shortest history that shows it: against a server that has the fault,
// where the checker has to name it, and against one that hasn't, where it has to find nothing.
func TestCheckerFindsPlantedFaults(t *testing.T) {
	tests := []struct {
		fault planted.Name
		want  []history.Invariant // one of them
		disk  int
		do    func(*testing.T, *Server, *fleet.Fleet)
	}{
		{planted.AckBeforeCommit, []history.Invariant{history.AckedStored}, 32 << 20, sendToFullDisk},
		{planted.SeqOutsideLock, []history.Invariant{history.InOrder}, 0, sendTwice},
		{planted.DropBatches, []history.Invariant{history.InOrder}, 0, sendAlone},
		{planted.RetryStoresAgain, []history.Invariant{history.Once}, 0, sendTwice},
		{planted.FanOutReordered, []history.Invariant{history.InOrder}, 0, sendMany},
		{planted.StaleMembership, []history.Invariant{history.RemovedHears}, 0, removeAndSend},
		{planted.PageOffByOne, []history.Invariant{history.WholePages}, 0, readBack},
		{planted.ResumeFromNext, []history.Invariant{history.ExactResume}, 0, missSome},
		{planted.RemovedStays, []history.Invariant{history.RemovedHears}, 0, removeAndSend},
		{planted.ReceiptGoesBack, []history.Invariant{history.MarksGrow}, 0, markBack},
	}
	for _, tt := range tests {
		for _, binary := range []string{"plantedbugs", ""} {
			t.Run(fmt.Sprintf("%s/with=%t", tt.fault, binary != ""), func(t *testing.T) {
				s := Start(t, Options{Binary: Binary(t, binary), Env: []string{"NATTERJACK_PLANTED=" + string(tt.fault)}, DiskBytes: tt.disk})
				f := populated(t, s.URL, fleet.Shape{Users: 3, Devices: 1})
				if err := f.AwaitLive(limit(t)); err != nil {
					t.Fatal(err)
				}
				tt.do(t, s, f)
				if binary == "" {
					judge(t, f)
					return
				}
				run, err := f.Settle(limit(t), plantedPatience)
				if err != nil {
					t.Fatal(err)
				}
				r := history.Check(run)
				if !slices.ContainsFunc(tt.want, func(i history.Invariant) bool { return r.Count(i) > 0 }) {
					t.Fatalf("want one of %v, got: %v", tt.want, r)
				}
				t.Logf("found: %v, for example %v", r.Broken(), r.Violations[0])
			})
		}
	}
}

// raw returns a device of the first user without the Go client, which would hide much.
func raw(t *testing.T, u *fleet.User) *fleet.Raw {
	t.Helper()
	r, err := u.Raw(limit(t), "raw", fleet.Connect, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func sendToFullDisk(t *testing.T, s *Server, f *fleet.Fleet) {
	r := raw(t, f.Users()[0])
	remove := s.Ballast()
	_ = fill(limit(t), r, f.Rooms()[0], 300) // with the fault, nothing is ever refused
	remove()
}

func sendTwice(t *testing.T, _ *Server, f *fleet.Fleet) {
	r := raw(t, f.Users()[0])
	for range 5 {
		id := uuid.NewString()
		for range 2 {
			if _, err := r.Send(limit(t), f.Rooms()[0], id, "twice"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func sendMany(t *testing.T, _ *Server, f *fleet.Fleet) {
	if err := f.Run(limit(t), fleet.Work{Seed: 13, Sends: 2500, Pipeline: 2}); err != nil {
		t.Fatal(err)
	}
}

// sendAlone sends one message after another, so that each is a batch of its own.
func sendAlone(t *testing.T, _ *Server, f *fleet.Fleet) {
	if err := f.RunOn(limit(t), f.Devices()[:1], fleet.Work{Seed: 14, Sends: 1100, Pipeline: 1, SendOnly: true}); err != nil {
		t.Fatal(err)
	}
}

func removeAndSend(t *testing.T, _ *Server, f *fleet.Fleet) {
	ctx, room, owner, guest := limit(t), f.Rooms()[0], f.Devices()[0], raw(t, f.Users()[2])
	if _, err := guest.Send(ctx, room, uuid.NewString(), "as a member"); err != nil {
		t.Fatal(err)
	}
	if err := owner.Remove(ctx, room, f.Users()[2]); err != nil {
		t.Fatal(err)
	}
	_, _ = guest.Send(ctx, room, uuid.NewString(), "as none") // refused, but for the fault
	if _, err := owner.SendWait(ctx, room, "among us"); err != nil {
		t.Fatal(err)
	}
}

func readBack(t *testing.T, _ *Server, f *fleet.Fleet) {
	ctx, room, d := limit(t), f.Rooms()[0], f.Devices()[0]
	for i := range 12 {
		if _, err := d.SendWait(ctx, room, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	for before := int64(0); ; {
		page, err := d.Page(ctx, room, client.Page{Before: before, Limit: 5})
		if err != nil {
			t.Fatal(err)
		}
		if !page.GetHasMore() {
			return
		}
		before = page.GetMessages()[0].GetSeq()
	}
}

func missSome(t *testing.T, _ *Server, f *fleet.Fleet) {
	ctx, room, d := limit(t), f.Rooms()[0], f.Devices()[0]
	at := fleet.Place{Conversation: room, Seq: 2} // how the group was made
	r := raw(t, f.Users()[1])
	for i := range 5 {
		if _, err := d.SendWait(ctx, room, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	if err := r.Follow(ctx, &at, func() bool { n++; return n < 3 }); err != nil {
		t.Fatal(err)
	}
}

func markBack(t *testing.T, _ *Server, f *fleet.Fleet) {
	ctx, room, r := limit(t), f.Rooms()[0], raw(t, f.Users()[1])
	var seqs []int64
	for i := range 4 {
		seq, err := f.Devices()[0].SendWait(ctx, room, fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, seq)
	}
	for _, i := range []int{3, 1} {
		if _, err := r.MarkRead(ctx, room, seqs[i]); err != nil {
			t.Fatal(err)
		}
	}
}
