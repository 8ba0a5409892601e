package rpc

import (
	"context"

	authv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1/authv1connect"
	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/chat"
)

var _ Accounts = (*account.Service)(nil)

// authHandler carries out AuthService. Its errors are those of [account.Service]; the caller makes them fit for the wire.
type authHandler struct{ accounts *account.Service }

// NewAuthHandler returns the procedures of AuthService.
func NewAuthHandler(accounts *account.Service) authv1connect.AuthServiceHandler {
	return authHandler{accounts}
}

func (h authHandler) SignUp(ctx context.Context, r *authv1.SignUpRequest) (*authv1.SignUpResponse, error) {
	in, err := h.accounts.SignUp(ctx, account.SignUpRequest{
		Username: r.GetUsername(), Password: account.NewSecret(r.GetPassword()), DisplayName: r.GetDisplayName(),
		DeviceName: r.GetDeviceName(), Address: AddressFrom(ctx),
	})
	if err != nil {
		return nil, err
	}
	return &authv1.SignUpResponse{User: userToWire(&in.User), Session: sessionToWire(&in.Tokens)}, nil
}

func (h authHandler) SignIn(ctx context.Context, r *authv1.SignInRequest) (*authv1.SignInResponse, error) {
	in, err := h.accounts.SignIn(ctx, account.SignInRequest{
		Username: r.GetUsername(), Password: account.NewSecret(r.GetPassword()), DeviceName: r.GetDeviceName(), Address: AddressFrom(ctx),
	})
	if err != nil {
		return nil, err
	}
	return &authv1.SignInResponse{User: userToWire(&in.User), Session: sessionToWire(&in.Tokens)}, nil
}

func (h authHandler) RefreshSession(ctx context.Context, r *authv1.RefreshSessionRequest) (*authv1.RefreshSessionResponse, error) {
	tokens, err := h.accounts.Refresh(ctx, account.NewSecret(r.GetRefreshToken()), AddressFrom(ctx))
	if err != nil {
		return nil, err
	}
	return &authv1.RefreshSessionResponse{Session: sessionToWire(&tokens)}, nil
}

func (h authHandler) SignOut(ctx context.Context, _ *authv1.SignOutRequest) (*authv1.SignOutResponse, error) {
	if err := h.accounts.SignOut(ctx, CallerFrom(ctx)); err != nil {
		return nil, err
	}
	return &authv1.SignOutResponse{}, nil
}

func (h authHandler) ListSessions(ctx context.Context, _ *authv1.ListSessionsRequest) (*authv1.ListSessionsResponse, error) {
	caller := CallerFrom(ctx)
	list, err := h.accounts.Sessions(ctx, caller)
	if err != nil {
		return nil, err
	}
	response := &authv1.ListSessionsResponse{Sessions: make([]*authv1.SessionInfo, len(list))}
	for i := range list {
		response.Sessions[i] = sessionInfoToWire(&list[i], caller.Session)
	}
	return response, nil
}

func (h authHandler) RevokeSession(ctx context.Context, r *authv1.RevokeSessionRequest) (*authv1.RevokeSessionResponse, error) {
	id, err := chat.ParseSessionID(r.GetSessionId(), "session_id")
	if err != nil {
		return nil, err
	}
	if err := h.accounts.RevokeSession(ctx, CallerFrom(ctx), id); err != nil {
		return nil, err
	}
	return &authv1.RevokeSessionResponse{}, nil
}

func (h authHandler) RevokeAllSessions(ctx context.Context, r *authv1.RevokeAllSessionsRequest) (*authv1.RevokeAllSessionsResponse, error) {
	n, err := h.accounts.RevokeAll(ctx, CallerFrom(ctx), r.GetKeepCurrent())
	if err != nil {
		return nil, err
	}
	return &authv1.RevokeAllSessionsResponse{RevokedCount: int32(n)}, nil
}

func (h authHandler) ChangePassword(ctx context.Context, r *authv1.ChangePasswordRequest) (*authv1.ChangePasswordResponse, error) {
	current, next := account.NewSecret(r.GetCurrentPassword()), account.NewSecret(r.GetNewPassword())
	if err := h.accounts.ChangePassword(ctx, CallerFrom(ctx), current, next, AddressFrom(ctx)); err != nil {
		return nil, err
	}
	return &authv1.ChangePasswordResponse{}, nil
}

func (h authHandler) GetAccount(ctx context.Context, _ *authv1.GetAccountRequest) (*authv1.GetAccountResponse, error) {
	a, err := h.accounts.Account(ctx, CallerFrom(ctx))
	if err != nil {
		return nil, err
	}
	return &authv1.GetAccountResponse{Account: accountToWire(&a)}, nil
}

func (h authHandler) UpdateProfile(ctx context.Context, r *authv1.UpdateProfileRequest) (*authv1.UpdateProfileResponse, error) {
	a, err := h.accounts.UpdateProfile(ctx, CallerFrom(ctx), account.ProfileChange{
		DisplayName: r.DisplayName, AvatarURL: r.AvatarUrl, PresenceHidden: r.PresenceHidden,
	})
	if err != nil {
		return nil, err
	}
	return &authv1.UpdateProfileResponse{Account: accountToWire(&a)}, nil
}

func accountToWire(a *account.Account) *authv1.Account {
	return &authv1.Account{User: userToWire(&a.User), CreateTime: timestamp(a.CreateTime), PresenceHidden: a.PresenceHidden}
}

// sessionToWire is the one place where tokens are revealed.
func sessionToWire(t *account.Tokens) *authv1.Session {
	return &authv1.Session{
		Id: t.Session.String(), AccessToken: t.Access.Reveal(), RefreshToken: t.Refresh.Reveal(),
		AccessTokenExpireTime: timestamp(t.AccessExpire), RefreshTokenExpireTime: timestamp(t.RefreshExpire),
	}
}

func sessionInfoToWire(s *account.Session, current chat.SessionID) *authv1.SessionInfo {
	return &authv1.SessionInfo{
		Id: s.ID.String(), DeviceName: s.DeviceName, Address: s.Address, CreateTime: timestamp(s.CreateTime),
		RefreshTime: timestamp(s.RefreshTime), ExpireTime: timestamp(s.ExpireTime), Current: s.ID == current,
	}
}
