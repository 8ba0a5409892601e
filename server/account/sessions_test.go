package account_test

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/chat"
)

// TestEndedSessionIsOutAtOnce goes through every way to end sessions, with the tokens in the cache before.
func TestEndedSessionIsOutAtOnce(t *testing.T) {
	next := account.NewSecret("another horse battery")
	for name, test := range map[string]struct {
		end  func(*fixture, [3]account.SignedIn) error // called by the first session
		ends []int
	}{
		"sign out": {func(f *fixture, in [3]account.SignedIn) error { return f.SignOut(f.ctx, caller(in[0])) }, []int{0}},
		"revoke another": {func(f *fixture, in [3]account.SignedIn) error {
			return f.RevokeSession(f.ctx, caller(in[0]), in[2].Tokens.Session)
		}, []int{2}},
		"revoke one's own": {func(f *fixture, in [3]account.SignedIn) error {
			return f.RevokeSession(f.ctx, caller(in[0]), in[0].Tokens.Session)
		}, []int{0}},
		"revoke all": {func(f *fixture, in [3]account.SignedIn) error {
			n, err := f.RevokeAll(f.ctx, caller(in[0]), false)
			if n != 3 {
				f.Errorf("%d revoked", n)
			}
			return err
		}, []int{0, 1, 2}},
		"revoke all others": {func(f *fixture, in [3]account.SignedIn) error {
			n, err := f.RevokeAll(f.ctx, caller(in[0]), true)
			if n != 2 {
				f.Errorf("%d revoked", n)
			}
			return err
		}, []int{1, 2}},
		"change the password": {func(f *fixture, in [3]account.SignedIn) error {
			return f.ChangePassword(f.ctx, caller(in[0]), correct, next, home)
		}, []int{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			in := [3]account.SignedIn{f.signUp("toad"), f.signIn("toad"), f.signIn("toad")}
			stranger := f.signUp("frog")
			for _, one := range in {
				f.wantAccess(one.Tokens.Access, 0)
			}
			f.must(test.end(f, in))
			var ended []chat.SessionID
			for i, one := range in {
				if slices.Contains(test.ends, i) {
					ended = append(ended, one.Tokens.Session)
					f.wantAccess(one.Tokens.Access, chat.ReasonInvalidSession)
					f.wantRefresh(one.Tokens.Refresh, chat.ReasonInvalidSession)
				} else {
					f.wantAccess(one.Tokens.Access, 0)
					f.refresh(one.Tokens.Refresh)
				}
			}
			f.wantEnded(ended...)
			f.wantAccess(stranger.Tokens.Access, 0)
		})
	}
}

func TestSessionsOfOthersCantBeRevoked(t *testing.T) {
	f := newFixture(t, nil)
	toad, frog := f.signUp("toad"), f.signUp("frog")
	f.wantReason(f.RevokeSession(f.ctx, caller(toad), frog.Tokens.Session), chat.ReasonNotFound)
	f.wantReason(f.RevokeSession(f.ctx, caller(toad), 12345), chat.ReasonNotFound)
	f.wantAccess(frog.Tokens.Access, 0)
	f.wantEnded()
}

func TestSigningOutTwiceIsNoError(t *testing.T) {
	f := newFixture(t, nil)
	in := f.signUp("toad")
	f.must(f.SignOut(f.ctx, caller(in)))
	f.must(f.SignOut(f.ctx, caller(in)))
}

func TestOneSessionTooManyEndsTheOneUnusedForLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(c *account.Config) { c.Settings.SessionsPerUser = 3 })
		in := []account.SignedIn{f.signUp("toad")}
		for range 2 {
			time.Sleep(moment)
			in = append(in, f.signIn("toad"))
		}
		time.Sleep(moment)
		f.refresh(in[0].Tokens.Refresh)
		f.wantAccess(in[1].Tokens.Access, 0)
		time.Sleep(moment)
		in = append(in, f.signIn("toad"))
		f.wantEnded(in[1].Tokens.Session)
		f.wantAccess(in[1].Tokens.Access, chat.ReasonInvalidSession)
		list, err := f.Sessions(f.ctx, caller(in[0]))
		f.must(err)
		var ids []chat.SessionID
		for _, s := range list {
			ids = append(ids, s.ID)
		}
		if want := []chat.SessionID{in[3].Tokens.Session, in[0].Tokens.Session, in[2].Tokens.Session}; !slices.Equal(ids, want) {
			t.Errorf("sessions %v, want %v", ids, want)
		}
	})
}

func TestPasswordChanges(t *testing.T) {
	f := newFixture(t, nil)
	in := f.signUp("toad")
	next := account.NewSecret("another horse battery")
	f.must(f.ChangePassword(f.ctx, caller(in), correct, next, home))
	f.wantReason(f.trySignIn("toad", correct, home), chat.ReasonWrongCredentials)
	f.must(f.trySignIn("toad", next, home))
	f.wantReason(f.ChangePassword(f.ctx, caller(in), correct, next, home), chat.ReasonWrongCredentials)
	f.wantReason(f.ChangePassword(f.ctx, chat.Caller{User: 1, Session: 1}, correct, next, home), chat.ReasonNotFound)
}

func TestGuessingThePasswordOfAStolenSessionIsLimited(t *testing.T) {
	f := newFixture(t, func(c *account.Config) { c.Settings.SignInsHere = account.Rate{Burst: 3, Every: time.Minute} })
	in := f.signUp("toad")
	hashes := f.CountHashes()
	for range 3 {
		f.wantReason(f.ChangePassword(f.ctx, caller(in), wrong, correct, abroad), chat.ReasonWrongCredentials)
	}
	f.wantReason(f.ChangePassword(f.ctx, caller(in), correct, wrong, abroad), chat.ReasonRateLimited)
	if hashes.Load() != 3 {
		t.Errorf("%d hashes", hashes.Load())
	}
	f.must(f.ChangePassword(f.ctx, caller(in), correct, wrong, home))
}

// TestSignInThatPassesAPasswordChange has checked the old password before the change, and stores its session after it.
func TestSignInThatPassesAPasswordChange(t *testing.T) {
	f := newFixture(t, nil)
	in := f.signUp("toad")
	next := account.NewSecret("another horse battery")
	f.before("CreateSession", func() { f.must(f.ChangePassword(f.ctx, caller(in), correct, next, home)) })
	f.wantReason(f.trySignIn("toad", correct, home), chat.ReasonWrongCredentials)
}

func TestOfTwoPasswordChangesTheSecondHasToKnowTheFirst(t *testing.T) {
	f := newFixture(t, nil)
	in := f.signUp("toad")
	next := account.NewSecret("another horse battery")
	f.before("SetPassword", func() { f.must(f.ChangePassword(f.ctx, caller(in), correct, next, home)) })
	f.wantReason(f.ChangePassword(f.ctx, caller(in), correct, wrong, home), chat.ReasonWrongCredentials)
	f.must(f.trySignIn("toad", next, home))
}

func TestCleanUpEndsWhatRanOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		var old []chat.SessionID
		for range 3 {
			old = append(old, f.signUpAs("old", len(old)).Tokens.Session)
		}
		time.Sleep(moment)
		in := f.signUp("toad")
		time.Sleep(30 * 24 * time.Hour)
		n, err := f.CleanUp(f.ctx)
		f.must(err)
		if n != len(old) {
			t.Errorf("%d ended", n)
		}
		f.wantEnded(old...)
		if n, err := f.CleanUp(f.ctx); n != 0 || err != nil {
			t.Errorf("again: %d, %v", n, err)
		}
		f.wantAccess(in.Tokens.Access, chat.ReasonInvalidSession) // ran out more than a day ago
	})
}

func TestCleanUpGoesOnUntilNothingIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(c *account.Config) {
			c.Settings.SignUpsAddress = account.Rate{Burst: 10000, Every: time.Second}
		})
		for i := range 1001 {
			f.signUpAs("user", i)
		}
		time.Sleep(31 * 24 * time.Hour)
		if n, err := f.CleanUp(f.ctx); n != 1001 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})
}

func TestOldTokensAreForgottenAfterADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		in := f.signUp("toad")
		time.Sleep(25 * time.Hour)
		for _, want := range []chat.Reason{chat.ReasonTokenExpired, chat.ReasonInvalidSession} {
			_, err := f.CleanUp(f.ctx)
			f.must(err)
			f.wantAccess(in.Tokens.Access, want)
			time.Sleep(time.Minute)
		}
		f.refresh(in.Tokens.Refresh)
	})
}

// TestFailuresOfTheStore lets each method of the store fail in turn: the error comes out, and nobody is told of what didn't happen.
func TestFailuresOfTheStore(t *testing.T) {
	next := account.NewSecret("another horse battery")
	name := "x"
	for method, call := range map[string]func(*fixture, account.SignedIn) error{
		"CredentialsByName": func(f *fixture, _ account.SignedIn) error { return f.trySignIn("toad", correct, home) },
		"CreateSession":     func(f *fixture, _ account.SignedIn) error { return f.trySignIn("toad", correct, home) },
		"CreateAccount": func(f *fixture, _ account.SignedIn) error {
			_, err := f.SignUp(f.ctx, account.SignUpRequest{Username: "frog", Password: correct, Address: home})
			return err
		},
		"CredentialsByUser": func(f *fixture, in account.SignedIn) error {
			return f.ChangePassword(f.ctx, caller(in), correct, next, home)
		},
		"SetPassword": func(f *fixture, in account.SignedIn) error {
			return f.ChangePassword(f.ctx, caller(in), correct, next, home)
		},
		"Account": func(f *fixture, in account.SignedIn) error {
			_, err := f.Account(f.ctx, caller(in))
			return err
		},
		"UpdateProfile": func(f *fixture, in account.SignedIn) error {
			_, err := f.UpdateProfile(f.ctx, caller(in), account.ProfileChange{DisplayName: &name})
			return err
		},
		"SessionBySeries": func(f *fixture, in account.SignedIn) error {
			_, err := f.Refresh(f.ctx, in.Tokens.Refresh, home)
			return err
		},
		"RefreshSession": func(f *fixture, in account.SignedIn) error {
			_, err := f.Refresh(f.ctx, in.Tokens.Refresh, home)
			return err
		},
		"Sessions": func(f *fixture, in account.SignedIn) error {
			_, err := f.Sessions(f.ctx, caller(in))
			return err
		},
		"EndSession": func(f *fixture, in account.SignedIn) error { return f.SignOut(f.ctx, caller(in)) },
		"EndSessions": func(f *fixture, in account.SignedIn) error {
			_, err := f.RevokeAll(f.ctx, caller(in), false)
			return err
		},
		"AccessToken": func(f *fixture, in account.SignedIn) error {
			_, err := f.Authenticate(f.ctx, in.Tokens.Access.Reveal(), home)
			_, again := f.Confirm(f.ctx, in.Tokens.Access.Reveal())
			if !errors.Is(again, err) {
				f.Errorf("Confirm: %v", again)
			}
			return err
		},
		"DeleteExpired": func(f *fixture, _ account.SignedIn) error { _, err := f.CleanUp(f.ctx); return err },
	} {
		t.Run(method, func(t *testing.T) {
			f := newFixture(t, nil)
			in := f.signUp("toad")
			broken := chat.Unavailable(errors.New("store is away"))
			var calls atomic.Int64
			f.store.Before = func(m string) error {
				if m == method {
					calls.Add(1)
					return broken
				}
				return nil
			}
			if err := call(f, in); !errors.Is(err, broken) || calls.Load() == 0 {
				t.Errorf("got %v", err)
			}
			f.wantEnded()
			f.store.Before = nil
			f.wantAccess(in.Tokens.Access, 0)
			f.refresh(in.Tokens.Refresh)
			f.must(f.trySignIn("toad", correct, home))
		})
	}
}

func TestWhatEndedElsewhereIsFoundByAsking(t *testing.T) {
	f := newFixture(t, nil)
	here, there := f.signUp("toad"), f.signUp("frog")
	for _, one := range []account.SignedIn{here, there} {
		f.wantAccess(one.Tokens.Access, 0) // remembered from now on
	}
	_, err := f.store.EndSession(f.ctx, caller(there).User, caller(there).Session)
	f.must(err)
	f.wantAccess(there.Tokens.Access, 0)
	ended, err := f.Ended(f.ctx, []chat.SessionID{here.Tokens.Session, there.Tokens.Session, 12345})
	f.must(err)
	if !slices.Equal(ended, []chat.SessionID{there.Tokens.Session, 12345}) {
		t.Errorf("ended %v", ended)
	}
	f.wantAccess(there.Tokens.Access, chat.ReasonInvalidSession)
	f.wantAccess(here.Tokens.Access, 0)
}
