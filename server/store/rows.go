package store

import (
	"encoding/json"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// Rows as GORM reads them. Times are milliseconds since 1970 in UTC, 0 for none.

type userRow struct {
	ID             chat.UserID
	Username       string
	DisplayName    string
	AvatarURL      string
	PresenceHidden bool
	LastSeenAt     int64
}

func (userRow) TableName() string { return "users" }

func (r *userRow) user() chat.User {
	return chat.User{ID: r.ID, Username: r.Username, DisplayName: r.DisplayName, AvatarURL: r.AvatarURL}
}

const stateColumns = `c.id, c.kind, c.title, c.creator_id, c.created_at, c.changed_seq, COALESCE(c.create_key, ''),
	h.last_seq, h.last_ordinal, h.member_count, h.owner_count, h.updated_at,
	h.last_message_seq, h.changed_no, h.top_read_seq, h.top_reader_id, h.next_read_seq`

// head is what a row of conversation_heads holds beyond [chat.Head].
type head struct {
	lastMessage chat.Seq
	changedNo   int64
	reads       topReads
}

// topReads are the two highest read marks of a conversation that belong to different users: enough to tell, for each user, the highest mark among the
// others. Marks only grow, so a new mark is all that is needed to keep them.
type topReads struct {
	top    chat.Seq
	reader chat.UserID // whose top is
	next   chat.Seq
}

// raise takes a member's read mark in and reports whether anything changed.
func (t *topReads) raise(user chat.UserID, mark chat.Seq) bool {
	before := *t
	switch {
	case user == t.reader:
		t.top = max(t.top, mark)
	case mark > t.top:
		t.top, t.reader, t.next = mark, user, t.top
	default:
		t.next = max(t.next, mark)
	}
	return *t != before
}

// byOthers is the highest mark among all but one.
func (t topReads) byOthers(user chat.UserID) chat.Seq {
	if user == t.reader {
		return t.next
	}
	return t.top
}

// row is a row of a result, database/sql's or a driver's own.
type row interface{ Scan(into ...any) error }

func scanState(row row, more ...any) (*chat.ConversationState, head, error) {
	var (
		c                chat.ConversationState
		h                head
		created, updated int64
	)
	into := append([]any{
		&c.ID, &c.Kind, &c.Title, &c.Creator, &created, &c.ChangedSeq, &c.CreateKey,
		&c.LastSeq, &c.LastOrdinal, &c.MemberCount, &c.OwnerCount, &updated,
		&h.lastMessage, &h.changedNo, &h.reads.top, &h.reads.reader, &h.reads.next,
	}, more...)
	err := row.Scan(into...)
	c.CreateTime, c.UpdateTime = fromMillis(created), fromMillis(updated)
	return &c, h, err
}

const memberColumns = `m.user_id, m.conversation_id, m.role, m.joined_seq, m.left_seq, m.read_seq, m.read_ordinal, m.delivered_seq,
	m.read_at, m.delivered_at`

// memberScan takes a row of members in.
type memberScan struct {
	chat.Member
	readAt, deliveredAt int64
}

func (m *memberScan) into() []any {
	return []any{&m.User, &m.Conversation, &m.Role, &m.JoinedSeq, &m.LeftSeq, &m.ReadSeq, &m.ReadOrdinal, &m.DeliveredSeq, &m.readAt, &m.deliveredAt}
}

func (m *memberScan) member() *chat.Member {
	m.ReadTime, m.DeliveredTime = fromMillis(m.readAt), fromMillis(m.deliveredAt)
	return &m.Member
}

func scanMember(row row) (*chat.Member, error) {
	var m memberScan
	err := row.Scan(m.into()...)
	return m.member(), err
}

// scanSelf takes in what selfQuery finds.
func scanSelf(row row) (*chat.ConversationState, head, *chat.Member, error) {
	var m memberScan
	c, h, err := scanState(row, m.into()...)
	return c, h, m.member(), err
}

const eventColumns = `e.conversation_id, e.seq, e.kind, e.actor_id, e.at, e.ordinal, COALESCE(e.target_seq, 0), e.client_id,
	COALESCE(e.reply_to, 0), COALESCE(e.changed_seq, 0), COALESCE(e.edited_at, 0), COALESCE(e.deleted_at, 0), COALESCE(e.content, ''),
	e.reactions, e.subjects`

// eventRow is a row of events. For the columns that only messages have, NULL is the zero value.
type eventRow struct {
	chat.Event
	ordinal  int64
	message  chat.Message // for EventMessage
	subjects []chat.UserID
}

func scanEvent(row row, more ...any) (*eventRow, error) {
	var (
		r                             eventRow
		at, editedAt, deletedAt       int64
		clientID, reactions, subjects []byte
	)
	m := &r.message
	into := append([]any{
		&r.Conversation, &r.Seq, &r.Kind, &r.Actor, &at, &r.ordinal, &r.Target, &clientID, &m.ReplyTo, &m.ChangedSeq,
		&editedAt, &deletedAt, &m.Content, &reactions, &subjects,
	}, more...)
	if err := row.Scan(into...); err != nil {
		return nil, err
	}
	r.Time = fromMillis(at)
	if len(subjects) > 0 {
		if err := json.Unmarshal(subjects, &r.subjects); err != nil {
			return nil, err
		}
	}
	if r.Kind != chat.EventMessage {
		return &r, nil
	}
	m.Conversation, m.Seq, m.Ordinal, m.Sender, m.Time = r.Conversation, r.Seq, r.ordinal, r.Actor, r.Time
	m.EditTime, m.DeleteTime = fromMillis(editedAt), fromMillis(deletedAt)
	copy(m.ClientID[:], clientID)
	if len(reactions) > 0 {
		if err := json.Unmarshal(reactions, &m.Reactions); err != nil {
			return nil, err
		}
	}
	r.Message = m
	return &r, nil
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
