package client

import (
	"maps"
	"slices"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
)

// ring is a queue of entries that keeps its memory for as long as that is small.
type ring struct {
	buf     []entry // its length is a power of two
	head, n int
}

// ringKeep is the number of entries whose memory an empty ring keeps.
const ringKeep = 256

func (r *ring) push(e entry) {
	if r.n == len(r.buf) {
		grown := make([]entry, max(16, 2*r.n))
		k := copy(grown, r.buf[r.head:])
		copy(grown[k:], r.buf[:r.head])
		r.buf, r.head = grown, 0
	}
	r.buf[(r.head+r.n)&(len(r.buf)-1)] = e
	r.n++
}

// last returns the newest entry, or nil.
func (r *ring) last() *entry {
	if r.n == 0 {
		return nil
	}
	return &r.buf[(r.head+r.n-1)&(len(r.buf)-1)]
}

func (r *ring) pop() entry {
	e := r.buf[r.head]
	r.buf[r.head] = entry{}
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	if r.n == 0 && len(r.buf) > ringKeep {
		r.clear()
	}
	return e
}

func (r *ring) clear() { *r = ring{} }

// lag is what came while the queue was overfull and isn't a durable event. As only the newest of each state counts, it is bounded by
// the number of conversations and their members, however long the consumer stays away.
type lag struct {
	convs    map[string]*lagged
	receipts map[receiptKey]*chatv1.Receipt
	state    State
}

// lagged is what a lag keeps of one conversation, in the order in which it will be handed over.
type lagged struct {
	end     entry // a *Gone, a *Reset, or the summary of having left; without Body where there is none
	gap     *Gap
	summary *chatv1.ConversationSummary
	conv    *conversation // of gap and summary
}

type receiptKey struct{ conversation, user string }

// overfull reports whether nothing may be queued directly.
func (in *inbox) overfull() bool { return in.lag != nil || in.queue.n >= in.limit }

// push queues an entry that isn't a durable event of a log, or folds it into the lag.
func (in *inbox) push(e entry) {
	if !in.overfull() {
		if e.conv != nil {
			e.conv.fresh = false
		}
		if last := in.queue.last(); last != nil && replaces(e.Body, last.Body) {
			*last = e
		} else {
			in.queue.push(e)
		}
		return
	}
	if in.lag == nil {
		in.lag = &lag{convs: map[string]*lagged{}, receipts: map[receiptKey]*chatv1.Receipt{}}
	}
	in.lag.fold(e, &in.rewatch)
}

// replaces reports whether a body makes the one right before it superfluous, so that a consumer who never looks costs nothing.
func replaces(body, before any) bool {
	switch body.(type) {
	case State:
		_, ok := before.(State)
		return ok
	case *CaughtUp:
		_, ok := before.(*CaughtUp)
		return ok
	default:
		return false
	}
}

func (l *lag) fold(e entry, rewatch *bool) {
	switch b := e.Body.(type) {
	case State:
		l.state = b
	case *chatv1.Receipt:
		l.receipts[receiptKey{b.GetConversationId(), b.GetUserId()}] = b
	case *chatv1.Presence:
		*rewatch = true
	case *chatv1.ConversationSummary:
		if b.GetSelf().GetLeftSeq() != 0 {
			l.convs[e.Conversation] = &lagged{end: e}
		} else {
			c := l.of(e.Conversation)
			c.summary, c.conv = b, e.conv
		}
	case *Gone, *Reset:
		l.convs[e.Conversation] = &lagged{end: e}
	case *Gap:
		g := l.of(e.Conversation)
		if g.gap != nil {
			b.After = g.gap.After
		}
		g.gap, g.conv = b, e.conv
	}
}

func (l *lag) of(id string) *lagged {
	if l.convs[id] == nil {
		l.convs[id] = &lagged{}
	}
	return l.convs[id]
}

// relieve queues what waited for room, once there is some.
func (in *inbox) relieve() {
	if in.queue.n > in.limit/2 {
		return
	}
	if l := in.lag; l != nil {
		in.lag = nil
		in.queueLag(l)
	}
	in.settleToken()
}

func (in *inbox) queueLag(l *lag) {
	for _, id := range slices.Sorted(maps.Keys(l.convs)) {
		c := l.convs[id]
		if c.end.Body != nil {
			in.queue.push(c.end)
		}
		done := int64(-1)
		if c.gap != nil {
			done = c.gap.Head
			if !c.conv.fresh { // else the summary tells where it begins
				in.queue.push(entry{Event: Event{Conversation: id, Body: c.gap}, conv: c.conv, done: done})
			}
		}
		if c.summary != nil {
			c.conv.fresh = false
			in.queue.push(entry{Event: Event{Conversation: id, Body: c.summary}, conv: c.conv, done: done})
		}
	}
	for k, r := range l.receipts {
		in.queue.push(entry{Event: Event{Conversation: k.conversation, Body: r}})
	}
	if l.state != nil {
		in.queue.push(entry{Event: Event{Body: l.state}})
	}
}

// pop hands the next event over, and notes that the one before is finished. caughtUp reports that this finished a CaughtUp.
func (in *inbox) pop() (e Event, ok, caughtUp bool) {
	caughtUp = in.finish()
	if in.queue.n == 0 {
		return Event{}, false, caughtUp
	}
	in.handed = in.queue.pop()
	in.relieve()
	return in.handed.Event, true, caughtUp
}

func (in *inbox) finish() (caughtUp bool) {
	h := in.handed
	in.handed = entry{}
	if h.conv != nil && h.done >= 0 {
		h.conv.done = h.done
	}
	if b, ok := h.Body.(*CaughtUp); ok {
		in.doneToken = b.Token
		return true
	}
	return false
}
