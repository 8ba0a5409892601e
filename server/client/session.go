package client

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	authv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1/authv1connect"
	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
)

// refreshAhead is how long before its end an access token is replaced, so that it doesn't run out on its way; of tokens that live shortly,
// a quarter of their life.
const refreshAhead = 30 * time.Second

// renewTimeout bounds a refresh or sign-in.
const renewTimeout = 10 * time.Second

// Session is a signed-in device with its secrets. Whoever has them is the user: keep them as a password is kept.
type Session struct {
	UserID             string    `json:"user_id"`
	Username           string    `json:"username"`
	SessionID          string    `json:"session_id"`
	AccessToken        string    `json:"access_token"`
	RefreshToken       string    `json:"refresh_token"`
	AccessTokenExpire  time.Time `json:"access_token_expire"`
	RefreshTokenExpire time.Time `json:"refresh_token_expire"`

	obtained time.Time // zero: not by this process
}

// fresh reports whether the access token can be used for a request made now.
func (s *Session) fresh(now time.Time) bool {
	if s == nil || s.AccessToken == "" {
		return false
	}
	ahead := refreshAhead
	if !s.obtained.IsZero() {
		ahead = min(ahead, s.AccessTokenExpire.Sub(s.obtained)/4)
	}
	return now.Add(ahead).Before(s.AccessTokenExpire)
}

func newSession(user *chatv1.User, s *authv1.Session) *Session {
	return &Session{
		UserID: user.GetId(), Username: user.GetUsername(), SessionID: s.GetId(),
		AccessToken: s.GetAccessToken(), RefreshToken: s.GetRefreshToken(),
		AccessTokenExpire: s.GetAccessTokenExpireTime().AsTime(), RefreshTokenExpire: s.GetRefreshTokenExpireTime().AsTime(),
		obtained: time.Now(),
	}
}

// SessionStore keeps one session over restarts. All processes that use a session have to share one store, because a refresh token
// works once: two copies that refresh by themselves look like a theft, and the server ends the session.
type SessionStore interface {
	// Load returns the session, or nil where there is none.
	Load(ctx context.Context) (*Session, error)
	// Update replaces the session by what change makes of it, durably, while no other process can. change gets nil where
	// there is none, and its error leaves all as it was. Returning nil removes the session.
	Update(ctx context.Context, change func(*Session) (*Session, error)) error
}

// MemorySession returns a store that lives as long as the process.
func MemorySession(s *Session) SessionStore {
	m := &memorySession{lock: make(chan struct{}, 1)}
	m.session.Store(s)
	return m
}

type memorySession struct {
	session atomic.Pointer[Session]
	lock    chan struct{} // holds one element while Update runs
}

func (m *memorySession) Load(context.Context) (*Session, error) { return m.session.Load(), nil }

func (m *memorySession) Update(ctx context.Context, change func(*Session) (*Session, error)) error {
	select {
	case m.lock <- struct{}{}:
		defer func() { <-m.lock }()
	case <-ctx.Done():
		return ctx.Err()
	}
	s, err := change(m.session.Load())
	if err == nil {
		m.session.Store(s)
	}
	return err
}

// Credentials are a username and its password.
type Credentials struct {
	Username, Password string
	// DeviceName is what the user will recognise this device by in the list of sessions, at most 64 characters; may be empty.
	DeviceName string
}

// SignUp makes an account and its first session. displayName may be empty: then the username is shown.
func SignUp(ctx context.Context, o Options, cred Credentials, displayName string) (*Session, error) {
	o = o.withDefaults()
	r, err := o.authClient().SignUp(ctx, &authv1.SignUpRequest{
		Username: cred.Username, Password: cred.Password, DisplayName: displayName, DeviceName: cred.DeviceName,
	})
	if err != nil {
		return nil, AsError(err)
	}
	return newSession(r.GetUser(), r.GetSession()), nil
}

// SignIn makes a session for an account.
func SignIn(ctx context.Context, o Options, cred Credentials) (*Session, error) {
	o = o.withDefaults()
	return signIn(ctx, o.authClient(), cred)
}

func signIn(ctx context.Context, auth authv1connect.AuthServiceClient, cred Credentials) (*Session, error) {
	r, err := auth.SignIn(ctx, &authv1.SignInRequest{
		Username: cred.Username, Password: cred.Password, DeviceName: cred.DeviceName,
	})
	if err != nil {
		return nil, AsError(err)
	}
	return newSession(r.GetUser(), r.GetSession()), nil
}

// tokens gives out access tokens and replaces them in time. It may be used by any number of goroutines; one of them at a time talks to
// the server, while the others wait for its result.
type tokens struct {
	store  SessionStore
	source func(context.Context) (string, error) // instead of store
	cred   *Credentials
	auth   authv1connect.AuthServiceClient // without this interceptor

	current atomic.Pointer[Session]
	flight  chan struct{} // holds one element while somebody refreshes
}

// token returns an access token that is good now. stale is one that the server has just refused; "" where none was.
// The error is ErrSessionEnded where no token can be had without signing in again.
func (t *tokens) token(ctx context.Context, stale string) (string, error) {
	if t.source != nil {
		return t.source(ctx)
	}
	usable := func(s *Session) bool { return s.fresh(time.Now()) && s.AccessToken != stale }
	if s := t.current.Load(); usable(s) {
		return s.AccessToken, nil
	}
	select {
	case t.flight <- struct{}{}:
		defer func() { <-t.flight }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if s := t.current.Load(); usable(s) {
		return s.AccessToken, nil
	}
	var got *Session
	err := t.store.Update(ctx, func(s *Session) (*Session, error) {
		var err error
		if usable(s) { // another process was quicker
			got = s
		} else {
			got, err = t.renew(ctx, s)
		}
		return got, err
	})
	if err != nil {
		return "", err
	}
	t.current.Store(got)
	return got.AccessToken, nil
}

// renew gets a session with a new access token: by refreshing, or by the credentials where that is no longer possible.
// A refresh goes on when ctx ends: once the server has spent the old refresh token, the new one must not be lost.
func (t *tokens) renew(ctx context.Context, s *Session) (*Session, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewTimeout)
	defer cancel()
	if s != nil {
		r, err := t.auth.RefreshSession(ctx, &authv1.RefreshSessionRequest{RefreshToken: s.RefreshToken})
		switch {
		case err == nil:
			return newSession(&chatv1.User{Id: s.UserID, Username: s.Username}, r.GetSession()), nil
		case !isUnauthenticated(err):
			return nil, AsError(err)
		}
	}
	if t.cred == nil {
		return nil, ErrSessionEnded
	}
	return signIn(ctx, t.auth, *t.cred)
}

// load reads the stored session without asking the server, so that the caller knows who it is while offline.
func (t *tokens) load(ctx context.Context) (*Session, error) {
	if t.source != nil {
		return nil, nil //nolint:nilnil // a bare token tells nothing
	}
	s, err := t.store.Load(ctx)
	if err == nil && s != nil {
		t.current.CompareAndSwap(nil, s)
	}
	return s, err
}

// forget removes the stored session.
func (t *tokens) forget(ctx context.Context) error {
	t.current.Store(nil)
	if t.source != nil {
		return nil
	}
	return t.store.Update(ctx, func(*Session) (*Session, error) { return nil, nil })
}

// intercept adds the access token to calls, and repeats a call once with a new token where the server calls the old one expired.
func (t *tokens) intercept(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		token, err := t.token(ctx, "")
		if err != nil {
			return nil, err
		}
		setBearer(r.Header(), token)
		resp, err := next(ctx, r)
		if err == nil || !isUnauthenticated(err) || ReasonOf(err) == chatv1.ErrorReason_ERROR_REASON_WRONG_CREDENTIALS {
			return resp, err
		}
		token, renewErr := t.token(ctx, token)
		if renewErr != nil {
			return nil, errors.Join(renewErr, err)
		}
		setBearer(r.Header(), token)
		return next(ctx, r)
	}
}

func setBearer(h http.Header, token string) { h.Set("Authorization", "Bearer "+token) }
