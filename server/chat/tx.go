package chat

import (
	"slices"
	"time"

	"github.com/natterjack-chat/natterjack/server/internal/planted"
)

// readSet gathers what the changes of a batch have to see, each thing once.
type readSet struct {
	Reads
	seen map[any]struct{}
}

func newReadSet() *readSet { return &readSet{seen: make(map[any]struct{})} }

// first reports whether a key was not asked for before. Keys of different types never meet.
func (r *readSet) first(key any) bool {
	if _, ok := r.seen[key]; ok {
		return false
	}
	r.seen[key] = struct{}{}
	return true
}

func (r *readSet) conversation(id ConversationID) {
	if r.first(id) {
		r.Conversations = append(r.Conversations, id)
	}
}

// member asks for the conversation and the users' memberships of it.
func (r *readSet) member(id ConversationID, users ...UserID) {
	r.conversation(id)
	for _, u := range users {
		if k := (MemberKey{id, u}); r.first(k) {
			r.Members = append(r.Members, k)
		}
	}
}

func (r *readSet) message(id ConversationID, seq Seq) {
	if k := (MessageKey{id, seq}); r.first(k) {
		r.Messages = append(r.Messages, k)
	}
}

func (r *readSet) clientID(k ClientKey) {
	if r.first(k) {
		r.ClientIDs = append(r.ClientIDs, k)
	}
}

func (r *readSet) createKey(k CreateKey) {
	if r.first(k) {
		r.CreateKeys = append(r.CreateKeys, k)
	}
}

func (r *readSet) user(id UserID) {
	if r.first(id) {
		r.Users = append(r.Users, id)
	}
}

// ordinalKey keeps places asked for by their ordinal apart from messages asked for.
type ordinalKey MessageKey

func (r *readSet) ordinal(id ConversationID, seq Seq) {
	if r.first(ordinalKey{id, seq}) {
		r.Ordinals = append(r.Ordinals, MessageKey{id, seq})
	}
}

// tx is a transaction under way: the view, changed by one rule after another, and what has to be written for it.
// Later changes of a batch see what earlier ones did.
type tx struct {
	*View
	now time.Time

	out      Writes
	dirty    map[any]struct{} // what is in out already
	receipts []*Member        // members whose marks moved by a mark of their own
}

func newTx(v *View, now time.Time) *tx {
	return &tx{View: v, now: now.UTC().Truncate(time.Millisecond), dirty: make(map[any]struct{})}
}

func (t *tx) writes() *Writes { return &t.out }

func (t *tx) mark(key any) bool {
	if _, ok := t.dirty[key]; ok {
		return false
	}
	t.dirty[key] = struct{}{}
	return true
}

// Kinds of dirty rows; the pointer alone would not tell the lists apart.
type (
	dirtyHead    struct{ *ConversationState }
	dirtyShared  struct{ *ConversationState }
	dirtyMember  struct{ *Member }
	dirtyMarks   struct{ *Member }
	dirtyMessage struct{ *Message }
	dirtyReceipt struct{ *Member }
)

// create adds a new conversation.
func (t *tx) create(c *ConversationState) {
	t.Conversations[c.ID] = c
	if c.CreateKey != "" {
		t.CreateKeys[c.CreateKey] = c.ID
	}
	t.mark(dirtyHead{c})
	t.mark(dirtyShared{c})
	t.out.Created = append(t.out.Created, c)
}

// append gives an event the next seq of its conversation and its time, and adds it.
func (t *tx) append(c *ConversationState, e Event) *Event {
	c.LastSeq++
	if planted.Bug(planted.SeqOutsideLock) {
		c.LastSeq = Seq(planted.Next(c.ID, int64(c.LastSeq)))
	}
	if t.now.After(c.UpdateTime) {
		c.UpdateTime = t.now
	}
	e.Conversation, e.Seq, e.Time = c.ID, c.LastSeq, c.UpdateTime
	t.out.Events = append(t.out.Events, e)
	if t.mark(dirtyHead{c}) {
		t.out.Heads = append(t.out.Heads, c)
	}
	return &t.out.Events[len(t.out.Events)-1]
}

// changedShared says that the shared part of a conversation has changed.
func (t *tx) changedShared(c *ConversationState) {
	if t.mark(dirtyShared{c}) {
		t.out.Changed = append(t.out.Changed, c)
	}
}

// changedMessage says that the state of a message has changed. One that this very transaction adds is written with its event.
func (t *tx) changedMessage(m *Message) {
	if t.mark(dirtyMessage{m}) {
		t.out.Messages = append(t.out.Messages, m)
	}
}

// changedMember says that a membership is new, or has changed in more than its marks.
func (t *tx) changedMember(m *Member) {
	t.Members[MemberKey{m.Conversation, m.User}] = m
	if t.mark(dirtyMember{m}) {
		t.out.Members = append(t.out.Members, m)
	}
}

// changedMarks says that the marks of a member have moved; announce where others don't know it from a message.
func (t *tx) changedMarks(m *Member, announce bool) {
	if announce && t.mark(dirtyReceipt{m}) {
		t.receipts = append(t.receipts, m)
	}
	if _, whole := t.dirty[dirtyMember{m}]; whole {
		return
	}
	if t.mark(dirtyMarks{m}) {
		t.out.Marks = append(t.out.Marks, m)
	}
}

// ordinalAt returns the ordinal of the last message at or before a seq, in the conversation as it stands in this transaction.
func (t *tx) ordinalAt(c *ConversationState, seq Seq) int64 {
	if seq >= c.LastSeq {
		return c.LastOrdinal
	}
	// Messages of this batch are not in what was read.
	for _, e := range slices.Backward(t.out.Events) {
		if e.Conversation == c.ID && e.Kind == EventMessage && e.Seq <= seq {
			return e.Message.Ordinal
		}
	}
	return t.Ordinals[MessageKey{c.ID, seq}]
}

// fill puts into a committed batch what this transaction changed in its shard.
func (t *tx) fill(b *Batch, shards int) {
	for i := range t.out.Events {
		if e := &t.out.Events[i]; e.Conversation.Shard(shards) == b.Shard {
			b.Events = append(b.Events, *e)
		}
	}
	for _, m := range t.receipts {
		if m.Conversation.Shard(shards) == b.Shard {
			r := m.Receipt()
			if c := t.Conversations[m.Conversation]; c != nil {
				r.Members = c.MemberCount
			}
			b.Receipts = append(b.Receipts, r)
		}
	}
}
