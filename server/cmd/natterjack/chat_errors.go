package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"connectrpc.com/connect"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
)

// errQuiet ends with exitFailed when everything has been said already.
var errQuiet = errors.New("failed")

// codedError is an error with an exit code.
type codedError struct {
	code int
	text string
}

func (e *codedError) Error() string { return e.text }

func usageError(text string) error    { return &codedError{exitUsage, text} }
func notSignedIn(text string) error   { return &codedError{exitNotSignedIn, text} }
func notFoundError(text string) error { return &codedError{exitNotFound, text} }

// exitCode returns the exit code for the error that ended the program.
func exitCode(err error) int {
	var coded *codedError
	var e *client.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &coded):
		return coded.code
	case errors.Is(err, client.ErrSessionEnded):
		return exitNotSignedIn
	case errors.As(err, &e) && e.Code == connect.CodeUnauthenticated:
		return exitNotSignedIn
	case errors.As(err, &e) && e.Code == connect.CodeNotFound:
		return exitNotFound
	default:
		return exitFailed
	}
}

// explain says in one line what went wrong and what to do.
func explain(err error, o chatOptions) string {
	var dial *net.OpError
	var e *client.Error
	switch {
	case errors.Is(err, client.ErrSessionEnded):
		return "the session has ended; run it again to sign in"
	case errors.Is(err, client.ErrSuperseded):
		return "this device was taken over by another natterjack chat; use another --profile to run two"
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("no server at %s; is natterjack serve running there?", o.server)
	case errors.As(err, &dial):
		return fmt.Sprintf("can't reach %s: %v", o.server, dial.Err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("%s doesn't answer", o.server)
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.As(err, &e):
		return refusalText(e)
	default:
		return err.Error()
	}
}

// refusalText says why the server refused something.
func refusalText(e *client.Error) string {
	switch e.Reason {
	case chatv1.ErrorReason_ERROR_REASON_WRONG_CREDENTIALS:
		return "wrong username or password"
	case chatv1.ErrorReason_ERROR_REASON_RATE_LIMITED:
		return "too many requests; try again in " + e.RetryAfter.String()
	case chatv1.ErrorReason_ERROR_REASON_NOT_FOUND:
		return "there is no such thing, or it isn't yours to see"
	default:
		return clean(e.Error())
	}
}
