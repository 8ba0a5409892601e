package e2e

import (
	"context"
	"testing"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/e2e/faults"
	"github.com/natterjack-chat/natterjack/server/e2e/fleet"
)

// TestP9TypingIsShownAndNotStored shows typing to the others, not to the one who types, and leaves nothing behind.
func TestP9TypingIsShownAndNotStored(t *testing.T) { onNodes(t, holdsP9TypingIsShownAndNotStored) }

func holdsP9TypingIsShownAndNotStored(t *testing.T, w *world) {
	bob, ann := listen(t, w.raw(t, w.bob, fleet.Connect)), listen(t, w.raw(t, w.ann, fleet.Connect))
	// A stream is live only a moment after it has said that it has caught up, and until then typing is left out. What comes next is proof.
	first := say(t, w.evePhone, w.room, "do you hear me?")[0]
	for _, l := range []*ear{bob, ann} {
		l.next(t, func(e *chatv1.Event) bool { return e.GetSeq() == first })
	}
	w.annPhone.Client.SetTyping(w.room, true)
	typing := bob.next(t, func(e *chatv1.Event) bool { return e.GetTyping() != nil }).GetTyping()
	if typing.GetConversationId() != w.room || typing.GetUserId() != w.ann.ID || !typing.GetTyping() {
		t.Fatalf("bob sees %v", typing)
	}
	say(t, w.annPhone, w.room, "typed")
	e := ann.next(t, func(e *chatv1.Event) bool { return e.GetTyping() != nil || e.GetSeq() > 0 })
	if e.GetTyping() != nil {
		t.Error("ann is shown her own typing")
	}
	if e.GetSeq() != first+1 {
		t.Errorf("the message has seq %d after %d: typing has taken one", e.GetSeq(), first)
	}
	w.clean(t)
}

// TestP9PresenceFollowsDevices shows users online while a device of theirs is, also over a restart of the server.
func TestP9PresenceFollowsDevices(t *testing.T) {
	t.Parallel() // it waits for the linger
	s := faults.Start(t, faults.Options{})
	w, p := newWorld(t, s.URL), faults.NewProxy(t, s.URL)
	if err := w.annPhone.Client.WatchPresence(w.bob.ID, w.eve.ID); err != nil {
		t.Fatal(err)
	}
	sees := func(u *fleet.User, online bool) {
		t.Helper()
		faults.Await(t, "ann sees "+u.Name+" as it is", func() bool { return w.annPhone.Mirror.Online(u.ID) == online })
	}
	sees(w.bob, true)
	sees(w.eve, true)
	tablet := must(w.bob.Device("tablet", fleet.DeviceOptions{URL: p.URL}))(t)
	faults.Await(t, "the tablet is live", tablet.Mirror.Live)
	if err := w.bobPhone.Close(); err != nil {
		t.Fatal(err)
	}
	say(t, w.evePhone, w.room, "bob still has a tablet")
	if !w.annPhone.Mirror.Online(w.bob.ID) {
		t.Error("bob is offline, with a tablet connected")
	}
	p.Close() // the tablet dies without a word
	sees(w.bob, false)

	s.Kill()
	s.Start()
	sees(w.eve, true)
	sees(w.bob, false)
	if err := w.evePhone.Close(); err != nil {
		t.Fatal(err)
	}
	sees(w.eve, false)
}

// ear is a one-way stream that is listened to.
type ear struct{ events chan *chatv1.Event }

// listen opens a stream and returns once it has caught up; it ends with the test.
func listen(t *testing.T, r *fleet.Raw) *ear {
	t.Helper()
	l := &ear{make(chan *chatv1.Event, 1000)}
	ctx, cancel := context.WithCancel(limit(t))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.Subscribe(ctx, &chatv1.Hello{DeviceId: "ear"}, func(e *chatv1.Event) bool { l.events <- e; return true })
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	l.next(t, func(e *chatv1.Event) bool { return e.GetCaughtUp() != nil })
	return l
}

// next returns the next event of a kind.
func (l *ear) next(t *testing.T, want func(*chatv1.Event) bool) *chatv1.Event {
	t.Helper()
	ctx := limit(t)
	for {
		select {
		case e := <-l.events:
			if want(e) {
				return e
			}
		case <-ctx.Done():
			t.Fatal("the event doesn't come")
		}
	}
}
