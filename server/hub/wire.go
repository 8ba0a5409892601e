package hub

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// The form of frames on the bus: a version byte, the sender's node, then integers as varints and strings and pieces with their length in
// front. Nodes of one cluster that run different versions drop each other's frames as bad ones, and live from the log meanwhile.
const (
	batchVersion  = 0xB1
	signalVersion = 0x51

	// maxBusFrame is the size above which a batch is sent without its entries.
	maxBusFrame = 1 << 20
)

var errBadFrame = errors.New("hub: bus frame can't be read")

// isOwn reports whether this node sent the frame: on some buses a node hears itself.
func (h *Hub) isOwn(frame []byte) bool {
	return len(frame) > 8 && binary.BigEndian.Uint64(frame[1:]) == h.node
}

// encodeBatch needs all pieces to be encoded.
func encodeBatch(node uint64, b *batch) []byte {
	size := 64
	for i := range b.entries {
		e := &b.entries[i]
		size += len(e.piece) + 24 + 10*(len(e.joins)+len(e.leaves))
	}
	for i := range b.receipts {
		size += len(b.receipts[i].piece) + 32
	}
	bare := b.bare || size > maxBusFrame
	if bare {
		size = 64
	}
	out := make([]byte, 0, size)
	out = append(out, batchVersion)
	out = binary.BigEndian.AppendUint64(out, node)
	out = binary.AppendVarint(out, b.epoch)
	out = binary.AppendUvarint(out, uint64(b.shard))
	out = binary.AppendVarint(out, b.no)
	out = binary.BigEndian.AppendUint64(out, b.id)
	out = binary.BigEndian.AppendUint64(out, b.prevID)
	out = appendBool(out, bare)
	if bare {
		return out
	}
	out = binary.AppendUvarint(out, uint64(len(b.entries)))
	for i := range b.entries {
		e := &b.entries[i]
		out = binary.AppendVarint(out, int64(e.conversation))
		out = binary.AppendVarint(out, int64(e.seq))
		out = appendIDs(out, e.joins)
		out = appendIDs(out, e.leaves)
		out = appendBytes(out, e.piece)
	}
	out = binary.AppendUvarint(out, uint64(len(b.receipts)))
	for i := range b.receipts {
		r := &b.receipts[i]
		out = binary.AppendVarint(out, int64(r.conversation))
		out = binary.AppendVarint(out, int64(r.user))
		out = binary.AppendUvarint(out, uint64(r.members))
		out = appendBytes(out, r.piece)
	}
	return out
}

// decodeBatch keeps the frame's bytes.
func decodeBatch(frame []byte, shards int) (node uint64, _ *batch, _ error) {
	r := reader{rest: frame}
	if r.byte() != batchVersion {
		return 0, nil, errBadFrame
	}
	node = r.uint64()
	b := &batch{epoch: r.varint(), shard: r.length(math.MaxInt32), no: r.varint(), id: r.uint64(), prevID: r.uint64(), bare: r.bool()}
	if !b.bare && !r.bad {
		b.entries = make([]entry, r.count(5))
		for i := range b.entries {
			b.entries[i] = entry{
				conversation: chat.ConversationID(r.varint()), seq: chat.Seq(r.varint()),
				joins: readIDs[chat.UserID](&r), leaves: readIDs[chat.UserID](&r), piece: r.bytes(),
			}
		}
		b.receipts = make([]receiptEntry, r.count(4))
		for i := range b.receipts {
			b.receipts[i] = receiptEntry{
				conversation: chat.ConversationID(r.varint()), user: chat.UserID(r.varint()), members: r.length(math.MaxInt32), piece: r.bytes(),
			}
		}
	}
	if r.bad || len(r.rest) > 0 || b.shard >= shards || !b.belongs(shards) {
		return 0, nil, errBadFrame
	}
	return node, b, nil
}

// belongs reports whether all conversations of the batch are of its shard, whose lock guards them.
func (b *batch) belongs(shards int) bool {
	for i := range b.entries {
		if id := b.entries[i].conversation; id <= 0 || id.Shard(shards) != b.shard {
			return false
		}
	}
	for i := range b.receipts {
		if id := b.receipts[i].conversation; id <= 0 || id.Shard(shards) != b.shard {
			return false
		}
	}
	return true
}

func encodeSignal(node uint64, s *signal) []byte {
	out := append(make([]byte, 0, 64), signalVersion)
	out = binary.BigEndian.AppendUint64(out, node)
	out = append(out, byte(s.kind))
	switch s.kind {
	case signalTyping:
		out = binary.AppendVarint(out, int64(s.conversation))
		out = binary.AppendVarint(out, int64(s.user))
		out = appendBool(out, s.typing)
	case signalEndSessions:
		out = append(out, byte(s.reason))
		out = appendIDs(out, s.sessions)
	case signalEndUser:
		out = append(out, byte(s.reason))
		out = binary.AppendVarint(out, int64(s.user))
	case signalTakeover:
		out = binary.AppendVarint(out, int64(s.user))
		out = binary.AppendUvarint(out, s.attempt)
		out = binary.AppendVarint(out, s.opened.UnixNano())
		out = binary.BigEndian.AppendUint64(out, s.stream)
		out = appendBytes(out, []byte(s.device))
	}
	return out
}

func decodeSignal(frame []byte) (node uint64, s signal, _ error) {
	r := reader{rest: frame}
	if r.byte() != signalVersion {
		return 0, s, errBadFrame
	}
	node = r.uint64()
	s.kind = signalKind(r.byte())
	switch s.kind {
	case signalTyping:
		s.conversation, s.user, s.typing = chat.ConversationID(r.varint()), chat.UserID(r.varint()), r.bool()
		r.bad = r.bad || s.conversation <= 0
	case signalEndSessions:
		s.reason, s.sessions = GoodbyeReason(r.byte()), readIDs[chat.SessionID](&r)
	case signalEndUser:
		s.reason, s.user = GoodbyeReason(r.byte()), chat.UserID(r.varint())
	case signalTakeover:
		s.user, s.attempt, s.opened = chat.UserID(r.varint()), r.uvarint(), time.Unix(0, r.varint())
		s.stream, s.device = r.uint64(), string(r.bytes())
	default:
		r.bad = true
	}
	if r.bad || len(r.rest) > 0 {
		return 0, signal{}, errBadFrame
	}
	return node, s, nil
}

func appendBool(out []byte, v bool) []byte {
	if v {
		return append(out, 1)
	}
	return append(out, 0)
}

func appendBytes(out, v []byte) []byte {
	return append(binary.AppendUvarint(out, uint64(len(v))), v...)
}

func appendIDs[T ~int64](out []byte, ids []T) []byte {
	out = binary.AppendUvarint(out, uint64(len(ids)))
	for _, id := range ids {
		out = binary.AppendVarint(out, int64(id))
	}
	return out
}

// reader takes a frame apart. After the first fault, bad is set and all it gives is zero.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.rest) {
		r.bad, r.rest = true, nil
		return nil
	}
	out := r.rest[:n:n]
	r.rest = r.rest[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) bool() bool { return r.byte() != 0 }

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	r.skip(n)
	if r.bad {
		return 0
	}
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	r.skip(n)
	if r.bad {
		return 0
	}
	return v
}

func (r *reader) skip(n int) {
	if n <= 0 {
		r.bad, r.rest = true, nil
		return
	}
	r.take(n)
}

// length reads a number of at most limit.
func (r *reader) length(limit int) int {
	v := r.uvarint()
	if v > uint64(limit) {
		r.bad, r.rest = true, nil
		return 0
	}
	return int(v)
}

// count reads a number of things of at least size bytes each, so that a wrong number can't ask for more memory than the frame has.
func (r *reader) count(size int) int { return r.length(len(r.rest) / size) }

func (r *reader) bytes() []byte { return r.take(r.length(len(r.rest))) }

func readIDs[T ~int64](r *reader) []T {
	n := r.count(1)
	if n == 0 {
		return nil
	}
	ids := make([]T, n)
	for i := range ids {
		ids[i] = T(r.varint())
	}
	return ids
}
