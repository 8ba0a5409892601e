package chat

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// world is a view with one group, or one direct conversation, and a member of each role; 5 is a former member, 9 a stranger.
func world(kind Kind) *tx {
	v := &View{
		Conversations: map[ConversationID]*ConversationState{
			1: {Conversation{ID: 1, Kind: kind, Title: "t"}, Head{LastSeq: 10, LastOrdinal: 3, MemberCount: 4, OwnerCount: 1}},
		},
		CreateKeys: map[string]ConversationID{}, Members: map[MemberKey]*Member{}, ClientIDs: map[ClientKey]*Message{},
		Messages: map[MessageKey]*Message{
			{1, 8}: {Conversation: 1, Seq: 8, Ordinal: 1, Sender: 2, Content: "by the regular member", ChangedSeq: 8},
			{1, 9}: {Conversation: 1, Seq: 9, Ordinal: 2, Sender: 4, Content: "by the owner", ChangedSeq: 9},
			{1, 7}: {Conversation: 1, Seq: 7, Ordinal: 3, Sender: 2, DeleteTime: time.UnixMilli(1), ChangedSeq: 10},
		},
		Users: map[UserID]User{1: {}, 2: {}, 3: {}, 4: {}, 5: {}, 9: {}}, Ordinals: map[MessageKey]int64{},
	}
	for u := UserID(1); u <= 4; u++ {
		v.Members[MemberKey{1, u}] = &Member{Conversation: 1, User: u, Role: Role(u), JoinedSeq: 2}
	}
	v.Members[MemberKey{1, 5}] = &Member{Conversation: 1, User: 5, Role: Regular, JoinedSeq: 2, LeftSeq: 6}
	return newTx(v, time.UnixMilli(1000))
}

const (
	reader, regular, admin, owner, former, stranger UserID = 1, 2, 3, 4, 5, 9
)

// TestAccessTable holds every change against every kind of caller.
func TestAccessTable(t *testing.T) {
	const ok, no, gone = Reason(0), ReasonRoleTooLow, ReasonNotFound
	everybody := []UserID{reader, regular, admin, owner, former, stranger}
	for _, row := range []struct {
		name string
		do   func(*tx, UserID) error
		want [6]Reason // in the order of everybody
	}{
		{"send", func(t *tx, u UserID) error { _, err := t.send(u, request(1, "x")); return err }, [6]Reason{no, ok, ok, ok, gone, gone}},
		{"edit the regular member's", func(t *tx, u UserID) error { _, err := t.edit(u, 1, 8, "x"); return err }, [6]Reason{no, ok, no, no, gone, gone}},
		{"delete the regular member's", func(t *tx, u UserID) error { _, err := t.delete(u, 1, 8); return err }, [6]Reason{no, ok, ok, ok, gone, gone}},
		{"delete the owner's", func(t *tx, u UserID) error { _, err := t.delete(u, 1, 9); return err }, [6]Reason{no, no, ok, ok, gone, gone}},
		{"react", func(t *tx, u UserID) error { _, err := t.react(u, 1, 8, "👍", true); return err }, [6]Reason{no, ok, ok, ok, gone, gone}},
		{"mark", func(t *tx, u UserID) error { _, err := t.setMarks(u, 1, 5, 5); return err }, [6]Reason{ok, ok, ok, ok, gone, gone}},
		{"rename", func(t *tx, u UserID) error { _, err := t.rename(u, 1, "new"); return err }, [6]Reason{no, no, ok, ok, gone, gone}},
		{"add a member", func(t *tx, u UserID) error {
			_, err := t.addMembers(u, 1, []UserID{9}, Regular, testLimits)
			return err
		}, [6]Reason{no, no, ok, ok, gone, gone}},
		{"add an admin", func(t *tx, u UserID) error { _, err := t.addMembers(u, 1, []UserID{9}, Admin, testLimits); return err }, [6]Reason{no, no, no, ok, gone, gone}},
		{"remove the reader", func(t *tx, u UserID) error { return t.removeMember(u, 1, reader) }, [6]Reason{ok, no, ok, ok, gone, gone}},
		{"remove the admin", func(t *tx, u UserID) error { return t.removeMember(u, 1, admin) }, [6]Reason{no, no, ok, ok, gone, gone}},
		{"remove a former member", func(t *tx, u UserID) error { return t.removeMember(u, 1, former) }, [6]Reason{no, no, gone, gone, gone, gone}},
		{"make the reader a member", func(t *tx, u UserID) error { _, err := t.updateMember(u, 1, reader, Regular); return err }, [6]Reason{no, no, ok, ok, gone, gone}},
		{"make the reader an admin", func(t *tx, u UserID) error { _, err := t.updateMember(u, 1, reader, Admin); return err }, [6]Reason{no, no, no, ok, gone, gone}},
		{"make the admin a reader", func(t *tx, u UserID) error { _, err := t.updateMember(u, 1, admin, Reader); return err }, [6]Reason{no, no, no, ok, gone, gone}},
	} {
		for i, u := range everybody {
			err := row.do(world(Group), u)
			e, _ := AsError(err)
			got := ok
			if e != nil {
				got = e.Reason
			}
			if got != row.want[i] || err != nil && e == nil {
				t.Errorf("%s as user %d: %v, want reason %d", row.name, u, err, row.want[i])
			}
		}
	}
}

var testLimits = Limits{MaxMembers: 6}

func TestRefusalsLeaveNothingBehind(t *testing.T) {
	for name, c := range map[string]struct {
		kind   Kind
		do     func(*tx) error
		reason Reason
	}{
		"edit a deleted message":     {Group, func(t *tx) error { _, err := t.edit(regular, 1, 7, "x"); return err }, ReasonMessageDeleted},
		"react to a deleted message": {Group, func(t *tx) error { _, err := t.react(regular, 1, 7, "x", true); return err }, ReasonMessageDeleted},
		"edit nothing":               {Group, func(t *tx) error { _, err := t.edit(regular, 1, 3, "x"); return err }, ReasonNotFound},
		"last owner leaves":          {Group, func(t *tx) error { return t.removeMember(owner, 1, owner) }, ReasonLastOwner},
		"last owner steps down":      {Group, func(t *tx) error { _, err := t.updateMember(owner, 1, owner, Admin); return err }, ReasonLastOwner},
		"rename a direct one":        {Direct, func(t *tx) error { _, err := t.rename(regular, 1, "x"); return err }, ReasonWrongKind},
		"leave a direct one":         {Direct, func(t *tx) error { return t.removeMember(regular, 1, regular) }, ReasonWrongKind},
		"add to a direct one":        {Direct, func(t *tx) error { _, err := t.addMembers(owner, 1, []UserID{9}, Regular, testLimits); return err }, ReasonWrongKind},
		"add who doesn't exist":      {Group, func(t *tx) error { _, err := t.addMembers(owner, 1, []UserID{9, 77}, Regular, testLimits); return err }, ReasonNotFound},
		"add too many": {Group, func(t *tx) error {
			t.Conversations[1].MemberCount = 6
			_, err := t.addMembers(owner, 1, []UserID{9}, Regular, testLimits)
			return err
		}, ReasonLimitReached},
		"role of who isn't there": {Group, func(t *tx) error { _, err := t.updateMember(owner, 1, 9, Reader); return err }, ReasonNotFound},
		"reply to an event":       {Group, func(t *tx) error { _, err := t.send(regular, SendRequest{Conversation: 1, ReplyTo: 10}); return err }, ReasonInvalidField},
		"create with nobody": {Group, func(t *tx) error {
			_, err := t.createConversation(Conversation{ID: 2, Kind: Group, Title: "t", Creator: 4}, []UserID{4, 77}, testLimits)
			return err
		}, ReasonNotFound},
		"create too large": {Group, func(t *tx) error {
			_, err := t.createConversation(Conversation{ID: 2, Kind: Group, Title: "t", Creator: 4}, []UserID{4, 3}, Limits{MaxMembers: 1})
			return err
		}, ReasonLimitReached},
		"create key reused": {Group, func(t *tx) error {
			t.CreateKeys["g:k"] = 1
			t.Conversations[1].ChangedSeq = 1
			_, err := t.createConversation(Conversation{ID: 2, Kind: Group, Title: "another", Creator: 4, CreateKey: "g:k"}, []UserID{4}, testLimits)
			return err
		}, ReasonIDReused},
	} {
		tx := world(c.kind)
		if err := c.do(tx); !IsReason(err, c.reason) {
			t.Errorf("%s: %v, want reason %d", name, err, c.reason)
		}
		if !tx.writes().Empty() {
			t.Errorf("%s: refused, and yet writes %+v", name, tx.out)
		}
	}
}

func TestRepetitionsChangeNothing(t *testing.T) {
	for name, do := range map[string]func(*tx) error{
		"edit to the same":    func(t *tx) error { _, err := t.edit(regular, 1, 8, "by the regular member"); return err },
		"delete twice":        func(t *tx) error { _, err := t.delete(regular, 1, 7); return err },
		"take back nothing":   func(t *tx) error { _, err := t.react(regular, 1, 8, "👍", false); return err },
		"rename to the same":  func(t *tx) error { _, err := t.rename(owner, 1, "t"); return err },
		"add who is there":    func(t *tx) error { _, err := t.addMembers(admin, 1, []UserID{1, 2}, Regular, testLimits); return err },
		"role as it is":       func(t *tx) error { _, err := t.updateMember(owner, 1, admin, Admin); return err },
		"mark that goes back": func(t *tx) error { _, err := t.setMarks(regular, 1, 0, 0); return err },
		"create by a known key": func(t *tx) error {
			t.CreateKeys["d:k"] = 1
			made, err := t.createConversation(Conversation{ID: 2, Kind: Direct, Creator: 4, CreateKey: "d:k"}, []UserID{4, 3}, testLimits)
			if made.id != 1 || !made.existing {
				return fmt.Errorf("got %+v", made)
			}
			return err
		},
	} {
		tx := world(Group)
		if err := do(tx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !tx.writes().Empty() {
			t.Errorf("%s: writes %+v", name, tx.out)
		}
	}
}

func TestSendingMovesOnesOwnMarkSilently(t *testing.T) {
	tx := world(Group)
	sent, err := tx.send(regular, request(1, "x"))
	if err != nil {
		t.Fatal(err)
	}
	m := tx.Members[MemberKey{1, regular}]
	if m.ReadSeq != sent.Message.Seq || m.DeliveredSeq != sent.Message.Seq || m.ReadOrdinal != 4 {
		t.Errorf("marks %+v after sending seq %d", m, sent.Message.Seq)
	}
	if len(tx.receipts) != 0 || len(tx.out.Marks) != 1 {
		t.Errorf("%d receipts, %d marks", len(tx.receipts), len(tx.out.Marks))
	}
}

func TestTimeNeverGoesBackWithinAConversation(t *testing.T) {
	tx := world(Group)
	late := tx.now.Add(time.Hour)
	tx.Conversations[1].UpdateTime = late
	sent, err := tx.send(regular, request(1, "x"))
	if err != nil || !sent.Message.Time.Equal(late) {
		t.Errorf("got %v, %v, want %v", sent.Message.Time, err, late)
	}
}

func TestReactionsAreBounded(t *testing.T) {
	var reactions []Reaction
	for i := range maxEmojis {
		var err error
		if reactions, _, err = withReaction(reactions, 1, fmt.Sprint(i), true); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := withReaction(reactions, 1, "one more", true); !IsReason(err, ReasonLimitReached) {
		t.Errorf("emoji %d: %v", maxEmojis+1, err)
	}
	var users []UserID
	for u := range UserID(maxReactions) {
		users = append(users, u)
	}
	if _, _, err := withReaction([]Reaction{{"x", users}}, maxReactions, "x", true); !IsReason(err, ReasonLimitReached) {
		t.Errorf("reaction %d: %v", maxReactions+1, err)
	}
	less, changed, err := withReaction([]Reaction{{"x", users}}, 5, "x", false)
	if err != nil || !changed || len(less[0].Users) != maxReactions-1 || len(users) != maxReactions {
		t.Errorf("taking one back: %v, %v", changed, err)
	}
}

// TestRulesKeepTheInvariants runs random changes by random users in one transaction and checks what holds for any of them.
func TestRulesKeepTheInvariants(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tx := world(Group)
		c := tx.Conversations[1]
		user := rapid.SampledFrom([]UserID{reader, regular, admin, owner, former, stranger})
		seq := rapid.Custom(func(rt *rapid.T) Seq { return Seq(rapid.Int64Range(1, int64(c.LastSeq)+2).Draw(rt, "seq")) })
		for range rapid.IntRange(1, 40).Draw(rt, "changes") {
			u, v, s := user.Draw(rt, "user"), user.Draw(rt, "other"), seq.Draw(rt, "at")
			head, events := c.Head, len(tx.out.Events)
			var err error
			switch rapid.IntRange(0, 8).Draw(rt, "kind") {
			case 0, 1:
				_, err = tx.send(u, request(rapid.Byte().Draw(rt, "id"), "x"))
			case 2:
				_, err = tx.edit(u, 1, s, rapid.StringN(1, 3, -1).Draw(rt, "text"))
			case 3:
				_, err = tx.delete(u, 1, s)
			case 4:
				_, err = tx.react(u, 1, s, rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "emoji"), rapid.Bool().Draw(rt, "add"))
			case 5:
				_, err = tx.setMarks(u, 1, s, s)
			case 6:
				_, err = tx.addMembers(u, 1, []UserID{v}, Role(rapid.IntRange(1, 4).Draw(rt, "role")), testLimits)
			case 7:
				err = tx.removeMember(u, 1, v)
			case 8:
				_, err = tx.updateMember(u, 1, v, Role(rapid.IntRange(1, 4).Draw(rt, "role")))
			}
			if err != nil {
				if e, ok := AsError(err); !ok {
					rt.Fatalf("untyped error %v", err)
				} else if c.Head != head || len(tx.out.Events) != events {
					rt.Fatalf("refused with %v, and yet changed", e)
				}
			}
			checkInvariants(rt, tx)
		}
		var b Batch
		tx.fill(&b, 1)
		if len(b.Events) != len(tx.out.Events) {
			rt.Fatalf("published %d of %d events", len(b.Events), len(tx.out.Events))
		}
	})
}

func checkInvariants(t *rapid.T, tx *tx) {
	c := tx.Conversations[1]
	next, ordinal := Seq(11), int64(4)
	for _, e := range tx.out.Events {
		if e.Seq != next {
			t.Fatalf("seq %d, want %d", e.Seq, next)
		}
		next++
		if e.Kind == EventMessage {
			if e.Message.Ordinal != ordinal || e.Message.Seq != e.Seq {
				t.Fatalf("message %+v, want ordinal %d", e.Message, ordinal)
			}
			ordinal++
		}
	}
	if c.LastSeq != next-1 || c.LastOrdinal != ordinal-1 {
		t.Fatalf("head %+v after seq %d, ordinal %d", c.Head, next-1, ordinal-1)
	}
	members, owners := 0, 0
	for _, m := range tx.Members {
		if m.ReadSeq > m.DeliveredSeq || m.DeliveredSeq > c.LastSeq || m.ReadOrdinal > c.LastOrdinal {
			t.Fatalf("marks %+v pass the head %+v", m, c.Head)
		}
		if m.Active() {
			members++
			if m.Role == Owner {
				owners++
			}
		}
	}
	if members != c.MemberCount || owners != c.OwnerCount || members > 0 && owners == 0 {
		t.Fatalf("%d members, %d owners; head says %+v", members, owners, c.Head)
	}
	for _, list := range [][]*Member{tx.out.Members, tx.out.Marks} {
		for i, m := range list {
			if slices.Contains(list[:i], m) {
				t.Fatalf("a row is named twice")
			}
		}
	}
}
