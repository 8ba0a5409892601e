package rpc

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/hub"
)

var moment = time.Date(2026, 5, 4, 3, 2, 1, 7e6, time.UTC)

// samples are pieces of every kind, with the events that they should be.
func samples() map[string]struct {
	piece []byte
	event *chatv1.Event
} {
	ada := chat.User{ID: 1, Username: "ada", DisplayName: "Ada", AvatarURL: "https://example.org/a.png"}
	message := chat.Message{
		Conversation: 5, Seq: 3, Ordinal: 2, Sender: 1, ClientID: chat.UUID{15: 1}, Content: "hi", Time: moment, ReplyTo: 2, EditTime: moment,
		Reactions: []chat.Reaction{{Emoji: "🐸", Users: []chat.UserID{1}}}, ChangedSeq: 4, Read: true,
	}
	wire := messageToWire(&message)
	wire.Read = false
	var e Encoder
	c := chat.ConversationID(5).String()
	out := map[string]struct {
		piece []byte
		event *chatv1.Event
	}{
		"message": {
			e.Event(chat.Event{Conversation: 5, Seq: 4, Kind: chat.EventEdit, Message: &message}),
			&chatv1.Event{ConversationId: c, Seq: 4, Event: &chatv1.Event_Message{Message: wire}},
		},
		"conversation": {
			e.Event(chat.Event{Conversation: 5, Seq: 1, Kind: chat.EventConversation, State: &chat.Conversation{ID: 5, Kind: chat.Group, Title: "t", Creator: 1, CreateTime: moment, ChangedSeq: 1}}),
			&chatv1.Event{ConversationId: c, Seq: 1, Event: &chatv1.Event_Conversation{Conversation: &chatv1.Conversation{
				Id: c, Kind: chatv1.ConversationKind_CONVERSATION_KIND_GROUP, Title: "t", CreatorId: ada.ID.String(), CreateTime: timestamp(moment), ChangedSeq: 1,
			}}},
		},
		"members": {
			e.Event(chat.Event{Conversation: 5, Seq: 2, Kind: chat.EventMembers, Actor: 1, Members: []chat.MemberInfo{{Member: chat.Member{Conversation: 5, User: 1, Role: chat.Owner, JoinedSeq: 2}, Profile: ada}}}),
			&chatv1.Event{ConversationId: c, Seq: 2, Event: &chatv1.Event_Members{Members: &chatv1.MembersChanged{ActorId: ada.ID.String(), Members: []*chatv1.Member{{
				ConversationId: c, User: userToWire(&ada), Role: chatv1.MemberRole_MEMBER_ROLE_OWNER, JoinedSeq: 2,
			}}}}},
		},
		"receipt": {
			e.Receipt(chat.Receipt{Conversation: 5, User: 1, ReadSeq: 2, DeliveredSeq: 3, ReadTime: moment}),
			&chatv1.Event{Event: &chatv1.Event_Receipt{Receipt: &chatv1.Receipt{ConversationId: c, UserId: ada.ID.String(), ReadSeq: 2, DeliveredSeq: 3, ReadTime: timestamp(moment)}}},
		},
		"typing": {e.Typing(5, 1, true), &chatv1.Event{Event: &chatv1.Event_Typing{Typing: &chatv1.Typing{ConversationId: c, UserId: ada.ID.String(), Typing: true}}}},
		"presence": {
			e.Presence(chat.PresenceInfo{User: 1, State: chat.PresenceOffline, LastSeen: moment}),
			&chatv1.Event{Event: &chatv1.Event_Presence{Presence: &chatv1.Presence{UserId: ada.ID.String(), State: chatv1.PresenceState_PRESENCE_STATE_OFFLINE, LastSeenTime: timestamp(moment.Truncate(time.Second))}}},
		},
		"resync": {e.Resync(5, 9), &chatv1.Event{Event: &chatv1.Event_Resync{Resync: &chatv1.Resync{ConversationId: c, LastSeq: 9}}}},
		"ack":    {piece(ackEvent(&chatv1.Ack{RequestId: 7})), ackEvent(&chatv1.Ack{RequestId: 7})},
		"error":  {piece(&chatv1.Event{Event: &chatv1.Event_Error{Error: requestError(1, tooLarge())}}), &chatv1.Event{Event: &chatv1.Event_Error{Error: requestError(1, tooLarge())}}},
	}
	return out
}

func TestPiecesAreResponsesInAnyNumberAndOrder(t *testing.T) {
	t.Parallel()
	var all frame
	var want []*chatv1.Event
	for name, s := range samples() {
		var r chatv1.StreamResponse
		if err := proto.Unmarshal(s.piece, &r); err != nil || len(r.GetEvents()) != 1 || !proto.Equal(r.GetEvents()[0], s.event) {
			t.Errorf("%s: got %v, want %v (%v)", name, &r, s.event, err)
		}
		if got := isAnswer(s.piece); got != (name == "ack" || name == "error") {
			t.Errorf("%s is an answer: %v", name, got)
		}
		all.events = append(all.events, hub.NewFrame(Encoder{}, s.piece), nothing)
		want = append(want, s.event)
	}
	b, err := binaryCodec{}.Marshal(&all)
	if err != nil {
		t.Fatal(err)
	}
	var binary chatv1.SubscribeResponse
	if err := proto.Unmarshal(b, &binary); err != nil || !proto.Equal(&binary, &chatv1.SubscribeResponse{Events: want}) {
		t.Errorf("binary: got %v, want %v", &binary, want)
	}
	for _, codec := range []jsonCodec{{jsonName}, {jsonUTF8Name}} {
		j, err := codec.MarshalStable(&all)
		if err != nil {
			t.Fatal(err)
		}
		var text chatv1.SubscribeResponse
		if err := protojson.Unmarshal(j, &text); err != nil || !proto.Equal(&text, &binary) {
			t.Errorf("JSON: got %s (%v), want %v", j, err, want)
		}
	}
	if j, _ := (jsonCodec{}).Marshal(&frame{}); string(j) != `{"events":[]}` {
		t.Errorf("nothing as JSON is %s", j)
	}
}

func TestAnEventThatCannotBeEncodedStillCounts(t *testing.T) {
	t.Parallel()
	p := Encoder{}.Event(chat.Event{Conversation: 5, Seq: 4, Kind: chat.EventMessage, Message: &chat.Message{Conversation: 5, Seq: 4, Content: "\xff"}})
	var r chatv1.StreamResponse
	if err := proto.Unmarshal(p, &r); err != nil {
		t.Fatal(err)
	}
	if e := r.GetEvents()[0]; e.GetSeq() != 4 || e.GetEvent() != nil {
		t.Errorf("got %v", e)
	}
}

func TestCodecsRefuseWhatIsNoMessage(t *testing.T) {
	t.Parallel()
	for _, c := range []interface {
		connect.Codec
		MarshalStable(any) ([]byte, error)
	}{binaryCodec{}, jsonCodec{jsonName}} {
		if _, err := c.Marshal("text"); err == nil {
			t.Errorf("%s marshals a string", c.Name())
		}
		if _, err := c.MarshalStable(7); err == nil {
			t.Errorf("%s marshals a number", c.Name())
		}
		if err := c.Unmarshal([]byte("{}"), "text"); err == nil {
			t.Errorf("%s unmarshals into a string", c.Name())
		}
	}
}

// FuzzCodecs holds our codecs to what protobuf's packages do, which is what connect's own do: the same messages decoded, the same refused, and
// every message comes back.
func FuzzCodecs(f *testing.F) {
	for _, r := range requests() {
		b, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		j, err := protojson.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(j)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, c := range []struct {
			codec interface {
				connect.Codec
				MarshalStable(any) ([]byte, error)
			}
			decode func([]byte, proto.Message) error
		}{
			{binaryCodec{}, proto.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: maxNesting}.Unmarshal},
			{jsonCodec{jsonName}, protojson.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: maxNesting}.Unmarshal},
		} {
			var want chatv1.StreamRequest
			wantErr := c.decode(b, &want)
			var got chatv1.StreamRequest
			gotErr := c.codec.Unmarshal(b, &got)
			if (wantErr == nil) != (gotErr == nil) || wantErr == nil && !proto.Equal(&want, &got) {
				t.Fatalf("%s: decoded %v (%v), want %v (%v)", c.codec.Name(), &got, gotErr, &want, wantErr)
			}
			var kept received[chatv1.StreamRequest]
			if err := c.codec.Unmarshal(b, &kept); err != nil {
				t.Fatalf("%s: a received request failed: %v", c.codec.Name(), err)
			}
			if e, ok := chat.AsError(kept.err); (kept.err != nil) != (wantErr != nil) || kept.err != nil && (!ok || e.Reason != chat.ReasonInvalidField) {
				t.Fatalf("%s: kept %v of %v", c.codec.Name(), kept.err, wantErr)
			}
			if wantErr != nil {
				continue
			}
			encoded, err := c.codec.MarshalStable(&got)
			if err != nil {
				t.Fatal(err)
			}
			var back chatv1.StreamRequest
			if err := c.decode(encoded, &back); err != nil || !proto.Equal(&back, &got) {
				t.Fatalf("%s: came back as %v (%v), want %v", c.codec.Name(), &back, err, &got)
			}
			plain, err := c.codec.Marshal(&got)
			if err != nil || c.codec.Name() == jsonName && !sameJSON(plain, encoded) {
				t.Fatalf("%s: %s and %s (%v)", c.codec.Name(), plain, encoded, err)
			}
		}
	})
}

func sameJSON(a, b []byte) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && x.String() == y.String()
}

// requests are things that clients say.
func requests() []*chatv1.StreamRequest {
	const id, uuid = "c000000000000a", "00000000-0000-4000-8000-000000000001"
	return []*chatv1.StreamRequest{
		{RequestId: 1, Request: &chatv1.StreamRequest_Hello{Hello: &chatv1.Hello{
			DeviceId: "d", Attempt: 7, Token: []byte{1, 2, 3}, Positions: []*chatv1.Position{{ConversationId: id, Seq: 3}}, Presence: 2,
		}}},
		{RequestId: 2, Request: &chatv1.StreamRequest_SendMessage{SendMessage: &chatv1.SendMessageRequest{ConversationId: id, ClientMessageId: uuid, Content: "hi", ReplyToSeq: 1}}},
		{RequestId: 3, Request: &chatv1.StreamRequest_Typing{Typing: &chatv1.SetTypingRequest{ConversationId: id, Typing: true}}},
		{RequestId: 4, Request: &chatv1.StreamRequest_MarkRead{MarkRead: &chatv1.MarkReadRequest{ConversationId: id, Seq: 3}}},
		{RequestId: 5, Request: &chatv1.StreamRequest_WatchPresence{WatchPresence: &chatv1.WatchPresenceRequest{UserIds: []string{"u000000000000a"}}}},
		{RequestId: 6, Request: &chatv1.StreamRequest_SetPresence{SetPresence: &chatv1.SetPresenceRequest{State: 1}}},
		{RequestId: 1<<64 - 1, Request: &chatv1.StreamRequest_Ping{Ping: &chatv1.Ping{}}},
		{},
	}
}

// FuzzStreamRequest: whatever a client says is either performed or refused with an error that is meant for it, and nothing panics.
func FuzzStreamRequest(f *testing.F) {
	for _, r := range requests() {
		b, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	v, err := newValidator()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var in received[chatv1.StreamRequest]
		if err := (binaryCodec{}).Unmarshal(b, &in); err != nil {
			t.Fatal(err)
		}
		meant := func(err error) {
			if _, ok := chat.AsError(err); err != nil && !ok {
				t.Fatalf("the client would be told of a fault of the server: %v", err)
			}
		}
		meant(in.err)
		err := v.check(&in.msg)
		meant(err)
		if in.err != nil || err != nil {
			return
		}
		switch q := in.msg.GetRequest().(type) {
		case *chatv1.StreamRequest_Hello:
			_, err = positions(q.Hello.GetPositions(), "hello.positions")
		case *chatv1.StreamRequest_SendMessage:
			_, err = sendRequest(q.SendMessage)
		case *chatv1.StreamRequest_MarkRead:
			_, err = markRequest(q.MarkRead, true)
		case *chatv1.StreamRequest_WatchPresence:
			_, err = userIDs(q.WatchPresence.GetUserIds(), "user_ids")
		default:
		}
		meant(within(requestName(&in.msg), err))
	})
}

// FuzzRESTQuery: every query gives a request, or an error that is meant for the caller; a good one comes back as it was.
func FuzzRESTQuery(f *testing.F) {
	for _, q := range []string{
		"", "conversationId=c000000000000a&limit=3&beforeSeq=7", "afterSeq=1&aroundSeq=2", "limit=x", "a=b", "%zz", ";", "limit=1&limit=2", "conversationId=%00",
	} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		var r chatv1.ListMessagesRequest
		err := messagesQuery(raw, &r)
		if e, ok := chat.AsError(err); err != nil && (!ok || e.Reason != chat.ReasonInvalidField) {
			t.Fatalf("%q: %v", raw, err)
		}
	})
}

func TestASummaryOfAConversationThatWasLeftTellsNothingOfIt(t *testing.T) {
	t.Parallel()
	s := chat.Summary{
		Conversation: chat.Conversation{ID: 5, Kind: chat.Group, Title: "t"}, Head: chat.Head{LastSeq: 9, LastOrdinal: 7, MemberCount: 3},
		Self:        chat.MemberInfo{Member: chat.Member{Conversation: 5, User: 1, JoinedSeq: 1, LeftSeq: 8, ReadSeq: 2}},
		LastMessage: &chat.Message{Conversation: 5, Seq: 9, Content: "behind the back"}, Peers: []chat.Receipt{{Conversation: 5, User: 2}}, Peer: &chat.User{ID: 2},
	}
	if got := summaryToWire(&s); !proto.Equal(got, &chatv1.ConversationSummary{Conversation: got.GetConversation(), Self: got.GetSelf()}) {
		t.Errorf("told is %v", got)
	}
	s.Self.LeftSeq = 0
	if got := summaryToWire(&s); got.GetLastSeq() != 9 || got.GetLastMessage() == nil || len(got.GetPeerReceipts()) != 1 || got.GetPeer() == nil || got.GetMemberCount() != 3 {
		t.Errorf("a member is told %v", got)
	}
}
