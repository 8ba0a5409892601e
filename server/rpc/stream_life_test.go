package rpc_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	authv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1"
	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/node"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

// goodbye reads a stream to its end, which has to be a good one, and returns the reason that it gave.
func (s *stream) goodbye() chatv1.GoodbyeReason {
	s.t.Helper()
	g, err := s.end()
	if err != nil {
		s.t.Errorf("after %v the stream ended with %v", g, err)
	}
	return g.GetReason()
}

func (s *stream) wantGoodbye(want chatv1.GoodbyeReason) {
	s.t.Helper()
	if got := s.goodbye(); got != want {
		s.t.Errorf("goodbye for %v, want %v", got, want)
	}
}

// kinds are a Stream, one over a WebSocket, and a Subscribe: how each is opened.
var kinds = []struct {
	name string
	open func(*testing.T, *nodetest.Server, *nodetest.User, *chatv1.Hello) *stream
}{
	{"Stream", func(t *testing.T, s *nodetest.Server, u *nodetest.User, h *chatv1.Hello) *stream {
		t.Helper()
		return open(t, s, binary, u, h)
	}},
	{"WebSocket", func(t *testing.T, s *nodetest.Server, u *nodetest.User, h *chatv1.Hello) *stream {
		t.Helper()
		return open(t, s, nodetest.WebSocket(), u, h)
	}},
	{"Subscribe", func(t *testing.T, s *nodetest.Server, u *nodetest.User, h *chatv1.Hello) *stream {
		t.Helper()
		return subscribe(t, s, binary, u, &chatv1.SubscribeRequest{Hello: h})
	}},
}

// bothKinds runs a test on each of kinds.
func bothKinds(t *testing.T, test func(t *testing.T, open func(*nodetest.Server, *nodetest.User, *chatv1.Hello) *stream)) {
	t.Helper()
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			test(t, func(s *nodetest.Server, u *nodetest.User, h *chatv1.Hello) *stream { return kind.open(t, s, u, h) })
		})
	}
}

func TestTheNewestStreamOfADeviceStays(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	bothKinds(t, func(t *testing.T, open func(*nodetest.Server, *nodetest.User, *chatv1.Hello) *stream) {
		ada := s.SignUp("ada")
		old := open(s, ada, &chatv1.Hello{DeviceId: "phone", Attempt: 5})
		old.until(isCaughtUp)
		other := open(s, ada, &chatv1.Hello{DeviceId: "laptop", Attempt: 1})
		other.until(isCaughtUp)
		newer := open(s, ada, &chatv1.Hello{DeviceId: "phone", Attempt: 7})
		newer.until(isCaughtUp)
		old.wantGoodbye(chatv1.GoodbyeReason_GOODBYE_REASON_SUPERSEDED)
		open(s, ada, &chatv1.Hello{DeviceId: "phone", Attempt: 6}).wantGoodbye(chatv1.GoodbyeReason_GOODBYE_REASON_SUPERSEDED)

		id := direct(t, s, ada, s.SignUp("bob"))
		for _, st := range []*stream{other, newer} {
			st.until(func(e *chatv1.Event) bool { return e.GetSummary().GetConversation().GetId() == id })
		}
	})
}

func TestTheEndOfASessionEndsItsStreams(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	for name, end := range map[string]func(ctx context.Context, own, other *nodetest.User) error{
		"SignOut": func(ctx context.Context, own, _ *nodetest.User) error {
			return failure(s.Auth(binary, own).SignOut(ctx, &authv1.SignOutRequest{}))
		},
		"RevokeSession": func(ctx context.Context, own, other *nodetest.User) error {
			return failure(s.Auth(binary, other).RevokeSession(ctx, &authv1.RevokeSessionRequest{SessionId: own.Session.GetId()}))
		},
		"RevokeAllSessions": func(ctx context.Context, _, other *nodetest.User) error {
			return failure(s.Auth(binary, other).RevokeAllSessions(ctx, &authv1.RevokeAllSessionsRequest{KeepCurrent: true}))
		},
		"ChangePassword": func(ctx context.Context, _, other *nodetest.User) error {
			return failure(s.Auth(binary, other).ChangePassword(ctx, &authv1.ChangePasswordRequest{
				CurrentPassword: other.Password, NewPassword: "a new password",
			}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			bothKinds(t, func(t *testing.T, open func(*nodetest.Server, *nodetest.User, *chatv1.Hello) *stream) {
				own := s.SignUp("ada")
				other := s.SignIn(own)
				ends, stays := open(s, own, &chatv1.Hello{DeviceId: "a"}), open(s, other, &chatv1.Hello{DeviceId: "b"})
				ends.until(isCaughtUp)
				stays.until(isCaughtUp)
				if err := end(within(t), own, other); err != nil {
					t.Fatal(err)
				}
				ends.wantGoodbye(chatv1.GoodbyeReason_GOODBYE_REASON_SESSION_REVOKED)
				direct(t, s, other, s.SignUp("bob"))
				stays.until(func(e *chatv1.Event) bool { return e.GetSummary() != nil })
			})
		})
	}
}

func TestAStreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t, nodetest.Config(func(c *node.Config) { c.Accounts.AccessTokenLife = 10 * time.Second }))
	var users []*nodetest.User
	var streams []*stream
	for _, kind := range kinds { // whose tokens run out together, because one has to last until its stream is open on a slow machine too
		ada := s.SignUp("ada")
		users, streams = append(users, ada), append(streams, kind.open(t, s, ada, &chatv1.Hello{}))
	}
	for i, kind := range kinds {
		ada := users[i]
		streams[i].wantGoodbye(chatv1.GoodbyeReason_GOODBYE_REASON_TOKEN_EXPIRED)
		_, err := s.Auth(binary, ada).GetAccount(within(t), &authv1.GetAccountRequest{})
		want{connect.CodeUnauthenticated, chatv1.ErrorReason_ERROR_REASON_TOKEN_EXPIRED}.check(t, err)
		fresh := must[*authv1.RefreshSessionResponse](t)(s.Auth(binary, nil).RefreshSession(within(t), &authv1.RefreshSessionRequest{
			RefreshToken: ada.Session.GetRefreshToken(),
		}))
		ada.Session = fresh.GetSession()
		kind.open(t, s, ada, &chatv1.Hello{}).until(isCaughtUp)
	}
}

func TestARemovedMemberGetsTheRemovalAndNothingAfter(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	w := newWorld(t, s)
	out, in := live(t, s, w.member), live(t, s, w.admin)
	r := must[*chatv1.RemoveMemberResponse](t)
	r(w.as(w.owner).RemoveMember(t.Context(), &chatv1.RemoveMemberRequest{ConversationId: w.group, UserId: w.member.ID}))
	left := func(e *chatv1.Event) bool { return e.GetMembers().GetMembers()[0].GetUser().GetId() == w.member.ID }
	isLeft := func(e *chatv1.Event) bool { return e.GetMembers() != nil && left(e) }
	removal := out.until(isLeft)
	if got := in.until(isLeft); got.GetSeq() != removal.GetSeq() || got.GetMembers().GetActorId() != w.owner.ID {
		t.Errorf("the others got %v, the removed one %v", got, removal)
	}
	if e := out.next(); e.GetSummary().GetSelf().GetLeftSeq() != removal.GetSeq() || e.GetSummary().GetLastSeq() != 0 || e.GetSummary().GetLastMessage() != nil {
		t.Errorf("after the removal came %v, want a summary that tells of the end and no more", e)
	}
	w.send(w.owner, "behind the back")
	in.until(isMessage("behind the back"))
	out.say(1, ping)
	if e := out.next(); e.GetAck().GetRequestId() != 1 {
		t.Errorf("the removed one got %v", e)
	}

	must[*chatv1.AddMembersResponse](t)(w.as(w.owner).AddMembers(t.Context(), &chatv1.AddMembersRequest{ConversationId: w.group, UserIds: []string{w.member.ID}}))
	if e := out.next(); e.GetSummary().GetSelf().GetLeftSeq() != 0 || e.GetSummary().GetConversation().GetId() != w.group {
		t.Errorf("back again, the first event is %v, want the summary", e)
	}
	w.send(w.owner, "welcome back")
	out.until(isMessage("welcome back"))
}

func TestASilentStreamBeats(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t, nodetest.Config(func(c *node.Config) { c.RPC.Heartbeat = 200 * time.Millisecond }))
	bothKinds(t, func(t *testing.T, open func(*nodetest.Server, *nodetest.User, *chatv1.Hello) *stream) {
		st := open(s, s.SignUp("ada"), &chatv1.Hello{})
		if got := st.next().GetReady().GetHeartbeatInterval().AsDuration(); got != 200*time.Millisecond {
			t.Errorf("ready names a heartbeat of %v", got)
		}
		for range 3 {
			st.until(func(e *chatv1.Event) bool { return e.GetHeartbeat() != nil })
		}
	})
}

func TestAStreamOnWhichTheClientSaysNothingIsClosed(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t, nodetest.Config(func(c *node.Config) { c.RPC.Idle, c.RPC.Heartbeat = 10*time.Second, 400*time.Millisecond }))
	ada := s.SignUp("ada")
	mute := open(t, s, binary, ada, &chatv1.Hello{DeviceId: "mute"})
	listens := subscribe(t, s, binary, ada, &chatv1.SubscribeRequest{Hello: &chatv1.Hello{DeviceId: "listens"}})
	talks := open(t, s, binary, ada, &chatv1.Hello{DeviceId: "talks"})
	beats := make(chan struct{})
	go func() {
		defer close(beats)
		for n := uint64(1); ; n++ { // a ping for each heartbeat, which comes far more often than needed
			e, err := talks.receive()
			if err != nil {
				return
			}
			if e.GetHeartbeat() != nil {
				_ = talks.bidi.Send(&chatv1.StreamRequest{RequestId: n, Request: ping})
			}
			if e.GetGoodbye() != nil {
				t.Errorf("a stream with pings got %v", e)
			}
		}
	}()
	mute.wantGoodbye(chatv1.GoodbyeReason_GOODBYE_REASON_IDLE)
	for range 6 {
		listens.until(func(e *chatv1.Event) bool { return e.GetHeartbeat() != nil })
	}
	talks.cancel()
	<-beats
}

func TestAStreamGetsNewerTokensFromTimeToTime(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t, nodetest.Config(func(c *node.Config) { c.RPC.Checkpoint, c.RPC.Heartbeat = 100*time.Millisecond, 200*time.Millisecond }))
	w := newWorld(t, s)
	st := live(t, s, w.owner)
	for patience := within(t); ; { // a token that was made just when a message came doesn't cover it yet
		w.send(w.member, "something")
		st.until(isMessage("something"))
		token := st.until(isCaughtUp).GetCaughtUp().GetToken()
		if isResumed(t, s, w.owner, token) {
			return
		}
		if patience.Err() != nil {
			t.Fatal("no newer token covers what came before it")
		}
	}
}

func TestADrainSaysGoodbyeWithADelay(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	ada := s.SignUp("ada")
	var streams []*stream
	for _, p := range nodetest.Streams() {
		streams = append(streams,
			open(t, s, p, ada, &chatv1.Hello{DeviceId: "stream-" + p.Name}),
			subscribe(t, s, p, ada, &chatv1.SubscribeRequest{Hello: &chatv1.Hello{DeviceId: "sub-" + p.Name}}))
	}
	for _, st := range streams {
		st.until(isCaughtUp)
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.Stop()
	}()
	delays := make(map[time.Duration]bool)
	for _, st := range streams {
		g, err := st.end()
		if err != nil || g.GetReason() != chatv1.GoodbyeReason_GOODBYE_REASON_DRAIN {
			t.Errorf("got %v, %v, want goodbye for drain and a good end", g, err)
		}
		delays[g.GetReconnectDelay().AsDuration()] = true
	}
	if len(delays) < len(streams)/2 {
		t.Errorf("%d streams are to come back at only %d different times", len(streams), len(delays))
	}
	<-stopped
}

func TestPresenceIsToldToThoseWhoShareAConversation(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	ada, bob, eve := s.SignUp("ada"), s.SignUp("bob"), s.SignUp("eve")
	direct(t, s, ada, bob)
	state := func(u *nodetest.User, want chatv1.PresenceState) func(*chatv1.Event) bool {
		return func(e *chatv1.Event) bool {
			return e.GetPresence().GetUserId() == u.ID && e.GetPresence().GetState() == want
		}
	}
	bothKinds(t, func(t *testing.T, _ func(*nodetest.Server, *nodetest.User, *chatv1.Hello) *stream) {
		var a *stream
		if !strings.HasSuffix(t.Name(), "/Subscribe") {
			a = live(t, s, ada)
			a.say(1, &chatv1.StreamRequest_WatchPresence{WatchPresence: &chatv1.WatchPresenceRequest{UserIds: []string{bob.ID, eve.ID}}})
		} else {
			a = subscribe(t, s, binary, ada, &chatv1.SubscribeRequest{Hello: &chatv1.Hello{}, WatchUserIds: []string{bob.ID, eve.ID}})
		}
		// In either order: what is known waits for catch-up to be over, what is said of a stranger is a reply.
		bobIs, eveIs := state(bob, chatv1.PresenceState_PRESENCE_STATE_OFFLINE), state(eve, chatv1.PresenceState_PRESENCE_STATE_UNKNOWN)
		if bobIs(a.until(func(e *chatv1.Event) bool { return bobIs(e) || eveIs(e) })) {
			a.until(eveIs)
		} else {
			a.until(bobIs)
		}
		e := live(t, s, eve) // which ada isn't told
		b := open(t, s, binary, bob, &chatv1.Hello{Presence: chatv1.PresenceState_PRESENCE_STATE_AWAY})
		a.until(state(bob, chatv1.PresenceState_PRESENCE_STATE_AWAY))
		b.say(1, &chatv1.StreamRequest_SetPresence{SetPresence: &chatv1.SetPresenceRequest{State: chatv1.PresenceState_PRESENCE_STATE_ONLINE}})
		for {
			p := a.until(func(e *chatv1.Event) bool { return e.GetPresence() != nil })
			if p.GetPresence().GetUserId() == eve.ID {
				t.Errorf("a stranger is told %v", p)
			}
			if state(bob, chatv1.PresenceState_PRESENCE_STATE_ONLINE)(p) {
				break
			}
		}
		// Who closes their side in good order is gone at once.
		if err := b.bidi.CloseRequest(); err != nil {
			t.Fatal(err)
		}
		b.wantGoodbye(chatv1.GoodbyeReason_GOODBYE_REASON_UNSPECIFIED)
		offline := a.until(state(bob, chatv1.PresenceState_PRESENCE_STATE_OFFLINE))
		if offline.GetPresence().GetLastSeenTime() == nil {
			t.Error("nothing tells when the user was last seen")
		}
		e.cancel()
	})
}

func TestWhoHasSaidAllGetsAllAnswersAndTheEnd(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	ada, bob := s.SignUp("ada"), s.SignUp("bob")
	id := direct(t, s, ada, bob)
	for _, p := range []nodetest.Protocol{binary, nodetest.WebSocket()} {
		t.Run(p.Name, func(t *testing.T) {
			st := open(t, s, p, ada, &chatv1.Hello{})
			const messages = 300
			for n := range messages {
				st.say(uint64(n+1), sending(id, "x"))
			}
			if err := st.bidi.CloseRequest(); err != nil {
				t.Fatal(err)
			}
			acks, caughtUp := 0, false
			for {
				e, err := st.receive()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if e.GetAck() != nil {
					acks++
				}
				caughtUp = caughtUp || isCaughtUp(e)
			}
			if acks != messages || !caughtUp {
				t.Errorf("%d acks of %d, caught up: %v", acks, messages, caughtUp)
			}
		})
	}
}

func TestTooManyStreamsOfAUserAreRefused(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t, nodetest.Config(func(c *node.Config) { c.Hub.StreamsPerUser = 2 }))
	ada := s.SignUp("ada")
	open(t, s, binary, ada, &chatv1.Hello{DeviceId: "1"}).until(isCaughtUp)
	second := open(t, s, binary, ada, &chatv1.Hello{DeviceId: "2"})
	second.until(isCaughtUp)
	limit := want{connect.CodeResourceExhausted, chatv1.ErrorReason_ERROR_REASON_LIMIT_REACHED}
	_, err := open(t, s, binary, ada, &chatv1.Hello{DeviceId: "3"}).end()
	limit.check(t, err)
	if err := second.bidi.CloseRequest(); err != nil {
		t.Fatal(err)
	}
	second.wantGoodbye(chatv1.GoodbyeReason_GOODBYE_REASON_UNSPECIFIED)
	open(t, s, binary, ada, &chatv1.Hello{DeviceId: "3"}).until(isCaughtUp)
}

func TestAClientMayGoAtAnyMoment(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t) // whose end fails the test if a stream is left
	ada, bob := s.SignUp("ada"), s.SignUp("bob")
	id := direct(t, s, ada, bob)
	for n := range 200 {
		st := dial(t, s, []nodetest.Protocol{binary, nodetest.WebSocket()}[n/100], ada)
		if n%5 > 0 {
			st.say(0, &chatv1.StreamRequest_Hello{Hello: &chatv1.Hello{}})
		}
		if n%5 > 1 {
			st.say(1, sending(id, "on the way out"))
		}
		if n%5 > 2 {
			if err := st.bidi.CloseRequest(); err != nil {
				t.Fatal(err)
			}
		}
		if n%5 > 0 {
			for range n / 5 % 4 { // so much of what it gets it takes
				if _, err := st.receive(); err != nil {
					break
				}
			}
		}
		st.cancel()
	}
}
