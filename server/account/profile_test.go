package account_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/chat"
)

func TestProfileChangesWhatIsSet(t *testing.T) {
	f := newFixture(t, nil)
	in := f.signUp("toad")
	a, err := f.Account(f.ctx, caller(in))
	f.must(err)
	want := a
	for _, step := range []struct {
		change account.ProfileChange
		apply  func()
	}{
		{account.ProfileChange{}, func() {}},
		{account.ProfileChange{DisplayName: new(" A töad\u00a0")}, func() { want.DisplayName = "A töad" }},
		{account.ProfileChange{AvatarURL: new("https://example.org/ä.png?x=1#y")}, func() { want.AvatarURL = "https://example.org/ä.png?x=1#y" }},
		{account.ProfileChange{PresenceHidden: new(true), DisplayName: new("🐸")}, func() { want.PresenceHidden, want.DisplayName = true, "🐸" }},
		{account.ProfileChange{AvatarURL: new("")}, func() { want.AvatarURL = "" }},
	} {
		step.apply()
		a, err := f.UpdateProfile(f.ctx, caller(in), step.change)
		f.must(err)
		if a != want {
			t.Errorf("got %+v, want %+v", a, want)
		}
	}
	a, err = f.Account(f.ctx, caller(in))
	f.must(err)
	if a != want || a.CreateTime.IsZero() {
		t.Errorf("stored %+v, want %+v", a, want)
	}
}

func TestProfileOfAnAccountThatIsGone(t *testing.T) {
	f := newFixture(t, nil)
	_, err := f.Account(f.ctx, chat.Caller{User: 1})
	f.wantReason(err, chat.ReasonNotFound)
	_, err = f.UpdateProfile(f.ctx, chat.Caller{User: 1}, account.ProfileChange{PresenceHidden: new(true)})
	f.wantReason(err, chat.ReasonNotFound)
	if len(f.told.hidden) != 0 {
		t.Error("told of it")
	}
}

func TestPresenceFollowsHiding(t *testing.T) {
	f := newFixture(t, nil)
	in := f.signUp("toad")
	for _, change := range []account.ProfileChange{
		{PresenceHidden: new(true)}, {DisplayName: new("x")}, {PresenceHidden: new(false)}, {PresenceHidden: new(false)},
	} {
		_, err := f.UpdateProfile(f.ctx, caller(in), change)
		f.must(err)
	}
	f.store.Before = func(string) error { return errors.New("broken") }
	if _, err := f.UpdateProfile(f.ctx, caller(in), account.ProfileChange{PresenceHidden: new(true)}); err == nil {
		t.Error("no error")
	}
	if want := []bool{true, false, false}; !slices.Equal(f.told.hidden, want) {
		t.Errorf("told %v, want %v", f.told.hidden, want)
	}
}

// TestPresenceIsToldInTheOrderOfTheChanges lets a second change come while the first one is stored but not yet told.
func TestPresenceIsToldInTheOrderOfTheChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hider := &slowHider{entered: make(chan bool), leave: make(chan struct{})}
		f := newFixture(t, func(c *account.Config) { c.Hider = hider })
		in := f.signUp("toad")
		results := make(chan error, 2)
		hide := func(ctx context.Context, hidden bool) {
			_, err := f.UpdateProfile(ctx, caller(in), account.ProfileChange{PresenceHidden: &hidden})
			results <- err
		}
		go hide(f.ctx, true)
		<-hider.entered
		ctx, cancel := context.WithCancel(f.ctx)
		go hide(ctx, false)
		synctest.Wait()
		if a, err := f.Account(f.ctx, caller(in)); err != nil || !a.PresenceHidden {
			t.Errorf("the second change didn't wait: %+v, %v", a, err)
		}
		cancel() // waiting can be given up
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		close(hider.leave)
		if err := <-results; err != nil {
			t.Error(err)
		}
	})
}

type slowHider struct {
	entered chan bool
	leave   chan struct{}
}

func (h *slowHider) SetHidden(_ chat.UserID, hidden bool) {
	h.entered <- hidden
	<-h.leave
}

// TestBadInput holds every text against what the schema promises. All answers are typed and name the field.
func TestBadInput(t *testing.T) {
	signUp := func(change func(*account.SignUpRequest)) func(*fixture, account.SignedIn) error {
		return func(f *fixture, _ account.SignedIn) error {
			r := account.SignUpRequest{Username: "frog", Password: correct, Address: home}
			change(&r)
			_, err := f.SignUp(f.ctx, r)
			return err
		}
	}
	username := func(s string) func(*fixture, account.SignedIn) error {
		return signUp(func(r *account.SignUpRequest) { r.Username = s })
	}
	password := func(s string) func(*fixture, account.SignedIn) error {
		return signUp(func(r *account.SignUpRequest) { r.Password = account.NewSecret(s) })
	}
	displayName := func(s string) func(*fixture, account.SignedIn) error {
		return func(f *fixture, in account.SignedIn) error {
			_, err := f.UpdateProfile(f.ctx, caller(in), account.ProfileChange{DisplayName: &s})
			return err
		}
	}
	avatar := func(s string) func(*fixture, account.SignedIn) error {
		return func(f *fixture, in account.SignedIn) error {
			_, err := f.UpdateProfile(f.ctx, caller(in), account.ProfileChange{AvatarURL: &s})
			return err
		}
	}
	device := func(s string) func(*fixture, account.SignedIn) error {
		return func(f *fixture, _ account.SignedIn) error {
			_, err := f.SignIn(f.ctx, account.SignInRequest{Username: "toad", Password: correct, DeviceName: s, Address: home})
			return err
		}
	}
	long := strings.Repeat
	for name, test := range map[string]struct {
		call  func(*fixture, account.SignedIn) error
		field string // empty: it is good
	}{
		"username, shortest":               {username("abc"), ""},
		"username, longest":                {username(long("a", 32)), ""},
		"username, all characters":         {username("0aZ._-"), ""},
		"username, empty":                  {username(""), "username"},
		"username, short":                  {username("ab"), "username"},
		"username, long":                   {username(long("a", 33)), "username"},
		"username, 10 MiB":                 {username(long("a", 10<<20)), "username"},
		"username, beginning with a dot":   {username(".abc"), "username"},
		"username, with a space":           {username("a bc"), "username"},
		"username, with NUL":               {username("abc\x00"), "username"},
		"username, with a line break":      {username("abc\n"), "username"},
		"username, Cyrillic":               {username("аbc"), "username"},
		"username, SQL":                    {username("a'; DROP TABLE users; --"), "username"},
		"password, shortest":               {password("12345678"), ""},
		"password, eight others":           {password("ääääääää"), ""},
		"password, of any kind":            {password("\x00\t\n\u202e 🐸🐸🐸"), ""},
		"password, longest":                {password(long("x", 256)), ""},
		"password, empty":                  {password(""), "password"},
		"password, short":                  {password("1234567"), "password"},
		"password, short in other letters": {password("äääää"), "password"},
		"password, long":                   {password(long("x", 257)), "password"},
		"password, not UTF-8":              {password("12345678\xff"), "password"},
		"display name, longest":            {displayName(long("ä", 64)), ""},
		"display name, HTML":               {displayName("<script>alert(1)</script>"), ""},
		"display name, a family of emoji":  {displayName("👨‍👩‍👧‍👦"), ""},
		"display name, empty":              {displayName(""), "display_name"},
		"display name, white":              {displayName(" \u00a0\u2003 "), "display_name"},
		"display name, nothing to see":     {displayName("\u200b\u200d\u2060"), "display_name"},
		"display name, marks alone":        {displayName("\u0301\u0301"), "display_name"},
		"display name, long":               {displayName(long("x", 65)), "display_name"},
		"display name, 10,000 marks":       {displayName("a" + long("\u0301", 10000)), "display_name"},
		"display name, control":            {displayName("a\x07"), "display_name"},
		"display name, C1 control":         {displayName("a\u0085b"), "display_name"},
		"display name, override":           {displayName("a\u202eb"), "display_name"},
		"display name, isolate":            {displayName("a\u2066b"), "display_name"},
		"display name, not UTF-8":          {displayName("a\xffb"), "display_name"},
		"display name at sign-up":          {signUp(func(r *account.SignUpRequest) { r.DisplayName = "a\x00" }), "display_name"},
		"device name at sign-up":           {signUp(func(r *account.SignUpRequest) { r.DeviceName = "a\x00" }), "device_name"},
		"device name, empty":               {device(""), ""},
		"device name, longest":             {device(long("ä", 64)), ""},
		"device name, long":                {device(long("x", 65)), "device_name"},
		"device name, control":             {device("a\rb"), "device_name"},
		"avatar, a host":                   {avatar("https://example.org"), ""},
		"avatar, longest":                  {avatar("https://example.org/" + long("x", 2048-20)), ""},
		"avatar, long":                     {avatar("https://example.org/" + long("x", 2049-20)), "avatar_url"},
		"avatar, http":                     {avatar("http://example.org/"), "avatar_url"},
		"avatar, javascript":               {avatar("javascript:alert(1)"), "avatar_url"},
		"avatar, data":                     {avatar("data:image/png;base64,AAAA"), "avatar_url"},
		"avatar, no host":                  {avatar("https:///x"), "avatar_url"},
		"avatar, only a port":              {avatar("https://:80/x"), "avatar_url"},
		"avatar, a user in it":             {avatar("https://bank.example@example.org/"), "avatar_url"},
		"avatar, a space":                  {avatar("https://example.org/a b"), "avatar_url"},
		"avatar, a quote":                  {avatar(`https://example.org/"onerror=`), "avatar_url"},
		"avatar, a line break":             {avatar("https://example.org/\n"), "avatar_url"},
		"avatar, NUL":                      {avatar("https://example.org/\x00"), "avatar_url"},
		"avatar, a bad escape":             {avatar("https://example.org/%zz"), "avatar_url"},
		"avatar, not UTF-8":                {avatar("https://example.org/\xff"), "avatar_url"},
		"signing in, a long username":      {func(f *fixture, _ account.SignedIn) error { return f.trySignIn(long("a", 33), correct, home) }, "username"},
		"signing in, a long password": {func(f *fixture, _ account.SignedIn) error {
			return f.trySignIn("toad", account.NewSecret(long("x", 257)), home)
		}, "password"},
		"changing to a short password": {func(f *fixture, in account.SignedIn) error {
			return f.ChangePassword(f.ctx, caller(in), correct, account.NewSecret("1234567"), home)
		}, "new_password"},
		"changing from a long one": {func(f *fixture, in account.SignedIn) error {
			return f.ChangePassword(f.ctx, caller(in), account.NewSecret(long("x", 257)), correct, home)
		}, "current_password"},
		"changing to the same password": {func(f *fixture, in account.SignedIn) error {
			return f.ChangePassword(f.ctx, caller(in), correct, correct, home)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			in := f.signUp("toad")
			hashes := f.CountHashes()
			err := test.call(f, in)
			if test.field == "" {
				f.must(err)
				return
			}
			f.wantReason(err, chat.ReasonInvalidField)
			if e, _ := chat.AsError(err); e.Field != test.field || e.Code != chat.CodeInvalidArgument || len(e.Message) > 200 {
				t.Errorf("got %+v", e)
			}
			if hashes.Load() != 0 {
				t.Error("hashed it")
			}
		})
	}
}
