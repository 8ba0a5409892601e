package chat

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"slices"
)

// Sync and page tokens are opaque to clients and grant nothing: they only say where to go on. A checksum tells damaged ones
// from those of this server; it is no protection, and needs to be none.

const (
	syncTokenVersion = 1
	// maxShards bounds what a token may make the server allocate.
	maxShards = slots
)

// position is the part of a token that speaks of one shard: everything up to batch no, whose ID ends in id.
type position struct {
	no int64
	id uint16
}

// syncToken says up to where in each shard's log a client has everything.
type syncToken struct {
	epoch  int64
	shards []position
}

// Token encodes positions for clients.
func Token(p Positions) []byte {
	b := []byte{syncTokenVersion}
	b = binary.AppendVarint(b, p.Epoch)
	b = binary.AppendUvarint(b, uint64(len(p.Nos)))
	for i, no := range p.Nos {
		b = binary.AppendUvarint(b, uint64(no))
		b = binary.LittleEndian.AppendUint16(b, uint16(p.IDs[i]))
	}
	return seal(b)
}

func parseSyncToken(b []byte) (t syncToken, ok bool) {
	b, ok = unseal(b)
	if !ok || len(b) == 0 || b[0] != syncTokenVersion {
		return t, false
	}
	d := decoder{rest: b[1:]}
	t.epoch = d.varint()
	n := d.uvarint()
	if d.failed || n > maxShards {
		return t, false
	}
	t.shards = make([]position, n)
	for i := range t.shards {
		t.shards[i] = position{no: int64(d.uvarint()), id: d.uint16()}
		if t.shards[i].no < 0 {
			return t, false
		}
	}
	return t, !d.failed && len(d.rest) == 0
}

// nos returns the numbers alone.
func (t syncToken) nos() []int64 {
	nos := make([]int64, len(t.shards))
	for i, p := range t.shards {
		nos[i] = p.no
	}
	return nos
}

// Kinds of page tokens, so that one of another list is refused.
const (
	recentPage byte = 'r'
	memberPage byte = 'm'
	syncPage   byte = 's'
	searchPage byte = 'q'
)

func pageToken(kind byte, fields ...int64) string {
	b := []byte{kind}
	for _, f := range fields {
		b = binary.AppendVarint(b, f)
	}
	return base64.RawURLEncoding.EncodeToString(seal(b))
}

// parsePageToken reads a page token of a kind into fields, which stay zero where s is empty.
func parsePageToken(s string, kind byte, fields ...*int64) error {
	if s == "" {
		return nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return InvalidToken("page_token")
	}
	b, ok := unseal(b)
	if !ok || len(b) == 0 || b[0] != kind {
		return InvalidToken("page_token")
	}
	d := decoder{rest: b[1:]}
	for _, f := range fields {
		*f = d.varint()
	}
	if d.failed || len(d.rest) != 0 {
		return InvalidToken("page_token")
	}
	return nil
}

func seal(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

func unseal(b []byte) ([]byte, bool) {
	if len(b) < 4 {
		return nil, false
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	return body, crc32.ChecksumIEEE(body) == sum
}

// decoder reads numbers off a slice, and remembers that it could not.
type decoder struct {
	rest   []byte
	failed bool
}

func (d *decoder) take(n int) {
	if n <= 0 || n > len(d.rest) {
		d.failed, d.rest = true, nil
		return
	}
	d.rest = d.rest[n:]
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	d.take(n)
	return v
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	d.take(n)
	return v
}

func (d *decoder) uint16() uint16 {
	if len(d.rest) < 2 {
		d.take(2)
		return 0
	}
	v := binary.LittleEndian.Uint16(d.rest)
	d.take(2)
	return v
}

// samePositions reports whether a token stands exactly at positions.
func (t syncToken) samePositions(p Positions) bool {
	return t.epoch == p.Epoch && slices.Equal(t.nos(), p.Nos)
}
