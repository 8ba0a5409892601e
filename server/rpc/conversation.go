package rpc

import (
	"context"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/chat"
)

// Conversations and their members.

func (s *Server) createConversation(ctx context.Context, r *chatv1.CreateConversationRequest) (*chatv1.CreateConversationResponse, error) {
	members, err := userIDs(r.GetMemberIds(), "member_ids")
	if err != nil {
		return nil, err
	}
	create := chat.CreateRequest{Kind: chat.Kind(r.GetKind()), Members: members, Title: r.GetTitle()}
	if r.GetClientConversationId() != "" {
		client, err := parseUUID(r.GetClientConversationId(), "client_conversation_id")
		if err != nil {
			return nil, err
		}
		create.ClientID = &client
	}
	summary, existing, err := s.chat.CreateConversation(ctx, CallerFrom(ctx), create)
	if err != nil {
		return nil, err
	}
	w := summaryToWire(&summary)
	return &chatv1.CreateConversationResponse{Conversation: w.GetConversation(), Summary: w, Existing: existing}, nil
}

func (s *Server) getConversation(ctx context.Context, r *chatv1.GetConversationRequest) (*chatv1.GetConversationResponse, error) {
	id, err := chat.ParseConversationID(r.GetConversationId(), "conversation_id")
	if err != nil {
		return nil, err
	}
	summary, err := s.chat.GetConversation(ctx, CallerFrom(ctx), id)
	if err != nil {
		return nil, err
	}
	return &chatv1.GetConversationResponse{Summary: summaryToWire(&summary)}, nil
}

func (s *Server) listConversations(ctx context.Context, r *chatv1.ListConversationsRequest) (*chatv1.ListConversationsResponse, error) {
	summaries, next, err := s.chat.ListConversations(ctx, CallerFrom(ctx), int(r.GetPageSize()), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	return &chatv1.ListConversationsResponse{Summaries: all(summaries, summaryToWire), NextPageToken: next}, nil
}

func (s *Server) updateConversation(ctx context.Context, r *chatv1.UpdateConversationRequest) (*chatv1.UpdateConversationResponse, error) {
	id, err := chat.ParseConversationID(r.GetConversationId(), "conversation_id")
	if err != nil {
		return nil, err
	}
	c, err := s.chat.UpdateConversation(ctx, CallerFrom(ctx), id, r.GetTitle())
	if err != nil {
		return nil, err
	}
	return &chatv1.UpdateConversationResponse{Conversation: conversationToWire(&c)}, nil
}

func (s *Server) addMembers(ctx context.Context, r *chatv1.AddMembersRequest) (*chatv1.AddMembersResponse, error) {
	id, err := chat.ParseConversationID(r.GetConversationId(), "conversation_id")
	if err != nil {
		return nil, err
	}
	users, err := userIDs(r.GetUserIds(), "user_ids")
	if err != nil {
		return nil, err
	}
	members, err := s.chat.AddMembers(ctx, CallerFrom(ctx), id, users, chat.Role(r.GetRole()))
	if err != nil {
		return nil, err
	}
	return &chatv1.AddMembersResponse{Members: all(members, memberToWire)}, nil
}

func (s *Server) removeMember(ctx context.Context, r *chatv1.RemoveMemberRequest) (*chatv1.RemoveMemberResponse, error) {
	id, user, err := memberIDs(r)
	if err != nil {
		return nil, err
	}
	if err := s.chat.RemoveMember(ctx, CallerFrom(ctx), id, user); err != nil {
		return nil, err
	}
	return &chatv1.RemoveMemberResponse{}, nil
}

func (s *Server) updateMember(ctx context.Context, r *chatv1.UpdateMemberRequest) (*chatv1.UpdateMemberResponse, error) {
	id, user, err := memberIDs(r)
	if err != nil {
		return nil, err
	}
	m, err := s.chat.UpdateMember(ctx, CallerFrom(ctx), id, user, chat.Role(r.GetRole()))
	if err != nil {
		return nil, err
	}
	return &chatv1.UpdateMemberResponse{Member: memberToWire(&m)}, nil
}

// memberIDs parses the name of a membership.
func memberIDs(r interface {
	GetConversationId() string
	GetUserId() string
},
) (id chat.ConversationID, user chat.UserID, err error) {
	if id, err = chat.ParseConversationID(r.GetConversationId(), "conversation_id"); err != nil {
		return 0, 0, err
	}
	user, err = chat.ParseUserID(r.GetUserId(), "user_id")
	return id, user, err
}

func (s *Server) listMembers(ctx context.Context, r *chatv1.ListMembersRequest) (*chatv1.ListMembersResponse, error) {
	id, err := chat.ParseConversationID(r.GetConversationId(), "conversation_id")
	if err != nil {
		return nil, err
	}
	members, next, err := s.chat.ListMembers(ctx, CallerFrom(ctx), id, int(r.GetPageSize()), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	return &chatv1.ListMembersResponse{
		Members: all(members, memberToWire), NextPageToken: next,
		Receipts: all(members, func(m *chat.MemberInfo) *chatv1.Receipt {
			receipt := m.Receipt()
			return receiptToWire(&receipt)
		}),
	}, nil
}
