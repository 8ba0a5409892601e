package hub

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

func TestConversationsOfTheTestsAreInTheirShards(t *testing.T) {
	for shard := range fakeShards {
		if got := conv(shard, 7).Shard(fakeShards); got != shard {
			t.Fatalf("conv(%d, 7) is in shard %d", shard, got)
		}
	}
}

func TestBatchesAreAppliedInOrderWhateverOrderTheyComeIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		h := startHub(t, log, nil)
		synctest.Wait()
		s := live(t, h, alice, c)
		b1, b2, b3 := log.commit(message(c)), log.commit(message(c)), log.commit(message(c))
		h.Publish(b3)
		h.Publish(b2)
		wantTaken(t, s, "")
		h.Publish(b1)
		h.Publish(b2) // doubled
		wantTaken(t, s, "event 1 1, event 1 2, event 1 3")
		time.Sleep(10 * time.Second)
		if log.readCount() != 0 {
			t.Fatalf("%d reads of the log for a hole that was filled", log.readCount())
		}
	})
}

func TestABatchThatDoesNotComeIsReadFromTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		h := startHub(t, log, nil)
		synctest.Wait()
		s := live(t, h, alice, c)
		start := time.Now()
		log.commit(message(c))
		h.Publish(log.commit(message(c)))
		wantTaken(t, s, "")
		wantNext(t, s, "event 1 1, event 1 2")
		if wait := time.Since(start); wait != h.limits.HoldEarly {
			t.Fatalf("repaired after %v, want %v", wait, h.limits.HoldEarly)
		}
		// The last batch is lost: nothing tells of it but the comparison of positions.
		log.commit(message(c))
		wantNext(t, s, "event 1 3")
		if wait := time.Since(start); wait > h.limits.CheckEvery+h.limits.HoldBehind {
			t.Fatalf("repaired after %v", wait)
		}
		if st := h.Stats(); st.Repairs != 2 || st.Repaired != 3 || st.Divergences != 0 {
			t.Fatalf("stats %+v", st)
		}
	})
}

func TestManyMissedBatchesAreReadInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		h := startHub(t, log, nil)
		synctest.Wait()
		s := live(t, h, alice, c)
		const n = maxEarly + 3*readLimit
		var published []chat.Batch
		for range n {
			published = append(published, log.commit(message(c)))
		}
		for _, b := range published[1:] {
			h.Publish(b)
		}
		time.Sleep(h.limits.HoldEarly) // one wait, however many reads it takes
		synctest.Wait()
		wantContiguous(t, taken(s), c, 1, n)
	})
}

func wantContiguous(t *testing.T, frames []*Frame, c chat.ConversationID, first, last chat.Seq) {
	t.Helper()
	next := first
	for _, f := range frames {
		if got := read(f); got != (said{kind: "event", conv: c, seq: next}) {
			t.Fatalf("got %+v, want event %d", got, next)
		}
		next++
	}
	if next != last+1 {
		t.Fatalf("got events up to %d, want %d", next-1, last)
	}
}

func TestAFailingLogIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		log.setFail(errors.New("down"))
		h := startHub(t, log, nil)
		time.Sleep(time.Second)
		select {
		case <-h.Ready():
			t.Fatal("ready without knowing the log")
		default:
		}
		log.setFail(nil)
		<-h.Ready()
		s := live(t, h, alice, c)
		log.commit(message(c))
		h.Publish(log.commit(message(c)))
		log.setFail(errors.New("down"))
		time.Sleep(10 * time.Second)
		wantTaken(t, s, "")
		log.setFail(nil)
		time.Sleep(retryRead)
		wantTaken(t, s, "event 1 1, event 1 2")
	})
}

func TestATrimmedLogEndsAllStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		h := startHub(t, log, nil)
		synctest.Wait()
		s := live(t, h, alice, c)
		log.commit(message(c))
		log.trim(0, 1)
		h.Publish(log.commit(message(c)))
		<-s.Done()
		synctest.Wait()
		wantGoodbye(t, s, GoodbyeInternal)
		if st := h.Stats(); st.Restarts != 1 || st.Divergences != 0 {
			t.Fatalf("stats %+v", st)
		}
		again := live(t, h, alice, c)
		h.Publish(log.commit(message(c)))
		wantTaken(t, again, "event 1 3")
		wantTaken(t, s, "")
	})
}

func wantGoodbye(t *testing.T, s *Stream, reason GoodbyeReason) {
	t.Helper()
	frames := taken(s)
	if len(frames) != 1 || !strings.HasPrefix(short(frames), "goodbye "+string('0'+rune(reason))+" ") {
		t.Fatalf("got %q, want only goodbye %d", short(frames), reason)
	}
	if s.Reason() != reason {
		t.Fatalf("reason %d, want %d", s.Reason(), reason)
	}
}

func TestAnotherLogIsNoticed(t *testing.T) {
	tests := map[string]func(log *memoryLog, h *Hub, c chat.ConversationID){
		"it went back": func(log *memoryLog, _ *Hub, _ chat.ConversationID) {
			log.rewind(0, 1)
		},
		"another batch at the same number": func(log *memoryLog, _ *Hub, c chat.ConversationID) {
			log.rewind(0, 1)
			log.commit(message(c))
		},
		"other batches up to a later number, seen by their chain": func(log *memoryLog, h *Hub, c chat.ConversationID) {
			log.rewind(0, 1)
			log.commit(message(c))
			h.Publish(log.commit(message(c)))
		},
		"other batches up to a later number, found when reading": func(log *memoryLog, _ *Hub, c chat.ConversationID) {
			log.rewind(0, 1)
			log.commit(message(c))
			log.commit(message(c))
		},
		"another epoch": func(log *memoryLog, _ *Hub, _ chat.ConversationID) {
			log.bumpEpoch()
		},
		"another epoch, told by a batch": func(log *memoryLog, h *Hub, c chat.ConversationID) {
			log.bumpEpoch()
			h.Publish(log.commit(message(c)))
		},
	}
	for name, diverge := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newMemoryLog()
				c := conv(0, 1)
				var followed []chat.Positions
				h := startHub(t, log, func(c *Config) {
					c.Diverged = func(p chat.Positions) { followed = append(followed, p) }
				})
				synctest.Wait()
				s := live(t, h, alice, c)
				h.Publish(log.commit(message(c)))
				h.Publish(log.commit(message(c)))
				wantTaken(t, s, "event 1 1, event 1 2")
				before := h.Positions()

				diverge(log, h, c)
				<-s.Done()
				synctest.Wait()
				wantGoodbye(t, s, GoodbyeInternal)
				if len(followed) != 1 || !slices.Equal(followed[0].IDs, before.IDs) || h.Stats().Divergences != 1 {
					t.Fatalf("told of %+v, stats %+v", followed, h.Stats())
				}
				again := live(t, h, alice, c)
				h.Publish(log.commit(message(c)))
				synctest.Wait()
				if got := taken(again); len(got) != 1 || read(got[0]).seq != log.head(c) {
					t.Fatalf("after beginning anew: %q", short(got))
				}
				time.Sleep(10 * time.Second)
				if st := h.Stats(); st.Restarts != 1 {
					t.Fatalf("stats %+v", st)
				}
			})
		})
	}
}

func TestANumberThatTheLogDoesNotHaveIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		h := startHub(t, log, nil)
		synctest.Wait()
		s := live(t, h, alice, c)
		h.Publish(chat.Batch{Epoch: 1, Shard: 0, No: 1 << 60, ID: 9, PrevID: 8})
		h.Publish(chat.Batch{Epoch: 1, Shard: 0, No: 1, ID: 9, PrevID: 8}) // a wrong chain
		time.Sleep(10 * time.Second)
		h.Publish(log.commit(message(c)))
		wantTaken(t, s, "event 1 1")
		if st := h.Stats(); st.Restarts != 0 || log.readCount() != 1 {
			t.Fatalf("%d reads, stats %+v", log.readCount(), st)
		}
	})
}

func TestAnAnswerFromBeforeANewBeginningIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		h := startHub(t, log, nil)
		<-h.Ready()
		gate := make(chan struct{})
		log.locked(func() { log.gate = gate })
		log.commit(message(c))
		h.Publish(log.commit(message(c)))
		time.Sleep(h.limits.HoldEarly) // the log is being read
		synctest.Wait()
		log.rewind(0, 2)
		log.bumpEpoch()
		time.Sleep(2 * time.Second)
		log.locked(func() { log.gate = nil })
		s := live(t, h, alice, c)
		close(gate)
		synctest.Wait()
		h.Publish(log.commit(message(c)))
		wantTaken(t, s, "event 1 1")
		if st := h.Stats(); st.Restarts != 1 {
			t.Fatalf("stats %+v", st)
		}
	})
}

func TestABatchOfAnotherChainIsNotAppliedThoughItWaitsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		h := startHub(t, log, nil)
		<-h.Ready()
		s := live(t, h, alice, c)
		first, second := log.commit(message(c)), log.commit(message(c))
		forged := second
		forged.PrevID++
		forged.Events = append(slices.Clone(forged.Events), chat.Event{Conversation: c, Seq: 3})
		h.Publish(forged)
		h.Publish(first)
		wantTaken(t, s, "event 1 1")
		time.Sleep(h.limits.HoldEarly)
		wantTaken(t, s, "event 1 2")
		if st := h.Stats(); st.Restarts != 0 {
			t.Fatalf("stats %+v", st)
		}
	})
}

func TestEventsReadLaterDoNotBringBackFormerMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		log.commit(joining(c, alice), joining(c, bob))
		h := startHub(t, log, nil)
		synctest.Wait()
		a, b := live(t, h, alice, c), live(t, h, bob, c)
		// All of this is read from the log, where bob is a member since the last event, and nothing shows the time before.
		log.commit(message(c), leaving(c, bob))
		log.commit(message(c))
		log.commit(message(c), joining(c, bob))
		time.Sleep(2 * time.Second)
		wantTaken(t, a, "event 1 3, event 1 4, event 1 5, event 1 6, event 1 7")
		wantTaken(t, b, "event 1 3, event 1 4, summary 1, summary 1, event 1 7")
	})
}

func TestPositionsTellWhatHasBeenApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		log.commit(message(conv(1, 1)))
		h := startHub(t, log, nil)
		synctest.Wait()
		h.Publish(log.commit(message(conv(1, 1))))
		log.commit(message(conv(2, 1)))
		last := log.commit(message(conv(2, 1)))
		h.Publish(last)
		synctest.Wait()
		if p := h.Positions(); p.Epoch != 1 || !slices.Equal(p.Nos, []int64{0, 2, 0, 0}) {
			t.Fatalf("positions %+v", p)
		}
		time.Sleep(h.limits.HoldEarly)
		synctest.Wait()
		if p := h.Positions(); !slices.Equal(p.Nos, []int64{0, 2, 2, 0}) || p.IDs[2] != last.ID {
			t.Fatalf("positions %+v", p)
		}
	})
}
