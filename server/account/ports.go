package account

import (
	"context"
	"errors"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// ErrUsernameTaken is returned by [Store.CreateAccount]; nothing was stored.
var ErrUsernameTaken = errors.New("username is taken")

// ErrStale is returned where the password was changed between its check and the writing that relies on it; nothing was stored.
var ErrStale = errors.New("password was changed meanwhile")

// Hash is the SHA-256 of a token, or of a part of one.
type Hash [32]byte

// Account is a user as they see themselves.
type Account struct {
	chat.User
	CreateTime     time.Time // UTC, milliseconds
	PresenceHidden bool
}

// Credentials is a password at rest.
type Credentials struct {
	// PasswordHash is in the PHC string format.
	PasswordHash string
	// Version counts the changes of the password, from 1. Hashing the same password anew is no change.
	Version int64
}

// Session is a signed-in device. Times are UTC, milliseconds.
type Session struct {
	ID          chat.SessionID
	User        chat.UserID
	DeviceName  string
	Address     string // from which it last signed in or refreshed
	CreateTime  time.Time
	RefreshTime time.Time // when it last signed in or refreshed
	ExpireTime  time.Time // when it ends unless it is refreshed before
}

// RefreshToken is what is known of one of the newest refresh tokens of a session.
type RefreshToken struct {
	Secret Hash // of the half that isn't the series
	// Generation is the number of refreshes that led to this token, from 0.
	Generation int64
	SpentTime  time.Time // zero: not spent
}

// AccessToken is what is known of an access token.
type AccessToken struct {
	Hash       Hash
	Session    chat.SessionID
	User       chat.UserID
	ExpireTime time.Time
}

// NewSession is a session to be stored with its first tokens.
type NewSession struct {
	Session
	Series  Hash
	Refresh RefreshToken
	Access  AccessToken
}

// RefreshState is what a refresh is decided by.
type RefreshState struct {
	Session Session
	Tokens  []RefreshToken // in no particular order
}

// RefreshChange is what a refresh does.
type RefreshChange struct {
	// End ends the session; nothing else counts then.
	End bool
	// Session replaces Address, RefreshTime and ExpireTime.
	Session Session
	// Tokens are the refresh tokens that the session knows from now on.
	Tokens []RefreshToken
	// Access is a new access token.
	Access AccessToken
	// KeepAccess is how many access tokens the session may have, at least 1: the new one, and of the others those that expire last.
	KeepAccess int
}

// ProfileChange is what is to change in an account; nil stays.
type ProfileChange struct {
	DisplayName    *string
	AvatarURL      *string
	PresenceHidden *bool
}

// Store keeps accounts and sessions. Every method that writes is one durable transaction; together they are serializable with regard to one user.
// Reads see everything that was acknowledged before they began. All methods are safe for concurrent use.
//
// Errors are those named, [*chat.Error] of the reasons Unavailable, OutcomeUnknown (writes only) and StoreFull (writes only), and ctx's own error.
//
// Ending a session removes it and all its tokens.
type Store interface {
	// CreateAccount stores a user, with the key by which the username is unique, the password of version 1, and a first session.
	// It may return ErrUsernameTaken.
	CreateAccount(ctx context.Context, a Account, usernameKey, passwordHash string, s NewSession) error
	// CredentialsByName reads a password by the username's key; ok is false where there is no such user, or one without a password.
	CredentialsByName(ctx context.Context, usernameKey string) (a Account, c Credentials, ok bool, err error)
	// CredentialsByUser reads a password; ok as above.
	CredentialsByUser(ctx context.Context, user chat.UserID) (c Credentials, ok bool, err error)
	// Account reads an account; ok is false where there is none.
	Account(ctx context.Context, user chat.UserID) (a Account, ok bool, err error)
	// UpdateProfile changes an account and returns it as it is then; ok is false where there is none.
	UpdateProfile(ctx context.Context, user chat.UserID, change ProfileChange) (a Account, ok bool, err error)

	// CreateSession stores a session if the user's password is of the version given, else it returns ErrStale. passwordHash, if not empty, is the same
	// password hashed anew, and replaces the old hash. Of more sessions than maxSessions it ends those that were refreshed the longest ago,
	// never the new one, and returns their ids.
	CreateSession(ctx context.Context, s NewSession, version int64, passwordHash string, maxSessions int) (ended []chat.SessionID, err error)
	// SetPassword stores a new password, of the next version, if the present one is of the version given, else it returns ErrStale. It ends all
	// sessions of the user but keep, and returns their ids.
	SetPassword(ctx context.Context, user chat.UserID, version int64, passwordHash string, keep chat.SessionID) (ended []chat.SessionID, err error)
	// SessionBySeries finds a session by the series of its refresh tokens; ok is false where there is none (any more).
	SessionBySeries(ctx context.Context, series Hash) (s Session, ok bool, err error)
	// RefreshSession reads the session of a series, calls decide, and carries out what it returns, all in one transaction. An error of decide is returned, and
	// nothing was changed. ok is false where there is no such session; then decide was not called. decide may be called again after a
	// transaction that failed; it must not block.
	RefreshSession(ctx context.Context, series Hash, decide func(RefreshState) (RefreshChange, error)) (ok bool, err error)
	// Sessions reads the sessions of a user that expire after now, the last refreshed first.
	Sessions(ctx context.Context, user chat.UserID, now time.Time) ([]Session, error)
	// EndSession ends a session of the user; ok is false where the user has no such session.
	EndSession(ctx context.Context, user chat.UserID, id chat.SessionID) (ok bool, err error)
	// EndSessions ends all sessions of the user but keep (0: all), and returns their ids.
	EndSessions(ctx context.Context, user chat.UserID, keep chat.SessionID) (ended []chat.SessionID, err error)
	// AccessToken finds an access token, also one that has expired; ok is false where there is none (any more).
	AccessToken(ctx context.Context, h Hash) (t AccessToken, ok bool, err error)
	// LiveSessions tells of sessions which of them there are (still).
	LiveSessions(ctx context.Context, ids []chat.SessionID) (map[chat.SessionID]bool, error)
	// DeleteExpired ends sessions that expired before sessionsBefore, and forgets access tokens that expired before tokensBefore; at most limit of each. more
	// tells whether there may be others.
	DeleteExpired(ctx context.Context, sessionsBefore, tokensBefore time.Time, limit int) (ended []chat.SessionID, more bool, err error)
}

// Revoker ends the streams of sessions that have ended, on all nodes. It doesn't block on I/O.
type Revoker interface {
	// EndSessions is called after the end was stored, and after this node has forgotten the sessions.
	EndSessions(sessions []chat.SessionID)
}

// Hider is told when users hide their presence or show it again.
type Hider interface {
	// SetHidden is called after the change was stored, in the order of the changes made on this node.
	SetHidden(user chat.UserID, hidden bool)
}

// Limiter counts attempts in token buckets. An implementation that several nodes share counts for all of them. Safe for concurrent use.
type Limiter interface {
	// Take takes one from a bucket. If it is empty, wait says after what time that would change, and nothing is taken; otherwise wait is 0.
	Take(ctx context.Context, b Bucket) (wait time.Duration, err error)
	// Fill makes a bucket full.
	Fill(ctx context.Context, b Bucket) error
}

// Bucket names a bucket and says how it fills.
type Bucket struct {
	// Kind is what is counted, a short word; Key is for whom.
	Kind, Key string
	Rate      Rate
}

// Rate is how many attempts there may be: Burst at once, at least 1, and then one in each Every.
type Rate struct {
	Burst int
	Every time.Duration
}
