package chattest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// smallConversation is up to how many members each one's marks are part of the others' summaries.
const smallConversation = 64

// model is what a store should hold.
type model struct {
	shards        int
	users         map[chat.UserID]chat.User
	conversations map[chat.ConversationID]*conversation
	batches       [][]batch // by shard
}

// conversation is all that belongs to one.
type conversation struct {
	chat.ConversationState
	log      []entry // log[i] has seq i+1
	messages map[chat.Seq]*chat.Message
	members  map[chat.UserID]*chat.Member
	// changed is the number of the batch that last changed what all members' lists show; memberChanged those of the members' own rows.
	changed       int64
	memberChanged map[chat.UserID]int64
}

// entry is an event without its state.
type entry struct {
	chat.Event
	users []chat.UserID // whose membership it changed
}

// batch is what one commit changed in one shard.
type batch struct {
	chat.Batch
	events []chat.MessageKey // the places of its events
	marked []chat.MemberKey
}

func newModel(shards int) *model {
	return &model{
		shards: shards, users: make(map[chat.UserID]chat.User), conversations: make(map[chat.ConversationID]*conversation),
		batches: make([][]batch, shards),
	}
}

// ids returns the conversations in their order.
func (m *model) ids() []chat.ConversationID { return slices.Sorted(maps.Keys(m.conversations)) }

func clone[T any](x *T) *T {
	if x == nil {
		return nil
	}
	c := *x
	return &c
}

func cloneMessage(m *chat.Message) *chat.Message {
	c := clone(m)
	if c != nil && m.Reactions != nil {
		c.Reactions = nil
		for _, r := range m.Reactions {
			c.Reactions = append(c.Reactions, chat.Reaction{Emoji: r.Emoji, Users: slices.Clone(r.Users)})
		}
	}
	return c
}

// ordinalAt counts the messages up to a place.
func (c *conversation) ordinalAt(seq chat.Seq) int64 {
	var n int64
	for s := range c.messages {
		if s <= seq {
			n++
		}
	}
	return n
}

// history returns the messages in their order.
func (c *conversation) history() []chat.Message {
	var list []chat.Message
	for _, seq := range slices.Sorted(maps.Keys(c.messages)) {
		list = append(list, *c.messages[seq])
	}
	return list
}

// active returns the members, by id.
func (c *conversation) active() []*chat.Member {
	var list []*chat.Member
	for _, u := range slices.Sorted(maps.Keys(c.members)) {
		if m := c.members[u]; m.Active() {
			list = append(list, m)
		}
	}
	return list
}

// readByOthers is the highest mark among all that ever were members, but one.
func (c *conversation) readByOthers(user chat.UserID) (top chat.Seq) {
	for u, m := range c.members {
		if u != user {
			top = max(top, m.ReadSeq)
		}
	}
	return top
}

// event returns an event with its present state.
func (m *model) event(c *conversation, seq chat.Seq) chat.Event {
	e := c.log[seq-1]
	switch {
	case e.Kind == chat.EventMessage:
		e.Message = c.messages[seq]
	case e.Target > 0:
		e.Message = c.messages[e.Target]
	case e.Kind == chat.EventConversation:
		e.State = &c.Conversation
	}
	for _, u := range e.users {
		e.Members = append(e.Members, chat.MemberInfo{Member: *c.members[u], Profile: m.users[u]})
	}
	return e.Event
}

// summary returns a conversation as a user sees it; ok is false for one who never was a member.
func (m *model) summary(user chat.UserID, id chat.ConversationID) (s chat.Summary, ok bool) {
	c := m.conversations[id]
	if c == nil || c.members[user] == nil {
		return s, false
	}
	s = chat.Summary{Conversation: c.Conversation, Self: chat.MemberInfo{Member: *c.members[user], Profile: m.users[user]}}
	if !s.Self.Active() {
		return s, true
	}
	s.Head = c.Head
	if history := c.history(); len(history) > 0 {
		s.LastMessage = &history[len(history)-1]
	}
	if c.MemberCount > smallConversation {
		return s, true
	}
	for _, other := range c.active() {
		if other.User != user {
			s.Peers = append(s.Peers, other.Receipt())
		}
	}
	if c.Kind == chat.Direct {
		for u := range c.members {
			if u != user {
				s.Peer = clone(new(m.users[u]))
			}
		}
	}
	return s, true
}

// summaries returns those of a user that pass, in the order of ids.
func (m *model) summaries(user chat.UserID, pass func(chat.Summary) bool) []chat.Summary {
	var list []chat.Summary
	for _, id := range m.ids() {
		if s, ok := m.summary(user, id); ok && pass(s) {
			list = append(list, s)
		}
	}
	return list
}

// recent returns a user's summaries by newest event.
func (m *model) recent(user chat.UserID) []chat.Summary {
	list := m.summaries(user, func(s chat.Summary) bool { return s.Self.Active() })
	slices.SortFunc(list, func(a, b chat.Summary) int {
		return cmp.Or(b.Head.UpdateTime.Compare(a.Head.UpdateTime), cmp.Compare(b.Conversation.ID, a.Conversation.ID))
	})
	return list
}

// changed tells whether a user's summary of a conversation has to be told after a number of its shard.
func (m *model) changedSince(user chat.UserID, id chat.ConversationID, no int64) bool {
	c := m.conversations[id]
	return c.memberChanged[user] > no || c.members[user].Active() && c.changed > no
}

// newConversation returns a conversation that a transaction can create.
func newConversation(id chat.ConversationID, kind chat.Kind, creator chat.UserID, key string, at time.Time) *conversation {
	c := &conversation{
		messages: make(map[chat.Seq]*chat.Message), members: make(map[chat.UserID]*chat.Member), memberChanged: make(map[chat.UserID]int64),
	}
	c.Conversation = chat.Conversation{ID: id, Kind: kind, Creator: creator, CreateTime: at, ChangedSeq: 1, CreateKey: key}
	if kind == chat.Group {
		c.Title = fmt.Sprintf("group %d", id)
	}
	return c
}
