package account_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/chat"
)

func TestSignUpSignsIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		start := time.Now()
		in, err := f.SignUp(f.ctx, account.SignUpRequest{
			Username: "Toad-1", Password: correct, DisplayName: "  A loud töad ", DeviceName: "phone", Address: home,
		})
		f.must(err)
		want := chat.User{ID: in.User.ID, Username: "Toad-1", DisplayName: "A loud töad"}
		if in.User != want || in.User.ID == 0 {
			t.Errorf("user %+v", in.User)
		}
		identity, err := f.Authenticate(f.ctx, in.Tokens.Access.Reveal(), home)
		f.must(err)
		if identity.Caller != caller(in) || !identity.ExpireTime.Equal(start.Add(time.Hour)) || !identity.ExpireTime.Equal(in.Tokens.AccessExpire) {
			t.Errorf("identity %+v of %+v", identity, in.Tokens)
		}
		if !in.Tokens.RefreshExpire.Equal(start.Add(30 * 24 * time.Hour)) {
			t.Errorf("session ends at %v", in.Tokens.RefreshExpire)
		}
		list, err := f.Sessions(f.ctx, caller(in))
		f.must(err)
		if len(list) != 1 || list[0].ID != in.Tokens.Session || list[0].DeviceName != "phone" || list[0].Address != "192.0.2.1" ||
			!list[0].CreateTime.Equal(start) || !list[0].RefreshTime.Equal(start) || !list[0].ExpireTime.Equal(in.Tokens.RefreshExpire) {
			t.Errorf("sessions %+v", list)
		}
	})
}

func TestSignUpWithoutDisplayNameShowsTheUsername(t *testing.T) {
	f := newFixture(t, nil)
	if in := f.signUp("Toad"); in.User.DisplayName != "Toad" {
		t.Errorf("user %+v", in.User)
	}
}

func TestUsernameIsUniqueWithoutRegardToCase(t *testing.T) {
	f := newFixture(t, nil)
	f.signUp("Toad")
	hashes := f.CountHashes()
	_, err := f.SignUp(f.ctx, account.SignUpRequest{Username: "tOAD", Password: correct, Address: home})
	f.wantReason(err, chat.ReasonUsernameTaken)
	if hashes.Load() != 0 {
		t.Error("hashed the password for a name that was taken")
	}
	if err := f.trySignIn("TOAD", correct, home); err != nil {
		t.Errorf("signing in in another case: %v", err)
	}
}

func TestUsernameTakenBetweenCheckAndStoring(t *testing.T) {
	f := newFixture(t, nil)
	f.HookHashes(func() {
		f.HookHashes(func() {})
		f.signUp("toad")
	})
	_, err := f.SignUp(f.ctx, account.SignUpRequest{Username: "toad", Password: correct, Address: home})
	f.wantReason(err, chat.ReasonUsernameTaken)
}

func TestSignUpCanBeClosed(t *testing.T) {
	f := newFixture(t, func(c *account.Config) { c.Settings.SignUpClosed = true })
	_, err := f.SignUp(f.ctx, account.SignUpRequest{Username: "toad", Password: correct, Address: home})
	f.wantReason(err, chat.ReasonSignUpClosed)
}

// TestUnknownUserLooksLikeWrongPassword compares answers and counts work; it measures no time.
func TestUnknownUserLooksLikeWrongPassword(t *testing.T) {
	f := newFixture(t, nil)
	f.signUp("toad")
	hashes := f.CountHashes()
	type answer struct {
		err     chat.Error
		hashes  int64
		lookups int
	}
	lookups := 0
	f.store.Before = func(string) error { lookups++; return nil }
	try := func(username string) (a answer) {
		before := hashes.Load()
		lookups = 0
		e, ok := chat.AsError(f.trySignIn(username, wrong, home))
		if !ok {
			t.Fatal("no error for the caller")
		}
		return answer{*e, hashes.Load() - before, lookups}
	}
	known, unknown := try("toad"), try("frog")
	if known != unknown || known.hashes != 1 || known.err.Reason != chat.ReasonWrongCredentials || known.err.Code != chat.CodeUnauthenticated {
		t.Errorf("known %+v, unknown %+v", known, unknown)
	}
	// What can't be a username isn't looked up, but tells nothing either.
	if impossible := try("to\x00ad"); impossible.err != known.err || impossible.hashes != 1 {
		t.Errorf("impossible %+v", impossible)
	}
}

func TestAttemptsAreRefusedBeforeHashing(t *testing.T) {
	for _, username := range []string{"toad", "frog"} { // known and unknown
		t.Run(username, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, func(c *account.Config) { c.Settings.SignInsHere = account.Rate{Burst: 3, Every: time.Minute} })
				f.signUp("toad")
				hashes := f.CountHashes()
				for range 3 {
					f.wantReason(f.trySignIn(username, wrong, home), chat.ReasonWrongCredentials)
				}
				f.store.Before = func(method string) error { return errors.New("looked up by " + method) }
				err := f.trySignIn(username, correct, home)
				f.store.Before = nil
				f.wantReason(err, chat.ReasonRateLimited)
				if e, _ := chat.AsError(err); e.RetryAfter != time.Minute || e.Code != chat.CodeResourceExhausted {
					t.Errorf("got %+v", e)
				}
				if hashes.Load() != 3 {
					t.Errorf("%d hashes", hashes.Load())
				}
				time.Sleep(time.Minute)
				f.wantReason(f.trySignIn(username, wrong, home), chat.ReasonWrongCredentials)
				f.wantReason(f.trySignIn(username, wrong, home), chat.ReasonRateLimited)
			})
		})
	}
}

func TestOneAddressCannotLockTheOwnerOut(t *testing.T) {
	f := newFixture(t, func(c *account.Config) { c.Settings.SignInsHere = account.Rate{Burst: 3, Every: time.Minute} })
	f.signUp("toad")
	for range 10 {
		_ = f.trySignIn("toad", wrong, abroad)
	}
	f.wantReason(f.trySignIn("toad", correct, abroad), chat.ReasonRateLimited)
	f.must(f.trySignIn("toad", correct, home))
}

func TestManyAddressesAreLimitedTogether(t *testing.T) {
	f := newFixture(t, func(c *account.Config) { c.Settings.SignInsAccount = account.Rate{Burst: 5, Every: time.Minute} })
	f.signUp("toad")
	for i := range 5 {
		f.wantReason(f.trySignIn("ToaD", wrong, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})), chat.ReasonWrongCredentials)
	}
	f.wantReason(f.trySignIn("toad", correct, home), chat.ReasonRateLimited)
}

func TestOneAddressIsLimitedOverAllAccounts(t *testing.T) {
	for name, address := range map[string]func(i int) netip.Addr{
		"IPv4": func(int) netip.Addr { return abroad },
		"IPv4 in IPv6": func(i int) netip.Addr {
			return netip.MustParseAddr([]string{"198.51.100.7", "::ffff:198.51.100.7"}[i%2])
		},
		"the same /64":   func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1)) },
		"with a zone":    func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("fe80::1%%eth%d", i)) },
		"unknown origin": func(int) netip.Addr { return netip.Addr{} },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, func(c *account.Config) {
				c.Settings.SignInsAddress = account.Rate{Burst: 4, Every: time.Minute}
				c.Settings.SignUpsAddress = account.Rate{Burst: 2, Every: time.Minute}
			})
			for i := range 4 {
				f.wantReason(f.trySignIn(fmt.Sprint("user", i), wrong, address(i)), chat.ReasonWrongCredentials)
			}
			f.wantReason(f.trySignIn("user9", wrong, address(4)), chat.ReasonRateLimited)
			f.wantReason(f.trySignIn("user9", wrong, home), chat.ReasonWrongCredentials)
			for i := range 3 {
				_, err := f.SignUp(f.ctx, account.SignUpRequest{Username: fmt.Sprint("user", i), Password: correct, Address: address(i)})
				f.wantReason(err, []chat.Reason{0, 0, chat.ReasonRateLimited}[i])
			}
		})
	}
}

func TestThisMachineIsLimitedOnlyWhereTold(t *testing.T) {
	for _, limit := range []bool{false, true} {
		for _, address := range []string{"127.0.0.1", "::1", "::ffff:127.0.0.1"} {
			f := newFixture(t, func(c *account.Config) {
				c.Settings.SignInsAddress = account.Rate{Burst: 1, Every: time.Minute}
				c.Settings.LimitLoopback = limit
			})
			want := chat.ReasonWrongCredentials
			if limit {
				want = chat.ReasonRateLimited
			}
			_ = f.trySignIn("toad", wrong, netip.MustParseAddr(address))
			f.wantReason(f.trySignIn("frog", wrong, netip.MustParseAddr(address)), want)
		}
	}
}

func TestSuccessForgivesAttemptsFromTheSamePlace(t *testing.T) {
	f := newFixture(t, func(c *account.Config) { c.Settings.SignInsHere = account.Rate{Burst: 3, Every: time.Minute} })
	f.signUp("toad")
	for range 5 {
		f.wantReason(f.trySignIn("toad", wrong, home), chat.ReasonWrongCredentials)
		f.wantReason(f.trySignIn("toad", wrong, home), chat.ReasonWrongCredentials)
		f.must(f.trySignIn("toad", correct, home))
	}
}

func TestLimiterThatFailsLetsNobodyIn(t *testing.T) {
	for _, failing := range []string{"take", "fill"} {
		f := newFixture(t, func(c *account.Config) { c.Limiter = failingLimiter{failing} })
		_, err := f.SignUp(f.ctx, account.SignUpRequest{Username: "toad", Password: correct, Address: home})
		if failing == "take" {
			f.wantReason(err, chat.ReasonUnavailable)
		}
		f.wantReason(f.trySignIn("toad", correct, home), chat.ReasonUnavailable)
	}
}

// failingLimiter fails in one of its methods.
type failingLimiter struct{ method string }

func (l failingLimiter) Take(_ context.Context, _ account.Bucket) (time.Duration, error) {
	return 0, l.err("take")
}
func (l failingLimiter) Fill(_ context.Context, _ account.Bucket) error { return l.err("fill") }

func (l failingLimiter) err(method string) error {
	if l.method == method {
		return chat.Unavailable(errors.New("limiter is away"))
	}
	return nil
}

func TestPasswordHashedAtAnotherCostIsHashedAnew(t *testing.T) {
	f := newFixture(t, nil)
	in := f.signUp("toad")
	before, _, err := f.store.CredentialsByUser(f.ctx, in.User.ID)
	f.must(err)
	dearer := account.New(account.Config{
		Store: f.store, Settings: account.Settings{HashCost: account.HashCost{MemoryKiB: 16, Passes: 2, Threads: 2}},
	})
	hashes := dearer.CountHashes()
	signIn := func(password account.Secret) error {
		_, err := dearer.SignIn(f.ctx, account.SignInRequest{Username: "toad", Password: password, Address: home})
		return err
	}
	f.wantReason(signIn(wrong), chat.ReasonWrongCredentials)
	if hashes.Swap(0) != 1 {
		t.Error("hashed a wrong password anew")
	}
	for _, want := range []int64{2, 1} { // only once
		f.must(signIn(correct))
		if n := hashes.Swap(0); n != want {
			t.Errorf("%d hashes, want %d", n, want)
		}
	}
	after, _, err := f.store.CredentialsByUser(f.ctx, in.User.ID)
	f.must(err)
	if !strings.HasPrefix(after.PasswordHash, "$argon2id$v=19$m=16,t=2,p=2$") || after.Version != before.Version {
		t.Errorf("credentials %+v", after)
	}
	f.must(f.trySignIn("toad", correct, home))
}

func TestLineOfHashesIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(c *account.Config) {
			c.Settings.HashesAtOnce, c.Settings.HashLine = 2, 3
			c.Settings.SignInsAddress = account.Rate{Burst: 100, Every: time.Second}
		})
		f.signUp("toad")
		gate := make(chan struct{})
		running := make(chan struct{}, 10)
		f.HookHashes(func() { running <- struct{}{}; <-gate })
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				if err := f.trySignIn("toad", correct, home); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if len(running) != 2 || f.Stats().HashesWaiting != 3 {
			t.Errorf("%d hashes at once, %d waiting", len(running), f.Stats().HashesWaiting)
		}
		err := f.trySignIn("toad", correct, home)
		f.wantReason(err, chat.ReasonRateLimited)
		if e, _ := chat.AsError(err); e.RetryAfter <= 0 {
			t.Error("no word of when to try again")
		}
		close(gate)
		all.Wait()
		if f.Stats().HashesWaiting != 0 {
			t.Error("somebody still waits")
		}
		f.must(f.trySignIn("toad", correct, home))
	})
}
