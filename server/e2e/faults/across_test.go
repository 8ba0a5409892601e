package faults

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	authv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1"
	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/e2e/fleet"
)

// busy is by how much a promised time may be exceeded here, where the machine may have much else to do.
const busy = 2

// holds notes how long something took, and holds it to a promise.
func holds(t *testing.T, what string, since time.Time, promised time.Duration) {
	t.Helper()
	d := time.Since(since)
	took(what, d)
	if d > busy*promised {
		t.Errorf("%s: took %v; %v are promised", what, d, promised)
	}
}

// TestOneIDFiftyTimesOverTwoNodes has both nodes store one message at the same moment, again and again.
func TestOneIDFiftyTimesOverTwoNodes(t *testing.T) {
	t.Parallel()
	in := StartInstallation(t, InstallationOptions{})
	c := newCrew(t, in, 31, 2, 1)
	sendFiftyTimes(t, c.Fleet, in.Nodes[0].URL, in.Nodes[1].URL)
	judge(t, c.Fleet)
}

// TestManyWritersOverTwoNodes has 64 devices on two nodes write into one conversation, which others follow on both.
func TestManyWritersOverTwoNodes(t *testing.T) {
	t.Parallel()
	in := StartInstallation(t, InstallationOptions{})
	c := newCrew(t, in, 32, 4, 16)
	writeTogether(t, c.Fleet, in.Nodes[1].URL, in.Nodes[0].URL)
	judge(t, c.Fleet)
}

// TestRefusalsComeSoonWithoutPostgres stops and pauses the database. What needs it is refused as temporary, soon, by both nodes; and goes on once it is there.
func TestRefusalsComeSoonWithoutPostgres(t *testing.T) {
	t.Parallel()
	in := StartInstallation(t, InstallationOptions{})
	c := newCrew(t, in, 33, 2, 1)
	faults := []struct {
		name       string
		begin, end func()
	}{
		{"stopped", func() { in.Postgres.Kill(t); c.Recorder.Crashed() }, func() { in.Postgres.Start(t) }},
		{"paused", func() { in.Postgres.Pause(t) }, func() { in.Postgres.Resume(t) }},
	}
	for _, f := range faults {
		f.begin()
		inject("PostgreSQL " + f.name)
		for i, r := range c.senders {
			start := time.Now()
			_, err := r.Send(limit(t), c.room(), uuid.NewString(), "in vain")
			holds(t, "refusal of a send, PostgreSQL "+f.name, start, 2*time.Second)
			if connect.CodeOf(err) != connect.CodeUnavailable {
				t.Errorf("PostgreSQL is %s, and a send over node %d ended with %v", f.name, i, err)
			}
			start = time.Now()
			_, err = r.Page(limit(t), c.room(), 0, 0, 10)
			holds(t, "refusal of a page, PostgreSQL "+f.name, start, 2*time.Second)
			if connect.CodeOf(err) != connect.CodeUnavailable {
				t.Errorf("PostgreSQL is %s, and a page over node %d ended with %v", f.name, i, err)
			}
		}
		f.end()
		c.reach("sends again after PostgreSQL was "+f.name, time.Now())
	}
	judge(t, c.Fleet)
}

// TestRightsEndOnTheOtherNode removes a member and ends a session over one node; their streams on the other one end, also without Redis.
func TestRightsEndOnTheOtherNode(t *testing.T) {
	t.Parallel()
	in := StartInstallation(t, InstallationOptions{})
	c := newCrew(t, in, 34, 3, 1)
	there, guest := in.Nodes[1], c.Users()[2]
	owner := c.Devices()[0] // over node 0
	endRights := func(how string, promised time.Duration) {
		ctx := limit(t)
		d, err := guest.Device(strings.ReplaceAll(how, " ", "-"), fleet.DeviceOptions{URL: there.Clients.URL, OwnSession: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AwaitLive(ctx); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := owner.Remove(ctx, c.room(), guest); err != nil {
			t.Fatal(err)
		}
		Await(t, "the other node tells of the removal", func() bool { return d.Mirror.Head(c.room()) == 0 })
		holds(t, "removal on the other node, "+how, start, promised)
		if err := owner.Add(ctx, c.room(), guest); err != nil {
			t.Fatal(err)
		}
		Await(t, "the other node tells of the return", func() bool { return d.Mirror.Head(c.room()) != 0 })
		stream := d.Record.Current()
		start = time.Now()
		revoke(ctx, t, guest, d)
		Await(t, "the stream on the other node ends", stream.Ended)
		holds(t, "revocation on the other node, "+how, start, promised)
		if reason := stream.Farewell(); reason != "GOODBYE_REASON_SESSION_REVOKED" {
			t.Errorf("%s, the stream ended with %q", how, reason)
		}
		Await(t, "the device knows", func() bool { return errors.Is(d.Ended(), client.ErrSessionEnded) })
	}
	endRights("with Redis", 2*time.Second)
	in.Redis.Kill(t)
	inject("kill Redis")
	endRights("without Redis", 30*time.Second)
	in.Redis.Start(t)
	judge(t, c.Fleet)
}

// revoke ends a device's session by another one of its user, over the fleet's first node.
func revoke(ctx context.Context, t *testing.T, u *fleet.User, d *fleet.Device) {
	t.Helper()
	sessions, err := d.Client.Sessions(ctx)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(sessions, func(s *authv1.SessionInfo) bool { return s.GetCurrent() })
	if _, err := u.Observer().Auth().RevokeSession(ctx, &authv1.RevokeSessionRequest{SessionId: sessions[i].GetId()}); err != nil {
		t.Fatal(err)
	}
}

// TestNodeDiesBetweenCommitAndPublish kills a node, by a point planted there, whenever it has committed a message of which nobody knows yet. The other node finds it
// in the log, and who sent it is told the same seq by whichever node they ask again.
func TestNodeDiesBetweenCommitAndPublish(t *testing.T) {
	t.Parallel()
	in := StartInstallation(t, InstallationOptions{Binary: Binary(t, "plantedbugs"), Env: func(node int) []string {
		if node != 0 {
			return nil
		}
		return []string{"NATTERJACK_PLANTED=die-unpublished"}
	}})
	c := newCrew(t, in, 35, 4, 2)
	dying, deaths := in.Nodes[0], 0
	ctx, done := limit(t), make(chan error, 1)
	go func() { done <- c.Run(ctx, fleet.Work{Seed: 35, Sends: 2500}) }()
	for running := true; running; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			running = false
		case <-time.After(5 * time.Millisecond):
		}
		if dying.Running() {
			continue
		}
		deaths++
		inject("die between commit and publish")
		c.Recorder.Crashed()
		c.reach("the other node when one died before it published", time.Now(), 0)
		dying.Start()
	}
	if deaths == 0 {
		t.Error("the node never died")
	}
	// It may have died of the last message, which was answered over the other node before the end of the process was seen here.
	dying.Kill()
	c.Recorder.Crashed()
	dying.Start()
	judge(t, c.Fleet)
}

// TestPresenceOfNodesThatAreGone has one node killed and another one cut off from Redis. Whose devices were on the first goes offline by itself; of those on
// the second, which is alive, nobody says so.
func TestPresenceOfNodesThatAreGone(t *testing.T) {
	t.Parallel()
	in := StartInstallation(t, InstallationOptions{Nodes: 3})
	c := newCrew(t, in, 36, 3, 1)
	devices, users := c.Devices(), c.Users()
	watcher, killed, unreachable := devices[0], devices[1], devices[2]
	sees := func(d *fleet.Device, u *fleet.User, want chatv1.PresenceState) {
		t.Helper()
		Await(t, d.Name+" sees "+u.Name+" as "+want.String(), func() bool {
			states := d.Mirror.Presence(u.ID)
			return len(states) > 0 && states[len(states)-1] == want
		})
	}
	for _, u := range users {
		sees(watcher, u, chatv1.PresenceState_PRESENCE_STATE_ONLINE)
		sees(unreachable, u, chatv1.PresenceState_PRESENCE_STATE_ONLINE)
	}
	in.Nodes[1].Kill()
	c.Recorder.Crashed()
	inject("kill a node for good")
	in.Nodes[2].Redis.Silence()
	inject("silence between a node and Redis")
	start := time.Now()

	sees(unreachable, users[0], chatv1.PresenceState_PRESENCE_STATE_UNKNOWN)
	holds(t, "users are unknown to a node cut off from Redis", start, 5*time.Second)
	// The lease of 10 s, and the linger of 25 to 30 s in which clients of a killed node may come back unseen.
	sees(watcher, users[1], chatv1.PresenceState_PRESENCE_STATE_OFFLINE)
	holds(t, "users of a killed node are offline", start, 45*time.Second)
	sees(watcher, users[2], chatv1.PresenceState_PRESENCE_STATE_UNKNOWN)
	in.Nodes[2].Redis.Mend()
	start = time.Now()
	sees(watcher, users[2], chatv1.PresenceState_PRESENCE_STATE_ONLINE)
	sees(unreachable, users[0], chatv1.PresenceState_PRESENCE_STATE_ONLINE)
	holds(t, "presence is right again", start, 5*time.Second)
	for _, d := range []*fleet.Device{watcher, unreachable} {
		for _, u := range []*fleet.User{users[0], users[2]} {
			states := d.Mirror.Presence(u.ID)
			since := slices.Index(states, chatv1.PresenceState_PRESENCE_STATE_ONLINE) // before that, the devices were connecting
			if slices.Contains(states[since:], chatv1.PresenceState_PRESENCE_STATE_OFFLINE) {
				t.Errorf("%s was told of %s, who is connected: %v", d.Name, u.Name, states)
			}
		}
	}
	if err := killed.Close(); err != nil {
		t.Error(err)
	}
	judge(t, c.Fleet)
}
