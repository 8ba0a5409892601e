package fleet

import (
	"context"
	"net/http"
	"sync"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/e2e/history"
)

// transport records what passes over the streams of one device: requests before they leave, answers and events before the client has them.
type transport struct {
	device *history.Device
	next   client.Transport
	// brake, unless nil, is called before each Receive; it may wait, so that the device reads slowly.
	brake func(context.Context)
}

func (t *transport) Open(ctx context.Context, header http.Header) (client.Stream, error) {
	s, err := t.next.Open(ctx, header)
	if err != nil {
		return nil, err
	}
	return &stream{transport: t, Stream: s, ctx: ctx, asked: map[uint64]*history.Pending{}}, nil
}

type stream struct {
	client.Stream
	transport *transport
	ctx       context.Context //nolint:containedctx // that of Open, for the brake

	mu     sync.Mutex // guards what follows; Send and Receive run at the same time
	record *history.Stream
	asked  map[uint64]*history.Pending
}

func (s *stream) Send(requests ...*chatv1.StreamRequest) error {
	for _, r := range requests {
		s.ask(r)
	}
	return s.Stream.Send(requests...)
}

func (s *stream) ask(r *chatv1.StreamRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.transport.device
	var call history.Call
	switch b := r.GetRequest().(type) {
	case *chatv1.StreamRequest_Hello:
		positions := map[string]int64{}
		for _, p := range b.Hello.GetPositions() {
			positions[p.GetConversationId()] = p.GetSeq()
		}
		s.record = d.Open(len(b.Hello.GetToken()) > 0, positions)
		return
	case *chatv1.StreamRequest_SendMessage:
		call = sendCall(b.SendMessage)
	case *chatv1.StreamRequest_MarkRead:
		call = history.Call{Kind: history.MarkRead, Conversation: b.MarkRead.GetConversationId(), Target: b.MarkRead.GetSeq()}
	case *chatv1.StreamRequest_MarkDelivered:
		call = history.Call{Kind: history.MarkDelivered, Conversation: b.MarkDelivered.GetConversationId(), Target: b.MarkDelivered.GetSeq()}
	default:
		return
	}
	s.asked[r.GetRequestId()] = d.Begin(call)
}

func sendCall(r *chatv1.SendMessageRequest) history.Call {
	return history.Call{
		Kind: history.Send, Conversation: r.GetConversationId(), ClientID: r.GetClientMessageId(), Content: history.DigestOf(r.GetContent()),
	}
}

func (s *stream) Receive() (*chatv1.StreamResponse, error) {
	if s.transport.brake != nil {
		s.transport.brake(s.ctx)
	}
	r, err := s.Stream.Receive()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if s.record != nil {
			s.record.Close()
		}
		return nil, err
	}
	for _, e := range r.GetEvents() {
		s.saw(e)
	}
	return r, nil
}

func (s *stream) saw(e *chatv1.Event) {
	switch b := e.GetEvent().(type) {
	case *chatv1.Event_Ack:
		if p := s.answered(b.Ack.GetRequestId()); p != nil {
			p.Done(func(c *history.Call) {
				c.Seq, c.MessageID, c.Duplicate = b.Ack.GetSeq(), b.Ack.GetMessageId(), b.Ack.GetDuplicate()
			})
		}
	case *chatv1.Event_Error:
		if p := s.answered(b.Error.GetRequestId()); p != nil {
			if reason := b.Error.GetDetail().GetReason(); isRefusal(reason) {
				p.Refused(reason.String())
			} else {
				p.Unknown(b.Error.GetMessage())
			}
		}
	default:
		if event, ok := toEvent(e); ok && s.record != nil {
			s.record.Saw(event)
		}
	}
}

func (s *stream) answered(id uint64) *history.Pending {
	p := s.asked[id]
	delete(s.asked, id)
	return p
}

func (s *stream) Close() error {
	err := s.Stream.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.record != nil {
		s.record.Close()
	}
	return err
}
