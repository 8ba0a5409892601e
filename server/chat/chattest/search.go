package chattest

import (
	"fmt"
	"slices"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// found searches and returns the contents, newest first.
func (w *world) found(q chat.SearchQuery) []string {
	w.Helper()
	if q.Limit == 0 {
		q.Limit = 100
	}
	got, err := w.Store.SearchMessages(w.ctx, q)
	w.ok(err)
	if len(got) > q.Limit {
		w.Fatalf("%d messages with a limit of %d", len(got), q.Limit)
	}
	contents := make([]string, len(got))
	for i, m := range got {
		same(w, "message found", m, w.conversations[m.Conversation].messages[m.Seq])
		contents[i] = m.Content
	}
	return contents
}

func testSearch(w *world) {
	c, other := w.group(1, ada, ben), w.group(2, ada, cleo)
	for _, content := range []string{
		"The quick brown fox", "a Quick answer", "über café CAFÉ cafe\u0301", "Straße und strasse", "naïve ﬁne ＦＵＬＬ width", "version 2.0 of 2026",
		"किताब पढ़ो", "Ωμέγα ΣΟΦΟΣ σοφός", "snake_case and kebab-case", "don't",
	} {
		w.say(c, ada, content)
		w.clock()
	}
	w.say(other, cleo, "another quick one")
	for _, test := range []struct {
		words []string
		want  []string
	}{
		{[]string{"quick"}, []string{"another quick one", "a Quick answer", "The quick brown fox"}},
		{[]string{"QUICK", "brown"}, []string{"The quick brown fox"}},
		{[]string{"quick", "absent"}, nil},
		{[]string{"qui"}, nil},
		{[]string{"qui*"}, []string{"another quick one", "a Quick answer", "The quick brown fox"}},
		{[]string{"bro*", "fo*"}, []string{"The quick brown fox"}},
		{[]string{"a*", "quick"}, []string{"another quick one", "a Quick answer"}},
		{[]string{"cafe"}, []string{"über café CAFÉ cafe\u0301"}},
		{[]string{"UBER"}, []string{"über café CAFÉ cafe\u0301"}},
		{[]string{"strasse"}, []string{"Straße und strasse"}},
		{[]string{"fine", "full"}, []string{"naïve ﬁne ＦＵＬＬ width"}},
		{[]string{"2026"}, []string{"version 2.0 of 2026"}},
		{[]string{"किताब"}, []string{"किताब पढ़ो"}},
		{[]string{"कताब"}, nil},
		{[]string{"σοφος"}, []string{"Ωμέγα ΣΟΦΟΣ σοφός"}},
		{[]string{"kebab", "snake"}, []string{"snake_case and kebab-case"}},
		{[]string{"don", "t"}, []string{"don't"}},
		{[]string{"\u0301"}, nil},
	} {
		same(w, fmt.Sprint("messages for ", test.words), w.found(chat.SearchQuery{User: ada, Words: test.words}), test.want)
	}
	same(w, "messages in one conversation", w.found(chat.SearchQuery{User: ada, Conversation: other.ID, Words: []string{"quick"}}),
		[]string{"another quick one"})
}

func testSearchFollows(w *world) {
	c := w.group(1, ada, ben)
	search := func(word string) []string { return w.found(chat.SearchQuery{User: ben, Words: []string{word}}) }
	m := w.say(c, ada, "first words")
	kept := w.say(c, ada, "other words")
	same(w, "before", search("words"), []string{"other words", "first words"})
	x := w.begin()
	x.read(c.ID)
	x.edit(c, m.Seq, ada, chat.EventEdit, func(m *chat.Message) { m.Content, m.EditTime = "changed text", x.at })
	x.commit()
	same(w, "the old words", search("first"), nil)
	same(w, "the new words", search("changed"), []string{"changed text"})
	x = w.begin()
	x.read(c.ID)
	x.edit(c, m.Seq, ada, chat.EventEdit, func(m *chat.Message) { m.Content = "changed again" })
	x.edit(c, kept.Seq, ada, chat.EventDelete, func(m *chat.Message) { m.Content, m.DeleteTime = "", x.at })
	x.edit(c, m.Seq, ben, chat.EventReaction, func(m *chat.Message) { m.Reactions = []chat.Reaction{{Emoji: "👍", Users: []chat.UserID{ben}}} })
	late := x.send(c, ben, w.nextUUID(), "late words")
	x.commit()
	same(w, "a deleted message", search("words"), []string{"late words"})
	same(w, "an edited one", search("changed"), []string{"changed again"})
	same(w, "the words between", search("text"), nil)
	x = w.begin()
	x.read(c.ID)
	x.edit(c, late.Seq, ben, chat.EventDelete, func(m *chat.Message) { m.Content, m.DeleteTime = "", x.at })
	x.commit()
	w.reopen()
	same(w, "after a restart", search("words"), nil)
	same(w, "after a restart", search("again"), []string{"changed again"})
}

func testSearchPages(w *world) {
	var all []string
	for n := range 5 {
		c := w.group(n, ada, ben)
		x := w.begin()
		x.read(c.ID)
		for i := range 4 {
			content := fmt.Sprintf("needle %d in %d", i, n)
			x.send(c, ada, w.nextUUID(), content)
			all = append(all, content)
		}
		x.commit()
		w.now = w.now.Add(time.Second)
	}
	slices.Reverse(all)
	for limit := 1; limit <= 21; limit++ {
		var got []string
		q := chat.SearchQuery{User: ben, Words: []string{"needle"}, Limit: limit}
		for next := w.pages(); ; next() {
			page, err := w.Store.SearchMessages(w.ctx, q)
			w.ok(err)
			for _, m := range page {
				got = append(got, m.Content)
			}
			if len(page) < limit {
				break
			}
			last := page[len(page)-1]
			q.Before = chat.SearchCursor{Time: last.Time, Conversation: last.Conversation, Seq: last.Seq}
		}
		same(w, fmt.Sprint("pages of ", limit), got, all)
	}
	x := w.begin()
	x.read(id(2))
	x.leave(w.conversations[id(2)], ben)
	x.commit()
	if got := w.found(chat.SearchQuery{User: ben, Words: []string{"needle"}}); len(got) != 16 {
		w.Fatalf("%d messages after leaving one of five conversations, want 16", len(got))
	}
	for _, q := range []chat.SearchQuery{
		{User: ben, Conversation: id(2), Words: []string{"needle"}},
		{User: cleo, Words: []string{"needle"}},
		{User: cleo, Conversation: id(1), Words: []string{"needle"}},
		{User: ben, Conversation: id(77), Words: []string{"needle"}},
	} {
		if got := w.found(q); len(got) != 0 {
			w.Fatalf("somebody who isn't a member finds %q", got)
		}
	}
}
