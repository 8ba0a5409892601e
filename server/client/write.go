package client

import (
	"errors"
	"io"
	"time"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
)

// write sends what there is to send until the connection ends. Nothing else sends on the stream after hello.
func (k *conn) write() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var batch []*chatv1.StreamRequest
	for k.ctx.Err() == nil {
		now := time.Now()
		k.c.mu.Lock()
		var wait time.Duration
		batch, wait = k.requests(batch[:0], now)
		k.c.mu.Unlock()
		if len(batch) > 0 {
			k.said = now
			if err := k.stream.Send(batch...); err != nil {
				if !errors.Is(err, io.EOF) { // at io.EOF, Receive tells the server's reason
					k.cancel(err)
				}
				return
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-k.kick:
		case <-timer.C:
		case <-k.ctx.Done():
		}
	}
}

// requests returns what is to be sent now, or else how long to wait for the next thing that a clock decides. mu is held.
func (k *conn) requests(batch []*chatv1.StreamRequest, now time.Time) ([]*chatv1.StreamRequest, time.Duration) {
	says := k.c.says
	watch, watchAt := says.watchRequest(now)
	if watch != nil {
		batch = append(batch, k.ask(question{watch: true}, &chatv1.StreamRequest{
			Request: &chatv1.StreamRequest_WatchPresence{WatchPresence: watch},
		}))
	}
	if says.present {
		says.present = false
		batch = append(batch, &chatv1.StreamRequest{Request: &chatv1.StreamRequest_SetPresence{
			SetPresence: &chatv1.SetPresenceRequest{State: says.presence},
		}})
	}
	for _, t := range says.typed {
		batch = append(batch, &chatv1.StreamRequest{Request: &chatv1.StreamRequest_Typing{Typing: t}})
	}
	says.typed = nil
	retryAt := k.c.out.wake(now)
	for len(batch) < maxBatch {
		s := k.c.out.next()
		if s == nil {
			break
		}
		batch = append(batch, k.ask(question{sending: s}, &chatv1.StreamRequest{
			Request: &chatv1.StreamRequest_SendMessage{SendMessage: sendRequest(s)},
		}))
	}
	batch, markAt := k.markRequests(batch, now)
	pingAt := k.said.Add(pingInterval)
	if len(batch) == 0 && !now.Before(pingAt) {
		batch = append(batch, &chatv1.StreamRequest{Request: &chatv1.StreamRequest_Ping{Ping: &chatv1.Ping{}}})
	}
	wait := pingAt.Sub(now)
	for _, at := range []time.Time{retryAt, markAt, watchAt} {
		if !at.IsZero() {
			wait = min(wait, at.Sub(now))
		}
	}
	return batch, wait
}

func (k *conn) markRequests(batch []*chatv1.StreamRequest, now time.Time) ([]*chatv1.StreamRequest, time.Time) {
	for len(batch) < maxBatch {
		m, at := k.c.says.nextMark(now)
		if m == nil {
			return batch, at
		}
		read, delivered := m.requests()
		if read > 0 {
			batch = append(batch, k.ask(question{mark: m, read: true, seq: read}, &chatv1.StreamRequest{
				Request: &chatv1.StreamRequest_MarkRead{MarkRead: &chatv1.MarkReadRequest{ConversationId: m.conversation, Seq: read}},
			}))
		}
		if delivered > 0 {
			batch = append(batch, k.ask(question{mark: m, seq: delivered}, &chatv1.StreamRequest{
				Request: &chatv1.StreamRequest_MarkDelivered{
					MarkDelivered: &chatv1.MarkDeliveredRequest{ConversationId: m.conversation, Seq: delivered},
				},
			}))
		}
	}
	return batch, time.Time{}
}

// ask gives a request an id, under which its answer will be found.
func (k *conn) ask(q question, r *chatv1.StreamRequest) *chatv1.StreamRequest {
	k.lastID++
	k.asked[k.lastID] = q
	r.RequestId = k.lastID
	return r
}
