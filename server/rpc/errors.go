package rpc

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/chat"
)

// The one mapping of errors to the wire. What callers are meant to see is a [*chat.Error], made where the rule is known; everything
// else is a fault of the server, logged here and answered as INTERNAL without its text.

// fail turns an error into what a call answers, logs it if it is a fault, and notes it for the request's log line.
func (s *Server) fail(ctx context.Context, err error) *connect.Error {
	e := s.classify(ctx, err)
	requestFrom(ctx).note(connect.Code(e.Code), e.Cause)
	return wireError(e)
}

// classify finds the error that the caller is meant to see; never nil.
func (s *Server) classify(ctx context.Context, err error) *chat.Error {
	if e, ok := chat.AsError(err); ok {
		return e
	}
	if ctx.Err() != nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return ended(err)
	}
	if ce := new(connect.Error); errors.As(err, &ce) {
		return fromConnect(ce)
	}
	s.logger.LogAttrs(ctx, slog.LevelError, "request failed", requestFrom(ctx).attrs(slog.Any("error", err))...)
	return &chat.Error{
		Code: chat.CodeInternal, Reason: chat.ReasonInternal, Cause: err,
		Message: "the server failed; it has logged why under this request's id",
	}
}

// ended is the answer where the time was up, or the client went away: what the call began may have been carried out.
func ended(err error) *chat.Error {
	e := &chat.Error{Code: chat.CodeDeadlineExceeded, Reason: chat.ReasonOutcomeUnknown, Message: "the time for this call was up; whether it was carried out isn't known"}
	if errors.Is(err, context.Canceled) {
		e.Code, e.Message = codeCanceled, "the call was cancelled; whether it was carried out isn't known"
	}
	return e
}

// codeCanceled is no answer of the product, but what connect and gRPC call a call whose client has gone.
const codeCanceled = chat.Code(connect.CodeCanceled)

// fromConnect gives a reason to errors that connect has found by itself in what a stream's client sent.
func fromConnect(ce *connect.Error) *chat.Error {
	switch ce.Code() {
	case connect.CodeResourceExhausted:
		return tooLarge()
	case connect.CodeCanceled, connect.CodeDeadlineExceeded:
		return &chat.Error{Code: chat.Code(ce.Code()), Reason: chat.ReasonOutcomeUnknown, Message: "the stream has ended"}
	case connect.CodeUnimplemented:
		return &chat.Error{Code: chat.Code(ce.Code()), Reason: chat.ReasonInvalidField, Message: ce.Message()}
	default:
		return unreadable(ce)
	}
}

// unreadable is the answer to a request that can't be decoded.
func unreadable(err error) *chat.Error {
	// Errors of protobuf's packages begin with "proto:" and a space that changes from build to build.
	detail := strings.TrimSpace(strings.TrimPrefix(err.Error(), "proto:"))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		detail = "it ends too early"
	}
	return &chat.Error{Code: chat.CodeInvalidArgument, Reason: chat.ReasonInvalidField, Message: "the request can't be read: " + detail}
}

func tooLarge() *chat.Error {
	return &chat.Error{Code: chat.CodeResourceExhausted, Reason: chat.ReasonTooLarge, Message: "the request is larger than this server reads"}
}

// wireError is an error with its detail, as gRPC, gRPC-Web and Connect carry it.
func wireError(e *chat.Error) *connect.Error {
	ce := connect.NewError(connect.Code(e.Code), errors.New(e.Message))
	if d, err := connect.NewErrorDetail(errorDetail(e)); err == nil {
		ce.AddDetail(d)
	}
	return ce
}

func errorDetail(e *chat.Error) *chatv1.ErrorDetail {
	d := &chatv1.ErrorDetail{Reason: chatv1.ErrorReason(e.Reason), Field: e.Field}
	if e.RetryAfter > 0 {
		d.RetryAfter = durationpb.New(e.RetryAfter)
	}
	return d
}

// requestError is the same error as an event of a stream.
func requestError(id uint64, e *chat.Error) *chatv1.RequestError {
	return &chatv1.RequestError{RequestId: id, Code: int32(e.Code), Message: e.Message, Detail: errorDetail(e)}
}
