package fleet

import (
	"maps"
	"slices"
	"sync"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/e2e/history"
)

// Mirror is what a device makes of its client's events, by the rules of the schema and nothing else. Safe for concurrent use.
type Mirror struct {
	user func() string

	mu       sync.Mutex // guards what follows
	views    map[string]*history.View
	titles   map[string]int64                  // the seq by which each title was set
	presence map[string][]chatv1.PresenceState // all that was told, the newest last
	live     bool
	messages int // handed over as new
}

func newMirror(user func() string) *Mirror {
	return &Mirror{user: user, views: map[string]*history.View{}, titles: map[string]int64{}, presence: map[string][]chatv1.PresenceState{}}
}

func (m *Mirror) view(id string) *history.View {
	v := m.views[id]
	if v == nil {
		v = &history.View{
			Members: map[string]history.Member{}, Marks: map[string]history.Marks{}, Messages: map[int64]history.Message{},
		}
		m.views[id] = v
	}
	return v
}

// apply takes the next event.
func (m *Mirror) apply(e client.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.Seq > 0 {
		m.view(e.Conversation).Head = e.Seq
	}
	switch b := e.Body.(type) {
	case *chatv1.Message:
		m.message(m.view(e.Conversation), toMessage(b))
	case *chatv1.Conversation:
		m.title(e.Conversation, b)
	case *chatv1.MembersChanged:
		m.members(m.view(e.Conversation), b)
	case *chatv1.ConversationSummary:
		m.summary(e.Conversation, b)
	case *chatv1.Receipt:
		mark(m.view(e.Conversation), toMarks(b))
	case *chatv1.Presence:
		m.presence[b.GetUserId()] = append(m.presence[b.GetUserId()], b.GetState())
	case *client.Gone:
		m.drop(e.Conversation)
	case *client.Reset:
		m.drop(e.Conversation)
	case client.State:
		_, m.live = b.(client.Live)
	}
}

func (m *Mirror) drop(id string) {
	if id == "" {
		clear(m.views)
		clear(m.titles)
		return
	}
	delete(m.views, id)
	delete(m.titles, id)
}

func (m *Mirror) message(v *history.View, got *history.Message) {
	old, known := v.Messages[got.Seq]
	if !known {
		m.messages++
	}
	if !known || got.ChangedSeq > old.ChangedSeq {
		v.Messages[got.Seq] = *got
	}
	mark(v, history.Marks{User: got.Sender, Read: got.Seq, Delivered: got.Seq}) // who sends has read
}

func (m *Mirror) title(id string, c *chatv1.Conversation) {
	if c.GetChangedSeq() >= m.titles[id] {
		m.view(id).Title, m.titles[id] = c.GetTitle(), c.GetChangedSeq()
	}
}

func (m *Mirror) members(v *history.View, changed *chatv1.MembersChanged) {
	for _, member := range changed.GetMembers() {
		if got := toMember(member); got.Left == 0 {
			v.Members[got.User] = got
		} else {
			delete(v.Members, got.User)
		}
	}
}

func (m *Mirror) summary(id string, s *chatv1.ConversationSummary) {
	if s.GetSelf().GetLeftSeq() != 0 {
		m.drop(id)
		return
	}
	m.title(id, s.GetConversation())
	got, v := toSummary(s), m.view(id)
	mark(v, got.Own)
	for _, peer := range got.Peers {
		mark(v, peer)
	}
}

// mark moves marks forward.
func mark(v *history.View, m history.Marks) {
	old := v.Marks[m.User]
	v.Marks[m.User] = history.Marks{User: m.User, Read: max(old.Read, m.Read), Delivered: max(old.Delivered, m.Delivered)}
}

// Views returns copies of what the device has now; messages says whether with the messages, which take the most time.
func (m *Mirror) Views(messages bool) map[string]*history.View {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[string]*history.View, len(m.views))
	for id, v := range m.views {
		c := &history.View{Title: v.Title, Head: v.Head, Members: maps.Clone(v.Members), Marks: map[string]history.Marks{}}
		for user := range v.Members { // marks of those who left don't count
			c.Marks[user] = history.Marks{User: user, Read: v.Marks[user].Read, Delivered: v.Marks[user].Delivered}
		}
		own := v.Marks[m.user()].Read
		for seq := range v.Messages {
			if seq > own {
				c.Unread++
			}
		}
		if messages {
			c.Messages = maps.Clone(v.Messages)
		}
		out[id] = c
	}
	return out
}

// Live reports whether the client is connected and missing nothing, as its events said.
func (m *Mirror) Live() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.live
}

// Online reports whether a watched user was last seen online.
func (m *Mirror) Online(user string) bool {
	states := m.Presence(user)
	return len(states) > 0 && states[len(states)-1] == chatv1.PresenceState_PRESENCE_STATE_ONLINE
}

// Presence returns all that was told of a watched user so far, the newest last.
func (m *Mirror) Presence(user string) []chatv1.PresenceState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.presence[user])
}

// peers returns the members of all conversations.
func (m *Mirror) peers() map[string]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]bool{}
	for _, v := range m.views {
		for user := range v.Members {
			out[user] = true
		}
	}
	return out
}

// conversations returns the ids of all conversations, sorted, so that a seed picks the same ones.
func (m *Mirror) conversations() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.views))
}

// Messages returns how many messages have come so far.
func (m *Mirror) Messages() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.messages
}

// Head returns the last seq that came of a conversation.
func (m *Mirror) Head(conversation string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v := m.views[conversation]; v != nil {
		return v.Head
	}
	return 0
}
