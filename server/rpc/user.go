package rpc

import (
	"context"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
)

// Users as others see them.

func (s *Server) getPresence(ctx context.Context, r *chatv1.GetPresenceRequest) (*chatv1.GetPresenceResponse, error) {
	users, err := userIDs(r.GetUserIds(), "user_ids")
	if err != nil {
		return nil, err
	}
	presences, err := s.chat.Presence(ctx, CallerFrom(ctx), users)
	if err != nil {
		return nil, err
	}
	return &chatv1.GetPresenceResponse{Presences: all(presences, presenceToWire)}, nil
}

func (s *Server) getUsers(ctx context.Context, r *chatv1.GetUsersRequest) (*chatv1.GetUsersResponse, error) {
	ids, err := userIDs(r.GetUserIds(), "user_ids")
	if err != nil {
		return nil, err
	}
	users, err := s.chat.Users(ctx, CallerFrom(ctx), ids)
	if err != nil {
		return nil, err
	}
	return &chatv1.GetUsersResponse{Users: all(users, userToWire)}, nil
}

func (s *Server) searchUsers(ctx context.Context, r *chatv1.SearchUsersRequest) (*chatv1.SearchUsersResponse, error) {
	users, err := s.chat.SearchUsers(ctx, CallerFrom(ctx), r.GetQuery(), int(r.GetLimit()))
	if err != nil {
		return nil, err
	}
	return &chatv1.SearchUsersResponse{Users: all(users, userToWire)}, nil
}
