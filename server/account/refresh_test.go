package account_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/chat"
)

// refresh exchanges a refresh token that is good.
func (f *fixture) refresh(token account.Secret) account.Tokens {
	f.Helper()
	tokens, err := f.Refresh(f.ctx, token, home)
	if err != nil {
		f.Fatal(err)
	}
	return tokens
}

func (f *fixture) wantRefresh(token account.Secret, want chat.Reason) {
	f.Helper()
	_, err := f.Refresh(f.ctx, token, home)
	f.wantReason(err, want)
}

func TestRefreshGivesANewPairAndProlongsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		in := f.signUp("toad")
		time.Sleep(50 * time.Minute)
		tokens, err := f.Refresh(f.ctx, in.Tokens.Refresh, abroad)
		f.must(err)
		now := time.Now()
		if tokens.Session != in.Tokens.Session || tokens.Access.Reveal() == in.Tokens.Access.Reveal() ||
			tokens.Refresh.Reveal() == in.Tokens.Refresh.Reveal() {
			t.Error("the same tokens")
		}
		if !tokens.AccessExpire.Equal(now.Add(time.Hour)) || !tokens.RefreshExpire.Equal(now.Add(30*24*time.Hour)) {
			t.Errorf("got %+v", tokens)
		}
		f.wantAccess(tokens.Access, 0)
		f.wantAccess(in.Tokens.Access, 0) // stays valid until it runs out
		time.Sleep(10*time.Minute - moment)
		f.wantAccess(in.Tokens.Access, 0)
		time.Sleep(moment)
		f.wantAccess(in.Tokens.Access, chat.ReasonTokenExpired)
		f.wantAccess(tokens.Access, 0)
		list, err := f.Sessions(f.ctx, caller(in))
		f.must(err)
		if len(list) != 1 || list[0].Address != abroad.String() || !list[0].RefreshTime.Equal(now) {
			t.Errorf("sessions %+v", list)
		}
	})
}

func TestSpentRefreshTokenWithinTheGraceGivesAnotherPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		in := f.signUp("toad")
		lost := f.refresh(in.Tokens.Refresh)
		time.Sleep(30 * time.Second)
		got := f.refresh(in.Tokens.Refresh)
		for _, tokens := range []account.Tokens{lost, got} {
			f.wantAccess(tokens.Access, 0)
		}
		f.wantEnded()
	})
}

func TestGraceIsNotProlongedByItsUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		in := f.signUp("toad")
		f.refresh(in.Tokens.Refresh)
		time.Sleep(20 * time.Second)
		f.refresh(in.Tokens.Refresh)
		time.Sleep(20 * time.Second)
		f.wantRefresh(in.Tokens.Refresh, chat.ReasonInvalidSession)
		f.wantEnded(in.Tokens.Session)
	})
}

func TestSpentRefreshTokenLaterEndsTheSession(t *testing.T) {
	for name, later := range map[string]time.Duration{"just after the grace": 30*time.Second + moment, "weeks after": 20 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, nil)
				in, other := f.signUp("toad"), f.signIn("toad")
				tokens := f.refresh(in.Tokens.Refresh)
				f.wantAccess(tokens.Access, 0)
				time.Sleep(later)
				newest := f.refresh(tokens.Refresh)
				f.wantAccess(newest.Access, 0)
				f.wantRefresh(in.Tokens.Refresh, chat.ReasonInvalidSession)
				f.wantEnded(in.Tokens.Session)
				f.wantAccess(newest.Access, chat.ReasonInvalidSession)
				f.wantRefresh(newest.Refresh, chat.ReasonInvalidSession)
				f.refresh(other.Tokens.Refresh) // the user's other session lives
				if n := f.Stats().ReusedTokens; n != 1 {
					t.Errorf("counted %d reuses", n)
				}
			})
		})
	}
}

// TestOfTwoAnswersOneGoesOn is the thief who uses a token within the grace: the two branches can't both live on.
func TestOfTwoAnswersOneGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		in := f.signUp("toad")
		owner := f.refresh(in.Tokens.Refresh)
		thief := f.refresh(in.Tokens.Refresh)
		time.Sleep(time.Hour)
		newest := f.refresh(owner.Refresh)
		time.Sleep(31 * time.Second)
		f.wantRefresh(thief.Refresh, chat.ReasonInvalidSession)
		f.wantEnded(in.Tokens.Session)
		f.wantRefresh(newest.Refresh, chat.ReasonInvalidSession)
	})
}

// TestEitherOfTwoAnswersMayBeKept is two windows that refresh at once, of which one's answer is the one that is stored.
func TestEitherOfTwoAnswersMayBeKept(t *testing.T) {
	for kept := range 2 {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, nil)
			in := f.signUp("toad")
			tokens := []account.Tokens{f.refresh(in.Tokens.Refresh), f.refresh(in.Tokens.Refresh)}[kept]
			for range 3 {
				time.Sleep(time.Hour)
				tokens = f.refresh(tokens.Refresh)
			}
			f.wantAccess(tokens.Access, 0)
			f.wantEnded()
		})
	}
}

func TestSessionRunsOutUnlessRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		f := newFixture(t, nil)
		in := f.signUp("toad")
		time.Sleep(30*day - moment)
		tokens := f.refresh(in.Tokens.Refresh)
		time.Sleep(30 * day)
		f.wantRefresh(tokens.Refresh, chat.ReasonInvalidSession)
		f.wantEnded()
		list, err := f.Sessions(f.ctx, caller(in))
		f.must(err)
		if len(list) != 0 {
			t.Errorf("sessions %+v", list)
		}
	})
}

func TestAccessTokenNeverOutlivesItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(c *account.Config) { c.Settings.SessionLife = time.Minute })
		in := f.signUp("toad")
		if !in.Tokens.AccessExpire.Equal(in.Tokens.RefreshExpire) {
			t.Errorf("tokens %+v", in.Tokens)
		}
		time.Sleep(time.Minute)
		f.wantAccess(in.Tokens.Access, chat.ReasonTokenExpired)
	})
}

func TestRefreshingOneTokenAgainAndAgainIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		in := f.signUp("toad")
		for range account.RefreshTokens - 1 {
			f.refresh(in.Tokens.Refresh)
		}
		_, err := f.Refresh(f.ctx, in.Tokens.Refresh, home)
		f.wantReason(err, chat.ReasonRateLimited)
		if e, _ := chat.AsError(err); e.RetryAfter != 30*time.Second {
			t.Errorf("got %+v", e)
		}
	})
}

func TestSessionKeepsItsNewestAccessTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		in := f.signUp("toad")
		all := []account.Tokens{in.Tokens}
		for range account.AccessTokens {
			time.Sleep(40 * time.Second)
			all = append(all, f.refresh(all[len(all)-1].Refresh))
		}
		f.wantAccess(all[0].Access, chat.ReasonInvalidSession)
		for _, tokens := range all[1:] {
			f.wantAccess(tokens.Access, 0)
		}
	})
}

func TestRefreshTokensThatAreNone(t *testing.T) {
	f := newFixture(t, nil)
	in := f.signUp("toad")
	good := in.Tokens.Refresh.Reveal()
	f.store.Before = func(method string) error { return fmt.Errorf("asked the store for %s", method) }
	for _, bad := range []string{
		"", "njr_", good[1:], good[:len(good)-1], good + "A", good + good, " " + good, good + "\n", "nja_" + good[4:],
		in.Tokens.Access.Reveal(), good[:20] + "\n" + good[21:], good[:20] + "=" + good[21:], good[:20] + "+" + good[21:],
	} {
		f.wantRefresh(account.NewSecret(bad), chat.ReasonInvalidSession)
	}
	f.store.Before = nil
	// A series that nobody has.
	f.wantRefresh(account.NewSecret(good[:4]+"AAAAAAAAAAAAAAAAAAAAAAAA"+good[28:]), chat.ReasonInvalidSession)
	f.wantEnded()
	f.refresh(in.Tokens.Refresh)
}

// TestForgedSecretOfAKnownSeriesEndsTheSession: only somebody who had one of its tokens knows the series.
func TestForgedSecretOfAKnownSeriesEndsTheSession(t *testing.T) {
	f := newFixture(t, nil)
	in := f.signUp("toad")
	good := in.Tokens.Refresh.Reveal()
	f.wantRefresh(account.NewSecret(good[:len(good)-4]+"AAAA"), chat.ReasonInvalidSession)
	f.wantEnded(in.Tokens.Session)
}

func TestUnknownRefreshTokensAreLimitedByAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // by a clock that stands still: one more may be tried every 50 ms
		f := newFixture(t, nil)
		in := f.signUp("toad")
		for i := range account.FloodRate.Burst {
			f.wantRefresh(account.NewSecret(fmt.Sprintf("njr_%064d", i)), chat.ReasonInvalidSession)
		}
		lookups := 0
		f.store.Before = func(string) error { lookups++; return nil }
		f.wantRefresh(account.NewSecret(fmt.Sprintf("njr_%064d", 99999)), chat.ReasonRateLimited)
		if lookups != 0 {
			t.Error("asked the store")
		}
		if _, err := f.Refresh(f.ctx, in.Tokens.Refresh, abroad); err != nil {
			t.Errorf("from another address: %v", err)
		}
	})
}

func TestManyRefreshOneTokenAtOnce(t *testing.T) {
	f := newFixture(t, nil)
	in := f.signUp("toad")
	const n = account.RefreshTokens - 2
	got := make([]account.Tokens, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			tokens, err := f.Refresh(f.ctx, in.Tokens.Refresh, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
			if err != nil {
				t.Error(err)
			}
			got[i] = tokens
		})
	}
	all.Wait()
	seen := map[string]bool{}
	for _, tokens := range got {
		f.wantAccess(tokens.Access, 0)
		seen[tokens.Refresh.Reveal()] = true
	}
	if len(seen) != n {
		t.Errorf("%d different tokens of %d", len(seen), n)
	}
}
