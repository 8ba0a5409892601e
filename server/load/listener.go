package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1/chatv1connect"
	"github.com/natterjack-chat/natterjack/server/client"
)

// listener is a further device of a user, which only listens, over HTTP/2. It takes what comes from the bytes as they are: to build the messages costs
// more than the server takes to send them, and with many listeners the generator would be what is measured. What comes is counted as for a
// user, but for its own messages: a device gets those, too.
type listener struct {
	receipts
	body io.ReadCloser
	said *io.PipeWriter // the request's body

	buf  []byte // read and not looked at yet
	live bool   // caught up; the reader's
}

// envelopePrefix is what Connect's protocol puts before a message: a byte of flags and the length in four.
const envelopePrefix = 5

// listen opens the listeners, spread over the users, and waits until all are live. Each is read until ctx ends, by a goroutine of r.listening.
func (r *run) listen(ctx context.Context, conns *connections) error {
	if r.cfg.Listeners == 0 {
		return nil
	}
	r.cfg.progress("opening %d listeners", r.cfg.Listeners)
	g, opening := errgroup.WithContext(ctx)
	g.SetLimit(openWorkers)
	r.listeners = make([]*listener, r.cfg.Listeners)
	for i := range r.listeners {
		h, _ := conns.next(i)
		g.Go(func() error {
			l, err := patiently(opening, func() (*listener, error) { return r.openListener(ctx, h, i) })
			if err != nil {
				return fmt.Errorf("open listener %d: %w", i, err)
			}
			r.listeners[i] = l
			r.listening.Go(l.read)
			return nil
		})
	}
	return g.Wait()
}

// openListener opens a listener's stream and waits until it is live.
func (r *run) openListener(ctx context.Context, h *http.Client, i int) (*listener, error) {
	u := r.users[i%len(r.users)]
	body, said := io.Pipe()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.cfg.Servers[0]+chatv1connect.ChatServiceStreamProcedure, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/connect+proto")
	req.Header.Set("Authorization", "Bearer "+u.token)
	hello := &chatv1.Hello{DeviceId: fmt.Sprintf("listener-%d", i)}
	greeting, err := proto.Marshal(&chatv1.StreamRequest{Request: &chatv1.StreamRequest_Hello{Hello: hello}})
	if err != nil {
		return nil, err
	}
	// net/http looks at ctx only between two reads of the request body: the body has to end too.
	context.AfterFunc(ctx, func() { _ = said.Close() })
	go func() { _, _ = said.Write(enveloped(greeting)) }() // ends when the greeting is sent, or with the request
	resp, err := h.Do(req)
	if err != nil {
		return nil, client.AsError(err)
	}
	l := &listener{receipts: newReceipts(r, r.cfg.Users+i, noneOwn), body: resp.Body, said: said}
	for !l.live {
		if err := l.more(); err != nil {
			_ = resp.Body.Close()
			return nil, fmt.Errorf("%s: %w", resp.Status, err)
		}
	}
	return l, nil
}

func enveloped(data []byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(data)))
	return append(b, data...)
}

// read counts what comes until the stream ends, and pings meanwhile.
func (l *listener) read() {
	var ended atomic.Bool
	defer ended.Store(true)
	ping, _ := proto.Marshal(&chatv1.StreamRequest{Request: &chatv1.StreamRequest_Ping{Ping: &chatv1.Ping{}}}) // it has nothing that could fail
	var timer *time.Timer
	timer = time.AfterFunc(pingEvery, func() {
		if _, err := l.said.Write(enveloped(ping)); err == nil && !ended.Load() {
			timer.Reset(pingEvery)
		}
	})
	defer timer.Stop()
	for err := error(nil); err == nil; {
		err = l.more()
	}
	_ = l.said.Close()
	_ = l.body.Close() // what did not come is missing from the count
}

// readRoom is the least room to read into.
const readRoom = 4 << 10

// more reads once, and takes the envelopes that are complete. All of them arrived when the read returned.
func (l *listener) more() error {
	if cap(l.buf)-len(l.buf) < readRoom {
		l.buf = append(make([]byte, 0, 2*cap(l.buf)+readRoom), l.buf...)
	}
	n, err := l.body.Read(l.buf[len(l.buf):cap(l.buf)])
	at := time.Since(l.run.start)
	l.buf = l.buf[:len(l.buf)+n]
	rest := l.buf
	for len(rest) >= envelopePrefix {
		end := envelopePrefix + int(binary.BigEndian.Uint32(rest[1:]))
		if end > len(rest) {
			break
		}
		if rest[0] != 0 {
			return fmt.Errorf("the server ended the stream: %s", rest[envelopePrefix:end])
		}
		if err := l.scan(rest[envelopePrefix:end], at); err != nil {
			return err
		}
		rest = rest[end:]
	}
	l.buf = append(l.buf[:0], rest...)
	return err
}

// Numbers of the schema's fields: of StreamResponse and SubscribeResponse, of Event, and of Message.
const (
	fieldEvents = 1

	fieldMessage  = 3
	fieldCaughtUp = 13
	fieldGoodbye  = 15

	fieldMessageSeq     = 3
	fieldMessageContent = 5
)

var errMalformed = errors.New("the server sent something that isn't of the schema")

// scan takes the messages in a response, which came at a time since the start of the run.
func (l *listener) scan(response []byte, at time.Duration) error {
	return fields(response, func(field protowire.Number, _ uint64, event []byte) error {
		if field != fieldEvents {
			return nil
		}
		return fields(event, func(field protowire.Number, _ uint64, body []byte) error {
			switch int(field) {
			case fieldMessage:
				return l.scanMessage(body, at)
			case fieldCaughtUp:
				l.live = true
			case fieldGoodbye:
				return fmt.Errorf("the server ended the stream: %q", body)
			}
			return nil
		})
	})
}

func (l *listener) scanMessage(message []byte, at time.Duration) error {
	var seq int64
	var content []byte
	err := fields(message, func(field protowire.Number, number uint64, body []byte) error {
		switch int(field) {
		case fieldMessageSeq:
			seq = int64(number)
		case fieldMessageContent:
			content = body
		}
		return nil
	})
	l.take(content, seq, at)
	return err
}

// fields calls fn with each field of an encoded message: with the number, where it is one, or the bytes.
func fields(b []byte, fn func(field protowire.Number, number uint64, body []byte) error) error {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errMalformed
		}
		b = b[n:]
		var number uint64
		var body []byte
		switch kind {
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			body, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(field, kind, b)
		}
		if n < 0 {
			return errMalformed
		}
		if err := fn(field, number, body); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
