package account_test

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/account/accounttest"
	"github.com/natterjack-chat/natterjack/server/chat"
)

// The model: what sessions and tokens mean, told without series, caches or stores. It forgets nothing.

const (
	modelAccessLife  = time.Hour
	modelSessionLife = 10 * time.Hour
	modelCacheTime   = 10 * time.Second
	modelSessions    = 4
	modelGrace       = 30 * time.Second
)

type modelSession struct {
	id        chat.SessionID
	user      int
	refreshed time.Time
	ended     bool
	refresh   []*modelRefresh
	access    []*modelAccess
}

type modelRefresh struct {
	session    *modelSession
	token      account.Secret
	generation int
	spent      time.Time // zero: not
}

type modelAccess struct {
	session *modelSession
	token   account.Secret
	expire  time.Time
	trimmed time.Time // when newer ones took its place; zero: they didn't
	deleted time.Time // when a clean-up may have forgotten it; zero: it hasn't
}

type model struct {
	t        *rapid.T
	service  *account.Service
	now      time.Time
	told     *told
	users    []modelUser
	sessions []*modelSession
	refresh  []*modelRefresh
	access   []*modelAccess
}

type modelUser struct {
	id       chat.UserID
	name     string
	password account.Secret
}

func newModel(t *rapid.T) *model {
	m := &model{t: t, now: time.UnixMilli(1_800_000_000_000).UTC(), told: &told{}}
	plenty := account.Rate{Burst: 1 << 20, Every: time.Nanosecond}
	m.service = account.New(account.Config{
		Store: accounttest.NewMemory(), Revoker: m.told, Clock: func() time.Time { return m.now },
		Logger: slog.New(slog.DiscardHandler),
		Settings: account.Settings{
			HashCost: cheap, AccessTokenLife: modelAccessLife, SessionLife: modelSessionLife, CacheTime: modelCacheTime,
			SessionsPerUser: modelSessions, SignInsHere: plenty, SignInsAccount: plenty, SignInsAddress: plenty, SignUpsAddress: plenty,
		},
	})
	for i := range 2 {
		password := account.NewSecret(fmt.Sprint("password ", i))
		in, err := m.service.SignUp(t.Context(), account.SignUpRequest{Username: fmt.Sprint("user", i), Password: password, Address: home})
		m.must(err)
		m.users = append(m.users, modelUser{in.User.ID, in.User.Username, password})
		m.begin(i, in.Tokens)
	}
	return m
}

func (m *model) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *model) wantReason(err error, want ...chat.Reason) {
	m.t.Helper()
	var got chat.Reason
	if e, ok := chat.AsError(err); ok {
		got = e.Reason
	} else if err != nil {
		m.t.Fatal(err)
	}
	if !slices.Contains(want, got) {
		m.t.Fatalf("got reason %v (%v), want %v", got, err, want)
	}
}

// begin notes a new session.
func (m *model) begin(user int, tokens account.Tokens) {
	s := &modelSession{id: tokens.Session, user: user}
	m.sessions = append(m.sessions, s)
	m.grant(s, 0, tokens)
}

// grant notes a pair of tokens.
func (m *model) grant(s *modelSession, generation int, tokens account.Tokens) {
	s.refreshed = m.now
	r := &modelRefresh{session: s, token: tokens.Refresh, generation: generation}
	a := &modelAccess{session: s, token: tokens.Access, expire: tokens.AccessExpire}
	s.refresh, m.refresh = append(s.refresh, r), append(m.refresh, r)
	s.access, m.access = append(s.access, a), append(m.access, a)
	kept := 0
	for _, a := range slices.Backward(s.access) {
		if a.trimmed.IsZero() && a.deleted.IsZero() {
			if kept++; kept > account.AccessTokens {
				a.trimmed = m.now
			}
		}
	}
}

func (s *modelSession) expire() time.Time { return s.refreshed.Add(modelSessionLife) }

// live returns the sessions that have neither ended nor run out, the last refreshed first.
func (m *model) live(user int) []*modelSession {
	var list []*modelSession
	for _, s := range m.sessions {
		if s.user == user && !s.ended && s.expire().After(m.now) {
			list = append(list, s)
		}
	}
	slices.SortStableFunc(list, func(a, b *modelSession) int { return b.refreshed.Compare(a.refreshed) })
	return list
}

// end notes the end of sessions and checks that their streams were ended.
func (m *model) end(list ...*modelSession) {
	m.t.Helper()
	var ids []chat.SessionID
	for _, s := range list {
		s.ended = true
		ids = append(ids, s.id)
	}
	slices.Sort(ids)
	if got := m.told.takeEnded(); !slices.Equal(got, ids) {
		m.t.Fatalf("ended the streams of %v, want %v", got, ids)
	}
}

func (m *model) user(t *rapid.T) int { return rapid.IntRange(0, len(m.users)-1).Draw(t, "user") }

// caller draws a live session of a user, if there is one.
func (m *model) caller(t *rapid.T) (*modelSession, chat.Caller) {
	list := m.live(m.user(t))
	if len(list) == 0 {
		t.Skip("nobody is signed in")
	}
	s := rapid.SampledFrom(list).Draw(t, "session")
	return s, chat.Caller{User: m.users[s.user].id, Session: s.id}
}

func (m *model) advance(t *rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.SampledFrom([]int{
		1, 1000, 9_999, 10_000, 29_999, 30_000, 30_001, 60_000, 1_800_000, 3_600_000, 36_000_000,
	}).Draw(t, "milliseconds")) * time.Millisecond)
}

func (m *model) signIn(t *rapid.T) {
	user := m.user(t)
	m.now = m.now.Add(time.Millisecond) // so that no two sessions are equally old
	in, err := m.service.SignIn(t.Context(), account.SignInRequest{
		Username: m.users[user].name, Password: m.users[user].password, Address: home,
	})
	m.must(err)
	var over []*modelSession
	kept := 0
	all := slices.Clone(m.sessions)
	slices.SortStableFunc(all, func(a, b *modelSession) int { return b.refreshed.Compare(a.refreshed) })
	for _, s := range all { // also those that ran out and weren't cleaned up yet
		if s.user == user && !s.ended {
			if kept++; kept >= modelSessions {
				over = append(over, s)
			}
		}
	}
	m.end(over...)
	m.begin(user, in.Tokens)
}

func (m *model) signInWrong(t *rapid.T) {
	user := m.user(t)
	_, err := m.service.SignIn(t.Context(), account.SignInRequest{Username: m.users[user].name, Password: wrong, Address: home})
	m.wantReason(err, chat.ReasonWrongCredentials)
}

// useRefresh uses any refresh token that there ever was.
func (m *model) useRefresh(t *rapid.T) {
	r := rapid.SampledFrom(m.refresh).Draw(t, "refresh token")
	s := r.session
	m.now = m.now.Add(time.Millisecond) // so that no two sessions are equally old
	known := 0
	for _, other := range s.refresh {
		if other.spent.IsZero() || m.now.Sub(other.spent) <= modelGrace {
			known++
		}
	}
	reused := !r.spent.IsZero() && m.now.Sub(r.spent) > modelGrace
	tokens, err := m.service.Refresh(t.Context(), r.token, home)
	switch {
	case s.ended, !s.expire().After(m.now):
		m.wantReason(err, chat.ReasonInvalidSession)
		m.end()
	case reused:
		m.wantReason(err, chat.ReasonInvalidSession)
		m.end(s)
	case known >= account.RefreshTokens:
		m.wantReason(err, chat.ReasonRateLimited)
	default:
		m.must(err)
		for _, other := range s.refresh {
			if other.generation <= r.generation && other.spent.IsZero() {
				other.spent = m.now
			}
		}
		m.grant(s, r.generation+1, tokens)
		m.end()
	}
}

// useAccess uses any access token that there ever was.
func (m *model) useAccess(t *rapid.T) {
	a := rapid.SampledFrom(m.access).Draw(t, "access token")
	want := a.want(m.now)
	identity, err := m.service.Authenticate(t.Context(), a.token.Reveal(), home)
	m.wantReason(err, want...)
	if caller := (chat.Caller{User: m.users[a.session.user].id, Session: a.session.id}); err == nil && identity.Caller != caller {
		t.Fatalf("taken for %+v, is of %+v", identity.Caller, caller)
	}
	identity, err = m.service.Confirm(t.Context(), a.token.Reveal())
	m.wantReason(err, want[0])
	if err == nil && !identity.ExpireTime.Equal(a.expire) {
		t.Fatalf("expires at %v, want %v", identity.ExpireTime, a.expire)
	}
}

// want returns what a token may be answered with: first what the store says, then what the cache may still say.
func (a *modelAccess) want(now time.Time) []chat.Reason {
	still := chat.Reason(0)
	if !now.Before(a.expire) {
		still = chat.ReasonTokenExpired
	}
	for _, gone := range []time.Time{a.trimmed, a.deleted} {
		if !gone.IsZero() && !a.session.ended {
			if now.Sub(gone) < modelCacheTime {
				return []chat.Reason{chat.ReasonInvalidSession, still}
			}
			return []chat.Reason{chat.ReasonInvalidSession}
		}
	}
	if a.session.ended {
		return []chat.Reason{chat.ReasonInvalidSession}
	}
	return []chat.Reason{still}
}

func (m *model) signOut(t *rapid.T) {
	s, caller := m.caller(t)
	m.must(m.service.SignOut(t.Context(), caller))
	m.end(s)
}

func (m *model) revoke(t *rapid.T) {
	_, caller := m.caller(t)
	s := rapid.SampledFrom(m.sessions).Draw(t, "which")
	err := m.service.RevokeSession(t.Context(), caller, s.id)
	if s.ended || m.users[s.user].id != caller.User {
		m.wantReason(err, chat.ReasonNotFound)
		m.end()
		return
	}
	m.must(err)
	m.end(s)
}

func (m *model) revokeAll(t *rapid.T) {
	keeper, caller := m.caller(t)
	keep := rapid.Bool().Draw(t, "keep")
	list := m.others(keeper, keep)
	n, err := m.service.RevokeAll(t.Context(), caller, keep)
	m.must(err)
	if n != len(list) {
		t.Fatalf("%d revoked, want %d", n, len(list))
	}
	m.end(list...)
}

// others returns all sessions of the user of s that are stored, without s if that is to be kept.
func (m *model) others(s *modelSession, keep bool) (list []*modelSession) {
	for _, other := range m.sessions {
		if other.user == s.user && !other.ended && (other != s || !keep) {
			list = append(list, other)
		}
	}
	return list
}

func (m *model) changePassword(t *rapid.T) {
	s, caller := m.caller(t)
	user := &m.users[s.user]
	next := account.NewSecret(rapid.StringMatching(`[a-z]{8}`).Draw(t, "password"))
	m.must(m.service.ChangePassword(t.Context(), caller, user.password, next, home))
	user.password = next
	m.end(m.others(s, true)...)
}

func (m *model) cleanUp(t *rapid.T) {
	var over []*modelSession
	for _, s := range m.sessions {
		if !s.ended && s.expire().Before(m.now) {
			over = append(over, s)
		}
	}
	n, err := m.service.CleanUp(t.Context())
	m.must(err)
	if n != len(over) {
		t.Fatalf("%d ended, want %d", n, len(over))
	}
	m.end(over...)
	for _, a := range m.access {
		if a.expire.Before(m.now.Add(-24*time.Hour)) && a.deleted.IsZero() {
			a.deleted = m.now
		}
	}
}

func (m *model) list(t *rapid.T) {
	s, caller := m.caller(t)
	list, err := m.service.Sessions(t.Context(), caller)
	m.must(err)
	want := m.live(s.user)
	if len(list) != len(want) {
		t.Fatalf("%d sessions, want %d", len(list), len(want))
	}
	for i, s := range want {
		if list[i].ID != s.id || !list[i].ExpireTime.Equal(s.expire()) || !list[i].RefreshTime.Equal(s.refreshed) {
			t.Fatalf("session %d is %+v, want %+v", i, list[i], s)
		}
	}
}

// TestSessionsFollowTheModel makes random calls at random times and compares each answer, and whose streams are ended, with the model.
func TestSessionsFollowTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		t.Repeat(map[string]func(*rapid.T){
			"advance": m.advance, "sign in": m.signIn, "sign in wrong": m.signInWrong,
			"use refresh": m.useRefresh, "use refresh again": m.useRefresh, "use access": m.useAccess, "use access again": m.useAccess,
			"sign out": m.signOut, "revoke": m.revoke, "revoke all": m.revokeAll, "change password": m.changePassword,
			"clean up": m.cleanUp, "list": m.list,
		})
	})
}
