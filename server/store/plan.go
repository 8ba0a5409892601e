package store

import (
	"encoding/json"
	"fmt"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// SmallConversation is up to how many members each one's marks are shown to the others, and move the conversation in their lists.
const SmallConversation = 64

// plan is what a transaction stores, with all that follows from it: the heads that move, and what the log tells of it.
type plan struct {
	*chat.Writes
	created map[chat.ConversationID]bool
	heads   []*headPlan // created or moved, each once
	logs    []*logPlan  // one for each shard written to
}

// headPlan is a row of conversation_heads to be written.
type headPlan struct {
	*chat.ConversationState
	head
	// bump says that the row takes the batch's number. Where it is false only the highest read marks changed.
	bump bool
	// ordinal runs along with the events.
	ordinal int64
}

type logPlan struct {
	shard int
	touched
	ranges map[chat.ConversationID]int // index into touched.ranges
}

// newPlan works out what w means for the tables. It fails where w touches what wasn't read, and so isn't locked.
func newPlan(w *chat.Writes, v *view, shards int) (*plan, error) {
	p := &plan{Writes: w, created: make(map[chat.ConversationID]bool, len(w.Created))}
	heads := make(map[chat.ConversationID]*headPlan, len(w.Heads)+len(w.Created))
	logs := make(map[int]*logPlan)
	log := func(id chat.ConversationID) *logPlan {
		shard := id.Shard(shards)
		l := logs[shard]
		if l == nil {
			l = &logPlan{shard: shard, ranges: make(map[chat.ConversationID]int)}
			logs[shard] = l
			p.logs = append(p.logs, l)
		}
		return l
	}
	headOf := func(id chat.ConversationID) (*headPlan, error) {
		if h := heads[id]; h != nil {
			return h, nil
		}
		c := v.Conversations[id]
		old, read := v.heads[id]
		if c == nil || !read && !p.created[id] {
			return nil, fmt.Errorf("write to conversation %d, which was not read", id)
		}
		log(id)
		h := &headPlan{ConversationState: c, head: old}
		heads[id] = h
		p.heads = append(p.heads, h)
		return h, nil
	}
	for _, c := range w.Created {
		p.created[c.ID] = true
		h := &headPlan{ConversationState: c, bump: true}
		heads[c.ID] = h
		p.heads = append(p.heads, h)
		log(c.ID)
	}
	for _, c := range w.Heads {
		h, err := headOf(c.ID)
		if err != nil {
			return nil, err
		}
		h.ConversationState, h.bump = c, true
	}
	for _, c := range w.Changed {
		h, err := headOf(c.ID)
		if err != nil {
			return nil, err
		}
		h.bump = true
	}
	for i := range w.Events {
		e := &w.Events[i]
		h, err := headOf(e.Conversation)
		if err != nil {
			return nil, err
		}
		if e.Kind == chat.EventMessage {
			h.lastMessage = e.Seq
			h.ordinal--
		}
		l := log(e.Conversation)
		l.event(e, l.ranges)
	}
	for _, h := range p.heads {
		h.ordinal += h.LastOrdinal // the ordinal before this batch's messages
	}
	for _, list := range [][]*chat.Member{w.Members, w.Marks} {
		for _, m := range list {
			if err := p.readMark(m, headOf); err != nil {
				return nil, err
			}
			// A member that comes or changes its role may have moved its marks in the same breath.
			if m.Active() && m.DeliveredSeq > 0 {
				l := log(m.Conversation)
				l.marks = append(l.marks, chat.MemberKey{Conversation: m.Conversation, User: m.User})
			}
		}
	}
	return p, nil
}

// readMark takes a member's marks into the conversation's head.
func (p *plan) readMark(m *chat.Member, headOf func(chat.ConversationID) (*headPlan, error)) error {
	h, err := headOf(m.Conversation)
	if err != nil {
		return err
	}
	h.reads.raise(m.User, m.ReadSeq)
	h.bump = h.bump || h.MemberCount <= SmallConversation
	return nil
}

// nextOrdinal gives the ordinal that an event's row holds: its own for a message, else that of the last message before.
func (h *headPlan) nextOrdinal(e *chat.Event) int64 {
	if e.Kind == chat.EventMessage {
		h.ordinal++
	}
	return h.ordinal
}

// subjects is the JSON of the ids of the users whose membership an event changed; nil where it changed none.
func subjects(e *chat.Event) (any, error) {
	if len(e.Members) == 0 {
		return nil, nil
	}
	ids := make([]chat.UserID, len(e.Members))
	for i := range e.Members {
		ids[i] = e.Members[i].User
	}
	b, err := json.Marshal(ids)
	return string(b), err
}

// reactions is the JSON of a message's reactions; nil where it has none.
func reactions(m *chat.Message) (any, error) {
	if len(m.Reactions) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(m.Reactions)
	return string(b), err
}

// orNull is NULL instead of 0: smaller in a row, and what other kinds of events have.
func orNull(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}
