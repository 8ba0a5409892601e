package hub

import (
	"sync"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// Encoder turns what the hub has to say into pieces. A piece is one event of the schema, encoded as an element of the repeated field that a
// stream response consists of, so that any concatenation of pieces is a response. Implemented by the transport; safe for concurrent use.
type Encoder interface {
	// Event encodes a durable event.
	Event(chat.Event) []byte
	// Receipt encodes the marks of a member.
	Receipt(chat.Receipt) []byte
	// Typing encodes that a user types, or stopped.
	Typing(conversation chat.ConversationID, user chat.UserID, typing bool) []byte
	// Presence encodes the state of a user.
	Presence(chat.PresenceInfo) []byte
	// Resync encodes that a conversation has to be fetched and goes on after head; head 0: the user isn't a member of it.
	Resync(conversation chat.ConversationID, head chat.Seq) []byte
	// Goodbye encodes the end of a stream; delay 0 where coming back doesn't help or need not wait.
	Goodbye(reason GoodbyeReason, delay time.Duration) []byte
	// JSON turns a piece into the same event as a JSON object.
	JSON(piece []byte) []byte
}

// GoodbyeReason says why a stream ends. Numbers are those of the schema.
type GoodbyeReason int8

// The reasons.
const (
	GoodbyeDrain          GoodbyeReason = 1
	GoodbyeTokenExpired   GoodbyeReason = 2
	GoodbyeSessionRevoked GoodbyeReason = 3
	GoodbyeSuperseded     GoodbyeReason = 4
	GoodbyeSlowConsumer   GoodbyeReason = 5
	GoodbyeIdle           GoodbyeReason = 6
	GoodbyeProtocolError  GoodbyeReason = 7
	GoodbyeInternal       GoodbyeReason = 8
)

// discards reports whether what is still queued must not, or need not, be sent before the goodbye: the right to it has ended, or
// another stream of the device fetches it.
func (r GoodbyeReason) discards() bool {
	switch r {
	case GoodbyeTokenExpired, GoodbyeSessionRevoked, GoodbyeSuperseded, GoodbyeSlowConsumer:
		return true
	default:
		return false
	}
}

type frameKind uint8

const (
	frameOther   frameKind = iota // replies and catch-up: only bytes
	frameDurable                  // has a conversation and a seq
	frameLatest                   // replaces an older one of the same conversation and user
	frameTyping                   // may be lost
	frameSummary                  // no bytes: the writer reads the conversation's summary
	frameHole                     // a resync; see holeFrame
	frameLeft                     // a resync; see leftFrame
)

// Frame is one encoded event, shared by all streams that get it, or a mark in its place that asks the writer for a summary. Immutable;
// safe for concurrent use.
type Frame struct {
	kind         frameKind
	conversation chat.ConversationID
	user         chat.UserID
	seq          chat.Seq
	// later: the streams are woken by the conversation, and not by this frame.
	later bool

	piece    []byte
	encoder  Encoder
	jsonOnce sync.Once
	json     []byte // set by jsonOnce
}

// NewFrame returns a frame for a piece; it keeps the slice.
func NewFrame(encoder Encoder, piece []byte) *Frame {
	return &Frame{encoder: encoder, piece: piece}
}

// Binary returns the piece; not to be changed.
func (f *Frame) Binary() []byte { return f.piece }

// JSON returns the event as a JSON object, encoded when first asked for; not to be changed.
func (f *Frame) JSON() []byte {
	f.jsonOnce.Do(func() { f.json = f.encoder.JSON(f.piece) })
	return f.json
}

// SummaryOf reports whether the frame is a mark without bytes: the writer reads the user's summary of the conversation and sends it in
// this place. Comes before the event by which the user joined a conversation and after the one by which they left; a
// summary that can't be found is left out.
func (f *Frame) SummaryOf() (chat.ConversationID, bool) {
	return f.conversation, f.kind == frameSummary
}

func (h *Hub) durableFrame(conversation chat.ConversationID, seq chat.Seq, piece []byte) *Frame {
	return &Frame{kind: frameDurable, conversation: conversation, seq: seq, piece: piece, encoder: h.encoder}
}

func (h *Hub) resyncFrame(conversation chat.ConversationID, head chat.Seq) *Frame {
	return NewFrame(h.encoder, h.encoder.Resync(conversation, head))
}

// holeFrame is a resync in the place of events up to seq that the log should have.
func (h *Hub) holeFrame(conversation chat.ConversationID, seq chat.Seq) *Frame {
	f := h.resyncFrame(conversation, seq)
	f.kind, f.conversation, f.seq = frameHole, conversation, seq
	return f
}

// leftFrame is a resync in the place of the event seq by which the user left, and of those before it.
func (h *Hub) leftFrame(conversation chat.ConversationID, seq chat.Seq) *Frame {
	f := h.resyncFrame(conversation, 0)
	f.kind, f.conversation, f.seq = frameLeft, conversation, seq
	return f
}

// summaryFrame asks for a summary because of the event seq.
func summaryFrame(conversation chat.ConversationID, seq chat.Seq) *Frame {
	return &Frame{kind: frameSummary, conversation: conversation, seq: seq}
}
