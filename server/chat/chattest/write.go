package chattest

import (
	"maps"
	"slices"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// change is a transaction that changes the model, and then the store in the same way. What it touches it also reads, so that the store's view is held
// against the model as it was before.
type change struct {
	w     *world
	at    time.Time
	reads chat.Reads
	want  expectedView

	out     chat.Writes
	dirty   map[any]bool
	marked  []chat.MemberKey
	events  []chat.MessageKey
	changed map[chat.ConversationID]bool // for the lists of all members
	rows    []chat.MemberKey             // members whose row is written
}

// expectedView is a [chat.View] in a form that can be compared: what isn't there is nil.
type expectedView struct {
	conversations map[chat.ConversationID]*chat.ConversationState
	members       map[chat.MemberKey]*chat.Member
	messages      map[chat.MessageKey]*chat.Message
	ordinals      map[chat.MessageKey]int64
}

func (w *world) begin() *change {
	return &change{
		w: w, at: w.clock(), dirty: make(map[any]bool), changed: make(map[chat.ConversationID]bool),
		want: expectedView{
			make(map[chat.ConversationID]*chat.ConversationState), make(map[chat.MemberKey]*chat.Member),
			make(map[chat.MessageKey]*chat.Message), make(map[chat.MessageKey]int64),
		},
	}
}

// read asks for a conversation, the first time.
func (x *change) read(id chat.ConversationID) *conversation {
	c := x.w.conversations[id]
	if _, asked := x.want.conversations[id]; !asked {
		x.reads.Conversations = append(x.reads.Conversations, id)
		x.want.conversations[id] = nil
		if c != nil {
			x.want.conversations[id] = clone(&c.ConversationState)
		}
	}
	return c
}

func (x *change) member(id chat.ConversationID, u chat.UserID) *chat.Member {
	c := x.read(id)
	k := chat.MemberKey{Conversation: id, User: u}
	if _, asked := x.want.members[k]; !asked {
		x.reads.Members = append(x.reads.Members, k)
		x.want.members[k] = clone(c.members[u])
	}
	return c.members[u]
}

func (x *change) message(id chat.ConversationID, seq chat.Seq) *chat.Message {
	c := x.read(id)
	k := chat.MessageKey{Conversation: id, Seq: seq}
	if _, asked := x.want.messages[k]; !asked {
		x.reads.Messages = append(x.reads.Messages, k)
		x.want.messages[k] = cloneMessage(c.messages[seq])
	}
	return c.messages[seq]
}

// ordinal asks for the ordinal at a place, before anything is changed.
func (x *change) ordinal(id chat.ConversationID, seq chat.Seq) {
	c := x.read(id)
	k := chat.MessageKey{Conversation: id, Seq: seq}
	if _, asked := x.want.ordinals[k]; !asked {
		x.reads.Ordinals = append(x.reads.Ordinals, k)
		x.want.ordinals[k] = c.ordinalAt(min(seq, c.LastSeq))
	}
}

// once reports whether a thing comes up for the first time in this transaction.
func (x *change) once(thing any) bool {
	if x.dirty[thing] {
		return false
	}
	x.dirty[thing] = true
	return true
}

type (
	dirtyHead    chat.ConversationID
	dirtyShared  chat.ConversationID
	dirtyMember  chat.MemberKey
	dirtyMessage chat.MessageKey
)

// append adds an event.
func (x *change) append(c *conversation, e entry) *entry {
	c.LastSeq++
	c.UpdateTime = x.at
	e.Conversation, e.Seq, e.Time = c.ID, c.LastSeq, x.at
	c.log = append(c.log, e)
	x.events = append(x.events, chat.MessageKey{Conversation: c.ID, Seq: e.Seq})
	x.changed[c.ID] = true
	if !x.dirty[c] && x.once(dirtyHead(c.ID)) {
		x.out.Heads = append(x.out.Heads, &c.ConversationState)
	}
	return &c.log[len(c.log)-1]
}

// create makes a conversation with its members; the first is the creator.
func (x *change) create(kind chat.Kind, id chat.ConversationID, key string, users ...chat.UserID) *conversation {
	x.read(id)
	c := newConversation(id, kind, users[0], key, x.at)
	x.w.conversations[id] = c
	x.dirty[c] = true
	x.out.Created = append(x.out.Created, &c.ConversationState)
	x.append(c, entry{Event: chat.Event{Kind: chat.EventConversation, Actor: users[0]}})
	x.join(c, chat.Regular, users...)
	return c
}

func (x *change) join(c *conversation, role chat.Role, users ...chat.UserID) {
	for _, u := range users {
		x.member(c.ID, u)
	}
	e := x.append(c, entry{Event: chat.Event{Kind: chat.EventMembers, Actor: users[0]}, users: users})
	for _, u := range users {
		m := c.members[u]
		if m == nil {
			m = &chat.Member{Conversation: c.ID, User: u}
			c.members[u] = m
		}
		m.Role, m.JoinedSeq, m.LeftSeq = role, e.Seq, 0
		c.MemberCount++
		if role == chat.Owner {
			c.OwnerCount++
		}
		x.wholeMember(m)
	}
}

func (x *change) leave(c *conversation, u chat.UserID) {
	m := x.member(c.ID, u)
	e := x.append(c, entry{Event: chat.Event{Kind: chat.EventMembers, Actor: u}, users: []chat.UserID{u}})
	m.LeftSeq = e.Seq
	c.MemberCount--
	if m.Role == chat.Owner {
		c.OwnerCount--
	}
	x.wholeMember(m)
}

// wholeMember says that a member's row is written as a whole.
func (x *change) wholeMember(m *chat.Member) {
	k := chat.MemberKey{Conversation: m.Conversation, User: m.User}
	x.rows = append(x.rows, k)
	if x.once(dirtyMember(k)) {
		x.out.Members = append(x.out.Members, m)
		x.out.Marks = slices.DeleteFunc(x.out.Marks, func(other *chat.Member) bool { return other == m })
		x.marked = slices.DeleteFunc(x.marked, func(other chat.MemberKey) bool { return other == k })
	}
}

func (x *change) send(c *conversation, u chat.UserID, id chat.UUID, content string) *chat.Message {
	x.member(c.ID, u)
	e := x.append(c, entry{Event: chat.Event{Kind: chat.EventMessage, Actor: u}})
	c.LastOrdinal++
	m := &chat.Message{
		Conversation: c.ID, Seq: e.Seq, Ordinal: c.LastOrdinal, Sender: u, ClientID: id, Content: content, Time: x.at, ChangedSeq: e.Seq,
	}
	c.messages[m.Seq] = m
	x.dirty[dirtyMessage{c.ID, m.Seq}] = true
	x.mark(c, u, m.Seq, m.Seq)
	return m
}

// edit changes a message by an event of a kind.
func (x *change) edit(c *conversation, seq chat.Seq, u chat.UserID, kind chat.EventKind, fn func(*chat.Message)) {
	x.member(c.ID, u)
	m := x.message(c.ID, seq)
	e := x.append(c, entry{Event: chat.Event{Kind: kind, Actor: u, Target: seq}})
	m.ChangedSeq = e.Seq
	fn(m)
	if x.once(dirtyMessage{c.ID, seq}) {
		x.out.Messages = append(x.out.Messages, m)
	}
}

func (x *change) rename(c *conversation, u chat.UserID, title string) {
	e := x.append(c, entry{Event: chat.Event{Kind: chat.EventConversation, Actor: u}})
	c.Title, c.ChangedSeq = title, e.Seq
	if !x.dirty[c] && x.once(dirtyShared(c.ID)) {
		x.out.Changed = append(x.out.Changed, &c.ConversationState)
	}
}

// mark moves a member's marks, if they move.
func (x *change) mark(c *conversation, u chat.UserID, read, delivered chat.Seq) {
	m := x.member(c.ID, u)
	read, delivered = min(read, c.LastSeq), min(max(read, delivered), c.LastSeq)
	if read <= m.ReadSeq && delivered <= m.DeliveredSeq {
		return
	}
	if read > m.ReadSeq {
		m.ReadSeq, m.ReadOrdinal, m.ReadTime = read, c.ordinalAt(read), x.at
	}
	if delivered > m.DeliveredSeq {
		m.DeliveredSeq, m.DeliveredTime = delivered, x.at
	}
	k := chat.MemberKey{Conversation: c.ID, User: u}
	x.rows = append(x.rows, k)
	if c.MemberCount <= smallConversation {
		x.changed[c.ID] = true
	}
	if !x.dirty[dirtyMember(k)] && !slices.Contains(x.out.Marks, m) {
		x.out.Marks = append(x.out.Marks, m)
		x.marked = append(x.marked, k)
	}
}

// commit stores the change and checks what the store saw before and says after it.
func (x *change) commit() {
	w := x.w
	w.Helper()
	for _, e := range x.events {
		x.out.Events = append(x.out.Events, w.event(w.conversations[e.Conversation], e.Seq))
	}
	batches, err := w.Store.Commit(w.ctx, x.reads, func(v *chat.View) (*chat.Writes, error) {
		x.checkView(v)
		out := x.out
		return &out, nil
	})
	w.ok(err)
	x.record(batches)
}

func (x *change) checkView(v *chat.View) {
	w := x.w
	w.Helper()
	for id, want := range x.want.conversations {
		same(w, "conversation in the view", v.Conversations[id], want)
	}
	for k, want := range x.want.members {
		same(w, "member in the view", v.Members[k], want)
	}
	for k, want := range x.want.messages {
		same(w, "message in the view", v.Messages[k], want)
	}
	for k, want := range x.want.ordinals {
		same(w, "ordinal in the view", v.Ordinals[k], want)
	}
	for id, c := range v.Conversations {
		if _, asked := x.want.conversations[id]; !asked && len(x.reads.CreateKeys) == 0 {
			w.Fatalf("conversation %d in the view was not asked for: %+v", id, c)
		}
	}
}

// record checks the batches that a commit returned, and keeps them.
func (x *change) record(batches []chat.Batch) {
	w := x.w
	w.Helper()
	shards := make(map[int]*batch)
	of := func(id chat.ConversationID) *batch {
		s := id.Shard(w.shards)
		if shards[s] == nil {
			shards[s] = &batch{}
		}
		return shards[s]
	}
	for _, e := range x.events {
		b := of(e.Conversation)
		b.events = append(b.events, e)
	}
	for _, k := range x.marked {
		b := of(k.Conversation)
		b.marked = append(b.marked, k)
	}
	for id := range x.changed {
		of(id)
	}
	if len(batches) != len(shards) {
		w.Fatalf("%d batches for writes to %d shards", len(batches), len(shards))
	}
	for _, got := range batches {
		b := shards[got.Shard]
		if b == nil {
			w.Fatalf("a batch of shard %d, which was not written to", got.Shard)
		}
		want := chat.Batch{Epoch: got.Epoch, Shard: got.Shard, No: 1, ID: got.ID}
		if before := w.batches[got.Shard]; len(before) > 0 {
			last := before[len(before)-1]
			want.No, want.PrevID, want.Epoch = last.No+1, last.ID, last.Epoch
		}
		if got.ID == 0 {
			w.Fatal("a batch without an ID")
		}
		same(w, "batch", got, want)
		b.Batch = got
		w.batches[got.Shard] = append(w.batches[got.Shard], *b)
	}
	x.recordNumbers()
}

// recordNumbers keeps which batch changed what for whom.
func (x *change) recordNumbers() {
	for id := range x.changed {
		x.w.conversations[id].changed = x.w.top(id)
	}
	for _, k := range x.rows {
		x.w.conversations[k.Conversation].memberChanged[k.User] = x.w.top(k.Conversation)
	}
}

// top is the number of the newest batch of a conversation's shard.
func (m *model) top(id chat.ConversationID) int64 {
	list := m.batches[id.Shard(m.shards)]
	if len(list) == 0 {
		return 0
	}
	return list[len(list)-1].No
}

// nos is the position of all shards.
func (m *model) nos() []int64 {
	nos := make([]int64, m.shards)
	for i, list := range m.batches {
		nos[i] = int64(len(list))
	}
	return nos
}

// id gives the n-th conversation of a test its id; they are spread over all shards.
func id(n int) chat.ConversationID {
	return chat.ConversationID(int64(n*397%1024)<<53 | int64(n) + 1)
}

// uuid gives the n-th client id.
func uuid(n int) (u chat.UUID) {
	u[0], u[14], u[15] = 1, byte(n>>8), byte(n)
	return u
}

// group creates the n-th conversation in a commit of its own.
func (w *world) group(n int, users ...chat.UserID) *conversation {
	x := w.begin()
	c := x.create(chat.Group, id(n), "", users...)
	x.commit()
	return c
}

// say sends a message in a commit of its own.
func (w *world) say(c *conversation, u chat.UserID, content string) *chat.Message {
	x := w.begin()
	m := x.send(c, u, w.nextUUID(), content)
	x.commit()
	return m
}

// nextUUID is one that no message has.
func (m *model) nextUUID() chat.UUID {
	n := 0
	for c := range maps.Values(m.conversations) {
		n += len(c.messages)
	}
	return uuid(n + 1)
}
