package client

import (
	"cmp"
	"slices"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
)

const (
	// maxPositions is how many conversations one hello or ListEvents may name (a rule of the schema).
	maxPositions = 100
	// maxHeld bounds the events that one conversation keeps beyond a hole while the hole is fetched.
	maxHeld = 256
)

// inbox decides what of the server's events the consumer gets, and in what order. It keeps the promise of Event: a conversation's durable events
// come once and without gaps, unless a Gap, Reset or Gone says otherwise. It does no I/O and has no lock: Client.mu guards it.
//
// What can't be queued (beyond a hole, or past the queue's limit) is not lost: the conversation is then behind its head, and is
// fetched from its cursor on. So the queue is bounded however slow the consumer is, and the reader of the stream never waits for it.
type inbox struct {
	full    bool // Full mode
	limit   int  // entries in the queue beyond which nothing is queued directly
	queue   ring
	convs   map[string]*conversation
	tracked map[string]bool          // by Track; survives Reset and Gone
	behind  map[string]*conversation // those with cursor < head
	clock   uint64                   // counts uses, for the choice of positions

	catching   bool            // between ready and caught_up
	positioned []*conversation // in this connection's hello: their missing events come by themselves
	token      []byte          // of the newest caught_up
	owed       bool            // token has not been handed over as CaughtUp
	lag        *lag            // what waits for room; nil while the queue isn't overfull
	state      State
	rewatch    bool // presence was dropped: ask for it anew

	handed    entry // what pop returned last: finished once pop is called again
	doneToken []byte
}

// conversation is what the inbox knows of one conversation.
type conversation struct {
	id     string
	cursor int64 // everything up to it was queued, or announced by a Gap
	done   int64 // everything up to it was finished by the consumer
	head   int64 // the highest seq heard of
	// held is a run of events without holes, its first one beyond the cursor; nil where none wait.
	held       []*chatv1.Event
	positioned bool
	fresh      bool // the consumer has not heard of it yet
	used       uint64
}

// entry is an event in the queue with what its handing over means.
type entry struct {
	Event
	conv *conversation
	done int64 // conv.done once the consumer has finished with it; -1: as it was
}

func newInbox(full bool, limit int, saved Checkpoint) *inbox {
	in := &inbox{
		full: full, limit: limit, convs: map[string]*conversation{}, tracked: map[string]bool{}, behind: map[string]*conversation{},
		token: saved.Token, doneToken: saved.Token, state: Offline{},
	}
	for id, seq := range saved.Seqs {
		in.convs[id] = &conversation{id: id, cursor: seq, done: seq, head: seq}
		if !full {
			in.tracked[id] = true
		}
	}
	return in
}

// hello returns the token and the positions to resume from, and prepares for what the server answers.
func (in *inbox) hello() (token []byte, positions []*chatv1.Position) {
	for _, c := range in.positioned {
		c.positioned = false
	}
	in.positioned = in.positioned[:0]
	for id, c := range in.convs {
		if in.full || in.tracked[id] {
			in.positioned = append(in.positioned, c)
		}
	}
	if len(in.positioned) > maxPositions {
		slices.SortFunc(in.positioned, func(a, b *conversation) int { return cmp.Compare(b.used, a.used) })
		in.positioned = slices.Clip(in.positioned[:maxPositions])
	}
	for _, c := range in.positioned {
		c.positioned = true
		positions = append(positions, &chatv1.Position{ConversationId: c.id, Seq: c.cursor})
	}
	return in.token, positions
}

// ready takes the server's answer to hello.
func (in *inbox) ready(kind chatv1.ResumeKind) {
	if kind == chatv1.ResumeKind_RESUME_KIND_RESET {
		in.reset()
	}
	in.catching = true
	in.setState(CatchingUp{})
}

// reset forgets everything: what is queued is of a store that is no more. Only the token stays until there is a new one: if this connection
// ends before, it is what tells the next one again that the store is another.
func (in *inbox) reset() {
	in.queue.clear()
	in.lag, in.owed, in.positioned = nil, false, nil
	in.handed = entry{}
	clear(in.convs)
	clear(in.behind)
	in.push(entry{Event: Event{Body: &Reset{}}})
}

// forgetToken begins anew with a server that does not know the token.
func (in *inbox) forgetToken() {
	in.reset()
	in.token, in.doneToken = nil, nil
}

// apply takes one event of the stream that isn't an answer to a request.
func (in *inbox) apply(e *chatv1.Event) {
	switch b := e.GetEvent().(type) {
	case *chatv1.Event_Summary:
		in.summary(b.Summary)
	case *chatv1.Event_Resync:
		in.resync(b.Resync.GetConversationId(), b.Resync.GetLastSeq())
	case *chatv1.Event_CaughtUp:
		in.caughtUp(b.CaughtUp.GetToken())
	case *chatv1.Event_Receipt, *chatv1.Event_Typing, *chatv1.Event_Presence:
		body, id := bodyOf(e)
		in.push(entry{Event: Event{Conversation: id, Body: body}})
	default:
		if e.GetSeq() > 0 && e.GetConversationId() != "" {
			in.durable(e)
		}
	}
}

// durable applies an event of the live stream by its seq: the next one is queued, older ones are dropped, and what comes
// beyond a hole waits until the hole is fetched.
func (in *inbox) durable(e *chatv1.Event) {
	c, seq := in.convs[e.GetConversationId()], e.GetSeq()
	if c == nil {
		c = in.add(e.GetConversationId(), seq-1)
	}
	in.clock++
	c.used = in.clock
	switch {
	case seq <= c.cursor:
	case in.overfull():
		c.held = nil
		in.fallBehind(c, seq)
	case seq == c.cursor+1:
		in.next(c, e)
	default:
		c.hold(e)
		in.fallBehind(c, seq)
	}
}

// add makes a conversation that was unknown. In Full mode it is wanted from its beginning, otherwise from here on.
func (in *inbox) add(id string, seq int64) *conversation {
	c := &conversation{id: id, fresh: true}
	if !in.full {
		c.cursor, c.done, c.head = seq, seq, seq
	}
	in.convs[id] = c
	return c
}

// next queues the event after the cursor, and those held that follow it.
func (in *inbox) next(c *conversation, e *chatv1.Event) {
	in.enqueue(c, e)
	for len(c.held) > 0 && c.held[0].GetSeq() <= c.cursor+1 {
		if c.held[0].GetSeq() == c.cursor+1 {
			in.enqueue(c, c.held[0])
		}
		c.held = c.held[1:]
	}
	if len(c.held) == 0 {
		c.held = nil
	}
	in.settle(c)
}

func (in *inbox) enqueue(c *conversation, e *chatv1.Event) {
	body, _ := bodyOf(e)
	c.cursor, c.fresh = e.GetSeq(), false
	in.queue.push(entry{Event: Event{Conversation: c.id, Seq: c.cursor, Body: body}, conv: c, done: c.cursor})
}

// hold keeps an event beyond a hole. The events kept are one run; where a second hole or the bound would break it, the newer run is kept.
func (c *conversation) hold(e *chatv1.Event) {
	n := len(c.held)
	switch {
	case n > 0 && e.GetSeq() <= c.held[n-1].GetSeq():
	case n > 0 && n < maxHeld && e.GetSeq() == c.held[n-1].GetSeq()+1:
		c.held = append(c.held, e)
	default:
		c.held = []*chatv1.Event{e}
	}
}

// fallBehind notes that events up to head exist that are not queued.
func (in *inbox) fallBehind(c *conversation, head int64) {
	c.head = max(c.head, head)
	if c.cursor < c.head {
		in.behind[c.id] = c
	}
}

// settle ends a conversation's being behind, once it isn't.
func (in *inbox) settle(c *conversation) {
	if c.cursor >= c.head {
		c.head = c.cursor
		if len(in.behind) > 0 {
			delete(in.behind, c.id)
		}
	}
}

// summary takes the state of a conversation.
func (in *inbox) summary(s *chatv1.ConversationSummary) {
	id, head := s.GetConversation().GetId(), s.GetLastSeq()
	if s.GetSelf().GetLeftSeq() != 0 {
		in.drop(id, s)
		return
	}
	c := in.convs[id]
	switch {
	case c == nil:
		c = in.add(id, head)
	case !in.full && in.catching && !c.positioned && head > c.cursor:
		in.gap(c, head)
	}
	c.head = max(c.head, head)
	in.push(entry{Event: Event{Conversation: id, Body: s}, conv: c, done: -1})
	if !in.catching {
		in.fallBehind(c, head)
	}
}

// resync takes the server's word that it won't send a conversation's missing events.
func (in *inbox) resync(id string, head int64) {
	if head == 0 {
		in.drop(id, &Gone{})
		return
	}
	c := in.convs[id]
	if c == nil {
		c = in.add(id, head)
	}
	if head < c.cursor { // the log has lost its end: what was handed over is no longer true
		in.rewind(c, head)
	}
	if !in.full && head > c.cursor {
		in.gap(c, head)
	}
	in.fallBehind(c, head)
}

func (in *inbox) rewind(c *conversation, head int64) {
	delete(in.behind, c.id)
	c.held, c.head, c.cursor = nil, head, 0
	if !in.full {
		c.cursor = head
	}
	in.push(entry{Event: Event{Conversation: c.id, Body: &Reset{}}, conv: c, done: c.cursor})
}

// gap goes on after head, and says so.
func (in *inbox) gap(c *conversation, head int64) {
	in.push(entry{Event: Event{Conversation: c.id, Body: &Gap{After: c.cursor, Head: head}}, conv: c, done: head})
	c.cursor = head
	for len(c.held) > 0 && c.held[0].GetSeq() <= head {
		c.held = c.held[1:]
	}
	in.settle(c)
}

// drop forgets a conversation that the user has left; body says so.
func (in *inbox) drop(id string, body any) {
	delete(in.convs, id)
	delete(in.behind, id)
	in.push(entry{Event: Event{Conversation: id, Body: body}})
}

// caughtUp takes a token. It is handed over once nothing before it is missing.
func (in *inbox) caughtUp(token []byte) {
	in.token, in.owed = token, true
	if in.catching {
		in.catching = false
		for _, c := range in.convs {
			c.positioned = false
			in.fallBehind(c, c.head)
		}
		in.positioned = in.positioned[:0]
	}
	in.settleToken()
}

// settleToken hands the newest token over where nothing is missing, and with it that the client is live.
func (in *inbox) settleToken() {
	if !in.owed || len(in.behind) > 0 || in.overfull() {
		return
	}
	in.owed = false
	in.push(entry{Event: Event{Body: &CaughtUp{Token: in.token}}})
	if _, ok := in.state.(CatchingUp); ok {
		in.setState(Live{})
	}
}

// setState tells the consumer of a state of the connection.
func (in *inbox) setState(s State) {
	if _, ok := s.(Connecting); ok {
		in.catching = false
	}
	in.state = s
	in.push(entry{Event: Event{Body: s}})
}

// canFetch reports whether something is missing that there is room for, and that isn't about to come by itself.
func (in *inbox) canFetch() bool {
	return len(in.behind) > 0 && !in.catching && in.lag == nil && in.queue.n <= in.limit/2
}

// missing returns where to fetch from: up to maxPositions conversations that are behind; none unless canFetch.
func (in *inbox) missing() []*chatv1.Position {
	if !in.canFetch() {
		return nil
	}
	var positions []*chatv1.Position
	for id, c := range in.behind {
		positions = append(positions, &chatv1.Position{ConversationId: id, Seq: c.cursor})
		if len(positions) == maxPositions {
			break
		}
	}
	return positions
}

// fetched applies a page of ListEvents that began at positions. It reports whether that brought anything forward.
func (in *inbox) fetched(r *chatv1.ListEventsResponse) (progress bool) {
	for _, e := range r.GetEvents() {
		if c := in.behind[e.GetConversationId()]; c != nil && e.GetSeq() == c.cursor+1 {
			in.next(c, e)
			progress = true
		}
	}
	for _, id := range r.GetNotFoundConversationIds() {
		if in.convs[id] != nil {
			in.drop(id, &Gone{})
			progress = true
		}
	}
	in.settleToken()
	return progress
}

// checkpoint returns what the consumer has finished with.
func (in *inbox) checkpoint() Checkpoint {
	p := Checkpoint{Token: in.doneToken, Seqs: map[string]int64{}}
	for id, c := range in.convs {
		if in.full || in.tracked[id] {
			p.Seqs[id] = c.done
		}
	}
	return p
}
