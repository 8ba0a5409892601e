package store

import (
	"encoding/binary"
	"errors"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// touched is what one batch changed in one shard, as its row of commit_log tells it: enough to read the batch again from the other tables.
//
// Its form is a version byte, then a list of ranges (conversation as 8 bytes, first seq and number of events as varints), preceded by their number,
// then a list of marks (conversation and user as 8 bytes each).
type touched struct {
	ranges []eventRange
	marks  []chat.MemberKey
}

// eventRange is a run of events of one conversation.
type eventRange struct {
	conversation chat.ConversationID
	first, last  chat.Seq
}

const touchedVersion = 1

var errTouched = errors.New("commit_log.touched is malformed")

// event adds an event; those of one conversation come in order.
func (t *touched) event(e *chat.Event, at map[chat.ConversationID]int) {
	i, ok := at[e.Conversation]
	if !ok {
		at[e.Conversation] = len(t.ranges)
		t.ranges = append(t.ranges, eventRange{e.Conversation, e.Seq, e.Seq})
		return
	}
	t.ranges[i].last = e.Seq
}

func (t *touched) encode() []byte {
	b := make([]byte, 0, 8+12*len(t.ranges)+16*len(t.marks))
	b = append(b, touchedVersion)
	b = binary.AppendUvarint(b, uint64(len(t.ranges)))
	for _, r := range t.ranges {
		b = binary.BigEndian.AppendUint64(b, uint64(r.conversation))
		b = binary.AppendUvarint(b, uint64(r.first))
		b = binary.AppendUvarint(b, uint64(r.last-r.first))
	}
	for _, m := range t.marks {
		b = binary.BigEndian.AppendUint64(b, uint64(m.Conversation))
		b = binary.BigEndian.AppendUint64(b, uint64(m.User))
	}
	return b
}

func decodeTouched(b []byte) (touched, error) {
	var t touched
	if len(b) == 0 || b[0] != touchedVersion {
		return t, errTouched
	}
	d := decoder{b: b[1:]}
	for n := d.uvarint(); n > 0 && !d.bad; n-- {
		r := eventRange{conversation: chat.ConversationID(d.uint64()), first: chat.Seq(d.uvarint())}
		r.last = r.first + chat.Seq(d.uvarint())
		t.ranges = append(t.ranges, r)
	}
	for len(d.b) > 0 && !d.bad {
		t.marks = append(t.marks, chat.MemberKey{Conversation: chat.ConversationID(d.uint64()), User: chat.UserID(d.uint64())})
	}
	if d.bad {
		return touched{}, errTouched
	}
	return t, nil
}

// decoder reads numbers; after the first that isn't there, bad is set and all are 0.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) uint64() uint64 {
	if len(d.b) < 8 {
		d.bad, d.b = true, nil
		return 0
	}
	n := binary.BigEndian.Uint64(d.b)
	d.b = d.b[8:]
	return n
}
