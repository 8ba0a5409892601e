package envelope

import (
	"crypto/sha1" //nolint:gosec // RFC 6455 wants it, to tell a server that speaks WebSocket from one that doesn't
	"encoding/base64"
	"encoding/binary"

	"github.com/gobwas/ws"
)

// AcceptKey returns what a server answers to a client's key in the handshake (RFC 6455, section 4.2.2).
func AcceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // see the import
	return base64.StdEncoding.EncodeToString(sum[:])
}

// AppendPrefix appends what a server sends before the data of an envelope; size bytes of data have to follow it.
func AppendPrefix(b []byte, flags byte, size int) []byte {
	b = appendHeader(b, ws.Header{Fin: true, OpCode: ws.OpBinary, Length: int64(PrefixBytes + size)})
	return binary.BigEndian.AppendUint32(append(b, flags), uint32(size)) //nolint:gosec // sizes are bounded far below
}

// AppendMasked appends an envelope as a client sends it.
func AppendMasked(b []byte, flags byte, data []byte) []byte {
	h := ws.Header{Fin: true, OpCode: ws.OpBinary, Length: int64(PrefixBytes + len(data)), Masked: true, Mask: ws.NewMask()}
	b = appendHeader(b, h)
	begin := len(b)
	b = binary.BigEndian.AppendUint32(append(b, flags), uint32(len(data))) //nolint:gosec // sizes are bounded far below
	b = append(b, data...)
	ws.Cipher(b[begin:], h.Mask, 0)
	return b
}

// AppendPong appends the answer to a ping; masked: from a client.
func AppendPong(b, payload []byte, masked bool) []byte {
	return appendControl(b, ws.OpPong, payload, masked)
}

// AppendClose appends the end of a connection; masked: from a client.
func AppendClose(b []byte, code uint16, masked bool) []byte {
	return appendControl(b, ws.OpClose, ws.NewCloseFrameBody(ws.StatusCode(code), ""), masked)
}

func appendControl(b []byte, op ws.OpCode, payload []byte, masked bool) []byte {
	h := ws.Header{Fin: true, OpCode: op, Length: int64(len(payload)), Masked: masked}
	if masked {
		h.Mask = ws.NewMask()
	}
	b = appendHeader(b, h)
	begin := len(b)
	b = append(b, payload...)
	if masked {
		ws.Cipher(b[begin:], h.Mask, 0)
	}
	return b
}

// appendHeader is ws.WriteHeader without a writer.
func appendHeader(b []byte, h ws.Header) []byte {
	second := byte(0)
	if h.Masked {
		second = 0x80
	}
	b = append(b, 0x80|byte(h.OpCode)) // all of ours are whole messages
	switch {
	case h.Length < 126:
		b = append(b, second|byte(h.Length))
	case h.Length < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, second|126), uint16(h.Length))
	default:
		b = binary.BigEndian.AppendUint64(append(b, second|127), uint64(h.Length)) //nolint:gosec // a length
	}
	if h.Masked {
		b = append(b, h.Mask[:]...)
	}
	return b
}
