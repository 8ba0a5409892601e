package account

import (
	"context"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// Account reads the caller's account. Errors: NOT_FOUND where it is gone.
func (s *Service) Account(ctx context.Context, caller chat.Caller) (Account, error) {
	a, ok, err := s.store.Account(ctx, caller.User)
	if err == nil && !ok {
		err = chat.NotFound("account")
	}
	return a, err
}

// UpdateProfile changes the caller's account and returns it as it is then. Errors: INVALID_FIELD, and NOT_FOUND where it is gone.
func (s *Service) UpdateProfile(ctx context.Context, caller chat.Caller, change ProfileChange) (Account, error) {
	if change.DisplayName != nil {
		name, err := cleanDisplayName(*change.DisplayName)
		if err != nil {
			return Account{}, err
		}
		change.DisplayName = &name
	}
	if change.AvatarURL != nil {
		if err := checkAvatarURL(*change.AvatarURL); err != nil {
			return Account{}, err
		}
	}
	if change.PresenceHidden != nil {
		select {
		case s.hiding <- struct{}{}:
			defer func() { <-s.hiding }()
		case <-ctx.Done():
			return Account{}, ctx.Err()
		}
	}
	a, ok, err := s.store.UpdateProfile(ctx, caller.User, change)
	if err == nil && !ok {
		err = chat.NotFound("account")
	}
	if err != nil {
		return Account{}, err
	}
	if change.PresenceHidden != nil && s.hider != nil {
		s.hider.SetHidden(caller.User, a.PresenceHidden)
	}
	return a, nil
}
