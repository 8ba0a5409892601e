package chattest

import (
	"slices"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// checkHistory holds a page of history against the model.
func (w *world) checkHistory(c *conversation, page chat.MessagePage) {
	w.Helper()
	got, err := w.Store.Messages(w.ctx, c.ID, page)
	w.ok(err)
	same(w, "page of history", got, expectedPage(c.history(), page))
}

// expectedPage cuts a page out of a whole history.
func expectedPage(all []chat.Message, page chat.MessagePage) chat.MessageList {
	// first is the index of the first message at or after a seq.
	first := func(seq chat.Seq) int {
		i, _ := slices.BinarySearchFunc(all, seq, func(m chat.Message, seq chat.Seq) int { return int(m.Seq - seq) })
		return i
	}
	from, to := max(0, len(all)-page.Limit), len(all)
	switch {
	case page.Before > 0:
		to = first(page.Before)
		from = max(0, to-page.Limit)
	case page.After > 0:
		from = first(page.After + 1)
		to = min(len(all), from+page.Limit)
	case page.Around > 0:
		// Half of it older, the place itself with the newer half; what one side lacks the other gives.
		at := first(page.Around)
		older := min(at, max(page.Limit/2, page.Limit-(len(all)-at)))
		from = at - older
		to = min(len(all), from+page.Limit)
	}
	return chat.MessageList{Messages: all[from:to], HasOlder: from > 0, HasNewer: to < len(all)}
}

// checkEvents holds a page of events against the model.
func (w *world) checkEvents(positions []chat.EventPosition, limit, maxBytes int) {
	w.Helper()
	got, more, err := w.Store.Events(w.ctx, positions, limit, maxBytes)
	w.ok(err)
	var want []chat.Event
	for _, p := range positions {
		c := w.conversations[p.Conversation]
		if c == nil {
			continue
		}
		for seq := p.After + 1; seq <= c.LastSeq; seq++ {
			want = append(want, w.event(c, seq))
		}
	}
	if len(got) > limit || len(got) > len(want) {
		w.Fatalf("%d events, with a limit of %d, of %d", len(got), limit, len(want))
	}
	if more != (len(got) < len(want)) {
		w.Fatalf("more is %v with %d of %d events", more, len(got), len(want))
	}
	if len(got) == 0 && len(want) > 0 && limit > 0 {
		w.Fatal("no events, so a reader would never get on")
	}
	if len(got) < limit && more {
		var size int
		for _, e := range got {
			size += messageSize(e)
		}
		if size < maxBytes {
			w.Fatalf("%d of %d events with %d of %d bytes", len(got), len(want), size, maxBytes)
		}
	}
	same(w, "events", got, want[:len(got)])
}

func messageSize(e chat.Event) int {
	if e.Message == nil {
		return 0
	}
	return len(e.Message.Content)
}

// checkSummaries holds everything that a user's lists show against the model.
func (w *world) checkSummaries(user chat.UserID, pageSize int) {
	w.Helper()
	got, err := w.Store.Summaries(w.ctx, user, w.ids())
	w.ok(err)
	same(w, "summaries", got, w.summaries(user, func(chat.Summary) bool { return true }))

	present := w.summaries(user, func(s chat.Summary) bool { return s.Self.Active() })
	same(w, "all changed summaries", w.changedPages(user, nil, pageSize), present)

	var ids []chat.ConversationID
	for _, s := range present {
		ids = append(ids, s.Conversation.ID)
	}
	memberships, err := w.Store.Memberships(w.ctx, user)
	w.ok(err)
	slices.Sort(memberships)
	same(w, "memberships", memberships, ids)

	var recent []chat.Summary
	var cursor chat.RecentCursor
	for next := w.pages(); ; next() {
		page, err := w.Store.RecentSummaries(w.ctx, user, cursor, pageSize)
		w.ok(err)
		recent = append(recent, page...)
		if len(page) < pageSize {
			break
		}
		last := page[len(page)-1]
		cursor = chat.RecentCursor{UpdateTime: last.Head.UpdateTime, Conversation: last.Conversation.ID}
	}
	same(w, "recent summaries", recent, w.recent(user))
}

// changedPages reads all pages of the summaries that changed.
func (w *world) changedPages(user chat.UserID, since []int64, pageSize int) []chat.Summary {
	w.Helper()
	var all []chat.Summary
	var after chat.ConversationID
	for next := w.pages(); ; next() {
		page, err := w.Store.ChangedSummaries(w.ctx, user, since, after, pageSize)
		w.ok(err)
		all = append(all, page...)
		if len(page) < pageSize {
			return all
		}
		after = page[len(page)-1].Conversation.ID
	}
}

// checkChanged holds what changed for a user since a position against the model: all that did change is told, as it is now, and nothing that a whole
// fetch would not show.
func (w *world) checkChanged(user chat.UserID, since []int64, pageSize int) {
	w.Helper()
	want := w.summaries(user, func(s chat.Summary) bool {
		return w.changedSince(user, s.Conversation.ID, since[s.Conversation.ID.Shard(w.shards)])
	})
	same(w, "changed summaries", w.changedPages(user, since, pageSize), want)
}

// checkMembers holds the members of a conversation against the model, in pages.
func (w *world) checkMembers(c *conversation, pageSize int) {
	w.Helper()
	var want, got []chat.MemberInfo
	for _, m := range c.active() {
		want = append(want, chat.MemberInfo{Member: *m, Profile: w.users[m.User]})
	}
	var after chat.UserID
	for next := w.pages(); ; next() {
		page, err := w.Store.Members(w.ctx, c.ID, after, pageSize)
		w.ok(err)
		got = append(got, page...)
		if len(page) < pageSize {
			break
		}
		after = page[len(page)-1].User
	}
	same(w, "members", got, want)
}

// checkConversation holds what is read of one conversation against the model.
func (w *world) checkConversation(c *conversation) {
	w.Helper()
	state, ok, err := w.Store.ConversationState(w.ctx, c.ID)
	w.ok(err)
	if !ok {
		w.Fatalf("conversation %d is missing", c.ID)
	}
	same(w, "conversation", state, c.ConversationState)
	for u := range w.users {
		m, ok, err := w.Store.Member(w.ctx, chat.MemberKey{Conversation: c.ID, User: u})
		w.ok(err)
		if ok != (c.members[u] != nil) {
			w.Fatalf("membership of user %d: found is %v", u, ok)
		}
		if ok {
			same(w, "member", m, c.members[u])
		}
		others, err := w.Store.ReadByOthers(w.ctx, c.ID, u)
		w.ok(err)
		if want := c.readByOthers(u); others != want {
			w.Fatalf("read by others than %d: %d, want %d", u, others, want)
		}
	}
}

// checkLog holds the log of every shard against the model, in pages.
func (w *world) checkLog(pageSize int) {
	w.Helper()
	tops, err := w.Store.Tops(w.ctx)
	w.ok(err)
	same(w, "tops", tops.Nos, w.nos())
	for shard, list := range w.batches {
		var got []chat.Batch
		for next := w.pages(); ; next() {
			page, err := w.Store.Batches(w.ctx, shard, int64(len(got)), pageSize)
			w.ok(err)
			got = append(got, page...)
			if len(page) < pageSize {
				break
			}
		}
		if len(got) != len(list) {
			w.Fatalf("%d batches of shard %d, want %d", len(got), shard, len(list))
		}
		for i := range got {
			w.checkBatch(got[i], list[i])
		}
		if n := len(list); n > 0 {
			if tops.IDs[shard] != list[n-1].ID {
				w.Fatalf("the top of shard %d has ID %d, want %d", shard, tops.IDs[shard], list[n-1].ID)
			}
			ids, err := w.Store.BatchIDs(w.ctx, w.nos())
			w.ok(err)
			same(w, "batch IDs", ids, tops.IDs)
		}
	}
}

// checkBatch holds a batch that was read again against what was committed: events by conversation in order, in their present state.
func (w *world) checkBatch(got chat.Batch, want batch) {
	w.Helper()
	head := got
	head.Events, head.Receipts = nil, nil
	same(w, "batch", head, want.Batch)

	byConversation := func(a, b chat.MessageKey) int { return int(a.Conversation>>1 - b.Conversation>>1) }
	places := slices.Clone(want.events)
	slices.SortStableFunc(places, byConversation)
	events := slices.Clone(got.Events)
	slices.SortStableFunc(events, func(a, b chat.Event) int {
		return byConversation(chat.MessageKey{Conversation: a.Conversation}, chat.MessageKey{Conversation: b.Conversation})
	})
	var expected []chat.Event
	for _, p := range places {
		expected = append(expected, w.event(w.conversations[p.Conversation], p.Seq))
	}
	same(w, "events of a batch", events, expected)

	marks := make(map[chat.MemberKey]chat.Receipt)
	for _, r := range got.Receipts {
		marks[chat.MemberKey{Conversation: r.Conversation, User: r.User}] = r
	}
	for _, k := range want.marked {
		c := w.conversations[k.Conversation]
		r := c.members[k.User].Receipt()
		r.Members = c.MemberCount
		same(w, "receipt in a batch", marks[k], r)
	}
}

// checkAll holds everything against the model.
func (w *world) checkAll() {
	w.Helper()
	for _, id := range w.ids() {
		c := w.conversations[id]
		w.checkConversation(c)
		w.checkMembers(c, 3)
		w.checkHistory(c, chat.MessagePage{Limit: 100})
		w.checkEvents([]chat.EventPosition{{Conversation: id}}, 1000, 1<<20)
	}
	for u := range w.users {
		w.checkSummaries(u, 3)
	}
	w.checkLog(4)
}
