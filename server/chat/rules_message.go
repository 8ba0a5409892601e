package chat

import (
	"slices"

	"github.com/natterjack-chat/natterjack/server/internal/planted"
)

// Rules are what a change means. Each runs inside the transaction, on what it sees there, and either changes the view and says what to write, or refuses.

const (
	maxReactions = 1000 // on one message, in all
	maxEmojis    = 20   // different ones on one message
)

// send stores a new message, or finds the one that was sent under the same id.
func (t *tx) send(user UserID, r SendRequest) (Sent, error) {
	member := t.Members[MemberKey{r.Conversation, user}]
	if planted.Bug(planted.StaleMembership) {
		member = planted.First(MemberKey{r.Conversation, user}, member)
	}
	if err := allow(member, sendMessage); err != nil {
		return Sent{}, err
	}
	key := ClientKey{r.Conversation, user, r.ClientID}
	if old := t.ClientIDs[key]; old != nil {
		if !planted.Bug(planted.RetryStoresAgain) {
			return repeated(old, r)
		}
		r.ClientID = UUID{}
	}
	c := t.Conversations[r.Conversation]
	if r.ReplyTo != 0 && t.Messages[MessageKey{r.Conversation, r.ReplyTo}] == nil {
		return Sent{}, Invalid("reply_to_seq", "reply_to_seq is not the seq of a message of this conversation")
	}
	c.LastOrdinal++
	m := &Message{
		Conversation: r.Conversation, Ordinal: c.LastOrdinal, Sender: user, ClientID: r.ClientID, Content: r.Content, ReplyTo: r.ReplyTo,
	}
	e := t.append(c, Event{Kind: EventMessage, Actor: user, Message: m})
	m.Seq, m.ChangedSeq, m.Time = e.Seq, e.Seq, e.Time
	t.mark(dirtyMessage{m})
	t.ClientIDs[key] = m
	t.Messages[MessageKey{m.Conversation, m.Seq}] = m
	// Who sends has read: the sender's own mark moves along, and others conclude so from the message.
	t.moveMarks(t.Members[MemberKey{r.Conversation, user}], m.Seq, m.Seq, m.Ordinal, false)
	return Sent{Message: *m}, nil
}

// repeated answers a send whose client id is taken: the same message if it says the same, whatever became of it since.
func repeated(old *Message, r SendRequest) (Sent, error) {
	unchanged := old.EditTime.IsZero() && !old.Deleted()
	if old.ReplyTo != r.ReplyTo || unchanged && old.Content != r.Content {
		return Sent{}, idReused("client_message_id was used in this conversation for another message; choose a new one")
	}
	return Sent{Message: *old, Duplicate: true}, nil
}

// message returns a message that a member may act on, with the conversation.
func (t *tx) message(user UserID, id ConversationID, seq Seq, a action) (*ConversationState, *Message, error) {
	if err := allow(t.Members[MemberKey{id, user}], a); err != nil {
		return nil, nil, err
	}
	m := t.Messages[MessageKey{id, seq}]
	if m == nil {
		return nil, nil, NotFound("message")
	}
	return t.Conversations[id], m, nil
}

func errDeleted() error {
	return &Error{Code: CodeFailedPrecondition, Reason: ReasonMessageDeleted, Message: "the message is deleted"}
}

func (t *tx) edit(user UserID, id ConversationID, seq Seq, content string) (Message, error) {
	c, m, err := t.message(user, id, seq, changeOwnMessage)
	switch {
	case err != nil:
		return Message{}, err
	case m.Sender != user:
		return Message{}, roleTooLow("only its sender can edit a message")
	case m.Deleted():
		return Message{}, errDeleted()
	case m.Content == content:
		return *m, nil
	}
	e := t.append(c, Event{Kind: EventEdit, Actor: user, Target: seq, Message: m})
	m.Content, m.EditTime, m.ChangedSeq = content, e.Time, e.Seq
	t.changedMessage(m)
	return *m, nil
}

func (t *tx) delete(user UserID, id ConversationID, seq Seq) (Message, error) {
	c, m, err := t.message(user, id, seq, readConversation)
	if err != nil {
		return Message{}, err
	}
	needs := changeOwnMessage
	if m.Sender != user {
		needs = deleteOthersMessage
	}
	if err := allow(t.Members[MemberKey{id, user}], needs); err != nil {
		return Message{}, err
	}
	if m.Deleted() {
		return *m, nil
	}
	e := t.append(c, Event{Kind: EventDelete, Actor: user, Target: seq, Message: m})
	m.Content, m.Reactions, m.DeleteTime, m.ChangedSeq = "", nil, e.Time, e.Seq
	t.changedMessage(m)
	return *m, nil
}

func (t *tx) react(user UserID, id ConversationID, seq Seq, emoji string, add bool) (Message, error) {
	c, m, err := t.message(user, id, seq, react)
	if err != nil {
		return Message{}, err
	}
	if m.Deleted() {
		return Message{}, errDeleted()
	}
	reactions, changed, err := withReaction(m.Reactions, user, emoji, add)
	if err != nil || !changed {
		return *m, err
	}
	e := t.append(c, Event{Kind: EventReaction, Actor: user, Target: seq, Message: m})
	m.Reactions, m.ChangedSeq = reactions, e.Seq
	t.changedMessage(m)
	return *m, nil
}

// withReaction returns a copy of the reactions with one added or taken away, and whether that changed anything.
func withReaction(old []Reaction, user UserID, emoji string, add bool) ([]Reaction, bool, error) {
	i := slices.IndexFunc(old, func(r Reaction) bool { return r.Emoji == emoji })
	has := i >= 0 && slices.Contains(old[i].Users, user)
	if has == add {
		return old, false, nil
	}
	total := 0
	reactions := make([]Reaction, len(old), len(old)+1)
	for j, r := range old {
		reactions[j] = Reaction{r.Emoji, slices.Clone(r.Users)}
		total += len(r.Users)
	}
	switch {
	case !add && len(reactions[i].Users) == 1:
		return slices.Delete(reactions, i, i+1), true, nil
	case !add:
		reactions[i].Users = slices.DeleteFunc(reactions[i].Users, func(u UserID) bool { return u == user })
		return reactions, true, nil
	case total >= maxReactions:
		return nil, false, LimitReached("the message has as many reactions as it can hold")
	case i >= 0:
		reactions[i].Users = append(reactions[i].Users, user)
		return reactions, true, nil
	case len(reactions) >= maxEmojis:
		return nil, false, LimitReached("the message has as many different reactions as it can hold")
	default:
		return append(reactions, Reaction{emoji, []UserID{user}}), true, nil
	}
}

// setMarks moves a member's marks up to the given places; those at or below the present ones change nothing, those above the head count as the head.
func (t *tx) setMarks(user UserID, id ConversationID, read, delivered Seq) (Receipt, error) {
	m := t.Members[MemberKey{id, user}]
	if err := allow(m, readConversation); err != nil {
		return Receipt{}, err
	}
	c := t.Conversations[id]
	read, delivered = min(read, c.LastSeq), min(delivered, c.LastSeq)
	var ordinal int64
	if read > m.ReadSeq {
		ordinal = t.ordinalAt(c, read)
	}
	t.moveMarks(m, read, delivered, ordinal, true)
	return m.Receipt(), nil
}

// moveMarks moves marks forward, never back. What is read is delivered.
func (t *tx) moveMarks(m *Member, read, delivered Seq, ordinal int64, announce bool) {
	now := t.now
	if c := t.Conversations[m.Conversation]; c.UpdateTime.After(now) {
		now = c.UpdateTime
	}
	moved := false
	if read > m.ReadSeq || planted.Bug(planted.ReceiptGoesBack) && announce && read > 0 {
		m.ReadSeq, m.ReadOrdinal, m.ReadTime, moved = read, ordinal, now, true
	}
	if d := max(read, delivered); d > m.DeliveredSeq {
		m.DeliveredSeq, m.DeliveredTime, moved = d, now, true
	}
	if moved {
		t.changedMarks(m, announce)
	}
}
