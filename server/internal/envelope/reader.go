package envelope

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Subprotocol is what a client has to ask for in the handshake. A format that isn't compatible gets another name.
const Subprotocol = "natterjack.chat.v1.proto"

// Flags of an envelope.
const (
	// Data is a message of the schema, in protobuf's binary form.
	Data byte = 0x00
	// Compressed is a bit that says that the data are compressed. This protocol has no such envelopes.
	Compressed byte = 0x01
	// End is the last that a side says: without data from the client, Connect's EndStreamResponse (JSON) from the server.
	End byte = 0x02
	// Metadata is the first that a client says: what it would put into headers if a browser let it (JSON).
	Metadata byte = 0x04
)

// Codes that a WebSocket is closed with, of RFC 6455, section 7.4.1.
const (
	CloseNormal      = uint16(ws.StatusNormalClosure)
	CloseGoingAway   = uint16(ws.StatusGoingAway)
	CloseProtocol    = uint16(ws.StatusProtocolError)
	CloseUnsupported = uint16(ws.StatusUnsupportedData)
	CloseInvalidData = uint16(ws.StatusInvalidFramePayloadData)
	ClosePolicy      = uint16(ws.StatusPolicyViolation)
	CloseTooLarge    = uint16(ws.StatusMessageTooBig)
)

// Error is a fault in what the peer sent. What comes after it can't be read.
type Error struct {
	// Code is what the connection is to be closed with.
	Code uint16
	// Message says what is wrong, for developers of the peer.
	Message string
}

func (e *Error) Error() string { return e.Message }

func fault(code uint16, format string, args ...any) *Error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

// ClosedError is the end of a connection that the peer closed, with the code that it gave; 0: none.
type ClosedError struct{ Code uint16 }

func (e *ClosedError) Error() string {
	return fmt.Sprintf("the peer closed the WebSocket with code %d", e.Code)
}

// PrefixBytes is what an envelope has before its data.
const PrefixBytes = 5

// bufferBytes is what a connection keeps to read into: a message as people write them fits in. Larger ones borrow a buffer.
const bufferBytes = 512

// Reader reads envelopes from a connection. Not safe for concurrent use.
//
// A read that fails because of a deadline may be repeated with another deadline, unless it was in the middle of a large message: then
// nothing but Discard works.
type Reader struct {
	src   io.Reader
	pong  func(payload []byte) error
	state ws.State
	limit int // of an envelope's data

	from, to int                    // what is in buf and has not been taken
	large    *[]byte                // what the present message lies in, if it is larger than buf or came in several frames
	torn     error                  // why the connection can't be read as frames any more
	window   window                 // the present frame's header
	header   [ws.MaxHeaderSize]byte // room to parse it
	buf      [bufferBytes]byte
}

// NewServerReader returns a Reader of what a client sends. pong is called, by the goroutine that reads, to answer a ping; it keeps
// nothing of the payload, and its error is that of the read.
func NewServerReader(src io.Reader, limit int, pong func(payload []byte) error) *Reader {
	return &Reader{src: src, pong: pong, state: ws.StateServerSide, limit: limit}
}

// NewClientReader returns a Reader of what a server sends; see [NewServerReader].
func NewClientReader(src io.Reader, limit int, pong func(payload []byte) error) *Reader {
	return &Reader{src: src, pong: pong, state: ws.StateClientSide, limit: limit}
}

// SetLimit sets how many bytes the data of one envelope may have, from the next message on.
func (r *Reader) SetLimit(limit int) { r.limit = limit }

// Wait returns when there is something to read, or an error like Next. A goroutine that calls it first waits with a small stack.
func (r *Reader) Wait() error {
	r.release()
	for r.from == r.to && r.torn == nil {
		r.from = 0
		var err error
		if r.to, err = r.src.Read(r.buf[:]); err != nil && r.to == 0 {
			return err
		}
	}
	return nil
}

// Next waits for the next envelope. Its data stay valid until the next call. Errors are an [*Error], a [*ClosedError], or of the connection;
// io.EOF, if that ended without being closed as a WebSocket is.
func (r *Reader) Next() (flags byte, data []byte, err error) {
	r.release()
	message, err := r.message()
	if err != nil {
		return 0, nil, err
	}
	if len(message) < PrefixBytes {
		return 0, nil, r.tear(fault(CloseProtocol, "a message of %d bytes is no envelope: that has a byte of flags and four of length", len(message)))
	}
	if n := binary.BigEndian.Uint32(message[1:]); uint64(n) != uint64(len(message)-PrefixBytes) {
		return 0, nil, r.tear(fault(CloseProtocol, "an envelope says that it has %d bytes of data, and its message has %d", n, len(message)-PrefixBytes))
	}
	return message[0], message[PrefixBytes:], nil
}

// message returns the payload of the next message, whole.
func (r *Reader) message() ([]byte, error) {
	for {
		h, size, err := r.peek()
		if err != nil {
			return nil, err
		}
		if h.OpCode.IsControl() {
			if err := r.control(h, size); err != nil {
				return nil, err
			}
			continue
		}
		if h.OpCode == ws.OpText {
			return nil, r.tear(fault(CloseUnsupported, "a text message came; this protocol has binary ones only"))
		}
		taken := 0
		if r.large != nil {
			taken = len(*r.large)
		}
		if most := r.limit + PrefixBytes; h.Length > int64(most-taken) {
			return nil, r.tear(fault(CloseTooLarge, "the message is larger than the %d bytes that are read here", r.limit))
		}
		if h.Fin && r.large == nil && size+int(h.Length) <= len(r.buf) {
			return r.inPlace(h, size)
		}
		if err := r.append(h, size); err != nil {
			return nil, err
		}
		if h.Fin {
			r.state = r.state.Clear(ws.StateFragmented)
			return *r.large, nil
		}
		r.state = r.state.Set(ws.StateFragmented)
	}
}

// peek waits for a frame's header and leaves it in buf, so that a deadline in the middle of it loses nothing.
func (r *Reader) peek() (h ws.Header, size int, err error) {
	if r.torn != nil {
		return h, 0, r.torn
	}
	if err := r.ensure(ws.MinHeaderSize); err != nil {
		return h, 0, err
	}
	size = headerSize(r.buf[r.from+1])
	if err := r.ensure(size); err != nil {
		return h, 0, err
	}
	r.window = r.buf[r.from : r.from+size]
	if h, err = ws.ReadHeaderBuffer(&r.window, r.header[:]); err != nil {
		return h, 0, r.tear(fault(CloseProtocol, "a frame's header can't be read: %v", err))
	}
	if err := ws.CheckHeader(h, r.state); err != nil {
		return h, 0, r.tear(fault(CloseProtocol, "a frame breaks the rules of WebSocket: %v", err))
	}
	return h, size, nil
}

// headerSize is told by the second byte of a header.
func headerSize(second byte) int {
	size := ws.MinHeaderSize
	switch second & 0x7f {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	if second&0x80 != 0 {
		size += 4
	}
	return size
}

// window is a header as a reader.
type window []byte

func (w *window) Read(p []byte) (int, error) {
	n := copy(p, *w)
	*w = (*w)[n:]
	return n, nil
}

// ensure waits until n bytes are in buf, which is to have room for them.
func (r *Reader) ensure(n int) error {
	if r.from == r.to {
		r.from, r.to = 0, 0
	}
	if r.from+n > len(r.buf) {
		r.to = copy(r.buf[:], r.buf[r.from:r.to])
		r.from = 0
	}
	for r.to-r.from < n {
		m, err := r.src.Read(r.buf[r.to:])
		r.to += m
		if err != nil && r.to-r.from < n {
			if r.to > r.from {
				return unexpected(err)
			}
			return err
		}
	}
	return nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// inPlace returns a frame's payload where it lies.
func (r *Reader) inPlace(h ws.Header, size int) ([]byte, error) {
	whole := size + int(h.Length)
	if err := r.ensure(whole); err != nil {
		return nil, err
	}
	p := r.buf[r.from+size : r.from+whole]
	r.from += whole
	unmask(p, h)
	return p, nil
}

func unmask(p []byte, h ws.Header) {
	if h.Masked {
		ws.Cipher(p, h.Mask, 0)
	}
}

// append reads a frame's payload to the end of large.
func (r *Reader) append(h ws.Header, size int) error {
	if r.large == nil {
		r.large, _ = buffers.Get().(*[]byte)
	}
	r.from += size
	b := *r.large
	begin := len(b)
	b = grow(b, int(h.Length))
	n := copy(b[begin:], r.buf[r.from:r.to])
	r.from += n
	if _, err := io.ReadFull(r.src, b[begin+n:]); err != nil {
		return r.tear(unexpected(err))
	}
	unmask(b[begin:], h)
	*r.large = b
	return nil
}

// grow makes b longer by n.
func grow(b []byte, n int) []byte {
	if need := len(b) + n; need > cap(b) {
		b = append(make([]byte, 0, max(need, 2*cap(b))), b...)
	}
	return b[:len(b)+n]
}

// keepBytes bounds the buffers that are kept for the next large message.
const keepBytes = 64 << 10

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// release gives back what the last message lay in.
func (r *Reader) release() {
	if r.large == nil || r.state.Fragmented() {
		return
	}
	if cap(*r.large) <= keepBytes {
		*r.large = (*r.large)[:0]
		buffers.Put(r.large)
	}
	r.large = nil
}

// tear notes that the connection can't be read as frames any more, and why.
func (r *Reader) tear(why error) error {
	r.torn = why
	return why
}

// control takes a ping, a pong or a close.
func (r *Reader) control(h ws.Header, size int) error {
	p, err := r.inPlace(h, size)
	if err != nil {
		return err
	}
	switch h.OpCode {
	case ws.OpPing:
		return r.pong(p)
	case ws.OpClose:
		return r.tear(closed(p))
	default:
		return nil // a pong that nobody asked for is allowed
	}
}

// closed is the peer's end of the connection, or the fault in how it says so.
func closed(p []byte) error {
	if len(p) == 0 {
		return &ClosedError{}
	}
	code, reason := ws.ParseCloseFrameData(p)
	if len(p) < 2 || !utf8.ValidString(reason) || ws.CheckCloseFrameData(code, reason) != nil {
		return fault(CloseProtocol, "a close frame has to have a code that may be sent, and a reason in UTF-8")
	}
	return &ClosedError{uint16(code)}
}

// Discard reads until the peer closes, the connection ends, or most bytes came, whatever they are. It is what is left to do when all was said: a
// connection that is closed with unread bytes in it may lose what was written last.
func (r *Reader) Discard(most int) {
	for most > 0 {
		h, size, err := r.peek()
		if err != nil {
			break
		}
		if h.OpCode == ws.OpClose || h.Length > int64(most) {
			break
		}
		if size+int(h.Length) <= len(r.buf) {
			if _, err := r.inPlace(h, size); err != nil {
				return
			}
		} else {
			r.from += size
			skip := min(int(h.Length), r.to-r.from)
			r.from += skip
			if _, err := io.CopyN(io.Discard, r.src, h.Length-int64(skip)); err != nil {
				return
			}
		}
		most -= size + int(h.Length)
	}
	if c := (*ClosedError)(nil); r.torn != nil && !errors.As(r.torn, &c) {
		_, _ = io.CopyN(io.Discard, r.src, int64(max(most, 0)))
	}
}
