package chattest

import (
	"fmt"
	"strings"

	"github.com/natterjack-chat/natterjack/server/chat"
)

func testHistory(w *world) {
	c := w.group(1, ada, ben)
	w.checkHistory(c, chat.MessagePage{Limit: 5})
	w.checkHistory(c, chat.MessagePage{Limit: 5, Around: 1})
	const n = 9
	for i := range n {
		w.say(c, []chat.UserID{ada, ben}[i%2], fmt.Sprint("message ", i))
	}
	w.everyPage(c)

	// Walking from one end to the other by pages of any size sees every message once.
	for limit := 1; limit <= n+1; limit++ {
		var down, up []chat.Message
		next := w.pages()
		for page := (chat.MessagePage{Limit: limit}); ; next() {
			list, err := w.Store.Messages(w.ctx, c.ID, page)
			w.ok(err)
			down = append(append([]chat.Message{}, list.Messages...), down...)
			if !list.HasOlder {
				break
			}
			page.Before = list.Messages[0].Seq
		}
		same(w, "history walked backwards", down, c.history())
		for page := (chat.MessagePage{Limit: limit, After: 1}); ; next() {
			list, err := w.Store.Messages(w.ctx, c.ID, page)
			w.ok(err)
			up = append(up, list.Messages...)
			if !list.HasNewer {
				break
			}
			page.After = list.Messages[len(list.Messages)-1].Seq
		}
		same(w, "history walked forwards", up, c.history())
	}

	list, err := w.Store.Messages(w.ctx, id(77), chat.MessagePage{Limit: 5})
	w.ok(err)
	same(w, "history of no conversation", list, chat.MessageList{})
}

// everyPage checks pages of every size at every place.
func (w *world) everyPage(c *conversation) {
	w.Helper()
	for limit := 1; limit <= len(c.messages)+1; limit++ {
		w.checkHistory(c, chat.MessagePage{Limit: limit})
		for seq := chat.Seq(1); seq <= c.LastSeq+2; seq++ {
			w.checkHistory(c, chat.MessagePage{Limit: limit, Before: seq})
			w.checkHistory(c, chat.MessagePage{Limit: limit, After: seq})
			w.checkHistory(c, chat.MessagePage{Limit: limit, Around: seq})
		}
	}
}

func testHistoryAmongEvents(w *world) {
	c := w.group(1, ada, ben)
	for i := range 4 {
		m := w.say(c, ada, fmt.Sprint("message ", i))
		x := w.begin()
		x.read(c.ID)
		for range i {
			x.rename(c, ben, fmt.Sprint("title ", c.LastSeq))
		}
		x.edit(c, m.Seq, ada, chat.EventEdit, func(m *chat.Message) { m.Content, m.EditTime = m.Content+"!", x.at })
		if i == 2 {
			x.edit(c, m.Seq, ada, chat.EventDelete, func(m *chat.Message) { m.Content, m.DeleteTime = "", x.at })
		}
		x.commit()
	}
	w.everyPage(c)
	w.checkAll()
}

func testEvents(w *world) {
	var positions []chat.EventPosition
	for n := range 4 {
		c := w.group(n, ada, ben)
		for i := range 5 {
			w.say(c, ada, strings.Repeat("x", 100*i))
		}
		positions = append(positions, chat.EventPosition{Conversation: c.ID})
	}
	for limit := 1; limit <= 30; limit++ {
		w.checkEvents(positions, limit, 1<<20)
	}
	for _, size := range []int{0, 1, 100, 101, 500, 1000, 1500} {
		w.checkEvents(positions, 1000, size)
	}
	positions[1].After, positions[2].After, positions[3].After = 3, 7, 99
	w.checkEvents(positions, 1000, 1<<20)
	w.checkEvents(nil, 10, 1<<20)
	w.checkEvents([]chat.EventPosition{{Conversation: id(77)}}, 10, 1<<20)
}

func testReadByOthers(w *world) {
	c := w.group(1, ada, ben, cleo)
	for range 5 {
		w.say(c, ada, "hello")
	}
	for _, mark := range []struct {
		user chat.UserID
		read chat.Seq
	}{{ben, 3}, {cleo, 4}, {ben, 5}, {ben, 4}, {cleo, 6}, {ada, 7}} {
		x := w.begin()
		x.read(c.ID)
		x.mark(c, mark.user, mark.read, 0)
		x.commit()
		w.checkConversation(c)
	}
	x := w.begin()
	x.read(c.ID)
	x.leave(c, cleo)
	x.commit()
	// Who read it and left has read it all the same.
	w.checkConversation(c)
	none, err := w.Store.ReadByOthers(w.ctx, id(77), ada)
	w.ok(err)
	if none != 0 {
		w.Fatalf("read up to %d in no conversation", none)
	}
}

func testAnyText(w *world) {
	c := w.group(1, ada, ben)
	texts := []string{
		"it's \"quoted\" and `ticked`; DROP TABLE events;--", "<script>alert(1)</script>", "%_\\", "?$1:@x", "🦎🏳️‍🌈", "e" + strings.Repeat("\u0301", 5000),
		"\u202e right to left", "tab\tand\nnewline", strings.Repeat("long", 4096), "\ufffd\ufffe", "نص عربي", "漢字かな交じり文",
	}
	x := w.begin()
	x.read(c.ID)
	for i, text := range texts {
		x.send(c, ada, uuid(i+1), text)
	}
	x.rename(c, ada, texts[0])
	x.commit()
	w.checkAll()
	x = w.begin()
	x.read(c.ID)
	for i, text := range texts {
		x.edit(c, chat.Seq(i+3), ada, chat.EventReaction, func(m *chat.Message) {
			m.Reactions = []chat.Reaction{{Emoji: text[:min(len(text), 4)], Users: []chat.UserID{ada, ben}}, {Emoji: "😀", Users: []chat.UserID{1 << 62}}}
		})
	}
	x.commit()
	for _, word := range []string{"quoted", "DROP", "漢字かな交じり文", "عربي", "é", "longlong*", "नमस्ते", "AND", "OR", "NOT", "NEAR", "a*"} {
		_, err := w.Store.SearchMessages(w.ctx, chat.SearchQuery{User: ada, Words: []string{word}, Limit: 10})
		w.ok(err)
	}
	for _, prefix := range append(texts, "*", "\"", "a\"b", "NEAR(", "") {
		_, err := w.Store.SearchUsers(w.ctx, prefix, 10)
		w.ok(err)
	}
}
