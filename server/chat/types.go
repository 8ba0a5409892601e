package chat

import "time"

// Kind tells direct conversations from groups.
type Kind int8

// The kinds. Numbers are stored and are those of the schema.
const (
	Direct Kind = 1
	Group  Kind = 2
)

// Role says what a member may do; each role may do all that the lower ones may. See access.go.
type Role int8

// The roles. Numbers are stored and are those of the schema.
const (
	Reader  Role = 1
	Regular Role = 2
	Admin   Role = 3
	Owner   Role = 4
)

// Caller is who asks: a user through one of their sessions.
type Caller struct {
	User    UserID
	Session SessionID
}

// User is the public face of an account.
type User struct {
	ID          UserID
	Username    string
	DisplayName string
	AvatarURL   string
}

// Message is a message in its current state.
type Message struct {
	Conversation ConversationID
	Seq          Seq
	Ordinal      int64 // place among the conversation's messages, from 1
	Sender       UserID
	ClientID     UUID
	Content      string
	Time         time.Time // UTC, milliseconds; never goes back within a conversation
	ReplyTo      Seq       // 0: none
	EditTime     time.Time // zero: never edited
	DeleteTime   time.Time // zero: not deleted
	Reactions    []Reaction
	ChangedSeq   Seq // the event that last changed this state
	// Read is computed for one caller by [Service] on reading history; stores leave it false.
	Read bool
}

// Deleted reports whether only a tombstone is left.
func (m *Message) Deleted() bool { return !m.DeleteTime.IsZero() }

// Reaction is one emoji on a message, and who chose it, earliest first.
type Reaction struct {
	Emoji string   `json:"e"`
	Users []UserID `json:"u"`
}

// Conversation is what all members see alike.
type Conversation struct {
	ID         ConversationID
	Kind       Kind
	Title      string
	Creator    UserID
	CreateTime time.Time
	ChangedSeq Seq
	// CreateKey makes creation idempotent: one conversation per key; empty where it isn't. Never leaves the server.
	CreateKey string
}

// Head is the hot part of a conversation, moved by every event.
type Head struct {
	LastSeq     Seq
	LastOrdinal int64
	MemberCount int
	OwnerCount  int
	UpdateTime  time.Time
}

// Member is a user's membership of a conversation with the user's marks in it. It is kept after the user left.
type Member struct {
	Conversation  ConversationID
	User          UserID
	Role          Role
	JoinedSeq     Seq
	LeftSeq       Seq // 0: is a member
	ReadSeq       Seq
	ReadOrdinal   int64 // the ordinal of the last message at or before ReadSeq; unread = head's ordinal − this
	DeliveredSeq  Seq   // ≥ ReadSeq
	ReadTime      time.Time
	DeliveredTime time.Time
}

// Active reports whether the user is a member now.
func (m *Member) Active() bool { return m.JoinedSeq != 0 && m.LeftSeq == 0 }

// Receipt is the marks of a member as others see them.
type Receipt struct {
	Conversation  ConversationID
	User          UserID
	ReadSeq       Seq
	DeliveredSeq  Seq
	ReadTime      time.Time
	DeliveredTime time.Time
	// Members is the conversation's member count in a [Batch], where it decides who is told of the marks; 0 elsewhere.
	Members int
}

// Receipt returns the member's marks.
func (m *Member) Receipt() Receipt {
	return Receipt{
		Conversation: m.Conversation, User: m.User, ReadSeq: m.ReadSeq, DeliveredSeq: m.DeliveredSeq,
		ReadTime: m.ReadTime, DeliveredTime: m.DeliveredTime,
	}
}

// MemberInfo is a member together with the user's public face.
type MemberInfo struct {
	Member
	Profile User
}

// EventKind says what an event did. Numbers are stored.
type EventKind int8

// The kinds of events. All but EventMessage, EventConversation and EventMembers point to a message by Target.
const (
	EventMessage      EventKind = 1
	EventEdit         EventKind = 2
	EventDelete       EventKind = 3
	EventReaction     EventKind = 4
	EventConversation EventKind = 5
	EventMembers      EventKind = 6
)

// Event is one durable change of a conversation. Of Message, State and Members the one that fits Kind is set; on reading it
// carries the present state, which may be newer than the event (its ChangedSeq tells).
type Event struct {
	Conversation ConversationID
	Seq          Seq
	Kind         EventKind
	Actor        UserID
	Time         time.Time
	Target       Seq // the message's seq, for edits, deletions and reactions
	Message      *Message
	State        *Conversation
	Members      []MemberInfo
}

// Batch is what one transaction changed in one log shard, in order.
type Batch struct {
	Epoch  int64
	Shard  int
	No     int64  // 1, 2, 3 … within the shard, without gaps, in commit order
	ID     uint64 // random: tells this batch from another one that got the same number after a loss
	PrevID uint64 // the ID of batch No-1; 0 where No is 1
	Events []Event
	// Receipts are the marks that moved.
	Receipts []Receipt
}

// Summary is a conversation as one user sees it in a list.
type Summary struct {
	Conversation Conversation
	Head         Head
	Self         MemberInfo
	LastMessage  *Message // nil: none
	Peers        []Receipt
	Peer         *User // the other user of a direct conversation
}

// Unread is the number of messages after the user's read mark.
func (s *Summary) Unread() int64 { return max(0, s.Head.LastOrdinal-s.Self.ReadOrdinal) }

// PresenceState says whether a user can be reached. Numbers are those of the schema.
type PresenceState int8

// The states of presence.
const (
	PresenceOnline  PresenceState = 1
	PresenceAway    PresenceState = 2
	PresenceOffline PresenceState = 3
	PresenceUnknown PresenceState = 4
)

// PresenceInfo is the presence of one user.
type PresenceInfo struct {
	User     UserID
	State    PresenceState
	LastSeen time.Time // set where State is PresenceOffline and the time is known
}
