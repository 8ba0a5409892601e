package rpc

import (
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/hub"
)

// Encoder encodes what streams carry. A piece is an Event as the field `events` of StreamResponse and SubscribeResponse, whose number is the same
// in both: protobuf concatenates repeated fields, so any number of pieces one after the other is a response. Safe for concurrent use.
type Encoder struct{}

var _ hub.Encoder = Encoder{}

const eventsField protowire.Number = 1

// piece encodes one event.
func piece(e *chatv1.Event) []byte {
	size := proto.Size(e)
	b := make([]byte, 0, protowire.SizeTag(eventsField)+protowire.SizeBytes(size))
	b = protowire.AppendTag(b, eventsField, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, e)
	if err != nil {
		// Only a string that isn't UTF-8 fails. None gets past decoding, but a database may be edited by hand. A client counts the seq of an
		// event that says nothing, so the conversation goes on.
		return piece(&chatv1.Event{ConversationId: strings.ToValidUTF8(e.GetConversationId(), ""), Seq: e.GetSeq()})
	}
	return b
}

// newFrame returns a frame of one event.
func newFrame(e *chatv1.Event) *hub.Frame { return hub.NewFrame(Encoder{}, piece(e)) }

// Event implements [hub.Encoder].
func (Encoder) Event(e chat.Event) []byte { return piece(eventToWire(&e)) }

// Receipt implements [hub.Encoder].
func (Encoder) Receipt(r chat.Receipt) []byte {
	return piece(&chatv1.Event{Event: &chatv1.Event_Receipt{Receipt: receiptToWire(&r)}})
}

// Typing implements [hub.Encoder].
func (Encoder) Typing(conversation chat.ConversationID, user chat.UserID, typing bool) []byte {
	return piece(&chatv1.Event{Event: &chatv1.Event_Typing{
		Typing: &chatv1.Typing{ConversationId: conversation.String(), UserId: user.String(), Typing: typing},
	}})
}

// Presence implements [hub.Encoder].
func (Encoder) Presence(p chat.PresenceInfo) []byte {
	return piece(&chatv1.Event{Event: &chatv1.Event_Presence{Presence: presenceToWire(&p)}})
}

// Resync implements [hub.Encoder].
func (Encoder) Resync(conversation chat.ConversationID, head chat.Seq) []byte {
	return piece(&chatv1.Event{Event: &chatv1.Event_Resync{
		Resync: &chatv1.Resync{ConversationId: conversation.String(), LastSeq: int64(head)},
	}})
}

// Goodbye implements [hub.Encoder].
func (Encoder) Goodbye(reason hub.GoodbyeReason, delay time.Duration) []byte {
	g := &chatv1.Goodbye{Reason: chatv1.GoodbyeReason(reason), Message: goodbyeTexts[reason]}
	if delay > 0 {
		g.ReconnectDelay = durationpb.New(delay)
	}
	return piece(&chatv1.Event{Event: &chatv1.Event_Goodbye{Goodbye: g}})
}

var goodbyeTexts = map[hub.GoodbyeReason]string{
	hub.GoodbyeDrain:          "the server shuts down or sheds load; reconnect",
	hub.GoodbyeTokenExpired:   "the access token has run out; refresh the session and reconnect",
	hub.GoodbyeSessionRevoked: "the session was ended; sign in again",
	hub.GoodbyeSuperseded:     "a newer stream of this device took over",
	hub.GoodbyeSlowConsumer:   "the stream was read too slowly; reconnect and resume",
	hub.GoodbyeIdle:           "nothing was heard for too long; reconnect, and send a ping when there is nothing else to say",
	hub.GoodbyeProtocolError:  "the client didn't keep to the protocol; the stream's status says how",
	hub.GoodbyeInternal:       "the server failed; reconnect after the delay",
}

// JSON implements [hub.Encoder].
func (Encoder) JSON(piece []byte) []byte {
	var e chatv1.Event
	_ = proto.Unmarshal(eventOf(piece), &e) // what this process encoded it can decode
	b, err := protojson.Marshal(&e)
	if err != nil {
		return []byte("{}")
	}
	return b
}

// eventOf returns the event in a piece, encoded.
func eventOf(piece []byte) []byte {
	_, _, n := protowire.ConsumeTag(piece)
	event, _ := protowire.ConsumeBytes(piece[max(n, 0):])
	return event
}

// isAnswer reports whether a piece is the ack or error of a request, by the tag of the event's only field. The writer counts these.
func isAnswer(piece []byte) bool {
	field, _, _ := protowire.ConsumeTag(eventOf(piece))
	return field == ackField || field == errorField
}

const (
	ackField   protowire.Number = 11
	errorField protowire.Number = 12
)

func element(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }
