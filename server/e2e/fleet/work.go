package fleet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/natterjack-chat/natterjack/server/client"
)

// Shape says how many of what a fleet has. Every user is in one group of all, in groups of three, and talks directly to the next one.
type Shape struct {
	Users, Devices int // devices of each user
	// Options are those of the devices; unless nil, it is asked for each.
	Options func(user, device int) DeviceOptions
}

// Populate signs users up, makes their conversations and connects their devices.
func (f *Fleet) Populate(ctx context.Context, s Shape) error {
	users := make([]*User, s.Users)
	for i := range users {
		var err error
		if users[i], err = f.SignUp(ctx, fmt.Sprintf("user%02d", i)); err != nil {
			return err
		}
	}
	if _, err := users[0].Group(ctx, "Everyone", users[1:]...); err != nil {
		return err
	}
	for i, u := range users {
		next := users[(i+1)%len(users)]
		if i+1 < len(users) {
			if _, err := u.Direct(ctx, next); err != nil {
				return err
			}
		}
		if i%3 == 0 && len(users) > 2 {
			if _, err := u.Group(ctx, fmt.Sprintf("Three from %d", i), next, users[(i+2)%len(users)]); err != nil {
				return err
			}
		}
	}
	for i, u := range users {
		for j := range s.Devices {
			var o DeviceOptions
			if s.Options != nil {
				o = s.Options(i, j)
			}
			if _, err := u.Device(fmt.Sprintf("device%d", j), o); err != nil {
				return err
			}
		}
	}
	return f.WatchAll()
}

// Work says what the devices do.
type Work struct {
	Seed uint64
	// Sends is how many messages are sent in all.
	Sends int
	// Pipeline is how many messages of one device may be without an answer; 0 means 32.
	Pipeline int
	// Rooms are where; empty: in all conversations that a device has.
	Rooms []string
	// Bytes, unless 0, is the size of each message; otherwise sizes are as people write.
	Bytes int
	// SendOnly leaves out edits, deletions, reactions, marks and pages.
	SendOnly bool
}

// otherEvery is how many messages a device sends for each other thing that it does.
const otherEvery = 8

// Run lets all devices work until all messages are answered. Faults in between are no error; that it isn't done when ctx ends is one.
func (f *Fleet) Run(ctx context.Context, w Work) error {
	if err := f.AwaitLive(ctx); err != nil {
		return err
	}
	return f.RunOn(ctx, f.Devices(), w)
}

// RunOn is Run with some of the devices.
func (f *Fleet) RunOn(ctx context.Context, devices []*Device, w Work) error {
	if w.Pipeline == 0 {
		w.Pipeline = 32
	}
	var left atomic.Int64
	left.Store(int64(w.Sends))
	errs := make([]error, len(devices))
	var running sync.WaitGroup
	for i, d := range devices {
		running.Go(func() {
			worker := &worker{
				Work: w, device: d, left: &left, random: rand.New(rand.NewPCG(w.Seed, uint64(i))),
				room: make(chan struct{}, w.Pipeline),
			}
			errs[i] = worker.run(ctx)
		})
	}
	running.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// worker is one device at work; one goroutine, but for done.
type worker struct {
	Work
	device *Device
	left   *atomic.Int64
	random *rand.Rand
	room   chan struct{} // holds one element for each message without an answer

	mu   sync.Mutex
	sent []place // the last few own messages that are stored; guarded by mu
}

type place struct {
	conversation string
	seq          int64
}

func (w *worker) run(ctx context.Context) error {
	for n := 1; w.left.Add(-1) >= 0; n++ {
		select {
		case w.room <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("%s has no answer to %d messages: %w", w.device.Name, len(w.room), ctx.Err())
		}
		conversation := w.pick()
		if conversation == "" {
			<-w.room
			continue
		}
		if err := w.device.Send(conversation, w.text(), w.done); err != nil {
			return err
		}
		if n%otherEvery == 0 && !w.SendOnly {
			w.other(ctx, conversation)
		}
	}
	for range cap(w.room) {
		select {
		case w.room <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("%s has no answer to %d messages: %w", w.device.Name, len(w.room), ctx.Err())
		}
	}
	return nil
}

// done is called by the client.
func (w *worker) done(s client.Sent, err error) {
	<-w.room
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.sent) == 64 {
		w.sent = append(w.sent[:0], w.sent[32:]...)
	}
	w.sent = append(w.sent, place{s.Conversation, s.Seq})
}

// pick returns one of the conversations that the device has; empty where it has none.
func (w *worker) pick() string {
	rooms := w.Rooms
	if len(rooms) == 0 {
		rooms = w.device.Mirror.conversations()
	}
	if len(rooms) == 0 {
		return ""
	}
	return rooms[w.random.IntN(len(rooms))]
}

// text returns what people write: mostly short, now and then long.
func (w *worker) text() string {
	size := 1 + w.random.IntN(120)
	if w.random.IntN(50) == 0 {
		size = 1 + w.random.IntN(4000)
	}
	if w.Bytes > 0 {
		size = w.Bytes
	}
	return fmt.Sprintf("%s %x %s", w.device.Name, w.random.Uint32(), strings.Repeat("lorem ipsum ", 1+size/12))
}

// other does something else than sending. That it fails while the server is away is in the records.
func (w *worker) other(ctx context.Context, conversation string) {
	d := w.device
	at, ok := w.own()
	head := d.Mirror.Head(conversation)
	switch n := w.random.IntN(10); {
	case n < 3 && head > 0:
		d.Client.MarkRead(conversation, head)
	case n < 4 && head > 0:
		d.Client.MarkDelivered(conversation, head)
	case n < 5:
		_, _ = d.Page(ctx, conversation, client.Page{Limit: 20})
	case n < 6 && head > 1:
		_, _ = d.Page(ctx, conversation, client.Page{Before: 1 + w.random.Int64N(head), Limit: 20})
	case n < 7 && head > 1:
		_, _ = d.Page(ctx, conversation, client.Page{After: w.random.Int64N(head) + 1, Limit: 20})
	case n < 8 && ok:
		_ = d.Edit(ctx, at.conversation, at.seq, w.text())
	case n < 9 && ok:
		_ = d.React(ctx, at.conversation, at.seq, []string{"👍", "🎉", "🐸"}[w.random.IntN(3)], w.random.IntN(3) > 0)
	case ok:
		_ = d.Delete(ctx, at.conversation, at.seq)
	}
}

// own returns one of the device's last messages.
func (w *worker) own() (place, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.sent) == 0 {
		return place{}, false
	}
	return w.sent[w.random.IntN(len(w.sent))], true
}
