package hub

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

func small(frames int) func(*Config) {
	return limited(func(l *Limits) { l.QueueFrames = frames })
}

func TestASlowReaderIsOwedAResyncAndTheOthersDoNotNotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c, d := conv(0, 1), conv(0, 2)
		h := startHub(t, log, small(4))
		synctest.Wait()
		slow, fast := live(t, h, alice, c, d), live(t, h, bob, c, d)
		for seq := chat.Seq(1); seq <= 6; seq++ {
			h.Publish(log.commit(message(c)))
			synctest.Wait()
			wantContiguous(t, taken(fast), c, seq, seq)
		}
		h.Publish(log.commit(message(d)))
		h.Publish(log.commit(message(d)))
		synctest.Wait()
		got := strings.Split(short(taken(slow)), ", ")
		slices.Sort(got[4:]) // what is owed comes last, in any order
		if want := "event 1 1, event 1 2, event 1 3, event 1 4, resync 1 6, resync 2 2"; strings.Join(got, ", ") != want {
			t.Fatalf("slow stream got %q, want %q", got, want)
		}
		h.Publish(log.commit(message(c), message(d)))
		wantTaken(t, slow, "event 1 7, event 2 3")
		if st := h.Stats(); st.Resyncs != 2 || st.Collapsed != 4 {
			t.Fatalf("stats %+v", st)
		}
	})
}

func TestBytesCountTooAndAHugeEventPassesAnEmptyQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		h := startHub(t, log, limited(func(l *Limits) { l.QueueBytes = 25 }))
		synctest.Wait()
		s := live(t, h, alice, c)
		h.Publish(log.commit(message(c), message(c), message(c))) // 10 bytes each
		wantTaken(t, s, "event 1 1, event 1 2, resync 1 3")
		h.limits.QueueBytes = 4
		h.Publish(log.commit(message(c), message(c)))
		wantTaken(t, s, "event 1 4, resync 1 5")
	})
}

func TestAStreamThatOwesForTooLongIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		h := startHub(t, log, small(4))
		synctest.Wait()
		stuck, late := live(t, h, alice, c), live(t, h, bob, c)
		h.Publish(log.commit(message(c), message(c), message(c), message(c), message(c)))
		time.Sleep(h.limits.SlowAfter - time.Second)
		taken(late)
		if stuck.Reason() != 0 {
			t.Fatal("ended too early")
		}
		time.Sleep(2 * time.Second)
		wantGoodbye(t, stuck, GoodbyeSlowConsumer)
		if late.Reason() != 0 || h.Stats().SlowClosed != 1 {
			t.Fatalf("reason of the stream that came round: %d; stats %+v", late.Reason(), h.Stats())
		}
	})
}

func TestEphemeralFramesMakeWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c, d := conv(0, 1), conv(0, 2)
		h := startHub(t, log, limited(func(l *Limits) { l.QueueFrames, l.CollapsedPerStream = 8, 2 }))
		synctest.Wait()
		s := live(t, h, alice, c, d)
		s.Watch([]chat.UserID{bob})
		receipt := func(c chat.ConversationID, u chat.UserID, seq chat.Seq) {
			h.Publish(log.commitReceipts(chat.Receipt{Conversation: c, User: u, ReadSeq: seq}))
			synctest.Wait()
		}
		h.Typing(c, bob, true)
		receipt(c, bob, 1)
		h.Typing(c, bob, true) // the queue is a quarter full: dropped
		receipt(c, bob, 2)     // kept back
		receipt(c, bob, 3)     // instead of 2
		receipt(c, carol, 1)   // the second that is kept
		receipt(d, carol, 1)   // too many: a summary of d instead
		h.PresenceChanged(chat.PresenceInfo{User: bob, State: chat.PresenceAway})
		h.PresenceChanged(chat.PresenceInfo{User: bob, State: chat.PresenceOnline})
		h.Publish(log.commit(message(c)))
		synctest.Wait()
		got := strings.Split(short(taken(s)), ", ")
		slices.Sort(got[4:])
		want := "typing 1 2 true, receipt 1 1 2, event 1 1, summary 2, presence 2 1, receipt 1 1 3, receipt 1 3 2"
		if strings.Join(got, ", ") != want {
			t.Fatalf("got %q\nwant %q", strings.Join(got, ", "), want)
		}
		if st := h.Stats(); st.Dropped != 1 {
			t.Fatalf("stats %+v", st)
		}
		receipt(c, bob, 4)
		wantTaken(t, s, "receipt 1 4 2")
	})
}

func TestNoReceiptOvertakesANewerOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		h := startHub(t, log, nil)
		<-h.Ready()
		s := open(t, h, Options{Caller: caller(alice)})
		s.Attach([]chat.ConversationID{c})
		h.Publish(log.commitReceipts(chat.Receipt{Conversation: c, User: bob, ReadSeq: 1})) // kept back during catch-up
		synctest.Wait()
		s.Live(nil)
		h.Publish(log.commitReceipts(chat.Receipt{Conversation: c, User: bob, ReadSeq: 2}))
		wantTaken(t, s, "receipt 1 2 2")
	})
}

func TestRepliesAreNeverDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		h := startHub(t, log, small(4))
		synctest.Wait()
		s := live(t, h, alice, c)
		for range 4 {
			s.Reply(NewFrame(h.encoder, []byte("ack\n")))
		}
		h.Publish(log.commit(message(c)))
		synctest.Wait()
		s.Reply(NewFrame(h.encoder, []byte("ack\n")))
		wantTaken(t, s, "ack, ack, ack, ack, ack, resync 1 1")
	})
}

func TestMembershipThatChangesWhileAResyncIsOwed(t *testing.T) {
	fill := func(c chat.ConversationID) []change {
		return []change{message(c), message(c), message(c), message(c), message(c)}
	}
	tests := map[string]struct {
		then []change
		want string // after four events
	}{
		"left": {
			[]change{leaving(conv(0, 1), bob), message(conv(0, 1))},
			"summary 1, resync 1 0",
		},
		"left and joined again": {
			[]change{leaving(conv(0, 1), bob), message(conv(0, 1)), joining(conv(0, 1), bob), message(conv(0, 1))},
			"summary 1, resync 1 10",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newMemoryLog()
				c := conv(0, 1)
				log.commit(joining(c, bob))
				h := startHub(t, log, small(4))
				synctest.Wait()
				s := live(t, h, bob, c)
				h.Publish(log.commit(fill(c)...))
				h.Publish(log.commit(test.then...))
				wantTaken(t, s, "event 1 2, event 1 3, event 1 4, event 1 5, "+test.want)
			})
		})
	}
}

func TestAJoinThatDoesNotFitIsOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c, d := conv(0, 1), conv(0, 2)
		h := startHub(t, log, small(4))
		synctest.Wait()
		s := live(t, h, bob, c)
		h.Publish(log.commit(message(c), message(c), message(c), message(c), joining(d, bob), message(d)))
		wantTaken(t, s, "event 1 1, event 1 2, event 1 3, event 1 4, summary 2, resync 2 2")
		h.Publish(log.commit(message(c), message(c), message(c), leaving(d, bob), message(d)))
		// The last place was taken by the removal; its summary is owed, and the resync says that the conversation is gone.
		wantTaken(t, s, "event 1 5, event 1 6, event 1 7, event 2 3, summary 2, resync 2 0")
	})
}

func TestCatchUpThatCoversWhatDidNotFitOwesNothing(t *testing.T) {
	tests := map[string]struct {
		delivered chat.Seq
		want      string
	}{
		"all":   {6, ""},
		"some":  {3, "event 1 4, resync 1 6"},
		"none":  {0, "event 1 1, event 1 2, event 1 3, event 1 4, resync 1 6"},
		"above": {8, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newMemoryLog()
				c := conv(0, 1)
				h := startHub(t, log, small(4))
				synctest.Wait()
				s := open(t, h, Options{Caller: caller(alice)})
				s.Attach([]chat.ConversationID{c})
				for range 6 {
					h.Publish(log.commit(message(c)))
				}
				synctest.Wait()
				s.Live(map[chat.ConversationID]chat.Seq{c: test.delivered})
				wantTaken(t, s, test.want)
				for range 3 {
					h.Publish(log.commit(message(c)))
				}
				time.Sleep(h.limits.SlowAfter)
				if test.delivered == 8 {
					wantTaken(t, s, "event 1 9")
				} else {
					wantTaken(t, s, "event 1 7, event 1 8, event 1 9")
				}
			})
		})
	}
}

func TestOwingBeginsToCountWhenCatchUpIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		h := startHub(t, log, small(4))
		synctest.Wait()
		s := open(t, h, Options{Caller: caller(alice)})
		s.Attach([]chat.ConversationID{c})
		h.Publish(log.commit(message(c), message(c), message(c), message(c), message(c)))
		time.Sleep(2 * h.limits.SlowAfter)
		if s.Reason() != 0 {
			t.Fatalf("ended during catch-up: %d", s.Reason())
		}
		s.Live(nil)
		time.Sleep(h.limits.SlowAfter + time.Second)
		wantGoodbye(t, s, GoodbyeSlowConsumer)
	})
}

func TestABurstLeavesNoMemoryBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		h := startHub(t, log, nil)
		synctest.Wait()
		s := open(t, h, Options{Caller: caller(alice)})
		s.Attach([]chat.ConversationID{c})
		s.Live(map[chat.ConversationID]chat.Seq{conv(0, 2): 7})
		for range 500 {
			h.Publish(log.commit(message(c)))
		}
		synctest.Wait()
		wantContiguous(t, taken(s), c, 1, 500)
		time.Sleep(floorLife + time.Second)
		taken(s)
		s.mu.Lock()
		defer s.mu.Unlock()
		if cap(s.queue) > idleQueue || s.floors != nil || s.catchup != nil || s.excess != nil {
			t.Fatalf("room for %d frames, floors %v, catchup %v, excess %v are left", cap(s.queue), s.floors, s.catchup, s.excess)
		}
	})
}
