package rpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	authv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1"
	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/node"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

// eachProtocol runs a test over every way that a client has.
func eachProtocol(t *testing.T, test func(t *testing.T, p nodetest.Protocol)) {
	t.Helper()
	for _, p := range append(nodetest.Protocols(), nodetest.HTTP1()...) {
		t.Run(p.Name, func(t *testing.T) { test(t, p) })
	}
}

// TestLifeOfAnAccount goes through all procedures of AuthService and looks at every field of their answers.
func TestLifeOfAnAccount(t *testing.T) {
	s := nodetest.Start(t)
	eachProtocol(t, func(t *testing.T, p nodetest.Protocol) {
		ctx, anonymous := within(t), s.Auth(p, nil)
		name := "Toad-" + p.Name
		up := must[*authv1.SignUpResponse](t)(anonymous.SignUp(ctx, &authv1.SignUpRequest{
			Username: name, Password: nodetest.Password, DisplayName: "A töad", DeviceName: "phone",
		}))
		me := &nodetest.User{ID: up.GetUser().GetId(), Username: name, Password: nodetest.Password, Session: up.GetSession()}
		user := &chatv1.User{Id: me.ID, Username: name, DisplayName: "A töad"}
		same(t, "user", up.GetUser(), user)
		goodSession(t, up.GetSession())

		account := must[*authv1.GetAccountResponse](t)(s.Auth(p, me).GetAccount(ctx, &authv1.GetAccountRequest{})).GetAccount()
		if d := time.Since(account.GetCreateTime().AsTime()); d < 0 || d > time.Minute {
			t.Errorf("made %v ago", d)
		}
		same(t, "account", account, &authv1.Account{User: user, CreateTime: account.GetCreateTime()})

		user.DisplayName, user.AvatarUrl = "🐸", "https://example.org/toad.png"
		updated := must[*authv1.UpdateProfileResponse](t)(s.Auth(p, me).UpdateProfile(ctx, &authv1.UpdateProfileRequest{
			DisplayName: &user.DisplayName, AvatarUrl: &user.AvatarUrl, PresenceHidden: new(true),
		}))
		same(t, "updated", updated.GetAccount(), &authv1.Account{User: user, CreateTime: account.GetCreateTime(), PresenceHidden: true})
		updated = must[*authv1.UpdateProfileResponse](t)(s.Auth(p, me).UpdateProfile(ctx, &authv1.UpdateProfileRequest{}))
		same(t, "updated by nothing", updated.GetAccount(), &authv1.Account{User: user, CreateTime: account.GetCreateTime(), PresenceHidden: true})

		nextMillisecond()
		in := must[*authv1.SignInResponse](t)(anonymous.SignIn(ctx, &authv1.SignInRequest{
			Username: strings.ToUpper(name), Password: nodetest.Password, DeviceName: "laptop",
		}))
		same(t, "signed in", in.GetUser(), user)
		goodSession(t, in.GetSession())
		sessionsAre(t, s, p, me, []string{in.GetSession().GetId(), me.Session.GetId()}, []string{"laptop", "phone"})

		nextMillisecond()
		fresh := must[*authv1.RefreshSessionResponse](t)(anonymous.RefreshSession(ctx, &authv1.RefreshSessionRequest{
			RefreshToken: me.Session.GetRefreshToken(),
		})).GetSession()
		goodSession(t, fresh)
		if fresh.GetId() != me.Session.GetId() || fresh.GetAccessToken() == me.Session.GetAccessToken() {
			t.Error("not the same session with new tokens")
		}
		me.Session = fresh
		sessionsAre(t, s, p, me, []string{me.Session.GetId(), in.GetSession().GetId()}, []string{"phone", "laptop"})

		other := &nodetest.User{Session: in.GetSession()}
		must[*authv1.RevokeSessionResponse](t)(s.Auth(p, me).RevokeSession(ctx, &authv1.RevokeSessionRequest{SessionId: in.GetSession().GetId()}))
		want{connect.CodeUnauthenticated, chatv1.ErrorReason_ERROR_REASON_INVALID_SESSION}.check(t, ask(ctx, s, p, other))

		another := s.SignIn(me)
		all := must[*authv1.RevokeAllSessionsResponse](t)(s.Auth(p, me).RevokeAllSessions(ctx, &authv1.RevokeAllSessionsRequest{KeepCurrent: true}))
		if all.GetRevokedCount() != 1 {
			t.Errorf("%d revoked", all.GetRevokedCount())
		}
		want{connect.CodeUnauthenticated, chatv1.ErrorReason_ERROR_REASON_INVALID_SESSION}.check(t, ask(ctx, s, p, another))

		const next = "another horse battery"
		must[*authv1.ChangePasswordResponse](t)(s.Auth(p, me).ChangePassword(ctx, &authv1.ChangePasswordRequest{
			CurrentPassword: nodetest.Password, NewPassword: next,
		}))
		me.Password = next
		s.SignIn(me)

		must[*authv1.SignOutResponse](t)(s.Auth(p, me).SignOut(ctx, &authv1.SignOutRequest{}))
		want{connect.CodeUnauthenticated, chatv1.ErrorReason_ERROR_REASON_INVALID_SESSION}.check(t, ask(ctx, s, p, me))
		_, err := anonymous.RefreshSession(ctx, &authv1.RefreshSessionRequest{RefreshToken: me.Session.GetRefreshToken()})
		want{connect.CodeUnauthenticated, chatv1.ErrorReason_ERROR_REASON_INVALID_SESSION}.check(t, err)
	})
}

// nextMillisecond returns when the clock shows another one: sessions that were used in the same are in no order.
func nextMillisecond() {
	now := time.Now().UnixMilli()
	for time.Now().UnixMilli() == now {
		runtime.Gosched()
	}
}

// ask makes a call that needs nothing but a session.
func ask(ctx context.Context, s *nodetest.Server, p nodetest.Protocol, u *nodetest.User) error {
	_, err := s.Auth(p, u).GetAccount(ctx, &authv1.GetAccountRequest{})
	return err
}

func same(t *testing.T, what string, got, want proto.Message) {
	t.Helper()
	if !proto.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

// goodSession looks at a session with its secrets.
func goodSession(t *testing.T, s *authv1.Session) {
	t.Helper()
	now := time.Now()
	access, refresh := s.GetAccessTokenExpireTime().AsTime().Sub(now), s.GetRefreshTokenExpireTime().AsTime().Sub(now)
	if !strings.HasPrefix(s.GetId(), "s") || !strings.HasPrefix(s.GetAccessToken(), "nja_") || !strings.HasPrefix(s.GetRefreshToken(), "njr_") ||
		access < 59*time.Minute || access > time.Hour || refresh < 29*24*time.Hour || refresh > 30*24*time.Hour {
		t.Errorf("session %v", s)
	}
}

// sessionsAre compares the list of a user's sessions.
func sessionsAre(t *testing.T, s *nodetest.Server, p nodetest.Protocol, u *nodetest.User, ids, devices []string) {
	t.Helper()
	list := must[*authv1.ListSessionsResponse](t)(s.Auth(p, u).ListSessions(t.Context(), &authv1.ListSessionsRequest{})).GetSessions()
	if len(list) != len(ids) {
		t.Fatalf("%d sessions: %v", len(list), list)
	}
	for i, info := range list {
		current := info.GetId() == u.Session.GetId()
		expire := info.GetExpireTime().AsTime().Sub(info.GetRefreshTime().AsTime())
		if info.GetId() != ids[i] || info.GetDeviceName() != devices[i] || info.GetAddress() != "127.0.0.1" || info.GetCurrent() != current ||
			info.GetCreateTime().AsTime().After(info.GetRefreshTime().AsTime()) || expire != 30*24*time.Hour {
			t.Errorf("session %d is %v", i, info)
		}
	}
}

// TestJSONOfAuthService holds the names that scripts rely on.
func TestJSONOfAuthService(t *testing.T) {
	s := nodetest.Start(t)
	for _, procedure := range []string{"SignUp", "SignIn"} {
		status, body := post(t, s, "/natterjack.auth.v1.AuthService/"+procedure, `{"username":"toad","password":"12345678"}`)
		var answer struct {
			User struct {
				ID, Username, DisplayName string
			}
			Session struct {
				ID, AccessToken, RefreshToken                 string
				AccessTokenExpireTime, RefreshTokenExpireTime time.Time
			}
		}
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&answer); status != http.StatusOK || err != nil || answer.User.ID == "" || answer.Session.AccessToken == "" ||
			answer.User.DisplayName != "toad" || answer.Session.RefreshTokenExpireTime.IsZero() {
			t.Errorf("%s: %d %s (%v)", procedure, status, body, err)
		}
		for _, name := range []string{`"user":`, `"id":`, `"displayName":`, `"session":`, `"accessToken":`, `"refreshToken":`, `"accessTokenExpireTime":`} {
			if !bytes.Contains(body, []byte(name)) {
				t.Errorf("%s: no %s in %s", procedure, name, body)
			}
		}
	}
}

func post(t *testing.T, s *nodetest.Server, path, body string) (int, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(within(t), http.MethodPost, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := s.HTTP(true).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, answer
}

func TestRefusalsOfAuthService(t *testing.T) {
	s := nodetest.Start(t)
	eachProtocol(t, func(t *testing.T, p nodetest.Protocol) {
		ctx, anonymous := within(t), s.Auth(p, nil)
		me, other := s.SignUp("me"), s.SignUp("other")
		wrong := want{connect.CodeUnauthenticated, chatv1.ErrorReason_ERROR_REASON_WRONG_CREDENTIALS}
		invalid := want{connect.CodeUnauthenticated, chatv1.ErrorReason_ERROR_REASON_INVALID_SESSION}

		_, err := anonymous.SignUp(ctx, &authv1.SignUpRequest{Username: strings.ToUpper(me.Username), Password: nodetest.Password})
		want{connect.CodeAlreadyExists, chatv1.ErrorReason_ERROR_REASON_USERNAME_TAKEN}.check(t, err)
		_, known := anonymous.SignIn(ctx, &authv1.SignInRequest{Username: me.Username, Password: "wrong horse"})
		wrong.check(t, known)
		_, unknown := anonymous.SignIn(ctx, &authv1.SignInRequest{Username: "nobody", Password: "wrong horse"})
		wrong.check(t, unknown)
		if known.Error() != unknown.Error() {
			t.Errorf("%v and %v tell who exists", known, unknown)
		}
		_, err = s.Auth(p, me).ChangePassword(ctx, &authv1.ChangePasswordRequest{CurrentPassword: "wrong horse", NewPassword: "12345678"})
		wrong.check(t, err)
		_, err = s.Auth(p, me).RevokeSession(ctx, &authv1.RevokeSessionRequest{SessionId: other.Session.GetId()})
		want{connect.CodeNotFound, chatv1.ErrorReason_ERROR_REASON_NOT_FOUND}.check(t, err)
		for _, id := range []string{me.ID, "s", "x" + other.Session.GetId()[1:], other.Session.GetId() + "0"} {
			_, err = s.Auth(p, me).RevokeSession(ctx, &authv1.RevokeSessionRequest{SessionId: id})
			want{connect.CodeInvalidArgument, chatv1.ErrorReason_ERROR_REASON_INVALID_ID}.check(t, err)
		}

		access, refresh := me.Session.GetAccessToken(), me.Session.GetRefreshToken()
		for _, token := range []string{
			"nja_" + strings.Repeat("A", 43), access[:46], access + access, access + "A", access[:46] + "!", refresh, "x", strings.Repeat("x", 2000),
		} {
			invalid.check(t, ask(ctx, s, p, &nodetest.User{Session: &authv1.Session{AccessToken: token}}))
		}
		for _, token := range []string{"njr_" + strings.Repeat("A", 64), refresh[:67], refresh + refresh[:60], access, "x"} {
			_, err = anonymous.RefreshSession(ctx, &authv1.RefreshSessionRequest{RefreshToken: token})
			invalid.check(t, err)
		}
		if err := ask(ctx, s, p, me); err != nil {
			t.Errorf("then the session was gone: %v", err)
		}
	})
}

func TestExpiredAccessTokenIsToldFromAnInvalidOne(t *testing.T) {
	s := nodetest.Start(t, nodetest.Config(func(c *node.Config) { c.Accounts.AccessTokenLife = time.Nanosecond }))
	me := s.SignUp("me")
	eachProtocol(t, func(t *testing.T, p nodetest.Protocol) {
		want{connect.CodeUnauthenticated, chatv1.ErrorReason_ERROR_REASON_TOKEN_EXPIRED}.check(t, ask(within(t), s, p, me))
	})
}

func TestAttemptsToSignInAreLimited(t *testing.T) {
	s := nodetest.Start(t, nodetest.Config(func(c *node.Config) { c.Accounts.SignInsHere = account.Rate{Burst: 1, Every: time.Hour} }))
	eachProtocol(t, func(t *testing.T, p nodetest.Protocol) {
		me := s.SignUp("me")
		for i := range 2 {
			_, err := s.Auth(p, nil).SignIn(within(t), &authv1.SignInRequest{Username: me.Username, Password: "wrong horse"})
			if i == 0 {
				want{connect.CodeUnauthenticated, chatv1.ErrorReason_ERROR_REASON_WRONG_CREDENTIALS}.check(t, err)
				continue
			}
			want{connect.CodeResourceExhausted, chatv1.ErrorReason_ERROR_REASON_RATE_LIMITED}.check(t, err)
			if wait := retryAfter(err); wait < 59*time.Minute || wait > time.Hour {
				t.Errorf("told to come back after %v", wait)
			}
		}
	})
}

// retryAfter returns when an error's detail says to come back.
func retryAfter(err error) time.Duration {
	var ce *connect.Error
	if !errors.As(err, &ce) {
		return 0
	}
	for _, d := range ce.Details() {
		if m, derr := d.Value(); derr == nil {
			if e, ok := m.(*chatv1.ErrorDetail); ok {
				return e.GetRetryAfter().AsDuration()
			}
		}
	}
	return 0
}

func TestSignUpClosed(t *testing.T) {
	s := nodetest.Start(t, nodetest.Config(func(c *node.Config) { c.Accounts.SignUpClosed = true }))
	_, err := s.Auth(binary, nil).SignUp(within(t), &authv1.SignUpRequest{Username: "toad", Password: nodetest.Password})
	want{connect.CodePermissionDenied, chatv1.ErrorReason_ERROR_REASON_SIGN_UP_CLOSED}.check(t, err)
}

// TestBadInputOfAuthService is answered with the field that is wrong, over every protocol.
func TestBadInputOfAuthService(t *testing.T) {
	s := nodetest.Start(t)
	long := strings.Repeat
	signUp := func(change func(*authv1.SignUpRequest)) func(context.Context, nodetest.Protocol, *nodetest.User) error {
		return func(ctx context.Context, p nodetest.Protocol, _ *nodetest.User) error {
			r := &authv1.SignUpRequest{Username: "frog", Password: nodetest.Password}
			change(r)
			return failure(s.Auth(p, nil).SignUp(ctx, r))
		}
	}
	update := func(r *authv1.UpdateProfileRequest) func(context.Context, nodetest.Protocol, *nodetest.User) error {
		return func(ctx context.Context, p nodetest.Protocol, u *nodetest.User) error {
			return failure(s.Auth(p, u).UpdateProfile(ctx, r))
		}
	}
	table := []struct {
		field string
		call  func(context.Context, nodetest.Protocol, *nodetest.User) error
	}{
		{"username", signUp(func(r *authv1.SignUpRequest) { r.Username = "" })},
		{"username", signUp(func(r *authv1.SignUpRequest) { r.Username = "ab" })},
		{"username", signUp(func(r *authv1.SignUpRequest) { r.Username = long("a", 33) })},
		{"username", signUp(func(r *authv1.SignUpRequest) { r.Username = "a'; DROP TABLE users; --" })},
		{"username", signUp(func(r *authv1.SignUpRequest) { r.Username = "toad\x00" })},
		{"username", signUp(func(r *authv1.SignUpRequest) { r.Username = "tоad" })}, // a Cyrillic letter
		{"password", signUp(func(r *authv1.SignUpRequest) { r.Password = "" })},
		{"password", signUp(func(r *authv1.SignUpRequest) { r.Password = "1234567" })},
		{"password", signUp(func(r *authv1.SignUpRequest) { r.Password = long("x", 257) })},
		{"display_name", signUp(func(r *authv1.SignUpRequest) { r.DisplayName = long("x", 65) })},
		{"display_name", signUp(func(r *authv1.SignUpRequest) { r.DisplayName = "a\u202eb" })},
		{"display_name", signUp(func(r *authv1.SignUpRequest) { r.DisplayName = " \u00a0" })},
		{"device_name", signUp(func(r *authv1.SignUpRequest) { r.DeviceName = "a\x00" })},
		{"display_name", update(&authv1.UpdateProfileRequest{DisplayName: new("")})},
		{"display_name", update(&authv1.UpdateProfileRequest{DisplayName: new("\u200b")})},
		{"display_name", update(&authv1.UpdateProfileRequest{DisplayName: new("a" + long("\u0301", 10000))})},
		{"avatar_url", update(&authv1.UpdateProfileRequest{AvatarUrl: new("javascript:alert(1)")})},
		{"avatar_url", update(&authv1.UpdateProfileRequest{AvatarUrl: new("https://a@example.org/")})},
		{"avatar_url", update(&authv1.UpdateProfileRequest{AvatarUrl: new("https://" + long("x", 2048))})},
		{"username", func(ctx context.Context, p nodetest.Protocol, _ *nodetest.User) error {
			return failure(s.Auth(p, nil).SignIn(ctx, &authv1.SignInRequest{Password: "x"}))
		}},
		{"password", func(ctx context.Context, p nodetest.Protocol, _ *nodetest.User) error {
			return failure(s.Auth(p, nil).SignIn(ctx, &authv1.SignInRequest{Username: "x"}))
		}},
		{"refresh_token", func(ctx context.Context, p nodetest.Protocol, _ *nodetest.User) error {
			return failure(s.Auth(p, nil).RefreshSession(ctx, &authv1.RefreshSessionRequest{RefreshToken: long("x", 257)}))
		}},
		{"session_id", func(ctx context.Context, p nodetest.Protocol, u *nodetest.User) error {
			return failure(s.Auth(p, u).RevokeSession(ctx, &authv1.RevokeSessionRequest{}))
		}},
		{"new_password", func(ctx context.Context, p nodetest.Protocol, u *nodetest.User) error {
			return failure(s.Auth(p, u).ChangePassword(ctx, &authv1.ChangePasswordRequest{CurrentPassword: nodetest.Password, NewPassword: "short"}))
		}},
	}
	me := s.SignUp("me")
	eachProtocol(t, func(t *testing.T, p nodetest.Protocol) {
		ctx := within(t)
		for i, row := range table {
			err := row.call(ctx, p, me)
			got, field := reason(err)
			if connect.CodeOf(err) != connect.CodeInvalidArgument || got != chatv1.ErrorReason_ERROR_REASON_INVALID_FIELD || field != row.field {
				t.Errorf("row %d (%s): %v, %v of %q", i, row.field, err, got, field)
			}
		}
	})
	// SQL and HTML where they are text.
	text := `'; DROP TABLE users; -- <script>alert("1")</script>`
	if err := update(&authv1.UpdateProfileRequest{DisplayName: &text})(within(t), binary, me); err != nil {
		t.Error(err)
	}
	a := must[*authv1.GetAccountResponse](t)(s.Auth(binary, me).GetAccount(t.Context(), &authv1.GetAccountRequest{}))
	if a.GetAccount().GetUser().GetDisplayName() != text {
		t.Errorf("stored %q", a.GetAccount().GetUser().GetDisplayName())
	}
}
