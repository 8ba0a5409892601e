package hub

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

const (
	alice chat.UserID = 1
	bob   chat.UserID = 2
	carol chat.UserID = 3
)

func TestEventsReachTheStreamsOfTheConversationInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c, other := conv(0, 1), conv(0, 2)
		h := startHub(t, log, nil)
		synctest.Wait()
		a, b := live(t, h, alice, c, other), live(t, h, bob, c)
		h.Publish(log.commit(message(c), message(other), message(c)))
		h.Publish(log.commit(message(c)))
		wantTaken(t, a, "event 1 1, event 2 1, event 1 2, event 1 3")
		wantTaken(t, b, "event 1 1, event 1 2, event 1 3")
	})
}

func TestAnEventIsEncodedOnceAndOnlyIfSomebodyListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		h := startHub(t, log, func(c *Config) { c.Encoder = &countingEncoder{} })
		enc := h.encoder.(*countingEncoder)
		synctest.Wait()
		h.Publish(log.commit(message(c)))
		synctest.Wait()
		if enc.events != 0 {
			t.Fatalf("%d events encoded for nobody", enc.events)
		}
		a, b := live(t, h, alice, c), live(t, h, bob, c)
		h.Publish(log.commit(message(c)))
		synctest.Wait()
		fa, fb := taken(a), taken(b)
		if fa[0] != fb[0] || enc.events != 1 {
			t.Fatalf("frames differ or %d encodings, want one shared", enc.events)
		}
		if string(fa[0].JSON()) != `"event 1 2\n"` || &fa[0].JSON()[0] != &fb[0].JSON()[0] || enc.jsons != 1 {
			t.Fatalf("JSON %s encoded %d times", fa[0].JSON(), enc.jsons)
		}
	})
}

type countingEncoder struct {
	textEncoder
	events, jsons int
}

func (e *countingEncoder) Event(ev chat.Event) []byte {
	e.events++
	return e.textEncoder.Event(ev)
}

func (e *countingEncoder) JSON(p []byte) []byte {
	e.jsons++
	return e.textEncoder.JSON(p)
}

func TestReceiptsOfLargeConversationsReachTheMembersOwnStreamsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		h := startHub(t, log, nil)
		synctest.Wait()
		a1, a2, b := live(t, h, alice, c), live(t, h, alice, c), live(t, h, bob, c)
		h.Publish(log.commitReceipts(chat.Receipt{Conversation: c, User: alice, ReadSeq: 5, Members: 200}))
		h.Publish(log.commitReceipts(chat.Receipt{Conversation: c, User: alice, ReadSeq: 6, Members: 201}))
		wantTaken(t, a1, "receipt 1 5 1, receipt 1 6 1")
		wantTaken(t, a2, "receipt 1 5 1, receipt 1 6 1")
		wantTaken(t, b, "receipt 1 5 1")
	})
}

func TestTypingReachesTheOthersOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := conv(0, 1)
		h := startHub(t, newMemoryLog(), nil)
		synctest.Wait()
		a1, a2, b := live(t, h, alice, c), live(t, h, alice, c), live(t, h, bob, c)
		h.Typing(c, alice, true)
		h.Typing(conv(0, 9), alice, true)
		wantTaken(t, a1, "")
		wantTaken(t, a2, "")
		wantTaken(t, b, "typing 1 1 true")
	})
}

func TestPresenceReachesWatchers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startHub(t, newMemoryLog(), nil)
		synctest.Wait()
		s := live(t, h, alice)
		s.Watch([]chat.UserID{bob, carol})
		h.PresenceChanged(chat.PresenceInfo{User: bob, State: chat.PresenceOnline})
		// What was read before the change was told must not undo it.
		s.Present([]chat.PresenceInfo{{User: bob, State: chat.PresenceOffline}, {User: carol, State: chat.PresenceAway}})
		wantTaken(t, s, "presence 2 1, presence 3 2")
		s.Watch([]chat.UserID{carol})
		h.PresenceChanged(chat.PresenceInfo{User: bob, State: chat.PresenceOffline})
		h.PresenceChanged(chat.PresenceInfo{User: carol, State: chat.PresenceOffline})
		wantTaken(t, s, "presence 3 3")
		s.Close()
		s.Watch([]chat.UserID{bob})
		if n := len(h.watch.streams); n != 0 {
			t.Fatalf("%d users are watched by a closed stream", n)
		}
	})
}

func TestMembershipChangesTakeEffectAtTheirEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		h := startHub(t, log, nil)
		synctest.Wait()
		a, b := live(t, h, alice, c), live(t, h, bob)
		h.Publish(log.commit(message(c), joining(c, bob), message(c), leaving(c, bob), message(c)))
		h.Publish(log.commit(message(c)))
		wantTaken(t, a, "event 1 1, event 1 2, event 1 3, event 1 4, event 1 5, event 1 6")
		wantTaken(t, b, "summary 1, event 1 2, event 1 3, event 1 4, summary 1")
		h.Publish(log.commit(joining(c, bob)))
		h.Publish(log.commit(message(c)))
		wantTaken(t, b, "summary 1, event 1 7, event 1 8")
	})
}

func TestFoundersGetTheEventsOfTheFoundation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		h := startHub(t, log, nil)
		synctest.Wait()
		s := live(t, h, alice)
		b := log.commit(message(c), message(c))
		b.Events[1].Members = []chat.MemberInfo{{Member: chat.Member{Conversation: c, User: alice, JoinedSeq: 1}}}
		h.Publish(b)
		wantTaken(t, s, "summary 1, event 1 1, event 1 2")
	})
}

func TestAJoinThatTheListHadAlreadyIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		h := startHub(t, log, nil)
		synctest.Wait()
		s := open(t, h, Options{Caller: caller(bob)})
		s.Attach([]chat.ConversationID{c}) // read when the join was stored, and the hub hadn't got it yet
		h.Publish(log.commit(joining(c, bob), message(c)))
		synctest.Wait()
		s.Live(map[chat.ConversationID]chat.Seq{})
		wantTaken(t, s, "summary 1, event 1 1, event 1 2")
	})
}

func TestARoleChangeIsNoJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		log.commit(joining(c, alice))
		h := startHub(t, log, nil)
		synctest.Wait()
		attached, stranger := live(t, h, alice, c), live(t, h, alice)
		b := log.commit(message(c))
		b.Events[0].Members = []chat.MemberInfo{{Member: chat.Member{Conversation: c, User: alice, JoinedSeq: 1}}}
		h.Publish(b)
		wantTaken(t, attached, "event 1 2")
		wantTaken(t, stranger, "")
	})
}

func TestMembershipSeenSinceOpenOverridesTheList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		left, joined, both := conv(0, 1), conv(0, 2), conv(0, 3)
		h := startHub(t, log, nil)
		synctest.Wait()
		s := open(t, h, Options{Caller: caller(bob)})
		list := []chat.ConversationID{left, both} // read now, of use later
		h.Publish(log.commit(leaving(left, bob), joining(joined, bob), leaving(both, bob), joining(both, bob)))
		synctest.Wait()
		s.Attach(list)
		h.Publish(log.commit(message(left), message(joined), message(both)))
		synctest.Wait()
		s.Live(map[chat.ConversationID]chat.Seq{})
		wantTaken(t, s, "resync 1 0, summary 2, event 2 1, resync 3 0, summary 3, event 3 2, event 2 2, event 3 3")
	})
}

func TestWhatComesDuringCatchUpFollowsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c, d := conv(0, 1), conv(0, 2)
		h := startHub(t, log, nil)
		synctest.Wait()
		s := open(t, h, Options{Caller: caller(alice)})
		s.Attach([]chat.ConversationID{c, d})
		h.Publish(log.commit(message(c), message(c), message(d)))
		h.Typing(c, bob, true)
		h.Publish(log.commitReceipts(chat.Receipt{Conversation: c, User: bob, ReadSeq: 1}, chat.Receipt{Conversation: c, User: bob, ReadSeq: 2}))
		synctest.Wait()
		mustEmit(t, s, "old 1 1")
		s.Reply(NewFrame(h.encoder, []byte("ack\n")))
		wantTaken(t, s, "old 1 1, ack")
		h.Publish(log.commit(message(c)))
		synctest.Wait()
		// Event 4 is in the log, but the hub hasn't got it yet when catch-up reads it.
		late := log.commit(message(c))
		mustEmit(t, s, "old 1 2", "old 1 3", "old 1 4")
		s.Live(map[chat.ConversationID]chat.Seq{c: 4})
		s.Live(map[chat.ConversationID]chat.Seq{c: 1})
		h.Publish(late)
		h.Publish(log.commit(message(c)))
		wantTaken(t, s, "old 1 2, old 1 3, old 1 4, event 2 1, event 1 5, receipt 1 2 2")
	})
}

func TestCheckpointIsHeldBackWhileSomethingIsOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		h := startHub(t, log, limited(func(l *Limits) { l.QueueFrames = 4 }))
		synctest.Wait()
		s := open(t, h, Options{Caller: caller(alice)})
		s.Attach([]chat.ConversationID{c})
		checkpoint := func(p chat.Positions) *Frame {
			return NewFrame(h.encoder, textEncoder{}.Resync(0, chat.Seq(p.Nos[0])))
		}
		if s.Checkpoint(checkpoint) {
			t.Fatal("checkpoint before the catch-up was over")
		}
		s.Live(nil)
		h.Publish(log.commit(message(c), message(c), message(c), message(c), message(c)))
		synctest.Wait()
		if s.Checkpoint(checkpoint) {
			t.Fatal("checkpoint while a resync is owed")
		}
		wantTaken(t, s, "event 1 1, event 1 2, event 1 3, event 1 4, resync 1 5")
		if !s.Checkpoint(checkpoint) {
			t.Fatal("no checkpoint on a stream that owes nothing")
		}
		wantTaken(t, s, "resync 0 1")
		s.Close()
		if s.Checkpoint(checkpoint) {
			t.Fatal("checkpoint on a closed stream")
		}
	})
}

func TestTheWriterIsWokenForWhatItTakesUntilTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startHub(t, newMemoryLog(), nil)
		synctest.Wait()
		woken := 0
		s := open(t, h, Options{Caller: caller(alice), Device: "phone", Wake: func() { woken++ }})
		s.Live(nil)
		wantWoken := func(why string, do func()) {
			t.Helper()
			if got, err := s.Take(nil); err != nil || len(got) > 0 {
				t.Fatalf("Take on a silent stream = %q, %v", short(got), err)
			}
			before := woken
			if do(); woken == before {
				t.Fatalf("the writer isn't woken for %s", why)
			}
		}
		wantWoken("a reply", func() { s.Reply(NewFrame(h.encoder, []byte("ack\n"))) })
		buf := make([]*Frame, 3)
		got, err := s.Take(buf)
		if err != nil || short(got) != "ack" || &got[0] != &buf[0] {
			t.Fatalf("Take = %q, %v", short(got), err)
		}
		wantWoken("the end", func() { s.End(GoodbyeIdle, time.Second) })
		if got, err = s.Take(nil); err != nil || short(got) != "goodbye 6 1000000000" {
			t.Fatalf("Take = %q, %v", short(got), err)
		}
		if _, err = s.Take(nil); !errors.Is(err, ErrClosed) {
			t.Fatalf("Take after the goodbye: %v", err)
		}
		s.Close()
		s.Close()
		if _, err = s.Take(nil); !errors.Is(err, ErrClosed) {
			t.Fatalf("Take after Close: %v", err)
		}
	})
}

func TestTheWriterIsWokenForAClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startHub(t, newMemoryLog(), nil)
		synctest.Wait()
		woken := false
		s := open(t, h, Options{Caller: caller(alice), Device: "phone", Wake: func() { woken = true }})
		if s.Close(); !woken {
			t.Error("a writer that is to end doesn't hear of it")
		}
		if _, err := s.Take(nil); !errors.Is(err, ErrClosed) {
			t.Errorf("Take after Close: %v", err)
		}
	})
}

func TestEmitWaitsForRoomAndEndsWithTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startHub(t, newMemoryLog(), limited(func(l *Limits) { l.QueueFrames = 4 }))
		synctest.Wait()
		s := open(t, h, Options{Caller: caller(alice)})
		frame := func() *Frame { return NewFrame(h.encoder, []byte("old 1 1\n")) }
		done := make(chan error, 1)
		go func() { done <- s.Emit(context.Background(), frame(), frame(), frame(), frame(), frame()) }()
		wantTaken(t, s, "old 1 1, old 1 1")
		wantTaken(t, s, "old 1 1, old 1 1")
		wantTaken(t, s, "old 1 1")
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { done <- s.Emit(ctx, frame(), frame(), frame()) }()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Fatalf("Emit: %v", err)
		}
		go func() { done <- s.Emit(context.Background(), frame()) }()
		synctest.Wait()
		s.Close()
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Fatalf("Emit: %v", err)
		}
	})
}

func TestALogWithAHoleIsToldAsAResync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		h := startHub(t, log, nil)
		synctest.Wait()
		s := live(t, h, alice, c)
		h.Publish(log.commit(message(c)))
		synctest.Wait()
		log.skip(c, 3)
		h.Publish(log.commit(message(c)))
		wantTaken(t, s, "event 1 1, resync 1 4, event 1 5")
		log.skip(c, -2)
		h.Publish(log.commit(message(c))) // 4, which can't be
		h.Publish(log.commit(message(c), message(c)))
		wantTaken(t, s, "event 1 6")
		if h.Stats().Holes != 1 {
			t.Fatalf("stats %+v", h.Stats())
		}
	})
}

func TestStatsCountStreamsAndConversations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		log.setFail(errors.New("down")) // or it may be ready at once
		h := startHub(t, log, nil)
		if _, err := h.Open(Options{Caller: caller(alice)}); !chat.IsReason(err, chat.ReasonUnavailable) {
			t.Fatalf("Open before the hub is ready: %v", err)
		}
		log.setFail(nil)
		<-h.Ready()
		a, b := live(t, h, alice, conv(0, 1), conv(1, 1)), live(t, h, bob, conv(0, 1))
		if s := h.Stats(); s.Streams != 2 || s.Conversations != 2 {
			t.Fatalf("stats %+v", s)
		}
		a.Close()
		b.Close()
		if s := h.Stats(); s.Streams != 0 || s.Conversations != 0 || len(h.users)+len(h.sessions) != 0 {
			t.Fatalf("stats %+v, %d users, %d sessions", s, len(h.users), len(h.sessions))
		}
	})
}
