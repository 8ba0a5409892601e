package rpc

import (
	"context"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/chat"
)

// Marks, and what a client asks to be up to date.

func (s *Server) setTyping(ctx context.Context, r *chatv1.SetTypingRequest) (*chatv1.SetTypingResponse, error) {
	id, err := chat.ParseConversationID(r.GetConversationId(), "conversation_id")
	if err != nil {
		return nil, err
	}
	if err := s.chat.Typing(ctx, CallerFrom(ctx), id, r.GetTyping()); err != nil {
		return nil, err
	}
	return &chatv1.SetTypingResponse{}, nil
}

// mark is what the requests that move marks have in common.
type mark interface {
	GetConversationId() string
	GetSeq() int64
}

func markRequest(r mark, read bool) (chat.MarkRequest, error) {
	id, err := chat.ParseConversationID(r.GetConversationId(), "conversation_id")
	return chat.MarkRequest{Conversation: id, Seq: chat.Seq(r.GetSeq()), Read: read}, err
}

func (s *Server) markRead(ctx context.Context, r *chatv1.MarkReadRequest) (*chatv1.MarkReadResponse, error) {
	receipt, err := s.mark(ctx, r, true)
	if err != nil {
		return nil, err
	}
	return &chatv1.MarkReadResponse{Receipt: receipt}, nil
}

func (s *Server) markDelivered(ctx context.Context, r *chatv1.MarkDeliveredRequest) (*chatv1.MarkDeliveredResponse, error) {
	receipt, err := s.mark(ctx, r, false)
	if err != nil {
		return nil, err
	}
	return &chatv1.MarkDeliveredResponse{Receipt: receipt}, nil
}

func (s *Server) mark(ctx context.Context, r mark, read bool) (*chatv1.Receipt, error) {
	req, err := markRequest(r, read)
	if err != nil {
		return nil, err
	}
	receipt, err := s.chat.Mark(ctx, CallerFrom(ctx), req)
	if err != nil {
		return nil, err
	}
	return receiptToWire(&receipt), nil
}

func (s *Server) sync(ctx context.Context, r *chatv1.SyncRequest) (*chatv1.SyncResponse, error) {
	page, err := s.chat.Sync(ctx, CallerFrom(ctx), r.GetToken(), int(r.GetPageSize()), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	return &chatv1.SyncResponse{
		Summaries: all(page.Summaries, summaryToWire), NextPageToken: page.NextPageToken, Token: page.Token,
		ResumeKind: chatv1.ResumeKind(page.Kind),
	}, nil
}

func (s *Server) listEvents(ctx context.Context, r *chatv1.ListEventsRequest) (*chatv1.ListEventsResponse, error) {
	after, err := positions(r.GetPositions(), "positions")
	if err != nil {
		return nil, err
	}
	list, err := s.chat.ListEvents(ctx, CallerFrom(ctx), after, int(r.GetLimit()))
	if err != nil {
		return nil, err
	}
	return &chatv1.ListEventsResponse{
		Events: all(list.Events, eventToWire), HasMore: list.HasMore,
		NotFoundConversationIds: all(list.NotFound, func(id *chat.ConversationID) string { return id.String() }),
	}, nil
}
