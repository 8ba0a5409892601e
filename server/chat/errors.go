package chat

import (
	"errors"
	"fmt"
	"time"
)

// Code is the class of an error. The numbers are those of google.rpc.Code.
type Code int

// The codes that this server answers.
const (
	CodeInvalidArgument    Code = 3
	CodeDeadlineExceeded   Code = 4
	CodeNotFound           Code = 5
	CodeAlreadyExists      Code = 6
	CodePermissionDenied   Code = 7
	CodeResourceExhausted  Code = 8
	CodeFailedPrecondition Code = 9
	CodeInternal           Code = 13
	CodeUnavailable        Code = 14
	CodeUnauthenticated    Code = 16
)

// Reason is the machine-readable cause of an error. Names and numbers are those of natterjack.chat.v1.ErrorReason, where each
// is explained; a test in package rpc holds them together.
type Reason int

// The reasons.
const (
	ReasonInvalidField     Reason = 1
	ReasonInvalidID        Reason = 2
	ReasonInvalidToken     Reason = 3
	ReasonNotFound         Reason = 4
	ReasonRoleTooLow       Reason = 5
	ReasonWrongKind        Reason = 6
	ReasonMessageDeleted   Reason = 7
	ReasonLastOwner        Reason = 8
	ReasonIDReused         Reason = 9
	ReasonUsernameTaken    Reason = 10
	ReasonInvalidSession   Reason = 11
	ReasonTokenExpired     Reason = 12
	ReasonWrongCredentials Reason = 13
	ReasonRateLimited      Reason = 14
	ReasonLimitReached     Reason = 15
	ReasonTooLarge         Reason = 16
	ReasonUnavailable      Reason = 17
	ReasonOutcomeUnknown   Reason = 18
	ReasonStoreFull        Reason = 19
	ReasonInternal         Reason = 20
	ReasonHelloExpected    Reason = 21
	ReasonSignUpClosed     Reason = 22
)

// Error is an error whose class, cause and text are meant for the caller. Every other error that reaches the transport is a
// fault of the server: it is logged and answered as INTERNAL without its text.
type Error struct {
	Code   Code
	Reason Reason
	// Field is the path of the request field that is wrong, in proto names; empty where no single one is.
	Field string
	// Message is for people: what is wrong and what to do. It holds nothing that the caller may not know.
	Message string
	// RetryAfter is when a repetition makes sense; 0 where it doesn't.
	RetryAfter time.Duration
	// Cause is for the log only.
	Cause error
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %v", e.Message, e.Cause)
	}
	return e.Message
}

func (e *Error) Unwrap() error { return e.Cause }

// AsError returns the Error in err's chain, if there is one.
func AsError(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e)
	return e, ok
}

// IsReason reports whether err's chain holds an Error for that reason.
func IsReason(err error, reason Reason) bool {
	e, ok := AsError(err)
	return ok && e.Reason == reason
}

// Unavailable returns the error for "nothing was stored; try again", with its cause for the log.
func Unavailable(cause error) *Error {
	return &Error{
		Code: CodeUnavailable, Reason: ReasonUnavailable, RetryAfter: time.Second, Cause: cause,
		Message: "the server can't do this now and nothing was stored; try again",
	}
}

// OutcomeUnknown returns the error for "it may have been stored", with its cause for the log.
func OutcomeUnknown(cause error) *Error {
	return &Error{
		Code: CodeUnavailable, Reason: ReasonOutcomeUnknown, RetryAfter: time.Second, Cause: cause,
		Message: "whether this was stored isn't known; repeat it with the same client id",
	}
}

// StoreFull returns the error for a store that takes no writes: no room, or read-only.
func StoreFull(cause error) *Error {
	return &Error{
		Code: CodeResourceExhausted, Reason: ReasonStoreFull, RetryAfter: 30 * time.Second, Cause: cause,
		Message: "the server has no room to store this; reading goes on",
	}
}

// NotFound returns the one answer for what does not exist and for what the caller may not know of.
func NotFound(what string) *Error {
	return &Error{Code: CodeNotFound, Reason: ReasonNotFound, Message: what + " not found"}
}

// Invalid returns the error for a field that breaks a rule which the schema can't express.
func Invalid(field, message string) *Error {
	return &Error{Code: CodeInvalidArgument, Reason: ReasonInvalidField, Field: field, Message: message}
}

// InvalidToken returns the error for a page or sync token that this server didn't give out.
func InvalidToken(field string) *Error {
	return &Error{
		Code: CodeInvalidArgument, Reason: ReasonInvalidToken, Field: field,
		Message: field + " isn't a token of this server; start without one",
	}
}

// LimitReached returns the error for a stated limit that the request would pass.
func LimitReached(message string) *Error {
	return &Error{Code: CodeResourceExhausted, Reason: ReasonLimitReached, Message: message}
}

func invalidID(field, what string) *Error {
	return &Error{Code: CodeInvalidArgument, Reason: ReasonInvalidID, Field: field, Message: field + " isn't the id of " + what}
}

func roleTooLow(message string) *Error {
	return &Error{Code: CodePermissionDenied, Reason: ReasonRoleTooLow, Message: message}
}

func wrongKind(message string) *Error {
	return &Error{Code: CodeFailedPrecondition, Reason: ReasonWrongKind, Message: message}
}

func idReused(message string) *Error {
	return &Error{Code: CodeAlreadyExists, Reason: ReasonIDReused, Message: message}
}
