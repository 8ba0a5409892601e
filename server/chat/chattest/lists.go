package chattest

import (
	"fmt"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

func testMembers(w *world) {
	c := w.group(1, dov, ada, finn, ben, cleo)
	x := w.begin()
	x.read(c.ID)
	x.leave(c, cleo)
	x.commit()
	for page := 1; page <= 6; page++ {
		w.checkMembers(c, page)
	}
	none, err := w.Store.Members(w.ctx, id(77), 0, 10)
	w.ok(err)
	if len(none) != 0 {
		w.Fatalf("%d members of no conversation", len(none))
	}
	if _, ok, err := w.Store.Member(w.ctx, chat.MemberKey{Conversation: c.ID, User: eva}); ok || err != nil {
		w.Fatalf("a member that never was is found: %v, %v", ok, err)
	}
	if _, ok, err := w.Store.ConversationState(w.ctx, id(77)); ok || err != nil {
		w.Fatalf("a conversation that never was is found: %v, %v", ok, err)
	}
	known, err := w.Store.Users(w.ctx, []chat.UserID{ada, 999, finn})
	w.ok(err)
	same(w, "users", known, map[chat.UserID]chat.User{ada: w.users[ada], finn: w.users[finn]})
}

// mark moves a member's read mark in a commit of its own.
func (w *world) mark(c *conversation, u chat.UserID, read chat.Seq) {
	w.Helper()
	x := w.begin()
	x.read(c.ID)
	x.mark(c, u, read, 0)
	x.commit()
}

func testMarksMoveSmall(w *world) {
	x := w.begin()
	c := x.create(chat.Direct, id(1), "direct", ada, ben)
	x.send(c, ada, uuid(1), "hello")
	x.commit()
	before := w.nos()
	w.mark(c, ben, 3)
	// Ada, who was away, finds that Ben has read it.
	got := w.changedPages(ada, before, 10)
	if len(got) != 1 || got[0].Peers[0].ReadSeq != 3 {
		w.Fatalf("what changed for the other is %+v", got)
	}
	w.checkChanged(ada, before, 10)
	w.checkChanged(ben, before, 10)
}

func testMarksLarge(w *world) {
	users := []chat.UserID{ada, ben}
	for n := range smallConversation {
		u := chat.User{ID: chat.UserID(100 + n), Username: fmt.Sprint("member", n)}
		w.addUser(u)
		users = append(users, u.ID)
	}
	c := w.group(1, users...)
	w.say(c, ada, "hello all")
	before := w.nos()
	w.mark(c, ben, 3)
	if got := w.changedPages(ada, before, 10); len(got) != 0 {
		w.Fatalf("a mark in a large conversation changed the lists of all: %+v", got)
	}
	w.checkChanged(ben, before, 10)
	w.checkConversation(c)
	w.checkSummaries(ada, 10)

	// One leaves twice the number that counts: then the marks count again.
	x := w.begin()
	x.read(c.ID)
	x.leave(c, users[2])
	x.leave(c, users[3])
	x.commit()
	before = w.nos()
	w.mark(c, users[4], 3)
	w.checkChanged(ada, before, 10)
	w.checkSummaries(ada, 10)
}

func testRecent(w *world) {
	// Several have their newest event in the same millisecond.
	x := w.begin()
	for n := range 5 {
		x.create(chat.Group, id(n), "", ada, ben)
	}
	x.commit()
	for n := range 3 {
		w.say(w.conversations[id(n+1)], ben, "hello")
	}
	x = w.begin()
	x.read(id(4))
	x.leave(w.conversations[id(4)], ada)
	x.commit()
	for page := 1; page <= 6; page++ {
		w.checkSummaries(ada, page)
		w.checkSummaries(ben, page)
		w.checkSummaries(cleo, page)
	}
	got, err := w.Store.Summaries(w.ctx, ada, []chat.ConversationID{id(3), id(99), id(0)})
	w.ok(err)
	if len(got) != 2 || got[0].Conversation.ID != id(3) || got[1].Conversation.ID != id(0) {
		w.Fatalf("summaries asked for are %+v, want them in the order asked for", got)
	}
}

func testChanged(w *world) {
	positions := [][]int64{w.nos()}
	step := func(fn func(x *change)) {
		x := w.begin()
		fn(x)
		x.commit()
		positions = append(positions, w.nos())
	}
	for n := range 4 {
		step(func(x *change) { x.create(chat.Group, id(n), "", ada, ben) })
	}
	of := func(n int) *conversation { return w.conversations[id(n)] }
	step(func(x *change) { x.read(id(0)); x.send(of(0), ada, uuid(1), "one") })
	step(func(x *change) { x.read(id(1)); x.rename(of(1), ada, "renamed") })
	step(func(x *change) { x.read(id(2)); x.join(of(2), chat.Admin, cleo) })
	step(func(x *change) { x.read(id(0)); x.mark(of(0), ben, 3, 3) })
	step(func(x *change) { x.read(id(3)); x.leave(of(3), ben) })
	step(func(x *change) { x.read(id(3)); x.send(of(3), ada, uuid(2), "after they left") })
	step(func(x *change) { x.read(id(3)); x.join(of(3), chat.Regular, ben) })
	for _, since := range positions {
		for _, user := range []chat.UserID{ada, ben, cleo, dov} {
			for page := 1; page <= 3; page++ {
				w.checkChanged(user, since, page)
			}
		}
	}
}

func testLeft(w *world) {
	c := w.group(1, ada, ben)
	x := w.begin()
	x.read(c.ID)
	x.leave(c, ben)
	x.commit()
	left := w.nos()
	w.say(c, ada, "he's gone")
	if got := w.changedPages(ben, left, 10); len(got) != 0 {
		w.Fatalf("after leaving a user learns of %+v", got)
	}
	w.checkChanged(ben, make([]int64, w.shards), 10)
	w.checkAll()
}

func testShared(w *world) {
	c := w.group(1, ada, ben, cleo)
	w.group(2, cleo, dov)
	check := func(user chat.UserID, want map[chat.UserID]bool) {
		w.Helper()
		got, err := w.Store.Shared(w.ctx, user, []chat.UserID{ada, ben, cleo, dov, eva, 999})
		w.ok(err)
		for u, shares := range got {
			if !shares {
				delete(got, u)
			}
		}
		same(w, "shared", got, want)
	}
	check(ada, map[chat.UserID]bool{ada: true, ben: true, cleo: true})
	check(cleo, map[chat.UserID]bool{ada: true, ben: true, cleo: true, dov: true})
	check(eva, map[chat.UserID]bool{eva: true})
	x := w.begin()
	x.read(c.ID)
	x.leave(c, cleo)
	x.commit()
	check(ada, map[chat.UserID]bool{ada: true, ben: true})
	check(cleo, map[chat.UserID]bool{cleo: true, dov: true})
}

func testSearchUsers(w *world) {
	for i, u := range []chat.User{
		{Username: "zoe.lang", DisplayName: "Zoé de la Lande"},
		{Username: "Zed_99", DisplayName: "Éric Ångström"},
		{Username: "x-ray", DisplayName: "Jean-Luc Zola"},
		{Username: "yves", DisplayName: "zoe"},
	} {
		u.ID = chat.UserID(200 + i)
		w.addUser(u)
	}
	for _, test := range []struct {
		prefix string
		limit  int
		want   []string
	}{
		{"zo", 10, []string{"x-ray", "yves", "zoe.lang"}},
		{"ZOE", 10, []string{"yves", "zoe.lang"}},
		{"zoé", 10, []string{"yves", "zoe.lang"}},
		{"lan", 10, []string{"zoe.lang"}},
		{"ang", 10, []string{"Zed_99"}},
		{"eric a", 10, []string{"Zed_99"}},
		{"zed_", 10, []string{"Zed_99"}},
		{"luc", 10, []string{"x-ray"}},
		{"z", 2, []string{"x-ray", "yves"}},
		{"oe", 10, nil},
		{"nobody", 10, nil},
	} {
		got, err := w.Store.SearchUsers(w.ctx, test.prefix, test.limit)
		w.ok(err)
		var names []string
		for _, u := range got {
			names = append(names, u.Username)
			same(w, "profile", u, w.users[u.ID])
		}
		same(w, "users for "+test.prefix, names, test.want)
	}
}

func testLastSeen(w *world) {
	users := []chat.UserID{ada, ben, cleo, 999}
	check := func(want map[chat.UserID]time.Time, wantHidden map[chat.UserID]bool) {
		w.Helper()
		seen, hidden, err := w.Store.LastSeen(w.ctx, users)
		w.ok(err)
		same(w, "last seen", seen, want)
		same(w, "hidden", hidden, wantHidden)
	}
	check(map[chat.UserID]time.Time{}, map[chat.UserID]bool{})
	w.ok(w.Store.SetLastSeen(w.ctx, map[chat.UserID]time.Time{ada: start, ben: start, 999: start}))
	w.ok(w.Store.SetLastSeen(w.ctx, map[chat.UserID]time.Time{ada: start.Add(-time.Hour), ben: start.Add(time.Hour)}))
	w.ok(w.Store.SetLastSeen(w.ctx, nil))
	check(map[chat.UserID]time.Time{ada: start, ben: start.Add(time.Hour)}, map[chat.UserID]bool{})
	w.ok(w.Hide(ben))
	check(map[chat.UserID]time.Time{ada: start}, map[chat.UserID]bool{ben: true})
}
