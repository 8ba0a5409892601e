package hub

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/cluster"
)

// twoHubs runs two hubs on one log, connected by a bus.
func twoHubs(t *testing.T, log *memoryLog) (a, b *Hub, bus *cluster.MemoryBus, ends []*cluster.MemoryNode) {
	t.Helper()
	bus = cluster.NewMemoryBus()
	ends = []*cluster.MemoryNode{bus.Join(), bus.Join()}
	a = startHub(t, log, func(c *Config) { c.Bus = ends[0] })
	b = startHub(t, log, func(c *Config) { c.Bus = ends[1] })
	<-a.Ready()
	<-b.Ready()
	return a, b, bus, ends
}

func TestTheBusCarriesBatchesToOtherNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(2, 1)
		a, b, _, _ := twoHubs(t, log)
		here, there := live(t, a, alice, c), live(t, b, bob, c)
		a.Publish(log.commit(message(c), joining(c, carol)))
		synctest.Wait()
		b.Publish(log.commit(message(c)))
		synctest.Wait()
		a.Publish(log.commitReceipts(chat.Receipt{Conversation: c, User: alice, ReadSeq: 2, Members: 2}))
		synctest.Wait()
		a.Typing(c, carol, true)
		want := fmt.Sprintf("event %d 1, event %d 2, event %d 3, receipt %d 2 1, typing %d 3 true", c, c, c, c, c)
		wantTaken(t, there, want)
		synctest.Wait()
		if got := taken(here); len(got) != 5 {
			t.Fatalf("got %q", short(got))
		}
		time.Sleep(time.Minute)
		if log.readCount() != 0 || a.Stats().BadFrames+b.Stats().BadFrames != 0 {
			t.Fatalf("%d reads of the log over a good bus; %+v", log.readCount(), b.Stats())
		}
	})
}

func TestABatchTooLargeForTheBusIsReadFromTheLogAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		a, b, _, _ := twoHubs(t, log)
		a.encoder = hugeEncoder{}
		s := live(t, b, bob, c)
		a.Publish(log.commit(message(c)))
		wantTaken(t, s, "event 1 1")
		if log.readCount() != 1 {
			t.Fatalf("%d reads", log.readCount())
		}
		log.commit(message(c)) // one before it is missing too
		a.Publish(log.commit(message(c)))
		wantTaken(t, s, "")
		time.Sleep(b.limits.HoldEarly)
		wantTaken(t, s, "event 1 2, event 1 3")
	})
}

type hugeEncoder struct{ textEncoder }

func (hugeEncoder) Event(chat.Event) []byte { return make([]byte, maxBusFrame) }

func TestWhatIsNoFrameIsCountedAndIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		bus := cluster.NewMemoryBus()
		h := startHub(t, log, func(c *Config) { c.Bus = bus.Join() })
		<-h.Ready()
		stranger := bus.Join()
		stranger.PublishBatch(0, []byte("hello"))
		stranger.PublishSignal(nil)
		if got := h.Stats().BadFrames; got != 2 {
			t.Fatalf("%d bad frames, want 2", got)
		}
		// A node hears its own frames on some buses.
		h.receiveBatch(encodeBatch(h.node, &batch{no: 1 << 40}))
		h.receiveSignal(encodeSignal(h.node, &signal{kind: signalEndUser, user: alice}))
		time.Sleep(time.Second)
		if log.readCount() != 0 {
			t.Fatal("a frame of its own made the hub read the log")
		}
	})
}

func TestEndsReachOtherNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, _, _ := twoHubs(t, newMemoryLog())
		s1, s2 := live(t, b, alice), live(t, b, bob)
		a.EndSessions([]chat.SessionID{caller(alice).Session}, GoodbyeSessionRevoked)
		a.EndUser(bob, GoodbyeTokenExpired)
		synctest.Wait()
		wantGoodbye(t, s1, GoodbyeSessionRevoked)
		wantGoodbye(t, s2, GoodbyeTokenExpired)
	})
}

func TestTheNewestStreamOfADeviceWinsOnOtherNodesToo(t *testing.T) {
	tests := map[string]struct {
		onA, onB uint64 // in this order
		bWins    bool
	}{
		"in order":           {1, 2, true},
		"in the wrong order": {2, 1, false},
		"without attempts":   {0, 0, true},
		"newest without":     {9, 0, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b, bus, _ := twoHubs(t, newMemoryLog())
				// What is told of a stream arrives late and twice.
				bus.SetFate(func([]byte) []time.Duration { return []time.Duration{10 * time.Millisecond, time.Minute} })
				o := Options{Caller: caller(alice), Device: "phone", Attempt: test.onA}
				first := open(t, a, o)
				time.Sleep(time.Millisecond)
				o.Attempt = test.onB
				second := open(t, b, o)
				time.Sleep(2 * time.Minute)
				winner, loser := first, second
				if test.bWins {
					winner, loser = second, first
				}
				wantGoodbye(t, loser, GoodbyeSuperseded)
				if winner.Reason() != 0 {
					t.Fatalf("the winner was ended: %d", winner.Reason())
				}
			})
		})
	}
}

func TestAnOlderStreamIsEndedThoughTheNewerOneWasNotHeardOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, bus, _ := twoHubs(t, newMemoryLog())
		bus.SetFate(func([]byte) []time.Duration { return nil })
		newer := open(t, a, Options{Caller: caller(alice), Device: "phone", Attempt: 2})
		bus.SetFate(nil)
		older := open(t, b, Options{Caller: caller(alice), Device: "phone", Attempt: 1})
		synctest.Wait()
		wantGoodbye(t, older, GoodbyeSuperseded)
		if newer.Reason() != 0 {
			t.Fatalf("the newer stream was ended: %d", newer.Reason())
		}
	})
}

func TestTypingDoesNotPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Config{Encoder: textEncoder{}, Log: newMemoryLog(), Limits: DefaultLimits()}) // not running: nobody takes signals
		for range maxTyping + 10 {
			h.receiveSignal(encodeSignal(1, &signal{kind: signalTyping, conversation: conv(0, 1), user: alice}))
		}
		h.receiveSignal(encodeSignal(1, &signal{kind: signalEndUser, user: alice}))
		if n := len(h.signals.queue); n != maxTyping+1 || h.signals.queue[n-1].kind != signalEndUser {
			t.Fatalf("%d signals are queued", n)
		}
	})
}

func TestWithoutTheBusOtherNodesLiveFromTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		a, b, _, ends := twoHubs(t, log)
		s := live(t, b, bob, c)
		ends[1].SetConnected(false)
		time.Sleep(b.limits.CheckEvery) // the next comparison is the first of the quick ones
		start := time.Now()
		a.Publish(log.commit(message(c)))
		wantNext(t, s, "event 1 1")
		if wait := time.Since(start); wait > b.limits.CheckUnconfirmed+b.limits.HoldBehind {
			t.Fatalf("cut off from the bus, an event took %v", wait)
		}
		a.Publish(log.commit(message(c)))
		ends[1].SetConnected(true) // asks for a comparison at once
		start = time.Now()
		wantNext(t, s, "event 1 2")
		if wait := time.Since(start); wait > b.limits.HoldBehind {
			t.Fatalf("connected again, an event took %v", wait)
		}
	})
}

func TestAnApplierThatIsBehindDropsFramesAndReadsThemLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		c := conv(0, 1)
		a, b, bus, _ := twoHubs(t, log)
		bus.SetFate(func([]byte) []time.Duration { return nil })
		s := live(t, b, bob, c)
		b.shards[0].mu.Lock() // holds the applier up
		for range shardQueue + 20 {
			published := log.commit(message(c))
			a.Publish(published)
			own := fromChat(&published)
			for i := range own.entries {
				own.entries[i].encoded(a)
			}
			b.receiveBatch(encodeBatch(a.node, own))
		}
		b.shards[0].mu.Unlock()
		time.Sleep(2 * time.Second)
		wantContiguous(t, taken(s), c, 1, shardQueue+20)
	})
}

// A device that was cut off at any point of a conversation and comes back while it goes on gets exactly what it missed, once, in order.
func TestResumeAtEveryPosition(t *testing.T) {
	const events = 12
	for held := range chat.Seq(events + 1) {
		for during := range 4 { // what happens between the steps of the resume
			t.Run(fmt.Sprintf("%d, %d", held, during), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					log := newMemoryLog()
					c := conv(0, 1)
					h := startHub(t, log, limited(func(l *Limits) { l.QueueFrames = 40 }))
					<-h.Ready()
					for range events {
						h.Publish(log.commit(message(c)))
					}
					s := open(t, h, Options{Caller: caller(alice)})
					got := make(chan []*Frame, 1)
					go func() { got <- readAll(s) }()
					happen := func() {
						for range during {
							h.Publish(log.commit(message(c)))
						}
					}
					happen()
					s.Attach([]chat.ConversationID{c})
					happen()
					head := log.head(c)
					happen()
					for seq := held + 1; seq <= head; seq++ {
						mustEmit(t, s, fmt.Sprintf("event %d %d", c, seq))
					}
					happen()
					s.Live(map[chat.ConversationID]chat.Seq{c: head})
					happen()
					synctest.Wait()
					s.Close()
					wantContiguous(t, <-got, c, held+1, log.head(c))
				})
			})
		}
	}
}

// readAll is a client that reads until its stream ends.
func readAll(s *Stream) []*Frame {
	var all, buf []*Frame
	var err error
	for {
		buf, err = next(s, buf)
		all = append(all, slices.Clone(buf)...)
		if errors.Is(err, ErrClosed) {
			return all
		}
	}
}
