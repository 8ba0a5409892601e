package fleet

import (
	"errors"

	"connectrpc.com/connect"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/e2e/history"
)

func toMessage(m *chatv1.Message) *history.Message {
	out := &history.Message{
		Seq: m.GetSeq(), ChangedSeq: m.GetChangedSeq(), Ordinal: m.GetOrdinal(), ReplyTo: m.GetReplyToSeq(),
		ID: m.GetId(), Sender: m.GetSenderId(), ClientID: m.GetClientMessageId(), Content: history.DigestOf(m.GetContent()),
		Edited: m.GetEditTime() != nil, Deleted: m.GetDeleteTime() != nil, Time: m.GetTimestamp().AsTime().UnixMilli(),
	}
	if len(m.GetReactions()) > 0 {
		var texts []string
		for _, r := range m.GetReactions() {
			texts = append(append(texts, "emoji", r.GetEmoji()), r.GetUserIds()...)
		}
		out.Reactions = history.DigestOf(texts...)
	}
	return out
}

func toMember(m *chatv1.Member) history.Member {
	return history.Member{User: m.GetUser().GetId(), Role: int(m.GetRole()), Joined: m.GetJoinedSeq(), Left: m.GetLeftSeq()}
}

func toMembers(m *chatv1.MembersChanged) *history.Members {
	out := &history.Members{Actor: m.GetActorId()}
	for _, member := range m.GetMembers() {
		out.Members = append(out.Members, toMember(member))
	}
	return out
}

func toMarks(r *chatv1.Receipt) history.Marks {
	return history.Marks{User: r.GetUserId(), Read: r.GetReadSeq(), Delivered: r.GetDeliveredSeq()}
}

func toSummary(s *chatv1.ConversationSummary) *history.Summary {
	out := &history.Summary{
		Self: toMember(s.GetSelf()), LastSeq: s.GetLastSeq(), Unread: s.GetUnreadCount(), Own: toMarks(s.GetReceipt()),
	}
	out.Own.User = out.Self.User
	for _, r := range s.GetPeerReceipts() {
		out.Peers = append(out.Peers, toMarks(r))
	}
	return out
}

// toEvent returns what an event says; ok is false for answers to requests and for what is not recorded.
func toEvent(e *chatv1.Event) (out history.Event, ok bool) {
	out = history.Event{Conversation: e.GetConversationId(), Seq: e.GetSeq()}
	switch b := e.GetEvent().(type) {
	case *chatv1.Event_Message:
		out.Body = toMessage(b.Message)
	case *chatv1.Event_Conversation:
		out.Body = &history.Conversation{Title: b.Conversation.GetTitle(), ChangedSeq: b.Conversation.GetChangedSeq()}
	case *chatv1.Event_Members:
		out.Body = toMembers(b.Members)
	case *chatv1.Event_Summary:
		out.Conversation, out.Body = b.Summary.GetConversation().GetId(), toSummary(b.Summary)
	case *chatv1.Event_Receipt:
		out.Conversation, out.Body = b.Receipt.GetConversationId(), toMarks(b.Receipt)
	case *chatv1.Event_Ready:
		kind := b.Ready.GetResumeKind()
		out.Body = history.Ready{
			Anew: kind == chatv1.ResumeKind_RESUME_KIND_FULL || kind == chatv1.ResumeKind_RESUME_KIND_RESET,
		}
	case *chatv1.Event_CaughtUp:
		out.Body = history.CaughtUp{}
	case *chatv1.Event_Resync:
		out.Conversation, out.Body = b.Resync.GetConversationId(), history.Resync{Head: b.Resync.GetLastSeq()}
	case *chatv1.Event_Goodbye:
		out.Body = history.Goodbye{Reason: b.Goodbye.GetReason().String()}
	default:
		if e.GetSeq() == 0 {
			return out, false
		}
		out.Body = history.Other{}
	}
	return out, true
}

// isRefusal reports whether a reason says that nothing was done.
func isRefusal(reason chatv1.ErrorReason) bool {
	switch reason {
	case chatv1.ErrorReason_ERROR_REASON_UNSPECIFIED, chatv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN, chatv1.ErrorReason_ERROR_REASON_INTERNAL:
		return false
	default:
		return true
	}
}

// end notes the error that a call ended with.
func end(p *history.Pending, err error) {
	reason := client.ReasonOf(err)
	if isRefusal(reason) {
		p.Refused(reason.String())
		return
	}
	text := err.Error()
	if ce := new(connect.Error); errors.As(err, &ce) {
		text = ce.Code().String() + ": " + ce.Message()
	}
	p.Unknown(text)
}
