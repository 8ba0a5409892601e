package chattest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// testModel takes a store through random histories and compares what it answers with the model all along.
func testModel(t *testing.T, open func(testing.TB) *Harness) {
	rapid.Check(t, func(r *rapid.T) {
		w := newWorld(r, open(t))
		defer func() {
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		}()
		m := &machine{w: w, positions: [][]int64{w.nos()}}
		r.Repeat(map[string]func(*rapid.T){
			"change":   m.change,
			"again":    m.again,
			"history":  m.history,
			"events":   m.events,
			"lists":    m.lists,
			"batches":  m.log,
			"reopen":   m.reopen,
			"position": func(*rapid.T) { m.positions = append(m.positions, w.nos()) },
		})
		w.checkAll()
	})
}

// machine draws what happens next.
type machine struct {
	w         *world
	positions [][]int64 // at which somebody could have synced
	sent      int
}

// change commits one to five changes together.
func (m *machine) change(r *rapid.T) {
	x := m.w.begin()
	for range rapid.IntRange(1, 5).Draw(r, "changes") {
		m.one(r, x)
	}
	x.commit()
}

// one makes a change of some kind.
func (m *machine) one(r *rapid.T, x *change) {
	w := m.w
	n := len(w.conversations)
	if n == 0 || n < 6 && rapid.IntRange(0, 9).Draw(r, "create") == 0 {
		kind := rapid.SampledFrom([]chat.Kind{chat.Direct, chat.Group}).Draw(r, "kind")
		users := []chat.UserID{ada, ben}
		if kind == chat.Group {
			users = rapid.SliceOfNDistinct(rapid.SampledFrom([]chat.UserID{ada, ben, cleo, dov, eva}), 1, 4, rapid.ID).Draw(r, "users")
		}
		x.create(kind, id(n), fmt.Sprint("key", n), users...)
		return
	}
	c := w.conversations[rapid.SampledFrom(w.ids()).Draw(r, "conversation")]
	members := c.active()
	if len(members) == 0 {
		x.read(c.ID)
		x.join(c, chat.Regular, ada)
		return
	}
	u := rapid.SampledFrom(members).Draw(r, "member").User
	switch rapid.SampledFrom([]string{"send", "send", "send", "edit", "delete", "react", "rename", "join", "leave", "mark", "mark", "look"}).Draw(r, "what") {
	case "send":
		m.sent++
		x.read(c.ID)
		x.send(c, u, uuid(m.sent), rapid.SampledFrom([]string{"hello there", "", "Ünïcode ✨ text", "a longer message of several words"}).Draw(r, "content"))
	case "edit", "delete", "react":
		m.edit(r, x, c, u)
	case "rename":
		x.read(c.ID)
		x.rename(c, u, rapid.SampledFrom([]string{"one", "two", "x's \"y\" % _"}).Draw(r, "title"))
	case "join":
		joining := rapid.SampledFrom([]chat.UserID{ada, ben, cleo, dov, eva, finn}).Draw(r, "joining")
		if c.Kind == chat.Group && (c.members[joining] == nil || !c.members[joining].Active()) {
			x.read(c.ID)
			x.join(c, rapid.SampledFrom([]chat.Role{chat.Reader, chat.Regular, chat.Owner}).Draw(r, "role"), joining)
		}
	case "leave":
		if c.Kind == chat.Group {
			x.read(c.ID)
			x.leave(c, u)
		}
	case "mark":
		x.read(c.ID)
		read := chat.Seq(rapid.Int64Range(0, int64(c.LastSeq)).Draw(r, "read"))
		x.mark(c, u, read, chat.Seq(rapid.Int64Range(0, int64(c.LastSeq)).Draw(r, "delivered")))
	case "look":
		// The ordinals are those of before this transaction.
		if len(x.events) == 0 {
			x.ordinal(c.ID, chat.Seq(rapid.Int64Range(0, int64(c.LastSeq)+3).Draw(r, "place")))
		}
	}
}

// edit changes a message that was there before this transaction, or that it has just added.
func (m *machine) edit(r *rapid.T, x *change, c *conversation, u chat.UserID) {
	x.read(c.ID)
	history := c.history()
	history = slices.DeleteFunc(history, func(m chat.Message) bool { return m.Deleted() || m.Time.Equal(x.at) })
	if len(history) == 0 {
		return
	}
	seq := rapid.SampledFrom(history).Draw(r, "message").Seq
	switch rapid.IntRange(0, 2).Draw(r, "edit") {
	case 0:
		x.edit(c, seq, u, chat.EventEdit, func(m *chat.Message) { m.Content, m.EditTime = m.Content+" edited", x.at })
	case 1:
		x.edit(c, seq, u, chat.EventDelete, func(m *chat.Message) { m.Content, m.Reactions, m.DeleteTime = "", nil, x.at })
	case 2:
		x.edit(c, seq, u, chat.EventReaction, func(m *chat.Message) {
			if len(m.Reactions) > 1 {
				m.Reactions = nil
				return
			}
			m.Reactions = append(m.Reactions, chat.Reaction{Emoji: "👍" + fmt.Sprint(len(m.Reactions)), Users: []chat.UserID{u}})
		})
	}
}

// again sends a message under a client id that is taken: first without looking, then with.
func (m *machine) again(r *rapid.T) {
	w := m.w
	var all []chat.Message
	for _, id := range w.ids() {
		all = append(all, w.conversations[id].history()...)
	}
	if len(all) == 0 {
		return
	}
	old := rapid.SampledFrom(all).Draw(r, "message")
	w.checkTaken(old)
}

func (m *machine) history(r *rapid.T) {
	w := m.w
	for _, id := range w.ids() {
		c := w.conversations[id]
		page := chat.MessagePage{Limit: rapid.IntRange(1, 6).Draw(r, "limit")}
		seq := chat.Seq(rapid.Int64Range(1, int64(c.LastSeq)+2).Draw(r, "seq"))
		switch rapid.IntRange(0, 3).Draw(r, "direction") {
		case 1:
			page.Before = seq
		case 2:
			page.After = seq
		case 3:
			page.Around = seq
		}
		w.checkHistory(c, page)
	}
}

func (m *machine) events(r *rapid.T) {
	w := m.w
	positions := []chat.EventPosition{{Conversation: id(999)}}
	for _, id := range w.ids() {
		after := chat.Seq(rapid.Int64Range(0, int64(w.conversations[id].LastSeq)).Draw(r, "after"))
		positions = append(positions, chat.EventPosition{Conversation: id, After: after})
	}
	w.checkEvents(positions, rapid.IntRange(1, 20).Draw(r, "limit"), rapid.IntRange(1, 100).Draw(r, "bytes"))
}

func (m *machine) lists(r *rapid.T) {
	w := m.w
	user := rapid.SampledFrom([]chat.UserID{ada, ben, cleo, dov, eva, finn}).Draw(r, "user")
	size := rapid.IntRange(1, 4).Draw(r, "page")
	w.checkSummaries(user, size)
	w.checkChanged(user, rapid.SampledFrom(m.positions).Draw(r, "since"), size)
}

func (m *machine) log(r *rapid.T) { m.w.checkLog(rapid.IntRange(1, 5).Draw(r, "page")) }

func (m *machine) reopen(*rapid.T) { m.w.reopen() }

func (w *world) reopen() {
	w.Helper()
	s, err := w.Reopen()
	w.ok(err)
	w.Store = s
	w.now = w.now.Add(time.Second)
}
