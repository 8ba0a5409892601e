package accounttest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/chat"
)

// Memory is an [account.Store] in memory. Safe for concurrent use.
type Memory struct {
	// Before, if set, is called with the name of each method that is called, before it does anything; its error is the method's. Set it before use.
	Before func(method string) error

	mu       sync.Mutex
	users    map[chat.UserID]*user
	sessions map[chat.SessionID]*session
	access   map[account.Hash]account.AccessToken
}

type user struct {
	account.Account
	account.Credentials
	key string
}

type session struct {
	account.Session
	series account.Hash
	tokens []account.RefreshToken
}

var _ account.Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{
		users: make(map[chat.UserID]*user), sessions: make(map[chat.SessionID]*session), access: make(map[account.Hash]account.AccessToken),
	}
}

// begin locks the store, unless ctx has ended or the method is to fail.
func (m *Memory) begin(ctx context.Context, method string) (end func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if m.Before != nil {
		if err := m.Before(method); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	return m.mu.Unlock, nil
}

// CreateAccount implements [account.Store].
func (m *Memory) CreateAccount(ctx context.Context, a account.Account, key, hash string, s account.NewSession) error {
	end, err := m.begin(ctx, "CreateAccount")
	if err != nil {
		return err
	}
	defer end()
	if m.byName(key) != nil {
		return account.ErrUsernameTaken
	}
	m.users[a.ID] = &user{a, account.Credentials{PasswordHash: hash, Version: 1}, key}
	m.insert(s)
	return nil
}

func (m *Memory) insert(s account.NewSession) {
	m.sessions[s.ID] = &session{s.Session, s.Series, []account.RefreshToken{s.Refresh}}
	m.access[s.Access.Hash] = s.Access
}

func (m *Memory) byName(key string) *user {
	for _, u := range m.users {
		if u.key == key {
			return u
		}
	}
	return nil
}

// CredentialsByName implements [account.Store].
func (m *Memory) CredentialsByName(ctx context.Context, key string) (a account.Account, c account.Credentials, ok bool, err error) {
	end, err := m.begin(ctx, "CredentialsByName")
	if err != nil {
		return a, c, false, err
	}
	defer end()
	if u := m.byName(key); u != nil {
		return u.Account, u.Credentials, true, nil
	}
	return a, c, false, nil
}

// CredentialsByUser implements [account.Store].
func (m *Memory) CredentialsByUser(ctx context.Context, id chat.UserID) (c account.Credentials, ok bool, err error) {
	end, err := m.begin(ctx, "CredentialsByUser")
	if err != nil {
		return c, false, err
	}
	defer end()
	if u := m.users[id]; u != nil {
		return u.Credentials, true, nil
	}
	return c, false, nil
}

// Account implements [account.Store].
func (m *Memory) Account(ctx context.Context, id chat.UserID) (a account.Account, ok bool, err error) {
	end, err := m.begin(ctx, "Account")
	if err != nil {
		return a, false, err
	}
	defer end()
	if u := m.users[id]; u != nil {
		return u.Account, true, nil
	}
	return a, false, nil
}

// UpdateProfile implements [account.Store].
func (m *Memory) UpdateProfile(ctx context.Context, id chat.UserID, change account.ProfileChange) (a account.Account, ok bool, err error) {
	end, err := m.begin(ctx, "UpdateProfile")
	if err != nil {
		return a, false, err
	}
	defer end()
	u := m.users[id]
	if u == nil {
		return a, false, nil
	}
	replace(&u.DisplayName, change.DisplayName)
	replace(&u.AvatarURL, change.AvatarURL)
	replace(&u.PresenceHidden, change.PresenceHidden)
	return u.Account, true, nil
}

func replace[T any](into, change *T) {
	if change != nil {
		*into = *change
	}
}

// CreateSession implements [account.Store].
func (m *Memory) CreateSession(ctx context.Context, s account.NewSession, version int64, hash string, most int) ([]chat.SessionID, error) {
	end, err := m.begin(ctx, "CreateSession")
	if err != nil {
		return nil, err
	}
	defer end()
	u := m.users[s.User]
	if u == nil || u.Version != version {
		return nil, account.ErrStale
	}
	if hash != "" {
		u.PasswordHash = hash
	}
	others := m.of(s.User)
	m.insert(s)
	if len(others) < most {
		return nil, nil
	}
	return m.remove(others[most-1:]), nil
}

// of returns the sessions of a user, the last refreshed first.
func (m *Memory) of(id chat.UserID) []*session {
	list := slices.DeleteFunc(slices.Collect(maps.Values(m.sessions)), func(s *session) bool { return s.User != id })
	slices.SortFunc(list, func(a, b *session) int {
		return cmp.Or(b.RefreshTime.Compare(a.RefreshTime), cmp.Compare(b.ID, a.ID))
	})
	return list
}

func (m *Memory) remove(list []*session) (ids []chat.SessionID) {
	for _, s := range list {
		delete(m.sessions, s.ID)
		maps.DeleteFunc(m.access, func(_ account.Hash, t account.AccessToken) bool { return t.Session == s.ID })
		ids = append(ids, s.ID)
	}
	return ids
}

// SetPassword implements [account.Store].
func (m *Memory) SetPassword(ctx context.Context, id chat.UserID, version int64, hash string, keep chat.SessionID) ([]chat.SessionID, error) {
	end, err := m.begin(ctx, "SetPassword")
	if err != nil {
		return nil, err
	}
	defer end()
	u := m.users[id]
	if u == nil || u.Version != version {
		return nil, account.ErrStale
	}
	u.Credentials = account.Credentials{PasswordHash: hash, Version: version + 1}
	return m.remove(m.but(id, keep)), nil
}

func (m *Memory) but(id chat.UserID, keep chat.SessionID) []*session {
	return slices.DeleteFunc(m.of(id), func(s *session) bool { return s.ID == keep })
}

func (m *Memory) bySeries(series account.Hash) *session {
	for _, s := range m.sessions {
		if s.series == series {
			return s
		}
	}
	return nil
}

// SessionBySeries implements [account.Store].
func (m *Memory) SessionBySeries(ctx context.Context, series account.Hash) (s account.Session, ok bool, err error) {
	end, err := m.begin(ctx, "SessionBySeries")
	if err != nil {
		return s, false, err
	}
	defer end()
	if found := m.bySeries(series); found != nil {
		return found.Session, true, nil
	}
	return s, false, nil
}

// RefreshSession implements [account.Store].
func (m *Memory) RefreshSession(
	ctx context.Context, series account.Hash, decide func(account.RefreshState) (account.RefreshChange, error),
) (ok bool, err error) {
	end, err := m.begin(ctx, "RefreshSession")
	if err != nil {
		return false, err
	}
	defer end()
	s := m.bySeries(series)
	if s == nil {
		return false, nil
	}
	change, err := decide(account.RefreshState{Session: s.Session, Tokens: slices.Clone(s.tokens)})
	if err != nil {
		return true, err
	}
	if change.End {
		m.remove([]*session{s})
		return true, nil
	}
	s.Address, s.RefreshTime, s.ExpireTime = change.Session.Address, change.Session.RefreshTime, change.Session.ExpireTime
	s.tokens = slices.Clone(change.Tokens)
	m.trim(s.ID, change.KeepAccess-1)
	m.access[change.Access.Hash] = change.Access
	return true, nil
}

// trim leaves a session the access tokens that expire last.
func (m *Memory) trim(id chat.SessionID, keep int) {
	list := slices.DeleteFunc(slices.Collect(maps.Values(m.access)), func(t account.AccessToken) bool { return t.Session != id })
	slices.SortFunc(list, func(a, b account.AccessToken) int { return b.ExpireTime.Compare(a.ExpireTime) })
	for _, t := range list[min(keep, len(list)):] {
		delete(m.access, t.Hash)
	}
}

// Sessions implements [account.Store].
func (m *Memory) Sessions(ctx context.Context, id chat.UserID, now time.Time) ([]account.Session, error) {
	end, err := m.begin(ctx, "Sessions")
	if err != nil {
		return nil, err
	}
	defer end()
	var list []account.Session
	for _, s := range m.of(id) {
		if s.ExpireTime.After(now) {
			list = append(list, s.Session)
		}
	}
	return list, nil
}

// EndSession implements [account.Store].
func (m *Memory) EndSession(ctx context.Context, id chat.UserID, which chat.SessionID) (bool, error) {
	end, err := m.begin(ctx, "EndSession")
	if err != nil {
		return false, err
	}
	defer end()
	s := m.sessions[which]
	if s == nil || s.User != id {
		return false, nil
	}
	m.remove([]*session{s})
	return true, nil
}

// EndSessions implements [account.Store].
func (m *Memory) EndSessions(ctx context.Context, id chat.UserID, keep chat.SessionID) ([]chat.SessionID, error) {
	end, err := m.begin(ctx, "EndSessions")
	if err != nil {
		return nil, err
	}
	defer end()
	return m.remove(m.but(id, keep)), nil
}

// AccessToken implements [account.Store].
func (m *Memory) AccessToken(ctx context.Context, h account.Hash) (t account.AccessToken, ok bool, err error) {
	end, err := m.begin(ctx, "AccessToken")
	if err != nil {
		return t, false, err
	}
	defer end()
	t, ok = m.access[h]
	return t, ok, nil
}

// LiveSessions implements [account.Store].
func (m *Memory) LiveSessions(ctx context.Context, ids []chat.SessionID) (map[chat.SessionID]bool, error) {
	end, err := m.begin(ctx, "LiveSessions")
	if err != nil {
		return nil, err
	}
	defer end()
	live := make(map[chat.SessionID]bool)
	for _, id := range ids {
		if m.sessions[id] != nil {
			live[id] = true
		}
	}
	return live, nil
}

// DeleteExpired implements [account.Store].
func (m *Memory) DeleteExpired(ctx context.Context, sessionsBefore, tokensBefore time.Time, limit int) ([]chat.SessionID, bool, error) {
	end, err := m.begin(ctx, "DeleteExpired")
	if err != nil {
		return nil, false, err
	}
	defer end()
	var old []*session
	for _, s := range m.sessions {
		if s.ExpireTime.Before(sessionsBefore) && len(old) < limit {
			old = append(old, s)
		}
	}
	tokens := 0
	for h, t := range m.access {
		if t.ExpireTime.Before(tokensBefore) && tokens < limit {
			delete(m.access, h)
			tokens++
		}
	}
	return m.remove(old), len(old) == limit || tokens == limit, nil
}
