package hub

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/cluster"
)

// device is a client as the model sees it: what it was told, checked against the log.
type device struct {
	user   chat.UserID
	hub    *Hub
	stream *Stream
	name   string

	phase     int // 0 open, 1 list read, 2 attached, 3 catch-up sent, 4 live
	list      []chat.ConversationID
	delivered map[chat.ConversationID]chat.Seq
	revoked   bool // nothing but a goodbye may come

	held  map[chat.ConversationID]chat.Seq // has all up to here, or was told to fetch it
	asked map[chat.ConversationID]bool     // a summary came, and no event since
	ended bool
}

// hear checks one frame and takes it over.
func (d *device) hear(t *rapid.T, log *memoryLog, f *Frame) {
	s := read(f)
	t.Logf("%s hears %+v", d.name, s)
	if d.ended {
		t.Fatalf("%s got %+v after its goodbye", d.name, s)
	}
	if d.revoked && s.kind != "goodbye" {
		t.Fatalf("%s got %+v after its session ended", d.name, s)
	}
	switch s.kind {
	case "old":
		if s.seq != d.held[s.conv]+1 {
			t.Fatalf("%s: catch-up of %d has %d after %d", d.name, s.conv, s.seq, d.held[s.conv])
		}
		d.held[s.conv] = s.seq
	case "summary":
		d.asked[s.conv] = true
	case "resync":
		if s.seq > log.head(s.conv) {
			t.Fatalf("%s: resync of %d at %d, beyond the head", d.name, s.conv, s.seq)
		}
		d.held[s.conv], d.asked[s.conv] = s.seq, false
	case "event":
		stay, member := log.stayAt(s.conv, d.user, s.seq)
		if !member {
			t.Fatalf("%s got event %d of %d, of which it wasn't a member", d.name, s.seq, s.conv)
		}
		joined := d.asked[s.conv] && s.seq == stay.from
		if s.seq != d.held[s.conv]+1 && !joined {
			t.Fatalf("%s got event %d of %d after %d", d.name, s.seq, s.conv, d.held[s.conv])
		}
		d.held[s.conv], d.asked[s.conv] = s.seq, false
	case "goodbye":
		d.ended = true
	}
}

func (d *device) drain(t *rapid.T, log *memoryLog) {
	for _, f := range taken(d.stream) {
		d.hear(t, log, f)
	}
}

// world is a log, the hubs that follow it, and their devices.
type world struct {
	t       *rapid.T
	log     *memoryLog
	hubs    []*Hub
	pending []committed // not published yet
	devices []*device
	opened  int
}

type committed struct {
	hub   *Hub
	batch chat.Batch
}

const modelFrames = 6

var modelConversations = []chat.ConversationID{conv(0, 1), conv(0, 2), conv(3, 1)}

func newWorld(t *rapid.T, hubs int) *world {
	w := &world{t: t, log: newMemoryLog()}
	bus := cluster.NewMemoryBus()
	for range hubs {
		h := startHub(t, w.log, func(c *Config) {
			c.Limits.QueueFrames = modelFrames
			if hubs > 1 {
				c.Bus = bus.Join()
			}
		})
		w.hubs = append(w.hubs, h)
		<-h.Ready()
	}
	if hubs > 1 {
		fates := rapid.SampledFrom([][]time.Duration{
			{0}, {0}, {}, {0, 0}, {time.Millisecond}, {20 * time.Millisecond}, {40 * time.Millisecond, 0},
		})
		// Drawn beforehand: frames are sent by goroutines of the hubs.
		plan := rapid.SliceOfN(fates, 16, 16).Draw(t, "fates of bus frames")
		next := make(chan int, 1)
		next <- 0
		bus.SetFate(func([]byte) []time.Duration {
			n := <-next
			next <- n + 1
			return plan[n%len(plan)]
		})
	}
	return w
}

func (w *world) anyHub(t *rapid.T) *Hub {
	return w.hubs[rapid.IntRange(0, len(w.hubs)-1).Draw(t, "hub")]
}

func (w *world) commit(t *rapid.T) {
	shard := rapid.SampledFrom([]int{0, 3}).Draw(t, "shard")
	ids := slices.DeleteFunc(slices.Clone(modelConversations), func(id chat.ConversationID) bool { return id.Shard(fakeShards) != shard })
	var changes []change
	joined := map[chat.MemberKey]bool{}
	for range rapid.IntRange(1, 4).Draw(t, "events") {
		id := rapid.SampledFrom(ids).Draw(t, "conversation")
		user := chat.UserID(rapid.IntRange(1, 3).Draw(t, "user"))
		key := chat.MemberKey{Conversation: id, User: user}
		member, known := joined[key]
		if !known {
			member = w.log.member(id, user)
		}
		switch rapid.IntRange(0, 3).Draw(t, "what") {
		case 0:
			joined[key] = !member
			if member {
				changes = append(changes, leaving(id, user))
			} else {
				changes = append(changes, joining(id, user))
			}
		default:
			changes = append(changes, message(id))
		}
	}
	hub := w.anyHub(t)
	w.pending = append(w.pending, committed{hub, w.log.commit(changes...)})
}

// takePending takes a batch that its node hasn't published yet, with one hub in any order.
func (w *world) takePending(t *rapid.T) committed {
	if len(w.pending) == 0 {
		t.Skip("nothing to publish")
	}
	i := 0
	if len(w.hubs) == 1 {
		i = rapid.IntRange(0, len(w.pending)-1).Draw(t, "which")
	}
	p := w.pending[i]
	w.pending = slices.Delete(w.pending, i, i+1)
	return p
}

func (w *world) open(t *rapid.T) {
	if len(w.devices) >= 6 {
		t.Skip("enough devices")
	}
	w.opened++
	d := &device{
		user: chat.UserID(rapid.IntRange(1, 3).Draw(t, "user")), hub: w.anyHub(t),
		delivered: map[chat.ConversationID]chat.Seq{}, held: map[chat.ConversationID]chat.Seq{}, asked: map[chat.ConversationID]bool{},
		name: fmt.Sprintf("device %d", w.opened),
	}
	var err error
	if d.stream, err = d.hub.Open(Options{Caller: caller(d.user), Device: d.name}); err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(d.stream.Close)
	w.devices = append(w.devices, d)
}

// populate has everybody in all conversations, and a device of each user live.
func (w *world) populate(t *rapid.T) {
	for _, id := range modelConversations {
		w.pending = append(w.pending, committed{w.hubs[0], w.log.commit(joining(id, 1), joining(id, 2), joining(id, 3))})
	}
	for len(w.pending) > 0 {
		w.publish(t)
	}
	for len(w.devices) < 3 {
		w.open(t)
	}
	for range 4 * len(w.devices) {
		w.advance(t)
	}
}

// publish gives a batch to its hub, at times twice.
func (w *world) publish(t *rapid.T) {
	p := w.takePending(t)
	for range rapid.SampledFrom([]int{1, 1, 1, 2}).Draw(t, "times") {
		p.hub.Publish(p.batch)
	}
}

// end closes a device's stream or revokes its session; rarely.
func (w *world) end(t *rapid.T) {
	d := w.pick(t, func(d *device) bool { return !d.ended && !d.revoked })
	switch rapid.IntRange(0, 7).Draw(t, "how") {
	case 0:
		d.stream.Close()
		w.remove(d)
	case 1:
		d.revoked = d.stream.end(GoodbyeSessionRevoked, 0)
	default:
		t.Skip("not now")
	}
}

func (w *world) pick(t *rapid.T, ok func(*device) bool) *device {
	some := slices.DeleteFunc(slices.Clone(w.devices), func(d *device) bool { return !ok(d) })
	if len(some) == 0 {
		t.Skip("no such device")
	}
	return some[rapid.IntRange(0, len(some)-1).Draw(t, "device")]
}

// advance takes a device one step further on its way to being live, as the transport does it.
func (w *world) advance(t *rapid.T) {
	d := w.pick(t, func(d *device) bool { return d.phase < 4 && !d.ended })
	switch d.phase {
	case 0:
		d.list = w.log.memberships(d.user)
	case 1:
		d.stream.Attach(d.list)
	case 2:
		w.catchUp(t, d)
	case 3:
		d.stream.Live(d.delivered)
	}
	d.phase++
}

// catchUp reads what the device misses in its conversations and sends it.
func (w *world) catchUp(t *rapid.T, d *device) {
	var frames []*Frame
	for _, id := range d.list {
		stays := w.log.stays[chat.MemberKey{Conversation: id, User: d.user}]
		if left := stays[len(stays)-1].to; left != 0 {
			d.delivered[id] = left
			frames = append(frames, NewFrame(textEncoder{}, textEncoder{}.Resync(id, 0)))
			continue
		}
		head := w.log.head(id)
		d.delivered[id] = head
		d.held[id] = chat.Seq(rapid.IntRange(0, int(head)).Draw(t, "held"))
		for seq := d.held[id] + 1; seq <= head; seq++ {
			frames = append(frames, NewFrame(textEncoder{}, fmt.Appendf(nil, "old %d %d\n", id, seq)))
		}
	}
	done := make(chan error, 1)
	go func() { done <- d.stream.Emit(context.Background(), frames...) }()
	for {
		synctest.Wait()
		select {
		case err := <-done:
			if err != nil && d.stream.Reason() == 0 {
				t.Fatalf("Emit: %v", err)
			}
			return
		default:
			d.drain(t, w.log)
		}
	}
}

func (w *world) remove(d *device) {
	w.devices = slices.DeleteFunc(w.devices, func(other *device) bool { return other == d })
}

func (w *world) check(t *rapid.T) {
	synctest.Wait()
	for _, d := range w.devices {
		d.stream.mu.Lock()
		queue, pending, owed := len(d.stream.queue), 0, 0
		if c := d.stream.catchup; c != nil {
			pending = len(c.pending)
		}
		if e := d.stream.excess; e != nil {
			owed = len(e.owed)
		}
		d.stream.mu.Unlock()
		if queue > 2*modelFrames || pending > modelFrames || owed > len(modelConversations) {
			t.Fatalf("%s has %d frames queued, %d pending, and owes %d", d.name, queue, pending, owed)
		}
	}
}

// settle lets everything be repaired and read, and holds what each live device has against the log.
func (w *world) settle(t *rapid.T) {
	time.Sleep(3 * time.Second)
	synctest.Wait()
	for _, d := range w.devices {
		d.drain(t, w.log)
		if d.phase < 4 || d.ended {
			continue
		}
		for _, id := range w.log.memberships(d.user) {
			if head := w.log.head(id); d.held[id] != head {
				t.Fatalf("%s has %d up to %d, the log to %d", d.name, id, d.held[id], head)
			}
		}
	}
	for _, h := range w.hubs {
		if st := h.Stats(); st.Restarts+st.Holes+st.BadFrames != 0 {
			t.Fatalf("stats %+v", st)
		}
	}
}

func runModel(t *testing.T, hubs int) {
	rapid.Check(t, func(rt *rapid.T) {
		rapid.SyncTest(rt, func(rt *rapid.T) {
			w := newWorld(rt, hubs)
			w.populate(rt)
			rt.Repeat(map[string]func(*rapid.T){
				"":        w.check,
				"commit":  w.commit,
				"publish": w.publish,
				"commit and publish": func(t *rapid.T) {
					w.commit(t)
					w.publish(t)
				},
				"lose":    func(t *rapid.T) { w.takePending(t) },
				"time":    func(t *rapid.T) { time.Sleep(time.Duration(rapid.IntRange(1, 2000).Draw(t, "ms")) * time.Millisecond) },
				"open":    w.open,
				"advance": w.advance,
				"read":    func(t *rapid.T) { w.pick(t, func(*device) bool { return true }).drain(t, w.log) },
				"end":     w.end,
			})
			w.settle(rt)
		})
	})
}

// What the hub promises every stream, in any order of events, against a model: contiguous or told to resync, exact heads of resyncs, nothing
// from before joining or after removal or revocation, bounded queues, and everything there in the end.
func TestStreamsAgreeWithTheLogWhateverHappens(t *testing.T) { runModel(t, 1) }

// The same with two hubs and a bus that loses, doubles, delays and reorders.
func TestStreamsAgreeWithTheLogOverALossyBus(t *testing.T) { runModel(t, 2) }
