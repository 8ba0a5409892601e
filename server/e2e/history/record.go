package history

import "hash/fnv"

// Stamp is a place in the one order of a recorder's records, from 1; 0 means never.
type Stamp int64

// Digest stands for a text: histories are long, and only equality counts.
type Digest uint64

// DigestOf returns the digest of texts; their borders count.
func DigestOf(texts ...string) Digest {
	h := fnv.New64a()
	for _, t := range texts {
		_, _ = h.Write([]byte(t)) // never fails
		_, _ = h.Write([]byte{0xff})
	}
	return Digest(h.Sum64())
}

// Message is the state of a message as somebody saw it. Two that are equal by == say the same.
type Message struct {
	Seq, ChangedSeq, Ordinal, ReplyTo int64
	ID, Sender, ClientID              string
	Content                           Digest
	Edited, Deleted                   bool
	Reactions                         Digest // over emojis and users, in order; 0 where there are none
	Time                              int64  // Unix milliseconds
}

// Member is a membership. Left is 0 for a member.
type Member struct {
	User         string
	Role         int
	Joined, Left int64
}

// Marks are how far a member has come.
type Marks struct {
	User            string
	Read, Delivered int64
}

// Event is one thing that the server said on a stream. Seq is 0 where Body is not durable.
type Event struct {
	At           Stamp
	Conversation string
	Seq          int64
	Body         Body
}

// Body is what an event says: one of the types below that have the method.
type Body interface{ body() }

type (
	// Conversation says that the conversation was created or renamed; durable, as [Message] and [Members] are.
	Conversation struct {
		Title      string
		ChangedSeq int64
	}
	// Members tells who joined, left or changed. The state may be newer than the event.
	Members struct {
		Actor   string
		Members []Member
	}
	// Other is a durable event of a kind that the recorder doesn't know.
	Other struct{}
	// Summary is a conversation as the list of the device's user shows it.
	Summary struct {
		Self    Member
		LastSeq int64
		Unread  int64
		Own     Marks
		Peers   []Marks
	}
	// Ready begins a stream. Anew: the device is not built upon (no token, or one of another store).
	Ready struct{ Anew bool }
	// CaughtUp says that all that was missing has been sent.
	CaughtUp struct{}
	// Resync says that the stream goes on after Head; 0: the user is no member.
	Resync struct{ Head int64 }
	// Goodbye ends a stream.
	Goodbye struct{ Reason string }
)

func (*Message) body()      {}
func (*Conversation) body() {}
func (*Members) body()      {}
func (Other) body()         {}
func (*Summary) body()      {}
func (Marks) body()         {}
func (Ready) body()         {}
func (CaughtUp) body()      {}
func (Resync) body()        {}
func (Goodbye) body()       {}

// CallKind says what was asked.
type CallKind string

// The kinds of calls.
const (
	Send          CallKind = "send"
	Edit          CallKind = "edit"
	Delete        CallKind = "delete"
	React         CallKind = "react"
	MarkRead      CallKind = "mark read"
	MarkDelivered CallKind = "mark delivered"
	AddMember     CallKind = "add member"
	RemoveMember  CallKind = "remove member"
	ReadPage      CallKind = "read page"
)

// Outcome is what is known of a call.
type Outcome int8

// The outcomes.
const (
	Unknown Outcome = iota // no answer, or one that leaves it open
	Done                   // carried out
	Refused                // answered that nothing was done
)

// Call is one request of a device, by whatever protocol.
type Call struct {
	Kind         CallKind
	Conversation string
	// ClientID and Content are those of a [Send]; Content also of an [Edit].
	ClientID string
	Content  Digest
	// Target is the seq that a change or a mark is about; User who is added or removed.
	Target int64
	User   string
	// Page is what a [ReadPage] asked for, and got.
	Page *Page

	Start, End Stamp // End is 0 where no answer came
	Outcome    Outcome
	Reason     string // of a refusal
	// Seq is the answer: the message's seq, the seq of the change, or the mark as it stands.
	Seq       int64
	MessageID string
	Duplicate bool
	// Local: the answer is that of the client library, for which it may have asked several times.
	Local bool

	device *Device
}

// Page is a page of history, oldest first. At most one of Before and After is not 0.
type Page struct {
	Before, After      int64
	Limit              int
	Messages           []Message
	HasOlder, HasNewer bool
}

// Log is what the server has stored of a conversation in the end: entry i has seq i+1 unless it lost one.
type Log struct {
	Conversation string
	Head         int64 // as the server says
	Events       []Event
}

// View is a conversation in the end: as a device has made it of its events, or as a fresh client fetched it.
type View struct {
	Title    string
	Head     int64
	Unread   int64
	Members  map[string]Member
	Marks    map[string]Marks
	Messages map[int64]Message
}

// Presence is what a watcher thinks of a user in the end, and how it is.
type Presence struct {
	Watcher, User  string
	Online, Should bool
}
