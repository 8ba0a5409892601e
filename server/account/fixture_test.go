package account_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/account/accounttest"
	"github.com/natterjack-chat/natterjack/server/chat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	home    = netip.MustParseAddr("192.0.2.1")
	abroad  = netip.MustParseAddr("198.51.100.7")
	cheap   = account.HashCost{MemoryKiB: 8, Passes: 1, Threads: 1}
	correct = account.NewSecret("correct horse battery")
	wrong   = account.NewSecret("wrong horse battery")
)

// fixture is a service over a store in memory, with what it tells others.
type fixture struct {
	testing.TB
	*account.Service
	ctx   context.Context
	store *accounttest.Memory
	told  *told
}

// told notes what a service tells others. Safe for concurrent use.
type told struct {
	mu     sync.Mutex
	ended  []chat.SessionID
	hidden []bool
	log    bytes.Buffer
}

func (t *told) EndSessions(ids []chat.SessionID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = append(t.ended, ids...)
}

func (t *told) SetHidden(_ chat.UserID, hidden bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hidden = append(t.hidden, hidden)
}

func (t *told) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.log.Write(b)
}

// takeEnded returns the sessions whose streams were ended since it was last called, in the order of their ids.
func (t *told) takeEnded() []chat.SessionID {
	t.mu.Lock()
	defer t.mu.Unlock()
	ids := t.ended
	t.ended = nil
	slices.Sort(ids)
	return ids
}

// newFixture returns a service with cheap hashes; change, if not nil, changes what it is made of.
func newFixture(tb testing.TB, change func(*account.Config)) *fixture {
	f := &fixture{TB: tb, ctx: tb.Context(), store: accounttest.NewMemory(), told: &told{}}
	cfg := account.Config{
		Store: f.store, Revoker: f.told, Hider: f.told,
		Logger:   slog.New(slog.NewJSONHandler(f.told, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Settings: account.Settings{HashCost: cheap},
	}
	if change != nil {
		change(&cfg)
	}
	f.Service = account.New(cfg)
	return f
}

func (f *fixture) signUp(username string) account.SignedIn {
	f.Helper()
	in, err := f.SignUp(f.ctx, account.SignUpRequest{Username: username, Password: correct, DeviceName: "first", Address: home})
	if err != nil {
		f.Fatal(err)
	}
	return in
}

func (f *fixture) trySignIn(username string, password account.Secret, address netip.Addr) error {
	_, err := f.SignIn(f.ctx, account.SignInRequest{Username: username, Password: password, Address: address})
	return err
}

func (f *fixture) signIn(username string) account.SignedIn {
	f.Helper()
	in, err := f.SignIn(f.ctx, account.SignInRequest{Username: username, Password: correct, Address: home})
	if err != nil {
		f.Fatal(err)
	}
	return in
}

func caller(in account.SignedIn) chat.Caller {
	return chat.Caller{User: in.User.ID, Session: in.Tokens.Session}
}

// tryAccess reports why an access token isn't let in; 0: it is.
func (f *fixture) tryAccess(token account.Secret) chat.Reason {
	f.Helper()
	_, err := f.Authenticate(f.ctx, token.Reveal(), home)
	return f.reason(err)
}

// reason is that of an error, 0 of none.
func (f *fixture) reason(err error) chat.Reason {
	f.Helper()
	if err == nil {
		return 0
	}
	e, ok := chat.AsError(err)
	if !ok {
		f.Fatalf("an error that isn't meant for the caller: %v", err)
	}
	return e.Reason
}

func (f *fixture) wantReason(err error, want chat.Reason) {
	f.Helper()
	if got := f.reason(err); got != want {
		f.Fatalf("got reason %v (%v), want %v", got, err, want)
	}
}

func (f *fixture) wantAccess(token account.Secret, want chat.Reason) {
	f.Helper()
	if got := f.tryAccess(token); got != want {
		f.Fatalf("access token: got reason %v, want %v", got, want)
	}
}

// wantEnded checks whose streams were ended since the last call.
func (f *fixture) wantEnded(want ...chat.SessionID) {
	f.Helper()
	slices.Sort(want)
	if got := f.told.takeEnded(); !slices.Equal(got, want) {
		f.Fatalf("ended the streams of %v, want %v", got, want)
	}
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

const moment = time.Millisecond

// signUpAs signs up user n of a kind.
func (f *fixture) signUpAs(kind string, n int) account.SignedIn {
	f.Helper()
	return f.signUp(fmt.Sprint(kind, n))
}

// slowStore has read an access token when it says so on read, the first time, and returns it after answer is closed.
type slowStore struct {
	*accounttest.Memory
	once         sync.Once
	read, answer chan struct{}
}

func (s *slowStore) AccessToken(ctx context.Context, h account.Hash) (t account.AccessToken, ok bool, err error) {
	t, ok, err = s.Memory.AccessToken(ctx, h)
	s.once.Do(func() {
		close(s.read)
		<-s.answer
	})
	return t, ok, err
}

// before calls fn once, ahead of the next call of a method of the store.
func (f *fixture) before(method string, fn func()) {
	f.store.Before = func(m string) error {
		if m == method {
			f.store.Before = nil
			fn()
		}
		return nil
	}
}
