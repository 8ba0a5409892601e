package rpc

import (
	"context"
	"encoding/hex"
	"strings"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/chat"
)

// Sending, changing and reading messages. The requests have passed the schema's rules.

// sendRequest is what a stream and the unary call send.
func sendRequest(r *chatv1.SendMessageRequest) (chat.SendRequest, error) {
	id, err := chat.ParseConversationID(r.GetConversationId(), "conversation_id")
	if err != nil {
		return chat.SendRequest{}, err
	}
	client, err := parseUUID(r.GetClientMessageId(), "client_message_id")
	if err != nil {
		return chat.SendRequest{}, err
	}
	return chat.SendRequest{Conversation: id, ClientID: client, Content: r.GetContent(), ReplyTo: chat.Seq(r.GetReplyToSeq())}, nil
}

// parseUUID reads a UUID in its usual form, in either case.
func parseUUID(s, field string) (u chat.UUID, err error) {
	plain := strings.ReplaceAll(s, "-", "")
	if len(s) != 36 || len(plain) != 32 {
		return u, chat.Invalid(field, field+" has to be a UUID")
	}
	if _, err := hex.Decode(u[:], []byte(plain)); err != nil {
		return u, chat.Invalid(field, field+" has to be a UUID")
	}
	return u, nil
}

func (s *Server) sendMessage(ctx context.Context, r *chatv1.SendMessageRequest) (*chatv1.SendMessageResponse, error) {
	req, err := sendRequest(r)
	if err != nil {
		return nil, err
	}
	sent, err := s.chat.Send(ctx, CallerFrom(ctx), req)
	if err != nil {
		return nil, err
	}
	return &chatv1.SendMessageResponse{Message: messageToWire(&sent.Message), Duplicate: sent.Duplicate}, nil
}

func (s *Server) editMessage(ctx context.Context, r *chatv1.EditMessageRequest) (*chatv1.EditMessageResponse, error) {
	id, err := chat.ParseConversationID(r.GetConversationId(), "conversation_id")
	if err != nil {
		return nil, err
	}
	m, err := s.chat.Edit(ctx, CallerFrom(ctx), id, chat.Seq(r.GetSeq()), r.GetContent())
	if err != nil {
		return nil, err
	}
	return &chatv1.EditMessageResponse{Message: messageToWire(&m)}, nil
}

func (s *Server) deleteMessage(ctx context.Context, r *chatv1.DeleteMessageRequest) (*chatv1.DeleteMessageResponse, error) {
	id, err := chat.ParseConversationID(r.GetConversationId(), "conversation_id")
	if err != nil {
		return nil, err
	}
	m, err := s.chat.Delete(ctx, CallerFrom(ctx), id, chat.Seq(r.GetSeq()))
	if err != nil {
		return nil, err
	}
	return &chatv1.DeleteMessageResponse{Message: messageToWire(&m)}, nil
}

func (s *Server) addReaction(ctx context.Context, r *chatv1.AddReactionRequest) (*chatv1.AddReactionResponse, error) {
	m, err := s.react(ctx, r, true)
	if err != nil {
		return nil, err
	}
	return &chatv1.AddReactionResponse{Message: m}, nil
}

func (s *Server) removeReaction(ctx context.Context, r *chatv1.RemoveReactionRequest) (*chatv1.RemoveReactionResponse, error) {
	m, err := s.react(ctx, r, false)
	if err != nil {
		return nil, err
	}
	return &chatv1.RemoveReactionResponse{Message: m}, nil
}

// reaction is what adding and taking back have in common.
type reaction interface {
	GetConversationId() string
	GetSeq() int64
	GetEmoji() string
}

func (s *Server) react(ctx context.Context, r reaction, add bool) (*chatv1.Message, error) {
	id, err := chat.ParseConversationID(r.GetConversationId(), "conversation_id")
	if err != nil {
		return nil, err
	}
	m, err := s.chat.React(ctx, CallerFrom(ctx), id, chat.Seq(r.GetSeq()), r.GetEmoji(), add)
	if err != nil {
		return nil, err
	}
	return messageToWire(&m), nil
}

func (s *Server) listMessages(ctx context.Context, r *chatv1.ListMessagesRequest) (*chatv1.ListMessagesResponse, error) {
	id, err := chat.ParseConversationID(r.GetConversationId(), "conversation_id")
	if err != nil {
		return nil, err
	}
	page := chat.MessagePage{
		Before: chat.Seq(r.GetBeforeSeq()), After: chat.Seq(r.GetAfterSeq()), Around: chat.Seq(r.GetAroundSeq()), Limit: int(r.GetLimit()),
	}
	list, err := s.chat.ListMessages(ctx, CallerFrom(ctx), id, page)
	if err != nil {
		return nil, err
	}
	more := list.HasOlder
	switch {
	case page.After > 0:
		more = list.HasNewer
	case page.Around > 0:
		more = list.HasOlder || list.HasNewer
	}
	return &chatv1.ListMessagesResponse{
		Messages: all(list.Messages, messageToWire), HasMore: more, HasOlder: list.HasOlder, HasNewer: list.HasNewer,
	}, nil
}

func (s *Server) searchMessages(ctx context.Context, r *chatv1.SearchMessagesRequest) (*chatv1.SearchMessagesResponse, error) {
	search := chat.SearchRequest{Query: r.GetQuery(), PageSize: int(r.GetPageSize()), PageToken: r.GetPageToken()}
	if r.GetConversationId() != "" {
		var err error
		if search.Conversation, err = chat.ParseConversationID(r.GetConversationId(), "conversation_id"); err != nil {
			return nil, err
		}
	}
	messages, next, err := s.chat.SearchMessages(ctx, CallerFrom(ctx), search)
	if err != nil {
		return nil, err
	}
	return &chatv1.SearchMessagesResponse{Messages: all(messages, messageToWire), NextPageToken: next}, nil
}
