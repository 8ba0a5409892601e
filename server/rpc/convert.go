package rpc

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/chat"
)

// From the domain's types to the schema's. Enums have the same numbers on both sides; a test holds them together.

// timestamp leaves the zero time unset.
func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// all converts a list.
func all[D, W any](list []D, convert func(*D) W) []W {
	if len(list) == 0 {
		return nil
	}
	out := make([]W, len(list))
	for i := range list {
		out[i] = convert(&list[i])
	}
	return out
}

func userToWire(u *chat.User) *chatv1.User {
	return &chatv1.User{Id: u.ID.String(), Username: u.Username, DisplayName: u.DisplayName, AvatarUrl: u.AvatarURL}
}

func messageToWire(m *chat.Message) *chatv1.Message {
	return &chatv1.Message{
		Id: chat.MessageID(m.Conversation, m.Seq), ConversationId: m.Conversation.String(), Seq: int64(m.Seq),
		SenderId: m.Sender.String(), Content: m.Content, Timestamp: timestamp(m.Time), Read: m.Read,
		ClientMessageId: m.ClientID.String(), ReplyToSeq: int64(m.ReplyTo), EditTime: timestamp(m.EditTime),
		DeleteTime: timestamp(m.DeleteTime), Reactions: all(m.Reactions, reactionToWire),
		ChangedSeq: int64(m.ChangedSeq), Ordinal: m.Ordinal,
	}
}

func reactionToWire(r *chat.Reaction) *chatv1.Reaction {
	return &chatv1.Reaction{Emoji: r.Emoji, UserIds: all(r.Users, func(u *chat.UserID) string { return u.String() })}
}

func conversationToWire(c *chat.Conversation) *chatv1.Conversation {
	return &chatv1.Conversation{
		Id: c.ID.String(), Kind: chatv1.ConversationKind(c.Kind), Title: c.Title, CreatorId: c.Creator.String(),
		CreateTime: timestamp(c.CreateTime), ChangedSeq: int64(c.ChangedSeq),
	}
}

func memberToWire(m *chat.MemberInfo) *chatv1.Member {
	return &chatv1.Member{
		ConversationId: m.Conversation.String(), User: userToWire(&m.Profile), Role: chatv1.MemberRole(m.Role),
		JoinedSeq: int64(m.JoinedSeq), LeftSeq: int64(m.LeftSeq),
	}
}

func receiptToWire(r *chat.Receipt) *chatv1.Receipt {
	return &chatv1.Receipt{
		ConversationId: r.Conversation.String(), UserId: r.User.String(), ReadSeq: int64(r.ReadSeq), DeliveredSeq: int64(r.DeliveredSeq),
		ReadTime: timestamp(r.ReadTime), DeliveredTime: timestamp(r.DeliveredTime),
	}
}

func summaryToWire(s *chat.Summary) *chatv1.ConversationSummary {
	w := &chatv1.ConversationSummary{Conversation: conversationToWire(&s.Conversation), Self: memberToWire(&s.Self)}
	if !s.Self.Active() {
		return w // what happens in it is no longer the caller's business
	}
	receipt := s.Self.Receipt()
	w.LastSeq, w.UnreadCount, w.MemberCount = int64(s.Head.LastSeq), s.Unread(), int32(s.Head.MemberCount)
	w.Receipt, w.PeerReceipts = receiptToWire(&receipt), all(s.Peers, receiptToWire)
	w.UpdateTime = timestamp(s.Head.UpdateTime)
	if s.LastMessage != nil {
		w.LastMessage = messageToWire(s.LastMessage)
	}
	if s.Peer != nil {
		w.Peer = userToWire(s.Peer)
	}
	return w
}

func presenceToWire(p *chat.PresenceInfo) *chatv1.Presence {
	w := &chatv1.Presence{UserId: p.User.String(), State: chatv1.PresenceState(p.State)}
	if p.State == chat.PresenceOffline && !p.LastSeen.IsZero() {
		w.LastSeenTime = timestamp(p.LastSeen.Truncate(time.Second))
	}
	return w
}

// eventToWire returns a durable event. On the streams and in logs a message's Read is always false.
func eventToWire(e *chat.Event) *chatv1.Event {
	w := &chatv1.Event{ConversationId: e.Conversation.String(), Seq: int64(e.Seq)}
	switch {
	case e.Message != nil:
		m := messageToWire(e.Message)
		m.Read = false
		w.Event = &chatv1.Event_Message{Message: m}
	case e.State != nil:
		w.Event = &chatv1.Event_Conversation{Conversation: conversationToWire(e.State)}
	case e.Kind == chat.EventMembers:
		w.Event = &chatv1.Event_Members{Members: &chatv1.MembersChanged{Members: all(e.Members, memberToWire), ActorId: e.Actor.String()}}
	}
	return w
}

// userIDs parses a list of ids; the error names the element.
func userIDs(ids []string, field string) ([]chat.UserID, error) {
	out := make([]chat.UserID, len(ids))
	for i, id := range ids {
		u, err := chat.ParseUserID(id, element(field, i))
		if err != nil {
			return nil, err
		}
		out[i] = u
	}
	return out, nil
}

// positions parses where a client stands; no conversation may come twice.
func positions(list []*chatv1.Position, field string) ([]chat.EventPosition, error) {
	out := make([]chat.EventPosition, len(list))
	seen := make(map[chat.ConversationID]bool, len(list))
	for i, p := range list {
		id, err := chat.ParseConversationID(p.GetConversationId(), element(field, i)+".conversation_id")
		if err != nil {
			return nil, err
		}
		if seen[id] {
			return nil, chat.Invalid(element(field, i)+".conversation_id", "the conversation is named twice; name it once")
		}
		seen[id] = true
		out[i] = chat.EventPosition{Conversation: id, After: chat.Seq(p.GetSeq())}
	}
	return out, nil
}
