package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/reflect/protoreflect"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/hub"
)

// names turns a schema's enum into its numbers by name, without the prefix.
func names(e protoreflect.EnumDescriptor, prefix string) map[string]int {
	out := make(map[string]int)
	for i := range e.Values().Len() {
		v := e.Values().Get(i)
		out[strings.TrimPrefix(string(v.Name()), prefix)] = int(v.Number())
	}
	delete(out, "UNSPECIFIED")
	return out
}

func TestNumbersInTheServerAreThoseOfTheSchema(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		schema map[string]int
		server map[string]int
	}{
		{names(chatv1.ErrorReason(0).Descriptor(), "ERROR_REASON_"), map[string]int{
			"INVALID_FIELD": int(chat.ReasonInvalidField), "INVALID_ID": int(chat.ReasonInvalidID), "INVALID_TOKEN": int(chat.ReasonInvalidToken),
			"NOT_FOUND": int(chat.ReasonNotFound), "ROLE_TOO_LOW": int(chat.ReasonRoleTooLow), "WRONG_KIND": int(chat.ReasonWrongKind),
			"MESSAGE_DELETED": int(chat.ReasonMessageDeleted), "LAST_OWNER": int(chat.ReasonLastOwner), "ID_REUSED": int(chat.ReasonIDReused),
			"USERNAME_TAKEN": int(chat.ReasonUsernameTaken), "INVALID_SESSION": int(chat.ReasonInvalidSession), "TOKEN_EXPIRED": int(chat.ReasonTokenExpired),
			"WRONG_CREDENTIALS": int(chat.ReasonWrongCredentials), "RATE_LIMITED": int(chat.ReasonRateLimited), "LIMIT_REACHED": int(chat.ReasonLimitReached),
			"TOO_LARGE": int(chat.ReasonTooLarge), "UNAVAILABLE": int(chat.ReasonUnavailable), "OUTCOME_UNKNOWN": int(chat.ReasonOutcomeUnknown),
			"STORE_FULL": int(chat.ReasonStoreFull), "INTERNAL": int(chat.ReasonInternal), "HELLO_EXPECTED": int(chat.ReasonHelloExpected),
			"SIGN_UP_CLOSED": int(chat.ReasonSignUpClosed),
		}},
		{names(chatv1.ConversationKind(0).Descriptor(), "CONVERSATION_KIND_"), map[string]int{"DIRECT": int(chat.Direct), "GROUP": int(chat.Group)}},
		{names(chatv1.MemberRole(0).Descriptor(), "MEMBER_ROLE_"), map[string]int{
			"READER": int(chat.Reader), "MEMBER": int(chat.Regular), "ADMIN": int(chat.Admin), "OWNER": int(chat.Owner),
		}},
		{names(chatv1.PresenceState(0).Descriptor(), "PRESENCE_STATE_"), map[string]int{
			"ONLINE": int(chat.PresenceOnline), "AWAY": int(chat.PresenceAway), "OFFLINE": int(chat.PresenceOffline), "UNKNOWN": int(chat.PresenceUnknown),
		}},
		{names(chatv1.ResumeKind(0).Descriptor(), "RESUME_KIND_"), map[string]int{
			"RESUMED": int(chat.Resumed), "DELTA": int(chat.Delta), "FULL": int(chat.Full), "RESET": int(chat.Reset),
		}},
		{names(chatv1.GoodbyeReason(0).Descriptor(), "GOODBYE_REASON_"), map[string]int{
			"DRAIN": int(hub.GoodbyeDrain), "TOKEN_EXPIRED": int(hub.GoodbyeTokenExpired), "SESSION_REVOKED": int(hub.GoodbyeSessionRevoked),
			"SUPERSEDED": int(hub.GoodbyeSuperseded), "SLOW_CONSUMER": int(hub.GoodbyeSlowConsumer), "IDLE": int(hub.GoodbyeIdle),
			"PROTOCOL_ERROR": int(hub.GoodbyeProtocolError), "INTERNAL": int(hub.GoodbyeInternal),
		}},
	} {
		if fmt.Sprint(c.schema) != fmt.Sprint(c.server) {
			t.Errorf("the schema has %v, the server %v", c.schema, c.server)
		}
	}
	for code, want := range map[chat.Code]connect.Code{
		chat.CodeInvalidArgument: connect.CodeInvalidArgument, chat.CodeDeadlineExceeded: connect.CodeDeadlineExceeded,
		chat.CodeNotFound: connect.CodeNotFound, chat.CodeAlreadyExists: connect.CodeAlreadyExists, chat.CodePermissionDenied: connect.CodePermissionDenied,
		chat.CodeResourceExhausted: connect.CodeResourceExhausted, chat.CodeFailedPrecondition: connect.CodeFailedPrecondition,
		chat.CodeInternal: connect.CodeInternal, chat.CodeUnavailable: connect.CodeUnavailable, chat.CodeUnauthenticated: connect.CodeUnauthenticated,
	} {
		if int(code) != int(want) {
			t.Errorf("code %d is %v", code, want)
		}
	}
	for reason := range goodbyeTexts {
		if goodbyeTexts[reason] == "" || chatv1.GoodbyeReason_name[int32(reason)] == "" {
			t.Errorf("goodbye %d has no text or no name", reason)
		}
	}
	if len(goodbyeTexts) != len(chatv1.GoodbyeReason_name)-1 {
		t.Errorf("%d of %d goodbyes have a text", len(goodbyeTexts), len(chatv1.GoodbyeReason_name)-1)
	}
}

// logged is a server that has nothing but a log, which is returned too.
func logged() (*Server, *strings.Builder) {
	var log strings.Builder
	return &Server{logger: slog.New(slog.NewTextHandler(&log, nil)), limits: DefaultLimits()}, &log
}

func TestOnlyWhatIsMeantForCallersReachesThem(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	secret := errors.New("dial tcp 10.0.0.7: password=hunter2")
	for _, c := range []struct {
		name   string
		ctx    context.Context
		err    error
		code   chat.Code
		reason chat.Reason
		text   string
		logs   bool
	}{
		{"an error of the product", t.Context(), fmt.Errorf("more: %w", chat.NotFound("conversation")), chat.CodeNotFound, chat.ReasonNotFound, "conversation not found", false},
		{"with a cause", t.Context(), chat.Unavailable(secret), chat.CodeUnavailable, chat.ReasonUnavailable, "nothing was stored", false},
		{"a fault", t.Context(), secret, chat.CodeInternal, chat.ReasonInternal, "the server failed", true},
		{"a panic", t.Context(), panicked(secret), chat.CodeInternal, chat.ReasonInternal, "the server failed", true},
		{"the deadline", t.Context(), context.DeadlineExceeded, chat.CodeDeadlineExceeded, chat.ReasonOutcomeUnknown, "isn't known", false},
		{"the client's going", t.Context(), context.Canceled, codeCanceled, chat.ReasonOutcomeUnknown, "isn't known", false},
		{"a fault after the end", ended, secret, chat.CodeDeadlineExceeded, chat.ReasonOutcomeUnknown, "isn't known", false},
		{"connect's: too large", t.Context(), connect.NewError(connect.CodeResourceExhausted, secret), chat.CodeResourceExhausted, chat.ReasonTooLarge, "larger", false},
		{"connect's: not to be read", t.Context(), connect.NewError(connect.CodeInvalidArgument, io.ErrUnexpectedEOF), chat.CodeInvalidArgument, chat.ReasonInvalidField, "too early", false},
		{"connect's: gone", t.Context(), connect.NewError(connect.CodeCanceled, secret), codeCanceled, chat.ReasonOutcomeUnknown, "ended", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, log := logged()
			e := s.classify(c.ctx, c.err)
			if e.Code != c.code || e.Reason != c.reason || !strings.Contains(e.Message, c.text) {
				t.Errorf("got %d, %d, %q", e.Code, e.Reason, e.Message)
			}
			wire := wireError(e)
			if strings.Contains(wire.Error()+fmt.Sprint(wire.Details()), "hunter2") {
				t.Errorf("the caller is told %v", wire)
			}
			if got := strings.Contains(log.String(), "hunter2"); got != c.logs {
				t.Errorf("logged the cause: %v, want %v", got, c.logs)
			}
		})
	}
}

func TestAnErrorCarriesItsDetail(t *testing.T) {
	t.Parallel()
	e := &chat.Error{Code: chat.CodeResourceExhausted, Reason: chat.ReasonRateLimited, Field: "f", Message: "m", RetryAfter: 3 * time.Second}
	v, err := wireError(e).Details()[0].Value()
	if err != nil {
		t.Fatal(err)
	}
	d := v.(*chatv1.ErrorDetail)
	if d.GetReason() != chatv1.ErrorReason_ERROR_REASON_RATE_LIMITED || d.GetField() != "f" || d.GetRetryAfter().AsDuration() != 3*time.Second {
		t.Errorf("got %v", d)
	}
	if d := errorDetail(chat.NotFound("x")); d.GetRetryAfter() != nil {
		t.Errorf("nothing will change, and the detail says %v", d)
	}
}

func TestAPanicEndsOnlyItsRequest(t *testing.T) {
	t.Parallel()
	s, log := logged()
	v, err := newValidator()
	if err != nil {
		t.Fatal(err)
	}
	s.validator = v
	_, err = call(t.Context(), s, &received[chatv1.SyncRequest]{}, func(context.Context, *chatv1.SyncRequest) (*chatv1.SyncResponse, error) {
		panic("at the disco")
	})
	if e := s.fail(t.Context(), err); e.Code() != connect.CodeInternal || strings.Contains(e.Message(), "disco") {
		t.Errorf("got %v", e)
	}
	if !strings.Contains(log.String(), "disco") || !strings.Contains(log.String(), "errors_test.go") {
		t.Errorf("the log doesn't tell where: %s", log.String())
	}
}

func TestAFieldIsNamedFromTheRequestDown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, field, want string }{
		{"send_message", "content", "send_message.content"},
		{"send_message", "send_message.content", "send_message.content"},
		{"hello", "hello", "hello"},
		{"hello", "hellos", "hello.hellos"},
		{"", "content", "content"},
		{"ping", "", ""},
	} {
		e, _ := chat.AsError(within(c.name, chat.Invalid(c.field, "")))
		if e.Field != c.want {
			t.Errorf("%q within %q is %q, want %q", c.field, c.name, e.Field, c.want)
		}
	}
	if err := within("x", io.EOF); !errors.Is(err, io.EOF) {
		t.Errorf("another error became %v", err)
	}
}
