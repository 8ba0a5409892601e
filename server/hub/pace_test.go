package hub

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// listener is a live stream with a writer that takes, whenever it is woken, all that waits.
type listener struct {
	*Stream
	mu  sync.Mutex
	got string // guarded by mu
}

func listen(t *testing.T, h *Hub, user chat.UserID, ids ...chat.ConversationID) *listener {
	t.Helper()
	l := &listener{}
	wake := make(chan struct{}, 100)
	l.Stream = open(t, h, Options{Caller: caller(user), Device: "device", Wake: func() { wake <- struct{}{} }})
	l.Attach(ids)
	l.Live(nil)
	synctest.Wait()
	for len(wake) > 0 {
		<-wake
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-wake:
				l.mu.Lock()
				l.got += short(taken(l.Stream)) + "; "
				l.mu.Unlock()
			case <-l.Done():
				return
			}
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l
}

// want fails unless the stream was woken for exactly these since it was asked last; what it got at once has commas between.
func (l *listener) want(t *testing.T, got string) {
	t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.got != got {
		t.Errorf("woken for %q, want %q", l.got, got)
	}
	l.got = ""
}

// paced makes three streams enough for rounds 3 ms apart, and more than ten no more than 10 ms.
func paced(l *Limits) { l.WakePerStream, l.WakeWithin = time.Millisecond, 10*time.Millisecond }

func TestStreamsOfALargeConversationAreWokenInRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, c := newMemoryLog(), conv(0, 1)
		h := startHub(t, log, limited(paced))
		synctest.Wait()
		streams := []*listener{listen(t, h, alice, c), listen(t, h, bob, c), listen(t, h, carol, c)}
		all := func(got string) {
			t.Helper()
			for _, l := range streams {
				l.want(t, got)
			}
		}
		h.Publish(log.commit(message(c)))
		all("event 1 1; ")
		time.Sleep(time.Millisecond)
		h.Publish(log.commit(message(c)))
		h.Publish(log.commit(message(c), message(c)))
		all("")
		time.Sleep(2*time.Millisecond - 1)
		all("")
		time.Sleep(time.Nanosecond)
		all("event 1 2, event 1 3, event 1 4; ")
		h.Publish(log.commit(message(c))) // the next round has begun with those
		all("")
		time.Sleep(3 * time.Millisecond)
		all("event 1 5; ")
		time.Sleep(3 * time.Millisecond)
		h.Publish(log.commit(message(c)))
		all("event 1 6; ")
	})
}

func TestSmallConversationsAreNotPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, c := newMemoryLog(), conv(0, 1)
		h := startHub(t, log, nil)
		synctest.Wait()
		var streams []*listener
		for user := range chat.UserID(int(paceFloor/DefaultLimits().WakePerStream) - 1) {
			streams = append(streams, listen(t, h, user+1, c))
		}
		h.Publish(log.commit(message(c)))
		synctest.Wait()
		h.Publish(log.commit(message(c)))
		for _, l := range streams {
			l.want(t, "event 1 1; event 1 2; ")
		}
	})
}

func TestWhatWaitsForARoundGoesWithAnythingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, large, other := newMemoryLog(), conv(0, 1), conv(1, 1)
		h := startHub(t, log, limited(paced))
		synctest.Wait()
		a, b, c := listen(t, h, alice, large, other), listen(t, h, bob, large), listen(t, h, carol, large)
		h.Publish(log.commit(message(large)))
		synctest.Wait()
		h.Publish(log.commit(message(large)))
		synctest.Wait()
		h.Publish(log.commit(message(other)))
		b.Reply(NewFrame(textEncoder{}, []byte("answer\n")))
		a.want(t, "event 1 1; event 1 2, event 2305843009213693953 1; ")
		b.want(t, "event 1 1; event 1 2, answer; ")
		c.want(t, "event 1 1; ")
		time.Sleep(3 * time.Millisecond)
		a.want(t, "")
		b.want(t, "")
		c.want(t, "event 1 2; ")
	})
}

func TestAQueueThatFillsUpWaitsForNoRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, c := newMemoryLog(), conv(0, 1)
		h := startHub(t, log, limited(func(l *Limits) {
			paced(l)
			l.QueueFrames = 12
		}))
		synctest.Wait()
		a := listen(t, h, alice, c)
		listen(t, h, bob, c)
		listen(t, h, carol, c)
		h.Publish(log.commit(message(c)))
		a.want(t, "event 1 1; ")
		h.Publish(log.commit(message(c)))
		h.Publish(log.commit(message(c)))
		a.want(t, "")
		h.Publish(log.commit(message(c)))
		a.want(t, "event 1 2, event 1 3, event 1 4; ")
	})
}

func TestConversationsHaveRoundsOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, three, two := newMemoryLog(), conv(0, 1), conv(0, 2)
		h := startHub(t, log, limited(paced))
		synctest.Wait()
		a, b := listen(t, h, alice, three), listen(t, h, bob, two)
		listen(t, h, carol, three, two)
		listen(t, h, 4, three)
		h.Publish(log.commit(message(three), message(two)))
		a.want(t, "event 1 1; ")
		b.want(t, "event 2 1; ")
		h.Publish(log.commit(message(three)))
		h.Publish(log.commit(message(two)))
		time.Sleep(2 * time.Millisecond)
		a.want(t, "")
		b.want(t, "event 2 2; ")
		time.Sleep(time.Millisecond)
		a.want(t, "event 1 2; ")
		b.want(t, "")
	})
}
