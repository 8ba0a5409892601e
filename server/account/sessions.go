package account

import (
	"context"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// Sessions lists the caller's sessions, the last refreshed first.
func (s *Service) Sessions(ctx context.Context, caller chat.Caller) ([]Session, error) {
	return s.store.Sessions(ctx, caller.User, s.now())
}

// SignOut ends the caller's session. One that has ended already is no error.
func (s *Service) SignOut(ctx context.Context, caller chat.Caller) error {
	_, err := s.store.EndSession(ctx, caller.User, caller.Session)
	if err != nil {
		return err
	}
	// Felt also where another call has ended it: this one must not be answered before.
	s.ended(caller.Session)
	return nil
}

// RevokeSession ends a session of the caller. Errors: NOT_FOUND.
func (s *Service) RevokeSession(ctx context.Context, caller chat.Caller, id chat.SessionID) error {
	ok, err := s.store.EndSession(ctx, caller.User, id)
	if err != nil {
		return err
	}
	if !ok {
		return chat.NotFound("session")
	}
	s.ended(id)
	return nil
}

// RevokeAll ends all sessions of the caller, or all but the one that asks, and returns how many.
func (s *Service) RevokeAll(ctx context.Context, caller chat.Caller, keepCurrent bool) (int, error) {
	var keep chat.SessionID
	if keepCurrent {
		keep = caller.Session
	}
	ended, err := s.store.EndSessions(ctx, caller.User, keep)
	if err != nil {
		return 0, err
	}
	s.ended(ended...)
	return len(ended), nil
}
