package account_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/chat"
)

// countLookups counts how often the store is asked for access tokens.
func (f *fixture) countLookups() *int {
	n := 0
	f.store.Before = func(method string) error {
		if method == "AccessToken" {
			n++
		}
		return nil
	}
	return &n
}

func TestTokenIsRememberedForAShortTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		in := f.signUp("toad")
		lookups := f.countLookups()
		for range 10 {
			f.wantAccess(in.Tokens.Access, 0)
		}
		if *lookups != 1 {
			t.Errorf("%d look-ups", *lookups)
		}
		time.Sleep(10*time.Second - moment)
		f.wantAccess(in.Tokens.Access, 0)
		if *lookups != 1 {
			t.Errorf("%d look-ups before the time was over", *lookups)
		}
		time.Sleep(moment)
		f.wantAccess(in.Tokens.Access, 0)
		if *lookups != 2 {
			t.Errorf("%d look-ups after the time was over", *lookups)
		}
	})
}

func TestTokensThatCantBeAreRefusedWithoutTheStore(t *testing.T) {
	f := newFixture(t, nil)
	good := f.signUp("toad").Tokens.Access.Reveal()
	lookups := f.countLookups()
	for _, bad := range []string{
		"", "nja_", "Bearer " + good, good[1:], good[:len(good)-1], good + "A", good + good, " " + good, good + " ", good + "\n",
		"njr_" + good[4:], "NJA_" + good[4:], good[:20] + "\n" + good[21:], good[:20] + "=" + good[21:], good[:20] + "/" + good[21:],
		good[:20] + "\x00" + good[21:], good[:20] + "é" + good[22:],
	} {
		f.wantAccess(account.NewSecret(bad), chat.ReasonInvalidSession)
		_, err := f.Confirm(f.ctx, bad)
		f.wantReason(err, chat.ReasonInvalidSession)
	}
	if *lookups != 0 {
		t.Errorf("%d look-ups", *lookups)
	}
}

// forged returns token n of those that don't exist.
func forged(n int) account.Secret { return account.NewSecret(fmt.Sprintf("nja_%042dA", n)) }

func TestUnknownTokenIsAskedForOnce(t *testing.T) {
	f := newFixture(t, nil)
	lookups := f.countLookups()
	for range 10 {
		f.wantAccess(forged(1), chat.ReasonInvalidSession)
	}
	if *lookups != 1 {
		t.Errorf("%d look-ups", *lookups)
	}
}

func TestUnknownTokensAreLimitedByAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		cached, fresh := f.signUp("toad"), f.signIn("toad")
		f.wantAccess(cached.Tokens.Access, 0)
		burst := account.FloodRate.Burst
		for i := range burst {
			f.wantAccess(forged(i), chat.ReasonInvalidSession)
		}
		lookups := f.countLookups()
		_, err := f.Authenticate(f.ctx, forged(burst).Reveal(), home)
		f.wantReason(err, chat.ReasonRateLimited)
		if e, _ := chat.AsError(err); e.RetryAfter <= 0 {
			t.Errorf("got %+v", e)
		}
		f.wantAccess(fresh.Tokens.Access, chat.ReasonRateLimited)
		f.wantAccess(cached.Tokens.Access, 0) // those who are at work there already don't notice
		if *lookups != 0 {
			t.Errorf("%d look-ups", *lookups)
		}
		_, err = f.Authenticate(f.ctx, fresh.Tokens.Access.Reveal(), abroad)
		f.wantReason(err, 0)
		time.Sleep(account.FloodRate.Every)
		f.wantAccess(forged(burst), chat.ReasonInvalidSession)
	})
}

func TestForgetMakesTheNextRequestAskTheStore(t *testing.T) {
	f := newFixture(t, nil)
	in, other := f.signUp("toad"), f.signIn("toad")
	f.wantAccess(in.Tokens.Access, 0)
	f.wantAccess(other.Tokens.Access, 0)
	// Another node ends the session.
	_, err := f.store.EndSession(f.ctx, in.User.ID, in.Tokens.Session)
	f.must(err)
	f.wantAccess(in.Tokens.Access, 0) // not told yet
	lookups := f.countLookups()
	f.Forget([]chat.SessionID{in.Tokens.Session})
	f.wantAccess(in.Tokens.Access, chat.ReasonInvalidSession)
	f.wantAccess(other.Tokens.Access, 0)
	if *lookups != 1 {
		t.Errorf("%d look-ups", *lookups)
	}
}

func TestEndOnAnotherNodeHoldsAfterTheCacheTimeAtTheLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(c *account.Config) { c.Settings.CacheTime = time.Hour })
		in := f.signUp("toad")
		f.wantAccess(in.Tokens.Access, 0)
		_, err := f.store.EndSession(f.ctx, in.User.ID, in.Tokens.Session)
		f.must(err)
		time.Sleep(30 * time.Second) // no setting makes it longer
		f.wantAccess(in.Tokens.Access, chat.ReasonInvalidSession)
	})
}

func TestConfirmAsksTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		in := f.signUp("toad")
		f.wantAccess(in.Tokens.Access, 0)
		identity, err := f.Confirm(f.ctx, in.Tokens.Access.Reveal())
		f.must(err)
		if identity.Caller != caller(in) || !identity.ExpireTime.Equal(in.Tokens.AccessExpire) {
			t.Errorf("got %+v", identity)
		}
		_, err = f.store.EndSession(f.ctx, in.User.ID, in.Tokens.Session)
		f.must(err)
		_, err = f.Confirm(f.ctx, in.Tokens.Access.Reveal())
		f.wantReason(err, chat.ReasonInvalidSession)
		f.wantAccess(in.Tokens.Access, chat.ReasonInvalidSession) // has learned it

		other := f.signIn("toad")
		time.Sleep(time.Hour)
		_, err = f.Confirm(f.ctx, other.Tokens.Access.Reveal())
		f.wantReason(err, chat.ReasonTokenExpired)
	})
}

// TestEndDuringALookUpIsNotOutlivedByTheCache: the look-up read the token before the end and returns after it.
func TestEndDuringALookUpIsNotOutlivedByTheCache(t *testing.T) {
	f := newFixture(t, nil)
	in := f.signUp("toad")
	slow := slowStore{Memory: f.store, read: make(chan struct{}), answer: make(chan struct{})}
	service := account.New(account.Config{Store: &slow, Revoker: f.told})
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := service.Authenticate(f.ctx, in.Tokens.Access.Reveal(), home); err != nil {
			t.Errorf("the request that came before the end: %v", err)
		}
	})
	<-slow.read
	f.must(service.SignOut(f.ctx, caller(in)))
	close(slow.answer)
	all.Wait()
	_, err := service.Authenticate(f.ctx, in.Tokens.Access.Reveal(), home)
	f.wantReason(err, chat.ReasonInvalidSession)
}
