package account

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"
	"unicode/utf8"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// Tokens is a session with its secrets, which nobody can read again.
type Tokens struct {
	Session       chat.SessionID
	Access        Secret
	Refresh       Secret
	AccessExpire  time.Time
	RefreshExpire time.Time // of the session, unless it is refreshed before
}

// SignedIn is a user with a new session.
type SignedIn struct {
	User   chat.User
	Tokens Tokens
}

// SignUpRequest is a new account and its first device.
type SignUpRequest struct {
	Username    string
	Password    Secret
	DisplayName string     // empty: the username
	DeviceName  string     // may be empty
	Address     netip.Addr // from which the request comes
}

// SignInRequest is an attempt to sign in.
type SignInRequest struct {
	Username   string
	Password   Secret
	DeviceName string     // may be empty
	Address    netip.Addr // from which the request comes
}

// SignUp makes an account with a first session. Errors: SIGN_UP_CLOSED, INVALID_FIELD, USERNAME_TAKEN, RATE_LIMITED.
func (s *Service) SignUp(ctx context.Context, r SignUpRequest) (SignedIn, error) {
	displayName, err := s.checkSignUp(r)
	if err != nil {
		return SignedIn{}, err
	}
	bucket := Bucket{"sign-up-address", s.addressKey(r.Address), s.settings.SignUpsAddress}
	if err := s.take(ctx, "too many sign-ups from this address; try again later", bucket); err != nil {
		return SignedIn{}, err
	}
	key := usernameKey(r.Username)
	if _, _, taken, err := s.store.CredentialsByName(ctx, key); err != nil || taken {
		return SignedIn{}, orTaken(err)
	}
	hash, err := s.hasher.hash(ctx, r.Password)
	if err != nil {
		return SignedIn{}, err
	}
	now := s.now()
	a := Account{
		User: chat.User{ID: chat.NewUserID(now), Username: r.Username, DisplayName: displayName}, CreateTime: now,
	}
	session, tokens := s.newSession(a.ID, r.DeviceName, r.Address, now)
	if err := s.store.CreateAccount(ctx, a, key, hash, session); err != nil {
		if errors.Is(err, ErrUsernameTaken) {
			err = nil
		}
		return SignedIn{}, orTaken(err)
	}
	s.stats.signUps.Add(1)
	s.logger.LogAttrs(ctx, slog.LevelInfo, "signed up", slog.String("user", a.ID.String()), slog.Any("address", r.Address))
	return SignedIn{a.User, tokens}, nil
}

func (s *Service) checkSignUp(r SignUpRequest) (displayName string, err error) {
	if s.settings.SignUpClosed {
		return "", &chat.Error{Code: chat.CodePermissionDenied, Reason: chat.ReasonSignUpClosed, Message: "this server takes no new accounts"}
	}
	if err := checkUsername(r.Username); err != nil {
		return "", err
	}
	if err := checkPassword(r.Password, "password"); err != nil {
		return "", err
	}
	if err := checkName(r.DeviceName, "device_name"); err != nil {
		return "", err
	}
	if r.DisplayName == "" {
		return r.Username, nil
	}
	return cleanDisplayName(r.DisplayName)
}

// orTaken returns err, or that the username is taken.
func orTaken(err error) error {
	if err != nil {
		return err
	}
	return &chat.Error{
		Code: chat.CodeAlreadyExists, Reason: chat.ReasonUsernameTaken, Field: "username", Message: "the username is taken; choose another one",
	}
}

// SignIn makes a session. Errors: INVALID_FIELD, WRONG_CREDENTIALS, RATE_LIMITED: all the same, after the same work, whether the user exists or not.
func (s *Service) SignIn(ctx context.Context, r SignInRequest) (SignedIn, error) {
	if err := checkSignIn(r); err != nil {
		return SignedIn{}, err
	}
	key := usernameKey(r.Username)
	if err := s.takeSignIn(ctx, key, r.Address); err != nil {
		return SignedIn{}, err
	}
	a, c, known, err := s.credentials(ctx, r.Username)
	if err != nil {
		return SignedIn{}, err
	}
	outdated, err := s.check(ctx, c, known, r.Password)
	if err != nil {
		return SignedIn{}, err
	}
	// What counts is that the password was right, not whether the rest succeeds.
	if err := s.limiter.Fill(ctx, s.hereBucket(key, r.Address)); err != nil {
		return SignedIn{}, err
	}
	var rehashed string
	if outdated {
		if rehashed, err = s.hasher.hash(ctx, r.Password); err != nil {
			return SignedIn{}, err
		}
	}
	session, tokens := s.newSession(a.ID, r.DeviceName, r.Address, s.now())
	ended, err := s.store.CreateSession(ctx, session, c.Version, rehashed, s.settings.SessionsPerUser)
	if err != nil {
		return SignedIn{}, s.orWrong(err)
	}
	s.ended(ended...)
	s.stats.signIns.Add(1)
	return SignedIn{a.User, tokens}, nil
}

func checkSignIn(r SignInRequest) error {
	if utf8.RuneCountInString(r.Username) > maxUsernameRunes {
		return chat.Invalid("username", "username has to have 32 characters at most")
	}
	if err := checkAnyPassword(r.Password, "password"); err != nil {
		return err
	}
	return checkName(r.DeviceName, "device_name")
}

// credentials looks a user up. Names that can't exist aren't: not every store takes every text.
func (s *Service) credentials(ctx context.Context, username string) (a Account, c Credentials, known bool, err error) {
	if !usernamePattern.MatchString(username) {
		return a, c, false, nil
	}
	return s.store.CredentialsByName(ctx, usernameKey(username))
}

// orWrong returns err, or WRONG_CREDENTIALS where the password was changed since it was checked.
func (s *Service) orWrong(err error) error {
	if errors.Is(err, ErrStale) {
		return s.wrongCredentials()
	}
	return err
}

// check verifies a password; without one to compare with it does the same work. Its errors are WRONG_CREDENTIALS and those of the line.
func (s *Service) check(ctx context.Context, c Credentials, known bool, password Secret) (outdated bool, err error) {
	if !known {
		if err := s.hasher.pretend(ctx, password); err != nil {
			return false, err
		}
		return false, s.wrongCredentials()
	}
	ok, outdated, err := s.hasher.verify(ctx, password, c.PasswordHash)
	if err == nil && !ok {
		err = s.wrongCredentials()
	}
	return outdated, err
}

func (s *Service) wrongCredentials() error {
	s.stats.wrong.Add(1)
	return &chat.Error{Code: chat.CodeUnauthenticated, Reason: chat.ReasonWrongCredentials, Message: "username or password is wrong"}
}

// takeSignIn counts an attempt, before anything is looked up or hashed.
func (s *Service) takeSignIn(ctx context.Context, username string, address netip.Addr) error {
	return s.take(ctx, "too many attempts to sign in; try again later",
		Bucket{"sign-in-address", s.addressKey(address), s.settings.SignInsAddress},
		s.hereBucket(username, address),
		Bucket{"sign-in-account", username, s.settings.SignInsAccount})
}

func (s *Service) hereBucket(username string, address netip.Addr) Bucket {
	return Bucket{"sign-in-here", username + " " + s.addressKey(address), s.settings.SignInsHere}
}

// newSession makes a session that is still to be stored.
func (s *Service) newSession(user chat.UserID, device string, address netip.Addr, now time.Time) (NewSession, Tokens) {
	session := Session{
		ID: chat.NewSessionID(now), User: user, DeviceName: device, Address: addressText(address),
		CreateTime: now, RefreshTime: now, ExpireTime: now.Add(s.settings.SessionLife),
	}
	refresh := newRefreshToken()
	access, tokens := s.newTokens(&session, refresh, now)
	return NewSession{session, refresh.seriesHash(), RefreshToken{Secret: refresh.secretHash()}, access}, tokens
}

// newTokens makes an access token for a session, and what the client gets of it and the refresh token.
func (s *Service) newTokens(session *Session, refresh refreshToken, now time.Time) (AccessToken, Tokens) {
	secret, hash := newAccessToken()
	expire := now.Add(s.settings.AccessTokenLife)
	if expire.After(session.ExpireTime) {
		expire = session.ExpireTime
	}
	return AccessToken{hash, session.ID, session.User, expire}, Tokens{
		Session: session.ID, Access: secret, Refresh: refresh.reveal(), AccessExpire: expire, RefreshExpire: session.ExpireTime,
	}
}

// ChangePassword sets a new password and ends the caller's other sessions. Errors: INVALID_FIELD, WRONG_CREDENTIALS, RATE_LIMITED, and NOT_FOUND where the
// account is gone. Attempts count as those to sign in do.
func (s *Service) ChangePassword(ctx context.Context, caller chat.Caller, current, next Secret, address netip.Addr) error {
	if err := checkPassword(next, "new_password"); err != nil {
		return err
	}
	if err := checkAnyPassword(current, "current_password"); err != nil {
		return err
	}
	a, err := s.Account(ctx, caller)
	if err != nil {
		return err
	}
	key := usernameKey(a.Username)
	if err := s.takeSignIn(ctx, key, address); err != nil {
		return err
	}
	c, known, err := s.store.CredentialsByUser(ctx, caller.User)
	if err != nil {
		return err
	}
	if _, err := s.check(ctx, c, known, current); err != nil {
		return err
	}
	if err := s.limiter.Fill(ctx, s.hereBucket(key, address)); err != nil {
		return err
	}
	hash, err := s.hasher.hash(ctx, next)
	if err != nil {
		return err
	}
	ended, err := s.store.SetPassword(ctx, caller.User, c.Version, hash, caller.Session)
	if err != nil {
		return s.orWrong(err)
	}
	s.ended(ended...)
	s.logger.LogAttrs(ctx, slog.LevelInfo, "password changed", slog.String("user", caller.User.String()),
		slog.Any("address", address), slog.Int("ended", len(ended)))
	return nil
}
