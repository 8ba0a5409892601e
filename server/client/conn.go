package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
)

const (
	// pingInterval is after how much silence of its own the client pings (a rule of the protocol; the server waits 90 s).
	pingInterval = 25 * time.Second
	// handshakeTimeout bounds connecting, up to the server's ready.
	handshakeTimeout = 15 * time.Second
	// defaultHeartbeat is assumed where the server names no interval.
	defaultHeartbeat = 20 * time.Second
	// leaveTimeout bounds the end of a connection that the client wants to end.
	leaveTimeout = 500 * time.Millisecond
	// maxBatch bounds the requests that are sent together.
	maxBatch = 64
)

// conn is one connection: a stream with what is unanswered on it.
type conn struct {
	c      *Client
	token  string
	stream Stream
	ctx    context.Context // ends with the connection; its cause says why
	cancel context.CancelCauseFunc
	dog    *time.Timer   // ends the connection when the server is silent
	kick   chan struct{} // has an element when there may be something for the writer
	heard  atomic.Int64  // when something came last, UnixNano
	said   time.Time     // when something was sent last; the writer's

	workers sync.WaitGroup // writer and fetcher; the reader waits for them

	// Guarded by c.mu.
	fetching bool
	since    time.Time           // when ready came
	asked    map[uint64]question // by request id
	lastID   uint64
}

// question is a request that the server has not answered.
type question struct {
	sending *Sending
	mark    *mark
	read    bool  // of a mark: the read mark, not the delivered one
	seq     int64 // of a mark
	watch   bool  // whose presence to tell
}

// session makes one connection and reads it to its end, which is never nil. stale is a token that the server refused, or "".
// lived is how long the connection was good; 0 where the server never got ready.
func (c *Client) session(stale string) (lived time.Duration, err error) {
	token, err := c.tokens.token(c.ctx, stale)
	if err != nil {
		return 0, err
	}
	k := &conn{c: c, token: token, kick: make(chan struct{}, 1), asked: map[uint64]question{}}
	k.ctx, k.cancel = context.WithCancelCause(context.WithoutCancel(c.ctx)) // it ends in good order, see leave
	k.dog = time.AfterFunc(handshakeTimeout, func() { k.cancel(errNoAnswer) })
	defer func() {
		k.dog.Stop()
		k.cancel(nil)
		c.mu.Lock()
		c.conn = nil
		if !k.since.IsZero() {
			lived = max(1, time.Since(k.since))
		}
		c.mu.Unlock()
		k.workers.Wait()
		c.mu.Lock()
		c.out.disconnected()
		c.mu.Unlock()
	}()
	header := http.Header{}
	setBearer(header, token)
	opened := context.AfterFunc(c.ctx, func() { k.cancel(ErrClosed) })
	k.stream, err = c.transport.Open(k.ctx, header)
	opened()
	if err != nil {
		return 0, k.end(err)
	}
	defer func() { _ = k.stream.Close() }()
	defer context.AfterFunc(c.ctx, k.leave)()
	if err := k.stream.Send(k.hello()); err != nil && !errors.Is(err, io.EOF) {
		return 0, k.end(err)
	}
	for {
		r, err := k.stream.Receive()
		if err == nil {
			err = k.take(r)
		}
		if err != nil {
			return 0, k.end(err)
		}
	}
}

// leave ends the connection in good order, so that the server need not wait whether the client comes back; at once, where that takes too long.
func (k *conn) leave() {
	_ = k.stream.CloseSend()
	t := time.NewTimer(leaveTimeout)
	defer t.Stop()
	select {
	case <-t.C:
		k.cancel(ErrClosed)
	case <-k.ctx.Done():
	}
}

// end finds the cause of the connection's end.
func (k *conn) end(err error) error {
	if cause := context.Cause(k.ctx); cause != nil {
		err = cause
	}
	err = ended(err)
	var bye *GoodbyeError
	if isUnauthenticated(err) || errors.As(err, &bye) && bye.Reason == chatv1.GoodbyeReason_GOODBYE_REASON_TOKEN_EXPIRED {
		return &staleError{err, k.token}
	}
	return err
}

func (k *conn) hello() *chatv1.StreamRequest {
	c := k.c
	c.mu.Lock()
	defer c.mu.Unlock()
	token, positions := c.in.hello()
	k.lastID++
	return &chatv1.StreamRequest{RequestId: k.lastID, Request: &chatv1.StreamRequest_Hello{Hello: &chatv1.Hello{
		DeviceId: c.device, Attempt: c.nextAttempt(), Token: token, Positions: positions, Presence: c.says.presence,
	}}}
}

// take applies what came. An error ends the connection.
func (k *conn) take(r *chatv1.StreamResponse) error {
	k.heard.Store(time.Now().UnixNano())
	var calls []func()
	var err error
	c := k.c
	if isReset(r) {
		// Before the consumer hears of it: after a crash in between, nothing would tell that they have to be sent again.
		c.reassert()
	}
	c.mu.Lock()
	for _, e := range r.GetEvents() {
		switch b := e.GetEvent().(type) {
		case *chatv1.Event_Heartbeat:
		case *chatv1.Event_Ready:
			k.ready(b.Ready)
		case *chatv1.Event_Ack:
			calls = append(calls, k.ack(b.Ack)...)
		case *chatv1.Event_Error:
			var more []func()
			if more, err = k.refuse(b.Error); err == nil {
				calls = append(calls, more...)
			}
		case *chatv1.Event_Goodbye:
			err = &GoodbyeError{
				Reason: b.Goodbye.GetReason(), Message: b.Goodbye.GetMessage(), Delay: b.Goodbye.GetReconnectDelay().AsDuration(),
			}
		default:
			c.in.apply(e)
		}
		if err != nil {
			break
		}
	}
	c.refill()
	waiting := c.in.queue.n > 0
	c.mu.Unlock()
	for _, call := range calls {
		call()
	}
	if waiting {
		c.signal()
	}
	return err
}

func isReset(r *chatv1.StreamResponse) bool {
	return len(r.GetEvents()) > 0 && r.GetEvents()[0].GetReady().GetResumeKind() == chatv1.ResumeKind_RESUME_KIND_RESET
}

// ready begins the conversation proper. mu is held.
func (k *conn) ready(r *chatv1.Ready) {
	c := k.c
	if c.conn == k {
		return
	}
	heartbeat := r.GetHeartbeatInterval().AsDuration()
	if heartbeat <= 0 {
		heartbeat = defaultHeartbeat
	}
	k.dog.Stop()
	k.dog = time.AfterFunc(2*heartbeat, func() { k.watch(2 * heartbeat) })
	c.user = r.GetUserId()
	c.in.ready(r.GetResumeKind())
	c.says.connected()
	c.conn = k
	k.since = time.Now()
	k.said = k.since
	k.workers.Go(k.write)
}

// watch ends the connection if nothing was heard for as long as limit; else it looks again when that may be so.
func (k *conn) watch(limit time.Duration) {
	left := limit - time.Since(time.Unix(0, k.heard.Load()))
	if left <= 0 {
		k.cancel(errDeadPeer)
		return
	}
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	if k.ctx.Err() == nil {
		k.dog.Reset(left)
	}
}

// ack takes the answer to a request that was carried out. mu is held; the returned functions are to be called without it.
func (k *conn) ack(a *chatv1.Ack) []func() {
	q, ok := k.asked[a.GetRequestId()]
	if !ok {
		return nil
	}
	delete(k.asked, a.GetRequestId())
	k.wake()
	switch {
	case q.sending != nil:
		return k.c.stored(q.sending, a)
	case q.mark != nil:
		k.c.says.marked(q.mark, q.read, q.seq)
	}
	return nil
}

// refuse takes the answer to one that wasn't. An error ends the connection: hello itself was refused.
func (k *conn) refuse(r *chatv1.RequestError) ([]func(), error) {
	err := requestError(r)
	if k.c.conn != k {
		return nil, err
	}
	q, ok := k.asked[r.GetRequestId()]
	if !ok {
		k.c.o.Logger.Debug("the server refused a request", "error", err, "reason", err.Reason, "field", err.Field)
		return nil, nil
	}
	delete(k.asked, r.GetRequestId())
	k.wake()
	switch {
	case q.sending != nil:
		return k.c.refusedSend(q.sending, err), nil
	case q.mark != nil:
		k.c.says.unmarked(q.mark, time.Now(), err.Retryable(), err.RetryAfter)
	case q.watch && err.Retryable():
		k.c.says.unwatched(time.Now(), err.RetryAfter)
	}
	return nil, nil
}

// wake makes the writer look for something to send.
func (k *conn) wake() {
	select {
	case k.kick <- struct{}{}:
	default:
	}
}

// kick makes the writer look, if there is one. mu is held.
func (c *Client) kick() {
	if c.conn != nil {
		c.conn.wake()
	}
}
