package faults

import (
	"fmt"
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
		want  history.Invariant
		disk  int
		do    func(*testing.T, *victim)
	}{
		{planted.AckBeforeCommit, history.AckedStored, 32 << 20, sendToFullDisk},
		{planted.SeqOutsideLock, history.InOrder, 0, sendTwice},
		{planted.DropBatches, history.InOrder, 0, sendAlone},
		{planted.RetryStoresAgain, history.Once, 0, sendTwice},
		{planted.FanOutReordered, history.InOrder, 0, sendMany},
		{planted.StaleMembership, history.RemovedHears, 0, removeAndSend},
		{planted.PageOffByOne, history.WholePages, 0, readBack},
		{planted.ResumeFromNext, history.ExactResume, 0, missSome},
		{planted.RemovedStays, history.RemovedHears, 0, removeAndSend},
		{planted.ReceiptGoesBack, history.MarksGrow, 0, runScripts},
	}
	for _, tt := range tests {
		for _, binary := range []string{"plantedbugs", ""} {
			t.Run(fmt.Sprintf("%s/with=%t", tt.fault, binary != ""), func(t *testing.T) {
				s := Start(t, Options{Binary: Binary(t, binary), Env: []string{"NATTERJACK_PLANTED=" + string(tt.fault)}, DiskBytes: tt.disk})
				v := newVictim(t, s.URL)
				v.server = s
				tt.do(t, v)
				if binary == "" {
					judge(t, v.Fleet)
					return
				}
				v.wantFound(t, tt.want)
			})
		}
	}
}

// TestCheckerFindsPlantedFaultsOverTwoNodes does the same with faults that are different, or harder to see, where users are on several nodes. That nothing is found
// without them is what all other tests over two nodes show.
func TestCheckerFindsPlantedFaultsOverTwoNodes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		fault planted.Name
		want  history.Invariant
		do    func(*testing.T, *victim)
	}{
		{planted.DropFrames, history.InOrder, sendAlone},
		{planted.StaleMembership, history.RemovedHears, removeAndSend},
		{planted.FanOutReordered, history.InOrder, sendMany},
	}
	for _, tt := range tests {
		t.Run(string(tt.fault), func(t *testing.T) {
			in := StartInstallation(t, InstallationOptions{
				Binary: Binary(t, "plantedbugs"), Env: func(int) []string { return []string{"NATTERJACK_PLANTED=" + string(tt.fault)} },
			})
			v := newVictim(t, in.Nodes[0].URL, in.Nodes[1].URL)
			tt.do(t, v)
			v.wantFound(t, tt.want)
		})
	}
}

// victim is what a planted fault is looked for in: three users with a device each, the first one on the first node and the others on the last.
type victim struct {
	*fleet.Fleet
	server *Server // the only one; nil: there are several
	urls   []string
}

func newVictim(t *testing.T, urls ...string) *victim {
	t.Helper()
	v := &victim{urls: urls}
	v.Fleet = populated(t, urls[0], fleet.Shape{Users: 3, Devices: 1, Options: func(user, _ int) fleet.DeviceOptions {
		return fleet.DeviceOptions{URL: v.at(user)}
	}})
	if err := v.AwaitLive(limit(t)); err != nil {
		t.Fatal(err)
	}
	return v
}

// at returns the URL of a user's node.
func (v *victim) at(user int) string {
	if user == 0 {
		return v.urls[0]
	}
	return v.urls[len(v.urls)-1]
}

// wantFound expects that the checker names a fault by what it breaks, once that has come: what is not to come, nothing waits for.
func (v *victim) wantFound(t *testing.T, want history.Invariant) {
	t.Helper()
	for deadline := time.Now().Add(Patience); ; {
		run, err := v.Settle(limit(t), plantedPatience)
		if err != nil {
			t.Fatal(err)
		}
		r := history.Check(run)
		if r.Count(want) > 0 {
			t.Logf("found: %v, for example %v", r.Broken(), r.Violations[0])
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("want %v, got: %v", want, r)
		}
	}
}

// raw returns a device of a user, at their node, without the Go client, which would hide much.
func (v *victim) raw(t *testing.T, user int) *fleet.Raw {
	t.Helper()
	r, err := v.Users()[user].Raw(limit(t), "raw", fleet.Connect, v.at(user))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func sendToFullDisk(t *testing.T, v *victim) {
	r := v.raw(t, 0)
	remove := v.server.Ballast()
	_ = fill(limit(t), r, v.Rooms()[0], 300) // with the fault, nothing is ever refused
	remove()
}

func sendTwice(t *testing.T, v *victim) {
	r := v.raw(t, 0)
	for range 5 {
		id := uuid.NewString()
		for range 2 {
			if _, err := r.Send(limit(t), v.Rooms()[0], id, "twice"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func sendMany(t *testing.T, v *victim) {
	if err := v.Run(limit(t), fleet.Work{Seed: 13, Sends: 2500, Pipeline: 2}); err != nil {
		t.Fatal(err)
	}
}

// sendAlone sends one message after another, so that each is a batch of its own.
func sendAlone(t *testing.T, v *victim) {
	if err := v.RunOn(limit(t), v.Devices()[:1], fleet.Work{Seed: 14, Sends: 1100, Pipeline: 1, SendOnly: true}); err != nil {
		t.Fatal(err)
	}
}

func removeAndSend(t *testing.T, v *victim) {
	ctx, room, owner, guest := limit(t), v.Rooms()[0], v.Devices()[0], v.raw(t, 2)
	if _, err := guest.Send(ctx, room, uuid.NewString(), "as a member"); err != nil {
		t.Fatal(err)
	}
	if err := owner.Remove(ctx, room, v.Users()[2]); err != nil {
		t.Fatal(err)
	}
	_, _ = guest.Send(ctx, room, uuid.NewString(), "as none") // refused, but for the fault
	if _, err := owner.SendWait(ctx, room, "among us"); err != nil {
		t.Fatal(err)
	}
}

func readBack(t *testing.T, v *victim) {
	ctx, room, d := limit(t), v.Rooms()[0], v.Devices()[0]
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

func missSome(t *testing.T, v *victim) {
	ctx, room, d := limit(t), v.Rooms()[0], v.Devices()[0]
	at := fleet.Place{Conversation: room, Seq: 2} // how the group was made
	r := v.raw(t, 1)
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

// runScripts has users mark back, among what else scripts do.
func runScripts(t *testing.T, v *victim) { scripts(t, v.Fleet, v.urls[0], 8)() }
