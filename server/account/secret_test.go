package account_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/natterjack-chat/natterjack/server/account"
)

func TestSecretShowsItselfOnlyWhenAsked(t *testing.T) {
	const text = "hunter2hunter2"
	secret := account.NewSecret(text)
	if secret.Reveal() != text || (account.Secret{}).Reveal() != "" {
		t.Error("Reveal doesn't")
	}
	hidden := struct {
		request account.SignInRequest
		secret  account.Secret
	}{account.SignInRequest{Username: "toad", Password: secret}, secret}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%p", "%T"} {
		for _, value := range []any{secret, &secret, hidden, &hidden, []any{secret}, map[string]any{"a": secret}, account.Tokens{Access: secret}} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
	}
	for _, logger := range []*slog.Logger{slog.New(slog.NewJSONHandler(&out, nil)), slog.New(slog.NewTextHandler(&out, nil))} {
		logger.Info("a", "secret", secret, "request", hidden.request, "hidden", hidden, "tokens", account.Tokens{Refresh: secret})
	}
	b, err := json.Marshal(hidden.request)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(b)
	for _, leak := range []string{text, fmt.Sprintf("%x", text), fmt.Sprintf("%d", []byte(text)), "hunter"} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("%q leaked:\n%s", leak, out.String())
		}
	}
	if !strings.Contains(out.String(), "[secret]") {
		t.Error("nothing was printed")
	}
}

// TestSecretsAreNeverLogged goes through everything that logs, and through errors of every kind, with the log at its most talkative.
func TestSecretsAreNeverLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		next := account.NewSecret("another horse battery")
		in := f.signUp("toad")
		tokens := f.refresh(in.Tokens.Refresh)
		said := []string{}
		say := func(err error) { said = append(said, fmt.Sprintf("%v %+v %#v", err, err, err)) }
		say(f.trySignIn("toad", wrong, home))
		_, err := f.SignUp(f.ctx, account.SignUpRequest{Username: "toad", Password: correct, Address: home})
		say(err)
		_, err = f.Authenticate(f.ctx, tokens.Access.Reveal()+"x", home)
		say(err)
		say(f.ChangePassword(f.ctx, caller(in), correct, next, home))
		time.Sleep(time.Minute)
		_, err = f.Refresh(f.ctx, in.Tokens.Refresh, home)
		say(err)
		_, err = f.Refresh(f.ctx, tokens.Refresh, home)
		say(err)
		text := strings.Join(said, "\n") + f.told.log.String()
		if f.told.log.Len() == 0 {
			t.Error("nothing was logged")
		}
		for _, secret := range []account.Secret{correct, wrong, next, in.Tokens.Access, in.Tokens.Refresh, tokens.Access, tokens.Refresh} {
			if s := secret.Reveal(); strings.Contains(text, s) || strings.Contains(text, s[4:15]) {
				t.Errorf("%q leaked:\n%s", s, text)
			}
		}
		if strings.Contains(text, "argon2id") {
			t.Error("a hash leaked")
		}
	})
}
