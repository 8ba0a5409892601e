package chat

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"
)

// Ids are positive 63-bit integers inside the server and in its tables, and opaque strings outside: a letter for the kind, then
// 13 characters of Crockford's base 32 in lower case. The letter makes an id of the wrong kind an error at the edge.
type (
	// UserID names an account.
	UserID int64
	// SessionID names a signed-in device.
	SessionID int64
	// ConversationID names a conversation. Its upper ten bits are the slot that decides its log shard; see [ConversationID.Shard].
	ConversationID int64
	// Seq is a place in the one order of a conversation, from 1 without gaps.
	Seq int64
	// UUID is an id chosen by a client (RFC 9562), as bytes.
	UUID [16]byte
)

const (
	// slotBits is the size of a conversation's slot. 1,024 slots outlast any number of shards that one database can use, and leave 53 bits for the rest.
	slotBits = 10
	slots    = 1 << slotBits

	idDigits = 13
)

// idEpoch is the zero of the time inside ids; it only keeps them short.
var idEpoch = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

var crockford = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewUserID returns a fresh id; ids made later sort later, to the second, which keeps index inserts together.
func NewUserID(now time.Time) UserID { return UserID(timeAndRandom(now, 31)) }

// NewSessionID returns a fresh id.
func NewSessionID(now time.Time) SessionID { return SessionID(timeAndRandom(now, 31)) }

// newConversationID returns a fresh id in a slot, 0 to 1,023.
func newConversationID(now time.Time, slot int64) ConversationID {
	return ConversationID(slot<<(63-slotBits) | timeAndRandom(now, 63-slotBits-32))
}

// timeAndRandom is 32 bits of seconds above randomBits of randomness.
func timeAndRandom(now time.Time, randomBits uint) int64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read never fails (Go 1.24).
	random := int64(binary.BigEndian.Uint64(b[:]) & (1<<randomBits - 1))
	seconds := int64(now.Sub(idEpoch)/time.Second) & (1<<32 - 1)
	id := seconds<<randomBits | random
	if id == 0 {
		return 1
	}
	return id
}

// slotFor returns the slot of a conversation that is created under a key, so that whoever creates it concurrently takes the same
// shard's lock. A key of zero length gives a random slot.
func slotFor(key string) int64 {
	if key == "" {
		var b [2]byte
		_, _ = rand.Read(b[:])
		return int64(binary.BigEndian.Uint16(b[:])) % slots
	}
	sum := sha256.Sum256([]byte(key))
	return int64(binary.BigEndian.Uint16(sum[:2])) % slots
}

// Shard returns the log shard, 0 to shards-1, of the conversation.
func (id ConversationID) Shard(shards int) int {
	return int(int64(id) >> (63 - slotBits) * int64(shards) / slots)
}

func (id UserID) String() string         { return formatID('u', int64(id)) }
func (id SessionID) String() string      { return formatID('s', int64(id)) }
func (id ConversationID) String() string { return formatID('c', int64(id)) }

// String returns the usual form of RFC 9562.
func (u UUID) String() string {
	var b [36]byte
	for i, j := 0, 0; i < 16; i++ {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			b[j] = '-'
			j++
		}
		hex.Encode(b[j:], u[i:i+1])
		j += 2
	}
	return string(b[:])
}

// ParseUserID reads what [UserID.String] wrote; anything else is an INVALID_ID error for the field.
func ParseUserID(s, field string) (UserID, error) {
	n, ok := parseID('u', s)
	if !ok {
		return 0, invalidID(field, "a user")
	}
	return UserID(n), nil
}

// ParseSessionID reads what [SessionID.String] wrote; anything else is an INVALID_ID error for the field.
func ParseSessionID(s, field string) (SessionID, error) {
	n, ok := parseID('s', s)
	if !ok {
		return 0, invalidID(field, "a session")
	}
	return SessionID(n), nil
}

// ParseConversationID reads what [ConversationID.String] wrote; anything else is an INVALID_ID error for the field.
func ParseConversationID(s, field string) (ConversationID, error) {
	n, ok := parseID('c', s)
	if !ok {
		return 0, invalidID(field, "a conversation")
	}
	return ConversationID(n), nil
}

// MessageID returns the wire form of a message's identity, which is its conversation and its seq.
func MessageID(conversation ConversationID, seq Seq) string {
	return "m" + encode(int64(conversation)) + strings.TrimLeft(encode(int64(seq)), "0")
}

func formatID(kind byte, id int64) string { return string(kind) + encode(id) }

func parseID(kind byte, s string) (int64, bool) {
	if len(s) != 1+idDigits || s[0] != kind {
		return 0, false
	}
	b, err := crockford.DecodeString(s[1:])
	if err != nil || len(b) != 8 { // line feeds are skipped in decoding
		return 0, false
	}
	id := int64(binary.BigEndian.Uint64(b))
	// The last digit carries one bit that is not the id's: an id has one spelling only.
	return id, id > 0 && encode(id) == s[1:]
}

func encode(id int64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(id))
	return crockford.EncodeToString(b[:])
}
