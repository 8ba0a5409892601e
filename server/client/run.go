package client

import (
	"errors"
	"time"

	"connectrpc.com/connect"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
)

// steadyAfter is how long a connection has to be live for the backoff to begin anew: else a server that fails right
// after the handshake would be asked without end.
const steadyAfter = 10 * time.Second

// maxRefusals is after how many refused tokens in a row, each one newer than the last, the session counts as ended.
const maxRefusals = 3

// run connects and reads until the Client stops.
func (c *Client) run() {
	var r retries
	for {
		c.setState(Connecting{})
		lived, err := c.session(r.stale)
		if c.ctx.Err() != nil {
			return
		}
		if lived > 0 {
			r.refusals = 0 // the token was good
		}
		if lived >= steadyAfter {
			r.failures = 0
		}
		delay, fatal := r.after(err, c.o.Backoff)
		if fatal != nil {
			c.setState(Offline{Err: fatal})
			c.stop(fatal)
			return
		}
		if ReasonOf(err) == chatv1.ErrorReason_ERROR_REASON_INVALID_TOKEN {
			c.mu.Lock()
			c.in.forgetToken()
			c.mu.Unlock()
		}
		c.o.Logger.Debug("offline", "error", err, "retry_in", delay)
		c.setState(Offline{Err: err, Retry: time.Now().Add(delay)})
		if !c.pause(delay) {
			return
		}
	}
}

// setState tells the consumer of a state.
func (c *Client) setState(s State) {
	c.mu.Lock()
	c.in.setState(s)
	c.mu.Unlock()
	c.signal()
}

// pause waits; it returns false where the Client was closed meanwhile.
func (c *Client) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// retries decides what follows the end of a connection.
type retries struct {
	failures int    // since the last steady connection
	refusals int    // of tokens in a row, none of which ever worked
	stale    string // the token refused last
}

// staleError tells which access token a connection was refused for.
type staleError struct {
	error
	token string
}

func (e *staleError) Unwrap() error { return e.error }

// after returns how long to wait before the next attempt, or the error that ends the Client.
func (r *retries) after(err error, b Backoff) (time.Duration, error) {
	for _, end := range []error{ErrSessionEnded, ErrSuperseded, ErrProtocol} {
		if errors.Is(err, end) {
			return 0, err
		}
	}
	failures := r.failures
	r.failures++
	if stale := new(staleError); errors.As(err, &stale) {
		if r.refusals++; r.refusals >= maxRefusals {
			return 0, errors.Join(ErrSessionEnded, err)
		}
		r.stale = stale.token
		if failures == 0 {
			return 0, nil // the session only has to be refreshed
		}
		return b.Delay(failures), nil
	}
	r.refusals, r.stale = 0, ""
	var bye *GoodbyeError
	if errors.As(err, &bye) && bye.Delay > 0 {
		return bye.Delay, nil // already spread out by the server
	}
	if e, ok := errors.AsType[*Error](err); ok {
		switch {
		case e.Reason == chatv1.ErrorReason_ERROR_REASON_WRONG_CREDENTIALS:
			return 0, errors.Join(ErrSessionEnded, err)
		case e.Code == connect.CodeInvalidArgument && e.Reason != chatv1.ErrorReason_ERROR_REASON_INVALID_TOKEN:
			return 0, errors.Join(ErrProtocol, err)
		case e.RetryAfter > 0:
			return e.RetryAfter + b.Delay(failures), nil
		}
	}
	return b.Delay(failures), nil
}
