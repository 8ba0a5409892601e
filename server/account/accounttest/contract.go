package accounttest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/chat"
)

// Run holds a store against the contract of [account.Store]. open returns an empty one, and sees to its closing.
func Run(t *testing.T, open func(t *testing.T) account.Store) {
	for name, test := range map[string]func(*fixture){
		"an account is read as it was stored":                    accountIsRead,
		"a taken username stores nothing":                        takenStoresNothing,
		"a profile changes where it is told to":                  profileChanges,
		"a session needs the password's version":                 sessionNeedsVersion,
		"one session too many ends the one unused for longest":   oneTooMany,
		"a new password ends the other sessions":                 newPassword,
		"a password changes from the version that was checked":   staleStoresNothing,
		"a refresh sees and changes the session":                 refreshChanges,
		"a refresh that is refused changes nothing":              refreshRefused,
		"a refresh can end the session":                          refreshEnds,
		"a refresh leaves so many access tokens":                 refreshTrims,
		"sessions are listed by their refresh until they expire": sessionsListed,
		"a session ends for its user only":                       endOne,
		"all sessions end, or all but one":                       endAll,
		"sessions are live until they end":                       liveUntilEnd,
		"an access token is found until it is deleted":           tokenFound,
		"what expired is deleted in portions":                    deleteExpired,
		"reading ends with the context":                          contextEnds,
		"of many who take a username at once one gets it":        oneGetsName,
		"of many who change a password at once one does":         oneChangesPassword,
		"refreshes of a session come one after the other":        refreshesInTurn,
		"no session of the old password survives the new one":    signInDuringChange,
	} {
		t.Run(name, func(t *testing.T) { test(&fixture{t, open(t), t.Context()}) })
	}
}

// fixture is a store in a test, with what makes it short.
type fixture struct {
	*testing.T
	store account.Store
	ctx   context.Context
}

// now is a time as stores keep it.
var now = time.UnixMilli(1_800_000_000_123).UTC()

func hash(s string) account.Hash { return sha256.Sum256([]byte(s)) }

// newSession is session n of a user, refreshed n minutes after now. Its series and tokens are named after it.
func newSession(user chat.UserID, n int) account.NewSession {
	id := chat.SessionID(int(user)*1000 + n)
	at := now.Add(time.Duration(n) * time.Minute)
	return account.NewSession{
		Session: account.Session{
			ID: id, User: user, DeviceName: fmt.Sprint("device ", n), Address: "192.0.2.1",
			CreateTime: at, RefreshTime: at, ExpireTime: at.Add(24 * time.Hour),
		},
		Series:  hash(fmt.Sprint("series of ", id)),
		Refresh: account.RefreshToken{Secret: hash(fmt.Sprint("refresh of ", id))},
		Access:  account.AccessToken{Hash: hash(fmt.Sprint("access of ", id)), Session: id, User: user, ExpireTime: at.Add(time.Hour)},
	}
}

// signUp stores user n with its session 1.
func (f *fixture) signUp(n chat.UserID) account.Account {
	f.Helper()
	a := account.Account{
		User:       chat.User{ID: n, Username: fmt.Sprintf("User%d", n), DisplayName: fmt.Sprint("The user ", n), AvatarURL: "https://example.org/a"},
		CreateTime: now, PresenceHidden: n%2 == 0,
	}
	f.must(f.store.CreateAccount(f.ctx, a, fmt.Sprintf("user%d", n), "hash 1", newSession(n, 1)))
	return a
}

// signIn stores a session of a user whose password is of version 1.
func (f *fixture) signIn(s account.NewSession) {
	f.Helper()
	ended, err := f.store.CreateSession(f.ctx, s, 1, "", 50)
	f.must(err)
	f.same("ended", len(ended), 0)
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) same(what string, got, want any) {
	f.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		f.Fatalf("%s:\n got %s\nwant %s", what, g, w)
	}
}

// live checks which sessions of a user there are, by all ways that lead to one, and that the tokens of others are gone.
func (f *fixture) live(user chat.UserID, all []account.NewSession, want ...int) {
	f.Helper()
	list, err := f.store.Sessions(f.ctx, user, now)
	f.must(err)
	got := make([]chat.SessionID, 0, len(list))
	for _, s := range list {
		got = append(got, s.ID)
	}
	ids := make([]chat.SessionID, 0, len(want))
	for _, n := range want {
		ids = append(ids, newSession(user, n).ID)
	}
	slices.Sort(got)
	slices.Sort(ids)
	f.same("sessions", got, ids)
	for _, s := range all {
		lives := slices.Contains(ids, s.ID)
		_, ok, err := f.store.AccessToken(f.ctx, s.Access.Hash)
		f.must(err)
		f.same(fmt.Sprint("access token of ", s.ID), ok, lives)
		_, ok, err = f.store.SessionBySeries(f.ctx, s.Series)
		f.must(err)
		f.same(fmt.Sprint("series of ", s.ID), ok, lives)
	}
}

func accountIsRead(f *fixture) {
	want := f.signUp(7)
	credentials := account.Credentials{PasswordHash: "hash 1", Version: 1}

	a, ok, err := f.store.Account(f.ctx, 7)
	f.must(err)
	f.same("account", []any{a, ok}, []any{want, true})
	a, c, ok, err := f.store.CredentialsByName(f.ctx, "user7")
	f.must(err)
	f.same("by name", []any{a, c, ok}, []any{want, credentials, true})
	c, ok, err = f.store.CredentialsByUser(f.ctx, 7)
	f.must(err)
	f.same("by user", []any{c, ok}, []any{credentials, true})
	f.live(7, []account.NewSession{newSession(7, 1)}, 1)

	_, ok, err = f.store.Account(f.ctx, 8)
	f.same("another's account", []any{ok, err}, []any{false, nil})
	_, _, ok, err = f.store.CredentialsByName(f.ctx, "user8")
	f.same("another's name", []any{ok, err}, []any{false, nil})
	_, ok, err = f.store.CredentialsByUser(f.ctx, 8)
	f.same("another's credentials", []any{ok, err}, []any{false, nil})
}

func takenStoresNothing(f *fixture) {
	f.signUp(7)
	other := account.Account{User: chat.User{ID: 8, Username: "USER7"}, CreateTime: now}
	if err := f.store.CreateAccount(f.ctx, other, "user7", "hash 2", newSession(8, 1)); !errors.Is(err, account.ErrUsernameTaken) {
		f.Fatalf("got %v", err)
	}
	_, ok, err := f.store.Account(f.ctx, 8)
	f.same("the other account", []any{ok, err}, []any{false, nil})
	_, ok, err = f.store.CredentialsByUser(f.ctx, 8)
	f.same("the other password", []any{ok, err}, []any{false, nil})
	f.live(8, []account.NewSession{newSession(8, 1)})
}

func profileChanges(f *fixture) {
	want := f.signUp(7)
	name, none, yes := "Ünïcode 🐸", "", true
	for _, step := range []struct {
		change account.ProfileChange
		apply  func()
	}{
		{account.ProfileChange{}, func() {}},
		{account.ProfileChange{DisplayName: &name}, func() { want.DisplayName = name }},
		{account.ProfileChange{AvatarURL: &none}, func() { want.AvatarURL = "" }},
		{account.ProfileChange{PresenceHidden: &yes}, func() { want.PresenceHidden = true }},
	} {
		step.apply()
		a, ok, err := f.store.UpdateProfile(f.ctx, 7, step.change)
		f.must(err)
		f.same("answer", []any{a, ok}, []any{want, true})
		a, _, err = f.store.Account(f.ctx, 7)
		f.must(err)
		f.same("account", a, want)
	}
	_, ok, err := f.store.UpdateProfile(f.ctx, 8, account.ProfileChange{DisplayName: &name})
	f.same("of nobody", []any{ok, err}, []any{false, nil})
}

func sessionNeedsVersion(f *fixture) {
	f.signUp(7)
	s := newSession(7, 2)
	for _, bad := range []struct {
		user    chat.UserID
		version int64
	}{{7, 0}, {7, 2}, {8, 1}} {
		s := newSession(bad.user, 2)
		if _, err := f.store.CreateSession(f.ctx, s, bad.version, "hash 2", 50); !errors.Is(err, account.ErrStale) {
			f.Fatalf("%+v: got %v", bad, err)
		}
		f.live(8, []account.NewSession{newSession(8, 2)})
	}
	f.live(7, []account.NewSession{s}, 1)
	c, _, err := f.store.CredentialsByUser(f.ctx, 7)
	f.must(err)
	f.same("credentials", c, account.Credentials{PasswordHash: "hash 1", Version: 1})

	_, err = f.store.CreateSession(f.ctx, s, 1, "hash 1 anew", 50)
	f.must(err)
	f.live(7, []account.NewSession{s}, 1, 2)
	c, _, err = f.store.CredentialsByUser(f.ctx, 7)
	f.must(err)
	f.same("credentials after hashing anew", c, account.Credentials{PasswordHash: "hash 1 anew", Version: 1})
}

func oneTooMany(f *fixture) {
	f.signUp(7)
	f.signUp(8)
	all := []account.NewSession{newSession(7, 1)}
	for n := 2; n <= 4; n++ {
		all = append(all, newSession(7, n))
		f.signIn(all[n-1])
	}
	// Session 1 is refreshed, so session 2 is the one unused for longest.
	f.refresh(all[0], account.RefreshChange{
		Session: account.Session{RefreshTime: now.Add(time.Hour), ExpireTime: now.Add(48 * time.Hour)}, KeepAccess: 2,
		Access: account.AccessToken{Hash: hash("new"), Session: all[0].ID, User: 7, ExpireTime: now.Add(2 * time.Hour)},
	})
	// The clock went back: the new session is kept all the same.
	s := newSession(7, 5)
	s.RefreshTime = now.Add(-time.Hour)
	ended, err := f.store.CreateSession(f.ctx, s, 1, "", 4)
	f.must(err)
	f.same("ended", ended, []chat.SessionID{all[1].ID})
	f.live(7, append(all, s), 1, 3, 4, 5)

	ended, err = f.store.CreateSession(f.ctx, newSession(7, 6), 1, "", 2)
	f.must(err)
	slices.Sort(ended)
	f.same("ended where fewer are allowed", ended, []chat.SessionID{all[2].ID, all[3].ID, s.ID})
	f.live(8, []account.NewSession{newSession(8, 1)}, 1)
}

// refresh makes a change of a session.
func (f *fixture) refresh(s account.NewSession, change account.RefreshChange) {
	f.Helper()
	ok, err := f.store.RefreshSession(f.ctx, s.Series, func(account.RefreshState) (account.RefreshChange, error) { return change, nil })
	f.same("refresh", []any{ok, err}, []any{true, nil})
}

func newPassword(f *fixture) {
	f.signUp(7)
	f.signUp(8)
	all := []account.NewSession{newSession(7, 1), newSession(7, 2), newSession(7, 3)}
	f.signIn(all[1])
	f.signIn(all[2])
	ended, err := f.store.SetPassword(f.ctx, 7, 1, "hash 2", all[1].ID)
	f.must(err)
	slices.Sort(ended)
	f.same("ended", ended, []chat.SessionID{all[0].ID, all[2].ID})
	f.live(7, all, 2)
	f.live(8, []account.NewSession{newSession(8, 1)}, 1)
	c, _, err := f.store.CredentialsByUser(f.ctx, 7)
	f.must(err)
	f.same("credentials", c, account.Credentials{PasswordHash: "hash 2", Version: 2})
}

func staleStoresNothing(f *fixture) {
	f.signUp(7)
	for _, bad := range []struct {
		user    chat.UserID
		version int64
	}{{7, 0}, {7, 2}, {8, 1}} {
		if _, err := f.store.SetPassword(f.ctx, bad.user, bad.version, "hash 2", 0); !errors.Is(err, account.ErrStale) {
			f.Fatalf("%+v: got %v", bad, err)
		}
	}
	f.live(7, []account.NewSession{newSession(7, 1)}, 1)
	c, _, err := f.store.CredentialsByUser(f.ctx, 7)
	f.must(err)
	f.same("credentials", c, account.Credentials{PasswordHash: "hash 1", Version: 1})
}

func contextEnds(f *fixture) {
	f.signUp(7)
	ctx, cancel := context.WithCancel(f.ctx)
	cancel()
	_, _, err := f.store.Account(ctx, 7)
	if !errors.Is(err, context.Canceled) {
		f.Errorf("Account: %v", err)
	}
	if _, _, err := f.store.AccessToken(ctx, hash("x")); !errors.Is(err, context.Canceled) {
		f.Errorf("AccessToken: %v", err)
	}
	if _, err := f.store.Sessions(ctx, 7, now); !errors.Is(err, context.Canceled) {
		f.Errorf("Sessions: %v", err)
	}
}
