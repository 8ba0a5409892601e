package hub

import (
	"slices"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/internal/planted"
)

// batch is a [chat.Batch] as the hub applies it: from this node, from the bus or from the log.
type batch struct {
	epoch      int64
	shard      int
	no         int64
	id, prevID uint64
	// bare: the entries were too many for the bus and have to be read from the log.
	bare bool
	// own: committed on this node, to be passed on to the others.
	own      bool
	entries  []entry
	receipts []receiptEntry
}

// entry is one durable event. joins take effect before it, leaves after it.
type entry struct {
	conversation  chat.ConversationID
	seq           chat.Seq
	joins, leaves []chat.UserID
	piece         []byte
	event         *chat.Event // not yet encoded, if piece is nil
}

// receiptEntry is one member's marks.
type receiptEntry struct {
	conversation chat.ConversationID
	user         chat.UserID
	members      int
	piece        []byte
	receipt      *chat.Receipt // not yet encoded, if piece is nil
}

// fromChat makes a batch that encodes its events when somebody wants them.
func fromChat(b *chat.Batch) *batch {
	out := &batch{epoch: b.Epoch, shard: b.Shard, no: b.No, id: b.ID, prevID: b.PrevID}
	out.entries = make([]entry, len(b.Events))
	for i := range b.Events {
		e := &b.Events[i]
		out.entries[i] = entry{conversation: e.Conversation, seq: e.Seq, event: e}
	}
	for i := range b.Events {
		out.addMembers(i)
	}
	for i := range b.Receipts {
		r := &b.Receipts[i]
		out.receipts = append(out.receipts, receiptEntry{conversation: r.Conversation, user: r.User, members: r.Members, receipt: r})
	}
	return out
}

// addMembers notes what event i means for the streams of the members that it names. The event may show a state newer than itself, if it was
// read from the log; then the user's present membership decides, in doubt against delivering. Who joined at an earlier event of the batch
// (the founders of a conversation) gets that one too.
func (b *batch) addMembers(i int) {
	e := b.entries[i].event
	for j := range e.Members {
		m := &e.Members[j].Member
		switch {
		case m.LeftSeq == e.Seq, m.JoinedSeq > e.Seq:
			b.entries[i].leaves = append(b.entries[i].leaves, m.User)
		default:
			if k := b.find(i, m.JoinedSeq); k >= 0 {
				b.entries[k].joins = append(b.entries[k].joins, m.User)
			}
		}
	}
}

// find returns the entry at or before i with that seq of i's conversation; -1 if it isn't in the batch.
func (b *batch) find(i int, seq chat.Seq) int {
	for k := i; k >= 0; k-- {
		if b.entries[k].conversation == b.entries[i].conversation && b.entries[k].seq == seq {
			return k
		}
	}
	return -1
}

func (e *entry) encoded(h *Hub) []byte {
	if e.piece == nil {
		e.piece = h.encoder.Event(*e.event)
	}
	return e.piece
}

func (r *receiptEntry) encoded(h *Hub) []byte {
	if r.piece == nil {
		r.piece = h.encoder.Receipt(*r.receipt)
	}
	return r.piece
}

// room is a conversation with streams on this node; guarded by the lock of its shard.
type room struct {
	streams []*Stream
	head    chat.Seq // the last event that passed; 0: none yet
	// woken is when the last round of waking began, due when the next one does; zero: nothing waits for it. See pace.go.
	woken, due time.Time
}

func (sh *shard) attach(s *Stream, id chat.ConversationID) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s.join(id, 0) {
		sh.add(s, id)
	}
}

func (sh *shard) detach(s *Stream, id chat.ConversationID) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.remove(s, id)
}

func (sh *shard) add(s *Stream, id chat.ConversationID) {
	r := sh.rooms[id]
	if r == nil {
		r = &room{}
		sh.rooms[id] = r
	}
	r.streams = append(r.streams, s)
}

func (sh *shard) remove(s *Stream, id chat.ConversationID) {
	r := sh.rooms[id]
	if r == nil {
		return
	}
	if i := slices.Index(r.streams, s); i >= 0 {
		last := len(r.streams) - 1
		r.streams[i], r.streams[last] = r.streams[last], nil
		r.streams = r.streams[:last]
	}
	if len(r.streams) == 0 {
		delete(sh.rooms, id)
	}
}

// applyEntry gives one event to the streams of its conversation.
func (sh *shard) applyEntry(e *entry) {
	var o outcomes
	sh.mu.Lock()
	for _, user := range e.joins {
		for _, s := range sh.hub.streamsOf(user) {
			if s.join(e.conversation, e.seq) {
				sh.add(s, e.conversation)
			}
		}
	}
	if r := sh.rooms[e.conversation]; r != nil && e.seq > r.head {
		sh.fanOut(r, e, &o)
	}
	for _, user := range e.leaves {
		for _, s := range sh.hub.streamsOf(user) {
			if !planted.Bug(planted.RemovedStays) && s.leave(e.conversation, e.seq) {
				sh.remove(s, e.conversation)
			}
		}
	}
	sh.mu.Unlock()
	sh.hub.tally(&o)
}

func (sh *shard) fanOut(r *room, e *entry, o *outcomes) {
	h := sh.hub
	if r.head != 0 && e.seq != r.head+1 && !unchecked() {
		h.stats.holes.Add(1)
		h.logger.Error("the log of a conversation has a hole", "conversation", e.conversation.String(), "after", r.head, "next", e.seq)
		notice := h.holeFrame(e.conversation, e.seq-1)
		for _, s := range r.streams {
			o[s.deliver(notice)]++
		}
	}
	r.head = e.seq
	f := h.durableFrame(e.conversation, e.seq, e.encoded(h))
	f.later = sh.pace(r)
	for _, s := range r.streams {
		o[s.deliver(f)]++
	}
}

// applyReceipt gives a member's marks to the streams of a small conversation, or to the member's own.
func (sh *shard) applyReceipt(e *receiptEntry) {
	var o outcomes
	sh.mu.Lock()
	var streams []*Stream
	if e.members > sh.hub.limits.ReceiptMembers {
		streams = sh.hub.streamsOf(e.user)
	} else if r := sh.rooms[e.conversation]; r != nil {
		streams = r.streams
	}
	if len(streams) > 0 {
		f := &Frame{kind: frameLatest, conversation: e.conversation, user: e.user, piece: e.encoded(sh.hub), encoder: sh.hub.encoder}
		for _, s := range streams {
			o[s.deliver(f)]++
		}
	}
	sh.mu.Unlock()
	sh.hub.tally(&o)
}

// applyTyping gives typing to the streams of the other members.
func (sh *shard) applyTyping(conversation chat.ConversationID, user chat.UserID, typing bool) {
	var o outcomes
	sh.mu.Lock()
	if r := sh.rooms[conversation]; r != nil {
		f := &Frame{kind: frameTyping, conversation: conversation, user: user, encoder: sh.hub.encoder}
		f.piece = sh.hub.encoder.Typing(conversation, user, typing)
		for _, s := range r.streams {
			if s.caller.User != user {
				o[s.deliver(f)]++
			}
		}
	}
	sh.mu.Unlock()
	sh.hub.tally(&o)
}

// Typing passes on that a user types, or stopped, on this node and on others; best effort. Implements [chat.Publisher].
func (h *Hub) Typing(conversation chat.ConversationID, user chat.UserID, typing bool) {
	h.shardOf(conversation).applyTyping(conversation, user, typing)
	h.sendSignal(signal{kind: signalTyping, conversation: conversation, user: user, typing: typing})
}
