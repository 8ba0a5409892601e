package client

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	authv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1"
	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
)

func TestSignUpAndSignIn(t *testing.T) {
	m := newModel()
	o := Options{ServerURL: m.serve(t) + "/"}
	s, err := SignUp(t.Context(), o, Credentials{Username: "ada", Password: "correct horse"}, "Ada")
	if err != nil || s.Username != "ada" || s.UserID != me || s.AccessToken == "" || s.RefreshToken == "" {
		t.Fatalf("%+v, %v", s, err)
	}
	if _, err = SignIn(t.Context(), o, Credentials{Username: "ada", Password: "correct horse"}); err != nil {
		t.Fatal(err)
	}
	_, err = SignIn(t.Context(), o, Credentials{Username: "ada", Password: "wrong"})
	var e *Error
	if !errors.As(err, &e) || e.Code != connect.CodeUnauthenticated || e.Reason != chatv1.ErrorReason_ERROR_REASON_WRONG_CREDENTIALS || e.Retryable() {
		t.Fatalf("error %v", err)
	}
}

func TestSessionIsRefreshedOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		old := validSession()
		old.AccessTokenExpire = time.Now().Add(refreshAhead - time.Second) // good, but not for long
		store := MemorySession(old)
		c, err := New(Options{ServerURL: "http://model", HTTPClient: m.inMemory(), Transport: m, Session: store})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var calls sync.WaitGroup
		for range 20 {
			calls.Go(func() {
				if _, err := c.Chat().ListEvents(t.Context(), &chatv1.ListEventsRequest{}); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
		if m.refreshes != 1 {
			t.Fatalf("%d refreshes, want 1", m.refreshes)
		}
		if s, _ := store.Load(t.Context()); s.RefreshToken != "refresh-1" || s.UserID != me {
			t.Fatalf("stored %+v", s)
		}
	})
}

// authority lets a handler ask for the Authorization that a call came with.
type authority struct {
	*model
	check func(string) error
}

func (a authority) GetAccount(ctx context.Context, _ *authv1.GetAccountRequest) (*authv1.GetAccountResponse, error) {
	info, _ := connect.CallInfoForHandlerContext(ctx)
	return &authv1.GetAccountResponse{}, a.check(info.RequestHeader().Get("Authorization"))
}

func TestRefusedTokenIsReplacedAndTheCallRepeated(t *testing.T) {
	m := newModel()
	calls := 0
	url := serve(t, authority{m, func(got string) error {
		calls++
		m.mu.Lock()
		defer m.mu.Unlock()
		if got != "Bearer "+m.access {
			return tokenExpired()
		}
		return nil
	}})
	m.access = "revoked meanwhile"
	c, err := New(Options{ServerURL: url, Session: MemorySession(validSession())})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Auth().GetAccount(t.Context(), &authv1.GetAccountRequest{}); err != nil {
		t.Fatal(err)
	}
	if calls != 2 || m.refreshes != 1 {
		t.Fatalf("%d calls, %d refreshes", calls, m.refreshes)
	}
	m.refresh, m.access = "spent by somebody", "another"
	if _, err := c.Auth().GetAccount(t.Context(), &authv1.GetAccountRequest{}); !errors.Is(AsError(err), ErrSessionEnded) {
		t.Fatalf("error %v, want ErrSessionEnded", err)
	}
}

func TestCredentialsSignInWhereTheSessionHasRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		m.refresh = "another"
		old := validSession()
		old.AccessTokenExpire = time.Now()
		c := m.start(t, Options{Session: MemorySession(old), Credentials: &Credentials{Username: "bot", Password: "correct horse"}})
		defer c.Close()
		synctest.Wait()
		if c.State() != (Live{}) || m.signIns != 1 {
			t.Fatalf("state %#v, %d sign-ins", c.State(), m.signIns)
		}
	})
}

func TestStreamEndsForGoodWithoutAWayToSignIn(t *testing.T) {
	for name, o := range map[string]Options{
		"no session":        {Session: MemorySession(nil)},
		"wrong credentials": {Credentials: &Credentials{Username: "bot", Password: "wrong"}},
		"spent session":     {Session: MemorySession(&Session{AccessToken: "x", RefreshToken: "spent"})},
		"token source":      {Token: func(context.Context) (string, error) { return "never good", nil }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newModel()
				c := m.start(t, o)
				defer c.Close()
				var err error
				for err == nil {
					_, err = c.Next(t.Context())
				}
				if !errors.Is(err, ErrSessionEnded) {
					t.Fatalf("error %v, want ErrSessionEnded", err)
				}
				if m.opened > maxRefusals {
					t.Fatalf("%d attempts", m.opened)
				}
			})
		})
	}
}

func TestTokenSourceIsAskedForEachConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		asked := 0
		c := m.start(t, Options{Token: func(context.Context) (string, error) { asked++; return m.access, nil }})
		defer c.Close()
		synctest.Wait()
		m.access = "newer"
		m.goodbye(chatv1.GoodbyeReason_GOODBYE_REASON_TOKEN_EXPIRED, 0)
		synctest.Wait()
		if c.State() != (Live{}) || asked != 2 || c.User() != me {
			t.Fatalf("state %#v, asked %d times, user %q", c.State(), asked, c.User())
		}
	})
}

func TestFileSessionIsSharedByProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "profile", "session.json")
	m := newModel()
	url := m.serve(t)
	old := validSession()
	old.AccessTokenExpire = time.Now()
	must(t, FileSession(path).Update(t.Context(), func(s *Session) (*Session, error) {
		if s != nil {
			t.Errorf("found %+v in a new file", s)
		}
		return old, nil
	}))
	var both sync.WaitGroup
	for range 2 { // two stores on one file are as two processes
		c, err := New(Options{ServerURL: url, Session: FileSession(path)})
		must(t, err)
		defer c.Close()
		both.Go(func() {
			if _, err := c.Chat().ListEvents(t.Context(), &chatv1.ListEventsRequest{}); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	if m.refreshes != 1 {
		t.Fatalf("%d refreshes, want one for both", m.refreshes)
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v", info.Mode())
	}
	files, err := os.ReadDir(filepath.Dir(path))
	must(t, err)
	if len(files) != 2 { // and its lock
		t.Fatalf("files left: %v", files)
	}
	must(t, FileSession(path).Update(t.Context(), func(*Session) (*Session, error) { return nil, nil }))
	if s, err := FileSession(path).Load(t.Context()); s != nil || err != nil {
		t.Fatalf("%+v, %v after removing it", s, err)
	}
	must(t, FileSession(path).Update(t.Context(), func(*Session) (*Session, error) { return nil, nil })) // none to remove
}

func TestFileSessionErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "session.json")
	must(t, os.WriteFile(path, []byte("{"), 0o600))
	if _, err := FileSession(path).Load(t.Context()); err == nil {
		t.Fatal("a broken file is no error")
	}
	if err := FileSession(path).Update(t.Context(), func(*Session) (*Session, error) { return nil, nil }); err == nil {
		t.Fatal("a broken file was replaced without a word")
	}
	must(t, os.Remove(path))
	boom := errors.New("boom")
	if err := FileSession(path).Update(t.Context(), func(*Session) (*Session, error) { return &Session{}, boom }); !errors.Is(err, boom) {
		t.Fatalf("error %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("written in spite of the error")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := FileSession(path).Update(ended, func(*Session) (*Session, error) { return nil, nil }); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
}

func TestSignOutForgetsTheSession(t *testing.T) {
	m := newModel()
	store := MemorySession(validSession())
	c, err := New(Options{ServerURL: serve(t, signOuter{m}), Session: store})
	must(t, err)
	defer c.Close()
	must(t, c.SignOut(t.Context()))
	if s, _ := store.Load(t.Context()); s != nil {
		t.Fatalf("kept %+v", s)
	}
}

type signOuter struct{ *model }

func (signOuter) SignOut(context.Context, *authv1.SignOutRequest) (*authv1.SignOutResponse, error) {
	return &authv1.SignOutResponse{}, nil
}

func TestNewRefusesOptionsThatCantWork(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken")
	must(t, os.WriteFile(broken, []byte("{"), 0o600))
	for name, o := range map[string]Options{
		"no URL":            {Session: MemorySession(nil)},
		"nobody":            {ServerURL: "http://x"},
		"broken session":    {ServerURL: "http://x", Session: FileSession(broken)},
		"broken checkpoint": {ServerURL: "http://x", Session: MemorySession(nil), Checkpoint: FileCheckpoint(broken)},
	} {
		if c, err := New(o); err == nil {
			_ = c.Close()
			t.Errorf("%s: no error", name)
		}
	}
}
