package rpc

import (
	"context"
	"errors"
	"io"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/hub"
)

// listen carries out what the client says, until it has said all (clean) or the session ends. When the client has said all, it gets the
// answers to it, and what it missed if that is still under way, and then the stream ends.
func (ss *session) listen(ctx context.Context, caughtUp <-chan struct{}) (clean bool) {
	select {
	case <-ss.ready:
	case <-ctx.Done():
		return false
	}
	for {
		ss.reading.Store(time.Now().UnixNano())
		in, err := ss.wire.receive()
		ss.reading.Store(0)
		switch {
		case errors.Is(err, io.EOF):
			return ss.settle(ctx, caughtUp)
		case err != nil:
			ss.listenFailed(ctx, err)
			return false
		}
		if !ss.take(ctx) {
			return false
		}
		ss.handle(ctx, in)
	}
}

// settle waits until all requests are answered and the client is caught up, and lets the writer end the stream.
func (ss *session) settle(ctx context.Context, caughtUp <-chan struct{}) bool {
	select {
	case <-caughtUp:
	case <-ctx.Done():
		return false
	}
	for range cap(ss.slots) {
		if !ss.acquire(ctx) {
			return false
		}
	}
	ss.stream.Reply(fin)
	return true
}

// listenFailed ends a session that can't be read any more: the client has gone, the session has ended, or what came is no request at all.
func (ss *session) listenFailed(ctx context.Context, err error) {
	code := connect.CodeOf(err)
	if ctx.Err() != nil || code == connect.CodeCanceled || code == connect.CodeDeadlineExceeded {
		ss.stop()
		return
	}
	e, ok := chat.AsError(err)
	if !ok {
		e = unreadable(err)
	}
	ss.end(hub.GoodbyeProtocolError, 0, e)
	// The writer says so to a client that is there; it ends the session in any case.
}

// take waits for a slot, and for the user's rate.
func (ss *session) take(ctx context.Context) bool {
	return ss.acquire(ctx) && ss.server.userRates.wait(ctx, ss.caller.User) == nil
}

func (ss *session) acquire(ctx context.Context) bool {
	select {
	case ss.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (ss *session) release() { <-ss.slots }

// handle carries out one request. Whatever goes wrong with it is its answer, and the stream goes on.
func (ss *session) handle(ctx context.Context, in *received[chatv1.StreamRequest]) {
	r := &in.msg
	answered := false
	answer := func(a *chatv1.Ack, err error) {
		answered = true
		ss.answer(ctx, r, a, err)
	}
	defer func() {
		if fault := recover(); fault != nil && !answered {
			answer(nil, panicked(fault))
		}
	}()
	err := in.err
	if err == nil {
		err = ss.server.validator.check(r)
	}
	if err == nil {
		err = ss.perform(ctx, r, answer)
	}
	if err != nil {
		answer(nil, err)
	}
}

// perform carries out a valid request. It either calls answer once, now or later, or returns an error.
func (ss *session) perform(ctx context.Context, r *chatv1.StreamRequest, answer func(*chatv1.Ack, error)) error {
	switch q := r.GetRequest().(type) {
	case *chatv1.StreamRequest_SendMessage:
		return ss.sendMessage(ctx, q.SendMessage, answer)
	case *chatv1.StreamRequest_MarkRead:
		return ss.mark(ctx, q.MarkRead, true, answer)
	case *chatv1.StreamRequest_MarkDelivered:
		return ss.mark(ctx, q.MarkDelivered, false, answer)
	case *chatv1.StreamRequest_Typing:
		if _, err := ss.server.setTyping(ctx, q.Typing); err != nil {
			return err
		}
	case *chatv1.StreamRequest_WatchPresence:
		users, err := userIDs(q.WatchPresence.GetUserIds(), "user_ids")
		if err != nil {
			return err
		}
		if err := ss.watch(ctx, users); err != nil {
			return err
		}
	case *chatv1.StreamRequest_SetPresence:
		ss.server.presence.Update(ss.caller.User, ss.stream.ID(), chat.PresenceState(q.SetPresence.GetState()))
	case *chatv1.StreamRequest_Hello:
		e := helloExpected("hello came twice; open a new stream for a new hello")
		ss.end(hub.GoodbyeProtocolError, 0, e)
		return e
	case *chatv1.StreamRequest_Ping:
	}
	answer(&chatv1.Ack{}, nil)
	return nil
}

func (ss *session) sendMessage(ctx context.Context, r *chatv1.SendMessageRequest, answer func(*chatv1.Ack, error)) error {
	req, err := sendRequest(r)
	if err != nil {
		return err
	}
	return ss.server.chat.SendAsync(ctx, ss.caller, req, func(sent chat.Sent, err error) {
		if err != nil {
			answer(nil, err)
			return
		}
		m := &sent.Message
		answer(&chatv1.Ack{
			MessageId: chat.MessageID(m.Conversation, m.Seq), Seq: int64(m.Seq), Timestamp: timestamppb.New(m.Time), Duplicate: sent.Duplicate,
		}, nil)
	})
}

func (ss *session) mark(ctx context.Context, r mark, read bool, answer func(*chatv1.Ack, error)) error {
	req, err := markRequest(r, read)
	if err != nil {
		return err
	}
	return ss.server.chat.MarkAsync(ctx, ss.caller, req, func(receipt chat.Receipt, err error) {
		a := &chatv1.Ack{Seq: int64(receipt.DeliveredSeq)}
		if read {
			a.Seq = int64(receipt.ReadSeq)
		}
		answer(a, err)
	})
}

// answer queues the ack or error of a request. It is called from other goroutines too, and doesn't block.
func (ss *session) answer(ctx context.Context, r *chatv1.StreamRequest, a *chatv1.Ack, err error) {
	switch {
	case err != nil:
		e := ss.server.classify(ctx, within(requestName(r), err))
		ss.refuseRequest(r.GetRequestId(), e)
	case r.GetRequestId() != 0:
		a.RequestId = r.GetRequestId()
		ss.stream.Reply(newFrame(ackEvent(a)))
	default:
		ss.release() // nothing will be written for it
	}
}

func (ss *session) refuseRequest(id uint64, e *chat.Error) {
	ss.stream.Reply(newFrame(&chatv1.Event{Event: &chatv1.Event_Error{Error: requestError(id, e)}}))
}

// requestName is the name of what a request says, as it stands in the schema.
func requestName(r *chatv1.StreamRequest) string {
	m := r.ProtoReflect()
	field := m.WhichOneof(m.Descriptor().Oneofs().ByName("request"))
	if field == nil {
		return ""
	}
	return string(field.Name())
}

// within puts the name of the request before the field that an error names, unless it is there: the schema's rules see the whole request,
// the methods only the part that is theirs.
func within(name string, err error) error {
	e, ok := chat.AsError(err)
	if !ok || e.Field == "" || name == "" || e.Field == name || len(e.Field) > len(name) && e.Field[:len(name)+1] == name+"." {
		return err
	}
	named := *e
	named.Field = name + "." + e.Field
	return &named
}

// watch tells the stream of these users' presence from now on, in the place of others, and how it is now. It waits until what an earlier one
// told of strangers has been written: the hub doesn't bound that.
func (ss *session) watch(ctx context.Context, users []chat.UserID) error {
	select {
	case ss.watching <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	strangers, err := ss.watchKnown(ctx, users)
	if len(strangers) == 0 {
		<-ss.watching
		return err
	}
	ss.watched.Store(strangers[len(strangers)-1])
	for _, f := range strangers {
		ss.stream.Reply(f)
	}
	return err
}

// watchKnown watches those of the users with whom the caller shares a conversation, and returns what to say of the others.
func (ss *session) watchKnown(ctx context.Context, users []chat.UserID) (strangers []*hub.Frame, err error) {
	shared, err := ss.server.chat.SharedUsers(ctx, ss.caller, users)
	if err != nil {
		return nil, err
	}
	ss.stream.Watch(shared)
	infos, err := ss.server.chat.Presence(ctx, ss.caller, shared)
	if err != nil {
		return nil, err
	}
	ss.stream.Present(infos)
	known := make(map[chat.UserID]bool, len(shared))
	for _, u := range shared {
		known[u] = true
	}
	for _, u := range users {
		if !known[u] {
			unknown := chat.PresenceInfo{User: u, State: chat.PresenceUnknown}
			strangers = append(strangers, hub.NewFrame(Encoder{}, Encoder{}.Presence(unknown)))
		}
	}
	return strangers, nil
}

func helloExpected(message string) *chat.Error {
	return &chat.Error{Code: chat.CodeFailedPrecondition, Reason: chat.ReasonHelloExpected, Message: message}
}
