package client

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"connectrpc.com/connect"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
)

// What ends a Client for good. Next returns one of them, wrapped where there is more to tell, once all events before were taken.
var (
	// ErrClosed: Close was called.
	ErrClosed = errors.New("client: closed")
	// ErrSessionEnded: the session was revoked or has run out. Sign in again.
	ErrSessionEnded = errors.New("client: the session has ended; sign in again")
	// ErrSuperseded: a newer stream of the same device took over. Give each running client its own DeviceID.
	ErrSuperseded = errors.New("client: another client with the same device id took over")
	// ErrProtocol: the server does not understand this client.
	ErrProtocol = errors.New("client: the server refuses this client's protocol")
)

// ErrOutboxFull is returned by Send while Options.MaxPending messages wait.
var ErrOutboxFull = errors.New("client: the outbox is full")

// Why a connection ended that will be made again; told by Offline.Err.
var (
	errDeadPeer    = errors.New("client: nothing was heard from the server")
	errNoAnswer    = errors.New("client: the server didn't answer in time")
	errServerEnded = errors.New("client: the server ended the stream")
)

// GoodbyeError is the server's reason for ending a stream.
type GoodbyeError struct {
	// Reason is why.
	Reason chatv1.GoodbyeReason
	// Message is for people; may be empty.
	Message string
	// Delay is how long the server wants the client to stay away; 0 where it named no time.
	Delay time.Duration
}

func (e *GoodbyeError) Error() string {
	reason := strings.ToLower(strings.TrimPrefix(e.Reason.String(), "GOODBYE_REASON_"))
	if e.Message == "" {
		return "client: the server ended the stream: " + reason
	}
	return fmt.Sprintf("client: the server ended the stream: %s (%s)", e.Message, reason)
}

// Unwrap makes errors.Is find what the reason means for the Client.
func (e *GoodbyeError) Unwrap() error {
	switch e.Reason {
	case chatv1.GoodbyeReason_GOODBYE_REASON_SESSION_REVOKED:
		return ErrSessionEnded
	case chatv1.GoodbyeReason_GOODBYE_REASON_SUPERSEDED:
		return ErrSuperseded
	case chatv1.GoodbyeReason_GOODBYE_REASON_PROTOCOL_ERROR:
		return ErrProtocol
	default:
		return nil
	}
}

// Error is an error that the server answered. errors.As finds it behind every error of this package that has one.
type Error struct {
	// Code is the status code.
	Code connect.Code
	// Reason is the stable cause; ERROR_REASON_UNSPECIFIED where the server gave none.
	Reason chatv1.ErrorReason
	// Field is the request field that is wrong, as a path of proto names; empty where no single one is.
	Field string
	// Message is for people.
	Message string
	// RetryAfter is when a repetition makes sense; 0 where the server named no time.
	RetryAfter time.Duration

	cause error
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code.String()
	}
	return e.Message
}

// Unwrap returns the transport's error, or nil where the server sent it on a stream.
func (e *Error) Unwrap() error { return e.cause }

// Retryable reports whether the same request may succeed later. After an error that is not, it never will.
func (e *Error) Retryable() bool {
	if e.RetryAfter > 0 {
		return true
	}
	switch e.Code {
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded, connect.CodeAborted, connect.CodeCanceled:
		return true
	case connect.CodeResourceExhausted:
		return e.Reason == chatv1.ErrorReason_ERROR_REASON_RATE_LIMITED || e.Reason == chatv1.ErrorReason_ERROR_REASON_STORE_FULL
	default:
		return false
	}
}

// ReasonOf returns the server's reason for err, or ERROR_REASON_UNSPECIFIED where err has none.
func ReasonOf(err error) chatv1.ErrorReason {
	if e, ok := errors.AsType[*Error](AsError(err)); ok {
		return e.Reason
	}
	return chatv1.ErrorReason_ERROR_REASON_UNSPECIFIED
}

// AsError turns an error of the raw clients (Chat, Auth) into an [*Error]; other errors, and nil, are returned as they are.
func AsError(err error) error {
	var known *Error
	var ce *connect.Error
	if errors.As(err, &known) || !errors.As(err, &ce) {
		return err
	}
	e := &Error{Code: ce.Code(), Message: ce.Message(), cause: err}
	for _, d := range ce.Details() {
		if v, err := d.Value(); err == nil {
			if detail, ok := v.(*chatv1.ErrorDetail); ok {
				e.setDetail(detail)
			}
		}
	}
	return e
}

func (e *Error) setDetail(d *chatv1.ErrorDetail) {
	e.Reason, e.Field, e.RetryAfter = d.GetReason(), d.GetField(), d.GetRetryAfter().AsDuration()
}

// requestError turns the answer to a request on a stream into an error.
func requestError(r *chatv1.RequestError) *Error {
	e := &Error{Code: connect.Code(r.GetCode()), Message: r.GetMessage()}
	e.setDetail(r.GetDetail())
	return e
}

// invalid is the answer to input that can't be sent at all, made without asking the server.
func invalid(field, message string) error {
	return &Error{
		Code: connect.CodeInvalidArgument, Reason: chatv1.ErrorReason_ERROR_REASON_INVALID_FIELD, Field: field,
		Message: fmt.Sprintf("%s %s", field, message),
	}
}

// isUnauthenticated reports whether the server refused the access token.
func isUnauthenticated(err error) bool {
	var e *Error
	return errors.As(AsError(err), &e) && e.Code == connect.CodeUnauthenticated
}

// ended gives the plain end of a stream a name.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return errServerEnded
	}
	return AsError(err)
}
