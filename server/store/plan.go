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
	view   *view
	shards int

	created map[chat.ConversationID]bool
	touched map[chat.ConversationID]*headPlan // of every conversation that is written to
	heads   []*headPlan                       // those whose row is written, in the order in which they came up
	logs    []*logPlan                        // one for each shard written to
}

// headPlan is a row of conversation_heads to be written.
type headPlan struct {
	*chat.ConversationState
	head
	// bump says that the row takes the batch's number. Where it is false only the highest read marks changed.
	bump bool
	// listed says that the plan holds it already.
	listed bool
	// ordinal runs along with the events.
	ordinal int64
}

// logPlan is a row of commit_log to be written.
type logPlan struct {
	shard int
	touched
	ranges map[chat.ConversationID]int // index into touched.ranges
}

// newPlan works out what w means for the tables. It fails where w touches what wasn't read, and so isn't locked.
func newPlan(w *chat.Writes, v *view, shards int) (*plan, error) {
	p := &plan{
		Writes: w, view: v, shards: shards,
		created: make(map[chat.ConversationID]bool, len(w.Created)),
		touched: make(map[chat.ConversationID]*headPlan, len(w.Created)+len(w.Heads)),
	}
	for _, c := range w.Created {
		p.created[c.ID] = true
		h := &headPlan{ConversationState: c}
		p.touched[c.ID] = h
		p.move(h)
	}
	for _, step := range []func() error{p.planHeads, p.planEvents, p.planMembers} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// touch returns the head of a conversation that is written to.
func (p *plan) touch(id chat.ConversationID) (*headPlan, error) {
	if h := p.touched[id]; h != nil {
		return h, nil
	}
	c := p.view.Conversations[id]
	old, read := p.view.heads[id]
	if c == nil || !read {
		return nil, fmt.Errorf("write to conversation %d, which was not read", id)
	}
	h := &headPlan{ConversationState: c, head: old}
	p.touched[id] = h
	return h, nil
}

// list has a head's row written.
func (p *plan) list(h *headPlan) {
	if !h.listed {
		h.listed = true
		p.heads = append(p.heads, h)
	}
}

// move has a head's row written, with the batch's number.
func (p *plan) move(h *headPlan) {
	h.bump = true
	p.list(h)
	p.log(h.ID)
}

// log returns what the log is told of a conversation's shard.
func (p *plan) log(id chat.ConversationID) *logPlan {
	shard := id.Shard(p.shards)
	for _, l := range p.logs {
		if l.shard == shard {
			return l
		}
	}
	l := &logPlan{shard: shard, ranges: make(map[chat.ConversationID]int)}
	p.logs = append(p.logs, l)
	return l
}

func (p *plan) planHeads() error {
	for _, list := range [][]*chat.ConversationState{p.Heads, p.Changed} {
		for _, c := range list {
			h, err := p.touch(c.ID)
			if err != nil {
				return err
			}
			h.ConversationState = c
			p.move(h)
		}
	}
	return nil
}

func (p *plan) planEvents() error {
	for i := range p.Events {
		e := &p.Events[i]
		h, err := p.touch(e.Conversation)
		if err != nil {
			return err
		}
		p.move(h)
		if e.Kind == chat.EventMessage {
			h.lastMessage = e.Seq
			h.ordinal--
		}
		l := p.log(e.Conversation)
		l.event(e, l.ranges)
	}
	for _, h := range p.heads {
		h.ordinal += h.LastOrdinal // the ordinal before this batch's messages
	}
	for _, m := range p.Messages {
		if _, err := p.touch(m.Conversation); err != nil {
			return err
		}
		p.log(m.Conversation)
	}
	return nil
}

func (p *plan) planMembers() error {
	for _, list := range [][]*chat.Member{p.Members, p.Marks} {
		for _, m := range list {
			if err := p.planMember(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// planMember takes a member's marks into the conversation's head and into the log.
func (p *plan) planMember(m *chat.Member) error {
	h, err := p.touch(m.Conversation)
	if err != nil {
		return err
	}
	if h.reads.raise(m.User, m.ReadSeq) {
		p.list(h)
	}
	if h.MemberCount <= SmallConversation {
		p.move(h)
	}
	l := p.log(m.Conversation)
	// A member that comes or changes its role may have moved its marks in the same breath.
	if m.Active() && m.DeliveredSeq > 0 {
		l.marks = append(l.marks, chat.MemberKey{Conversation: m.Conversation, User: m.User})
	}
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
