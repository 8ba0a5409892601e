package chattest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/natterjack-chat/natterjack/server/chat"
)

func testCommit(w *world) {
	x := w.begin()
	c := x.create(chat.Group, id(1), "key", ada, ben)
	x.send(c, ada, uuid(1), "one")
	x.send(c, ben, uuid(2), "two")
	x.commit()
	x = w.begin()
	x.read(c.ID)
	x.ordinal(c.ID, 2)
	x.ordinal(c.ID, 3)
	x.ordinal(c.ID, 99)
	x.edit(c, 3, ada, chat.EventEdit, func(m *chat.Message) { m.Content, m.EditTime = "uno", x.at })
	x.rename(c, ada, "both")
	x.join(c, chat.Reader, cleo)
	x.mark(c, cleo, 4, 5)
	x.commit()
	w.checkAll()
}

func testCommitNothing(w *world) {
	c := w.group(1, ada, ben)
	for name, writes := range map[string]*chat.Writes{"none": nil, "empty": {}} {
		batches, err := w.Store.Commit(w.ctx, chat.Reads{Conversations: []chat.ConversationID{c.ID}}, func(v *chat.View) (*chat.Writes, error) {
			v.Conversations[c.ID].LastSeq = 99
			return writes, nil
		})
		w.ok(err)
		if len(batches) != 0 {
			w.Fatalf("%s: %d batches for no writes", name, len(batches))
		}
	}
	w.checkAll()
}

func testDecisionFails(w *world) {
	c := w.group(1, ada, ben)
	refused := errors.New("refused")
	_, err := w.Store.Commit(w.ctx, chat.Reads{Conversations: []chat.ConversationID{c.ID}}, func(*chat.View) (*chat.Writes, error) {
		return &chat.Writes{Heads: []*chat.ConversationState{{Conversation: chat.Conversation{ID: c.ID}}}}, refused
	})
	if !errors.Is(err, refused) {
		w.Fatalf("got %v, want decide's own error", err)
	}
	typed := chat.Invalid("field", "wrong")
	_, err = w.Store.Commit(w.ctx, chat.Reads{}, func(*chat.View) (*chat.Writes, error) { return nil, typed })
	WantError(w, err, chat.ReasonInvalidField)
	w.checkAll()
	w.say(c, ada, "and on it goes")
}

func testViewIsOwn(w *world) {
	c := w.group(1, ada, ben)
	w.say(c, ada, "hello")
	reads := chat.Reads{
		Conversations: []chat.ConversationID{c.ID}, Members: []chat.MemberKey{{Conversation: c.ID, User: ada}},
		Messages: []chat.MessageKey{{Conversation: c.ID, Seq: 3}}, Users: []chat.UserID{ada, 99},
	}
	for range 2 {
		_, err := w.Store.Commit(w.ctx, reads, func(v *chat.View) (*chat.Writes, error) {
			same(w, "conversation", v.Conversations[c.ID], c.ConversationState)
			same(w, "member", v.Members[reads.Members[0]], c.members[ada])
			same(w, "message", v.Messages[reads.Messages[0]], c.messages[3])
			same(w, "users", v.Users, map[chat.UserID]chat.User{ada: w.users[ada]})
			*v.Conversations[c.ID], *v.Members[reads.Members[0]], *v.Messages[reads.Messages[0]] =
				chat.ConversationState{}, chat.Member{}, chat.Message{}
			return nil, nil
		})
		w.ok(err)
	}
}

// checkTaken sends another message under the client id of one that is stored.
func (w *world) checkTaken(old chat.Message) {
	w.Helper()
	c := w.conversations[old.Conversation]
	key := chat.ClientKey{Conversation: c.ID, Sender: old.Sender, ClientID: old.ClientID}
	// A different message may have the same client id, from another sender or in another conversation; it isn't the one that is asked for.
	reads := chat.Reads{Conversations: []chat.ConversationID{c.ID}, ClientIDs: []chat.ClientKey{
		key, {Conversation: c.ID, Sender: finn + 1, ClientID: old.ClientID}, {Conversation: c.ID, Sender: old.Sender, ClientID: uuid(60000)},
	}}
	var saw map[chat.ClientKey]*chat.Message
	_, err := w.Store.Commit(w.ctx, chat.Reads{ClientIDs: []chat.ClientKey{key}}, func(v *chat.View) (*chat.Writes, error) {
		saw = v.ClientIDs
		return &chat.Writes{}, nil
	})
	if err != nil || len(saw) != 1 {
		w.Fatalf("%d messages found for one client id alone: %v", len(saw), err)
	}
	_, err = w.Store.Commit(w.ctx, reads, func(v *chat.View) (*chat.Writes, error) {
		saw = v.ClientIDs
		next := clone(v.Conversations[c.ID])
		next.LastSeq++
		next.LastOrdinal++
		again := cloneMessage(&old)
		again.Seq, again.Ordinal, again.ChangedSeq = next.LastSeq, next.LastOrdinal, next.LastSeq
		return &chat.Writes{
			Heads:  []*chat.ConversationState{next},
			Events: []chat.Event{{Conversation: c.ID, Seq: next.LastSeq, Kind: chat.EventMessage, Actor: old.Sender, Time: old.Time, Message: again}},
		}, nil
	})
	if !errors.Is(err, chat.ErrClientIDTaken) {
		w.Fatalf("got %v, want ErrClientIDTaken", err)
	}
	if len(saw) != 1 {
		w.Fatalf("%d messages found for one client id", len(saw))
	}
	same(w, "message by its client id", saw[key], c.messages[old.Seq])
	w.checkConversation(c)
}

func testClientIDTaken(w *world) {
	c := w.group(1, ada, ben)
	first := w.say(c, ada, "one")
	w.checkTaken(*first)
	w.checkAll()

	x := w.begin()
	x.read(c.ID)
	x.send(c, ben, first.ClientID, "the same id from another")
	other := x.create(chat.Group, id(2), "", ada)
	x.send(other, ada, first.ClientID, "the same id elsewhere")
	x.send(other, ada, chat.UUID{}, "no id")
	x.send(other, ada, chat.UUID{}, "no id again")
	x.commit()
	w.checkAll()
}

func testCreateKeyTaken(w *world) {
	x := w.begin()
	c := x.create(chat.Direct, id(1), "direct:1:2", ada, ben)
	x.commit()
	other := newConversation(c.ID+1, chat.Direct, ada, "direct:1:2", w.clock())
	other.LastSeq = 1
	create := func(*chat.View) (*chat.Writes, error) {
		return &chat.Writes{Created: []*chat.ConversationState{&other.ConversationState}}, nil
	}
	_, err := w.Store.Commit(w.ctx, chat.Reads{Conversations: []chat.ConversationID{other.ID}}, create)
	if !errors.Is(err, chat.ErrCreateKeyTaken) {
		w.Fatalf("got %v, want ErrCreateKeyTaken", err)
	}
	reads := chat.Reads{CreateKeys: []chat.CreateKey{{Conversation: other.ID, Key: "direct:1:2"}, {Conversation: other.ID, Key: "unknown"}}}
	_, err = w.Store.Commit(w.ctx, reads, func(v *chat.View) (*chat.Writes, error) {
		same(w, "create keys", v.CreateKeys, map[string]chat.ConversationID{"direct:1:2": c.ID})
		same(w, "conversation found by its key", v.Conversations[c.ID], c.ConversationState)
		return nil, nil
	})
	w.ok(err)
	w.checkAll()
}

func testSeqTaken(w *world) {
	c := w.group(1, ada, ben)
	m := w.say(c, ada, "one")
	_, err := w.Store.Commit(w.ctx, chat.Reads{Conversations: []chat.ConversationID{c.ID}}, func(v *chat.View) (*chat.Writes, error) {
		again := cloneMessage(m)
		again.ClientID = uuid(500)
		return &chat.Writes{
			Heads:  []*chat.ConversationState{v.Conversations[c.ID]},
			Events: []chat.Event{{Conversation: c.ID, Seq: m.Seq, Kind: chat.EventMessage, Actor: ada, Time: m.Time, Message: again}},
		}, nil
	})
	w.wantRefused(err)
	w.checkAll()
}

func testUnread(w *world) {
	c, other := w.group(1, ada, ben), w.group(2, ada, ben)
	_, err := w.Store.Commit(w.ctx, chat.Reads{Conversations: []chat.ConversationID{c.ID}}, func(*chat.View) (*chat.Writes, error) {
		return &chat.Writes{Marks: []*chat.Member{clone(other.members[ada])}}, nil
	})
	w.wantRefused(err)
	w.checkAll()
}

// wantRefused ends the test unless err says that the data was refused: an error of no kind that is repeated.
func (w *world) wantRefused(err error) {
	w.Helper()
	if _, typed := chat.AsError(err); typed || err == nil || errors.Is(err, chat.ErrClientIDTaken) || errors.Is(err, chat.ErrCreateKeyTaken) {
		w.Fatalf("got %v, want an error that refuses the data", err)
	}
}

func testConcurrentCommits(w *world) {
	const writers, each = 16, 12
	var all []*conversation
	for n := range 3 {
		all = append(all, w.group(n, ada, ben))
	}
	before := w.nos()
	var writing sync.WaitGroup
	for writer := range writers {
		writing.Go(func() {
			for n := range each {
				w.append(all[(writer+n)%len(all)].ID, uuid(1000+writer*each+n))
			}
		})
	}
	writing.Wait()
	var total int64
	for _, c := range all {
		state, _, err := w.Store.ConversationState(w.ctx, c.ID)
		w.ok(err)
		list, err := w.Store.Messages(w.ctx, c.ID, chat.MessagePage{Limit: 1000})
		w.ok(err)
		for i, m := range list.Messages {
			if m.Seq != chat.Seq(i+3) || m.Ordinal != int64(i+1) {
				w.Fatalf("message %d has seq %d and ordinal %d", i, m.Seq, m.Ordinal)
			}
		}
		n := int64(len(list.Messages))
		if int64(state.LastSeq) != n+2 || state.LastOrdinal != n {
			w.Fatalf("the head is %+v with %d messages", state.Head, n)
		}
		total += n
	}
	if total != writers*each {
		w.Fatalf("%d messages stored, want %d", total, writers*each)
	}
	for shard, no := range before {
		batches, err := w.Store.Batches(w.ctx, shard, no, 1000)
		w.ok(err)
		for i, b := range batches {
			if b.No != no+int64(i)+1 || i > 0 && b.PrevID != batches[i-1].ID {
				w.Fatalf("batch %d of shard %d is no %d after %d", i, shard, b.No, no)
			}
		}
		no += int64(len(batches))
		tops, err := w.Store.Tops(w.ctx)
		w.ok(err)
		if tops.Nos[shard] != no {
			w.Fatalf("the top of shard %d is %d, want %d", shard, tops.Nos[shard], no)
		}
	}
}

// append sends a message past the model: it takes the next seq from what the store says.
func (w *world) append(id chat.ConversationID, client chat.UUID) {
	w.Helper()
	_, err := w.Store.Commit(w.ctx, chat.Reads{Conversations: []chat.ConversationID{id}}, func(v *chat.View) (*chat.Writes, error) {
		c := v.Conversations[id]
		c.LastSeq++
		c.LastOrdinal++
		return &chat.Writes{Heads: []*chat.ConversationState{c}, Events: []chat.Event{{
			Conversation: id, Seq: c.LastSeq, Kind: chat.EventMessage, Actor: ada, Time: c.UpdateTime,
			Message: &chat.Message{
				Conversation: id, Seq: c.LastSeq, Ordinal: c.LastOrdinal, Sender: ada, ClientID: client, Content: "x", Time: c.UpdateTime, ChangedSeq: c.LastSeq,
			},
		}}}, nil
	})
	if err != nil {
		w.Error(err)
	}
}

func testCallerGone(w *world) {
	c := w.group(1, ada, ben)
	x := w.begin()
	x.read(c.ID)
	x.send(c, ada, uuid(1), "said before going")
	x.out.Events = append(x.out.Events, w.event(c, c.LastSeq))
	ctx, cancel := context.WithCancel(w.ctx)
	batches, err := w.Store.Commit(ctx, x.reads, func(*chat.View) (*chat.Writes, error) {
		cancel()
		return &x.out, nil
	})
	w.ok(err)
	x.record(batches)
	w.checkAll()
}

func testContextEnded(w *world) {
	c := w.group(1, ada, ben)
	ctx, cancel := context.WithCancel(w.ctx)
	cancel()
	called := false
	_, err := w.Store.Commit(ctx, chat.Reads{Conversations: []chat.ConversationID{c.ID}}, func(*chat.View) (*chat.Writes, error) {
		called = true
		return nil, nil
	})
	if err == nil && !called {
		w.Fatal("a commit that did nothing has no error")
	}
	if err != nil {
		WantError(w, err, chat.ReasonUnavailable)
	}
	for name, read := range map[string]func() error{
		"Member": func() error {
			_, _, err := w.Store.Member(ctx, chat.MemberKey{Conversation: c.ID, User: ada})
			return err
		},
		"Messages":  func() error { _, err := w.Store.Messages(ctx, c.ID, chat.MessagePage{Limit: 1}); return err },
		"Summaries": func() error { _, err := w.Store.Summaries(ctx, ada, []chat.ConversationID{c.ID}); return err },
		"Batches":   func() error { _, err := w.Store.Batches(ctx, c.ID.Shard(w.shards), 0, 1); return err },
		"Users":     func() error { _, err := w.Store.Users(ctx, []chat.UserID{ada}); return err },
	} {
		if err := read(); !errors.Is(err, context.Canceled) {
			w.Errorf("%s: got %v, want the context's error", name, err)
		}
	}
	w.checkAll()
}

func testBatches(w *world) {
	for n := range 5 {
		c := w.group(n, ada, ben, cleo)
		for i := range 3 {
			w.say(c, []chat.UserID{ada, ben, cleo}[i], fmt.Sprint("message ", i))
		}
	}
	x := w.begin()
	for _, id := range w.ids() {
		c := x.read(id)
		x.send(c, ada, w.nextUUID(), "one more")
		x.edit(c, 3, ada, chat.EventEdit, func(m *chat.Message) { m.Content, m.EditTime = "changed", x.at })
		x.mark(c, cleo, 4, c.LastSeq)
	}
	x.commit()
	for page := range 4 {
		w.checkLog(page + 1)
	}
	for shard, no := range w.nos() {
		past, err := w.Store.Batches(w.ctx, shard, no, 10)
		w.ok(err)
		if len(past) != 0 {
			w.Fatalf("%d batches after the newest", len(past))
		}
	}
}

func testPositions(w *world) {
	tops, err := w.Store.Tops(w.ctx)
	w.ok(err)
	same(w, "tops of an empty store", tops, chat.Positions{Epoch: tops.Epoch, Nos: make([]int64, w.shards), IDs: make([]uint64, w.shards)})
	if tops.Epoch <= 0 {
		w.Fatalf("the epoch is %d", tops.Epoch)
	}
	for n := range 6 {
		w.group(n, ada)
	}
	w.checkLog(10)
	ids, err := w.Store.BatchIDs(w.ctx, make([]int64, w.shards))
	w.ok(err)
	same(w, "IDs of the beginning", ids, make([]uint64, w.shards))
	unknown := make([]int64, w.shards)
	for i := range unknown {
		unknown[i] = 1_000_000
	}
	ids, err = w.Store.BatchIDs(w.ctx, unknown)
	w.ok(err)
	same(w, "IDs past the end", ids, make([]uint64, w.shards))
}

func testReopen(w *world) {
	for n := range 3 {
		c := w.group(n, ada, ben)
		w.say(c, ada, "before")
	}
	before, err := w.Store.Tops(w.ctx)
	w.ok(err)
	w.reopen()
	after, err := w.Store.Tops(w.ctx)
	w.ok(err)
	same(w, "positions", after, before)
	w.checkAll()
	w.say(w.conversations[id(1)], ben, "after")
	w.checkAll()
}
