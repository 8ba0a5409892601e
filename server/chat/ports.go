package chat

import (
	"context"
	"errors"
	"time"
)

// ErrClientIDTaken is returned by [Log.Commit] when a new message's (conversation, sender, client id) is stored already. Nothing was
// written. The committer runs the batch again and looks the ids up first.
var ErrClientIDTaken = errors.New("client message id is stored already")

// ErrCreateKeyTaken is the same for [Conversation.CreateKey], which two shards might only ever share by a fault of the caller.
var ErrCreateKeyTaken = errors.New("conversation create key is stored already")

// Log is the durable log of all conversations: the only way to change one.
//
// Errors of Commit. An [*Error] of ReasonUnavailable or ReasonStoreFull, ErrClientIDTaken and any error of decide itself: nothing was stored. An [*Error]
// of ReasonOutcomeUnknown: the transaction may have been committed. Any other error: the data of this batch was refused, and nothing was stored.
type Log interface {
	// Shards is the number of log shards, fixed for the life of the database.
	Shards() int

	// Commit runs one durable transaction. It takes the locks of the shards of all conversations in reads, in ascending order, then reads what
	// reads names, calls decide with it, writes what decide returns, appends one row to the commit log of each shard that was
	// written to, and commits. It returns one batch per such shard, without Events and Receipts, which the caller knows.
	//
	// The view is decide's own to change. decide may be called more than once, each time with a fresh view, and must not
	// block. If it returns no writes at all, nothing is committed and the returned batches are empty. Safe for concurrent use.
	Commit(ctx context.Context, reads Reads, decide func(*View) (*Writes, error)) ([]Batch, error)

	// Batches reads the batches of a shard after a number, oldest first, at most limit, with their events and receipts in
	// their present state: how a node repairs a hole. An empty answer means there is nothing after it. ErrTrimmed: the log no longer reaches back so far.
	Batches(ctx context.Context, shard int, after int64, limit int) ([]Batch, error)

	// Tops reads the position of every shard.
	Tops(ctx context.Context) (Positions, error)

	// BatchIDs reads the IDs of the batches with the given numbers, one per shard, 0 where a number is 0 or the log no longer has it.
	BatchIDs(ctx context.Context, nos []int64) ([]uint64, error)
}

// ErrTrimmed says that the commit log no longer reaches back to the position asked for.
var ErrTrimmed = errors.New("commit log is trimmed past this position")

// Positions is a place in the logs of all shards.
type Positions struct {
	// Epoch changes when a store lost commits that others may have seen (a restore, a failover with loss).
	Epoch int64
	// Nos holds the number of the last batch of each shard, 0 where there is none; IDs the IDs of those batches.
	Nos []int64
	IDs []uint64
}

// MemberKey names a membership.
type MemberKey struct {
	Conversation ConversationID
	User         UserID
}

// MessageKey names a message.
type MessageKey struct {
	Conversation ConversationID
	Seq          Seq
}

// ClientKey names a message by what its sender's client called it.
type ClientKey struct {
	Conversation ConversationID
	Sender       UserID
	ClientID     UUID
}

// CreateKey names a conversation by the key it was created under.
type CreateKey struct {
	// Conversation is the id to be used if there is none yet; whoever else uses the key uses an id in the same shard.
	Conversation ConversationID
	Key          string
}

// Reads names what a transaction has to see. No entry is repeated.
type Reads struct {
	Conversations []ConversationID
	CreateKeys    []CreateKey
	Members       []MemberKey
	Messages      []MessageKey
	ClientIDs     []ClientKey
	Users         []UserID
	// Ordinals asks for the ordinal of the last message at or before each place (0 where there is none), for read marks.
	// A place above the head stands for the head.
	Ordinals []MessageKey
}

// View is what a transaction saw; what was asked for and isn't there is missing from the maps.
type View struct {
	Conversations map[ConversationID]*ConversationState
	CreateKeys    map[string]ConversationID // the conversations so found are in Conversations too
	Members       map[MemberKey]*Member     // also those that have left
	Messages      map[MessageKey]*Message
	ClientIDs     map[ClientKey]*Message
	Users         map[UserID]User
	Ordinals      map[MessageKey]int64
}

// ConversationState is a conversation with its head.
type ConversationState struct {
	Conversation
	Head
}

// Writes is what a transaction stores. No row is named twice within a list.
type Writes struct {
	Created  []*ConversationState // new conversations, with their final heads
	Changed  []*ConversationState // conversations whose shared part changed (title)
	Heads    []*ConversationState // existing conversations whose head moved
	Events   []Event              // new events, each conversation's in order; for EventMessage, Message is the new message
	Messages []*Message           // older messages whose state changed
	Members  []*Member            // members that joined, left, or changed their role: the whole row
	Marks    []*Member            // members of whom only the marks moved
}

// Empty reports whether there is nothing to store.
func (w *Writes) Empty() bool {
	return len(w.Created)+len(w.Changed)+len(w.Heads)+len(w.Events)+len(w.Messages)+len(w.Members)+len(w.Marks) == 0
}

// MessagePage asks for a page of history; at most one of Before, After and Around is not 0.
type MessagePage struct {
	Before, After, Around Seq
	Limit                 int // 1 or more
}

// MessageList is a page of history, oldest first.
type MessageList struct {
	Messages           []Message
	HasOlder, HasNewer bool
}

// EventPosition asks for the events of a conversation after a seq.
type EventPosition struct {
	Conversation ConversationID
	After        Seq
}

// RecentCursor is a place in a user's list of conversations by newest event: the last one of the page before. Zero: the beginning.
type RecentCursor struct {
	UpdateTime   time.Time
	Conversation ConversationID
}

// SearchQuery asks for messages that hold all words; a word that ends in "*" matches beginnings. Words hold letters, digits and marks only.
type SearchQuery struct {
	User         UserID // only in conversations of which this user is a member now
	Conversation ConversationID
	Words        []string
	Before       SearchCursor // zero: the beginning
	Limit        int
}

// SearchCursor is a place in a search's results, newest first.
type SearchCursor struct {
	Time         time.Time
	Conversation ConversationID
	Seq          Seq
}

// Store is the log together with everything that is read from it. Reads see all commits that were acknowledged before they began. All methods are safe for concurrent
// use. A failed read is an [*Error] of ReasonUnavailable, except for ctx's own error.
type Store interface {
	Log

	// Member reads a membership, also one that has ended; ok is false where there never was one.
	Member(ctx context.Context, key MemberKey) (m Member, ok bool, err error)
	// ConversationState reads a conversation; ok is false where there is none.
	ConversationState(ctx context.Context, id ConversationID) (c ConversationState, ok bool, err error)
	// Messages reads a page of history.
	Messages(ctx context.Context, id ConversationID, page MessagePage) (MessageList, error)
	// ReadByOthers reads the highest read mark among all that are or were members, other than user: who read a message and left has read it.
	ReadByOthers(ctx context.Context, id ConversationID, user UserID) (Seq, error)
	// Events reads events of several conversations, in the order of positions, each conversation's oldest first, at most limit
	// and about maxBytes of content; more tells whether some are left. One statement per conversation at most.
	Events(ctx context.Context, positions []EventPosition, limit, maxBytes int) (events []Event, more bool, err error)
	// Members reads the present members with higher user ids than after, in the order of their ids.
	Members(ctx context.Context, id ConversationID, after UserID, limit int) ([]MemberInfo, error)
	// Memberships reads the conversations of which the user is a member now.
	Memberships(ctx context.Context, user UserID) ([]ConversationID, error)
	// Summaries reads the user's summaries of the conversations named, also of those the user has left.
	Summaries(ctx context.Context, user UserID, ids []ConversationID) ([]Summary, error)
	// ChangedSummaries reads, in the order of ids after the one given, the user's summaries that changed after the numbers (one per
	// shard; nil: all the present ones, without those the user has left).
	ChangedSummaries(ctx context.Context, user UserID, since []int64, after ConversationID, limit int) ([]Summary, error)
	// RecentSummaries reads the user's summaries by newest event.
	RecentSummaries(ctx context.Context, user UserID, before RecentCursor, limit int) ([]Summary, error)
	// Shared tells which of the others share a conversation with the user now (the user itself always does).
	Shared(ctx context.Context, user UserID, others []UserID) (map[UserID]bool, error)
	// Users reads profiles; those that don't exist are missing.
	Users(ctx context.Context, ids []UserID) (map[UserID]User, error)
	// SearchUsers finds users of whom the username or a word of the display name begins with the prefix, by username.
	SearchUsers(ctx context.Context, prefix string, limit int) ([]User, error)
	// SearchMessages finds messages, newest first. Deleted ones are not found.
	SearchMessages(ctx context.Context, q SearchQuery) ([]Message, error)
	// LastSeen reads when users were last connected; those never seen, and those that hide, are missing. Hidden tells of the latter.
	LastSeen(ctx context.Context, users []UserID) (seen map[UserID]time.Time, hidden map[UserID]bool, err error)
	// SetLastSeen stores when users were last connected. Later times win.
	SetLastSeen(ctx context.Context, seen map[UserID]time.Time) error
}

// Publisher takes what was committed to the streams that want it, on this node and on others.
type Publisher interface {
	// Publish is called once for each batch, in the order of each shard's numbers, after the commit and before the senders are
	// answered. It may wait for room in a queue, not for I/O.
	Publish(Batch)
	// Typing passes typing on to the members that are there; best effort.
	Typing(conversation ConversationID, user UserID, typing bool)
}

// PresenceReader tells who is there.
type PresenceReader interface {
	// Presence reads the states of users, one for each, in their order. It never fails: what can't be told is PresenceUnknown.
	Presence(ctx context.Context, users []UserID) []PresenceInfo
}
