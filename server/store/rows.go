package store

import (
	"database/sql"
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

func scanState(rows *sql.Rows, more ...any) (*chat.ConversationState, head, error) {
	var (
		c                chat.ConversationState
		h                head
		created, updated int64
	)
	into := append([]any{&c.ID, &c.Kind, &c.Title, &c.Creator, &created, &c.ChangedSeq, &c.CreateKey,
		&c.LastSeq, &c.LastOrdinal, &c.MemberCount, &c.OwnerCount, &updated,
		&h.lastMessage, &h.changedNo, &h.reads.top, &h.reads.reader, &h.reads.next}, more...)
	err := rows.Scan(into...)
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

func scanMember(rows *sql.Rows) (*chat.Member, error) {
	var m memberScan
	err := rows.Scan(m.into()...)
	return m.member(), err
}

// scanSelf takes in what selfQuery finds.
func scanSelf(rows *sql.Rows) (*chat.ConversationState, head, *chat.Member, error) {
	var m memberScan
	c, h, err := scanState(rows, m.into()...)
	return c, h, m.member(), err
}

const eventColumns = `e.conversation_id, e.seq, e.kind, e.actor_id, e.at, e.ordinal, e.target_seq, e.client_id, e.reply_to, e.changed_seq,
	e.edited_at, e.deleted_at, e.content, e.reactions, e.subjects`

// eventRow is a row of events. For the columns that only messages have, NULL is the zero value.
type eventRow struct {
	chat.Event
	ordinal  int64
	message  chat.Message // for EventMessage
	subjects []chat.UserID
}

func scanEvent(rows *sql.Rows, more ...any) (*eventRow, error) {
	var (
		r                                                eventRow
		at                                               int64
		target, replyTo, changedSeq, editedAt, deletedAt sql.NullInt64
		clientID, reactions, subjects                    sql.RawBytes
		content                                          sql.NullString
	)
	into := append([]any{&r.Conversation, &r.Seq, &r.Kind, &r.Actor, &at, &r.ordinal, &target, &clientID, &replyTo, &changedSeq,
		&editedAt, &deletedAt, &content, &reactions, &subjects}, more...)
	if err := rows.Scan(into...); err != nil {
		return nil, err
	}
	r.Time, r.Target = fromMillis(at), chat.Seq(target.Int64)
	if len(subjects) > 0 {
		if err := json.Unmarshal(subjects, &r.subjects); err != nil {
			return nil, err
		}
	}
	if r.Kind != chat.EventMessage {
		return &r, nil
	}
	m := &r.message
	*m = chat.Message{
		Conversation: r.Conversation, Seq: r.Seq, Ordinal: r.ordinal, Sender: r.Actor, Content: content.String, Time: r.Time,
		ReplyTo: chat.Seq(replyTo.Int64), EditTime: fromMillis(editedAt.Int64), DeleteTime: fromMillis(deletedAt.Int64),
		ChangedSeq: chat.Seq(changedSeq.Int64),
	}
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
