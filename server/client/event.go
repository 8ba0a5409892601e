package client

import (
	"time"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
)

// Event is one thing that happened, as Next hands it over. Body says what:
//
//	durable, with Conversation and Seq, without gaps within a conversation:
//	  *chatv1.Message              a new message (its seq is the event's), or the state of a changed one (its seq is below)
//	  *chatv1.Conversation         created or renamed
//	  *chatv1.MembersChanged       somebody joined, left, or has another role
//	  nil                          a kind that this version doesn't know
//	about the order of a conversation:
//	  *Gap                         events were left out (Window mode): go on after Gap.Head
//	  *Reset                       drop what was kept of Conversation, or of all where it is empty: it comes anew
//	  *Gone                        the user is no member (any more): drop the conversation
//	states, of which the newest counts:
//	  *chatv1.ConversationSummary  the conversation as the user's list shows it; where Self.LeftSeq is set the user has left
//	  *chatv1.Receipt              a member's marks
//	  *chatv1.Typing, *chatv1.Presence
//	  *CaughtUp                    everything up to its token was handed over
//	  State                        of the connection: Offline, Connecting, CatchingUp or Live
//
// Bodies are shared with nobody, but are not to be changed: a Message may be kept.
type Event struct {
	// Conversation is set wherever Body is about one.
	Conversation string
	// Seq is the place of a durable event in its conversation; 0 otherwise.
	Seq int64
	// Body is what happened; see above.
	Body any
}

// Gap says that a conversation's events after After, up to Head, were not handed over; Messages fetches what they changed.
type Gap struct{ After, Head int64 }

// Reset says that what was handed over before is no longer true: the server's store is another one, or lost its end.
type Reset struct{}

// Gone says that the user is no member of the conversation.
type Gone struct{}

// CaughtUp carries a token: a client that stores it together with all events before it can resume there.
type CaughtUp struct{ Token []byte }

// State is the state of the connection: one of Offline, Connecting, CatchingUp and Live.
type State interface{ state() }

// Offline means that there is no connection.
type Offline struct {
	// Err is why the last connection ended or could not be made; nil before the first.
	Err error
	// Retry is when the next attempt begins; zero where there will be none.
	Retry time.Time
}

// Connecting means that a connection is being made.
type Connecting struct{}

// CatchingUp means that the server is telling what was missed.
type CatchingUp struct{}

// Live means that events come as they happen. In Full mode it also means that nothing is missing.
type Live struct{}

func (Offline) state()    {}
func (Connecting) state() {}
func (CatchingUp) state() {}
func (Live) state()       {}

// bodyOf returns the body of an event of the log, and its conversation where the event has none of its own.
func bodyOf(e *chatv1.Event) (body any, conversation string) {
	switch b := e.GetEvent().(type) {
	case *chatv1.Event_Message:
		return b.Message, e.GetConversationId()
	case *chatv1.Event_Conversation:
		return b.Conversation, e.GetConversationId()
	case *chatv1.Event_Members:
		return b.Members, e.GetConversationId()
	case *chatv1.Event_Receipt:
		return b.Receipt, b.Receipt.GetConversationId()
	case *chatv1.Event_Typing:
		return b.Typing, b.Typing.GetConversationId()
	case *chatv1.Event_Presence:
		return b.Presence, ""
	case *chatv1.Event_Summary:
		return b.Summary, b.Summary.GetConversation().GetId()
	default:
		return nil, e.GetConversationId()
	}
}
