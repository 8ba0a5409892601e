package rpc

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/internal/envelope"
)

// socket is a WebSocket that carries a Stream.
//
// Its own goroutine reads, and runs the session; the session's writer writes, as does the reader where it answers a ping. The fields without
// a comment are set by newSocket and never changed.
type socket struct {
	conn    net.Conn
	frames  *envelope.Reader // the reader's
	request *request
	opened  time.Time
	stall   time.Duration // how long one write may take
	release func()        // gives back its place among those of its address; set by openSocketStream, nil: it got none

	// heard: the client has said something after its metadata.
	heard atomic.Bool
	// What was aborted stays so, whatever deadline is set later.
	receiveAborted, sendAborted atomic.Bool
	writing                     sync.Mutex // held while something is written

	// Of the reader: what ended it.
	violation    uint16 // the code to close with, if the client broke the protocol
	closedByPeer bool   // the client closed the WebSocket
	cut          bool   // the connection is gone
}

// newSocket returns a socket for a connection from which early was read already.
func newSocket(conn net.Conn, r *request, opened time.Time, early []byte, l *Limits) *socket {
	k := &socket{conn: conn, request: r, opened: opened, stall: l.WriteStall}
	from := io.Reader(conn)
	if len(early) > 0 {
		from = io.MultiReader(bytes.NewReader(bytes.Clone(early)), conn)
	}
	k.frames = envelope.NewServerReader(from, metadataBytes, k.pong)
	return k
}

// receiveUntil sets a deadline for reading, if that wasn't aborted; zero: none.
func (k *socket) receiveUntil(deadline time.Time) {
	_ = k.conn.SetReadDeadline(deadline)
	if k.receiveAborted.Load() {
		_ = k.conn.SetReadDeadline(past)
	}
}

func (k *socket) abortReceive() {
	k.receiveAborted.Store(true)
	_ = k.conn.SetReadDeadline(past)
}

func (k *socket) abortSend() {
	k.sendAborted.Store(true)
	_ = k.conn.SetWriteDeadline(past)
}

func (k *socket) receive() (*received[chatv1.StreamRequest], error) {
	if err := k.frames.Wait(); err != nil {
		return nil, k.broken(err)
	}
	flags, data, err := k.frames.Next()
	if err != nil {
		return nil, k.broken(err)
	}
	first := !k.heard.Swap(true)
	switch {
	case flags == envelope.Data:
		in := new(received[chatv1.StreamRequest])
		err := binaryCodec{}.Unmarshal(data, in) // which keeps nothing of data
		if in.err != nil && first {
			k.violation = envelope.CloseInvalidData // of a hello that can't be read nothing comes; later requests are answered
		}
		return in, err
	case flags == envelope.End && len(data) == 0:
		return nil, io.EOF
	case flags&envelope.Compressed != 0:
		return nil, k.violated(envelope.CloseProtocol, &chat.Error{
			Code: chat.Code(connect.CodeUnimplemented), Reason: chat.ReasonInvalidField, Message: "compressed envelopes aren't read here",
		})
	default:
		return nil, k.violated(envelope.CloseProtocol, badMessage("after the metadata, an envelope has the flags 0x00 and a request, or 0x02 and nothing"))
	}
}

// violated notes the code to close with, and returns the error to end with.
func (k *socket) violated(code uint16, e *chat.Error) error {
	k.violation = code
	return e
}

// broken is what a session gets to know of the end of its connection: a fault of the client with its name, all else as a cancellation.
func (k *socket) broken(err error) error {
	if e := (*envelope.Error)(nil); errors.As(err, &e) {
		if e.Code == envelope.CloseTooLarge {
			return k.violated(e.Code, tooLarge())
		}
		return k.violated(e.Code, badMessage(e.Message))
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return connect.NewError(connect.CodeDeadlineExceeded, err)
	}
	if c := (*envelope.ClosedError)(nil); errors.As(err, &c) {
		k.closedByPeer = true
	} else {
		k.cut = true
	}
	return connect.NewError(connect.CodeCanceled, err)
}

// outgoing are the buffers that frames are put together in.
var outgoing = sync.Pool{New: func() any { return new([]byte) }}

// keepOutgoing bounds those that are kept.
const keepOutgoing = 64 << 10

func (k *socket) send(f *frame) error {
	size := 0
	for _, e := range f.events {
		size += len(e.Binary())
	}
	buffer, _ := outgoing.Get().(*[]byte)
	b := envelope.AppendPrefix((*buffer)[:0], envelope.Data, size)
	for _, e := range f.events {
		b = append(b, e.Binary()...)
	}
	err := k.write(b)
	if cap(b) <= keepOutgoing {
		*buffer = b
		outgoing.Put(buffer)
	}
	return err
}

// pong answers a ping. A client that pings and doesn't read waits for its own answers.
func (k *socket) pong(payload []byte) error {
	return k.write(envelope.AppendPong(nil, payload, false))
}

// write writes whole frames.
func (k *socket) write(b []byte) error {
	k.writing.Lock()
	defer k.writing.Unlock()
	_ = k.conn.SetWriteDeadline(time.Now().Add(k.stall))
	if k.sendAborted.Load() {
		_ = k.conn.SetWriteDeadline(past)
	}
	_, err := k.conn.Write(b)
	if err != nil {
		k.sendAborted.Store(true) // part of it may be out: nothing can follow
	}
	return err
}

var _ wire = (*socket)(nil)
