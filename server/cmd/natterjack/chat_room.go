package main

import (
	"cmp"
	"slices"
	"time"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
)

// typingLasts is after how long somebody's typing ends by itself (a rule of the protocol).
const typingLasts = 6 * time.Second

// room is the open conversation as the screen shows it. It is plain state: apply takes events, in any order and repeatedly, and the newest
// state of each message wins.
type room struct {
	id       string
	me       string
	summary  *chatv1.ConversationSummary
	members  []*chatv1.Member
	items    []item // by seq
	sending  []*outgoing
	receipts map[string]*chatv1.Receipt // of the others, by user
	typing   map[string]time.Time       // until when, by user
	divider  int64                      // messages above this seq were unread on entry; 0: no divider
	marked   int64                      // up to where the user has read, as far as that was said
	older    bool                       // there are messages before the first one
	loading  bool                       // a page is being fetched
}

// item is a message, or a note about the conversation.
type item struct {
	seq  int64
	msg  *chatv1.Message
	note string
}

// outgoing is a message of one's own that has not come back on the stream yet.
type outgoing struct {
	id      string // its client_message_id
	content string
	err     error // why it was refused; nil while on its way
}

func newRoom(me string, s *chatv1.ConversationSummary) *room {
	r := &room{
		id: s.GetConversation().GetId(), me: me, summary: s, receipts: map[string]*chatv1.Receipt{}, typing: map[string]time.Time{}, older: true,
	}
	r.marked = s.GetReceipt().GetReadSeq()
	for _, receipt := range s.GetPeerReceipts() {
		r.receipts[receipt.GetUserId()] = receipt
	}
	if s.GetUnreadCount() > 0 {
		r.divider = s.GetReceipt().GetReadSeq()
	}
	return r
}

// page takes a page of history; newest says that it is the end of the conversation, and replaces what was known.
func (r *room) page(p *chatv1.ListMessagesResponse, newest bool) {
	r.loading = false
	if newest && !r.joins(p.GetMessages()) {
		r.items = nil
	}
	for _, m := range p.GetMessages() {
		r.message(m)
	}
	if len(p.GetMessages()) > 0 && p.GetMessages()[0].GetSeq() <= r.firstSeq() || len(r.items) == 0 {
		r.older = p.GetHasOlder()
	}
}

// joins reports whether a page overlaps what is known, so that nothing is missing in between.
func (r *room) joins(messages []*chatv1.Message) bool {
	return len(messages) > 0 && len(r.items) > 0 && messages[0].GetSeq() <= r.items[len(r.items)-1].seq
}

func (r *room) firstSeq() int64 {
	if len(r.items) == 0 {
		return 0
	}
	return r.items[0].seq
}

// lastSeq is the seq of the newest message shown; 0 for none.
func (r *room) lastSeq() int64 {
	for _, it := range slices.Backward(r.items) {
		if it.msg != nil {
			return it.msg.GetSeq()
		}
	}
	return 0
}

// apply takes an event of this conversation; it reports whether it was a new message of somebody else.
func (r *room) apply(e client.Event, p *people, now time.Time) (news bool) {
	switch b := e.Body.(type) {
	case *chatv1.Message:
		if b.GetSeq() != e.Seq && b.GetSeq() < r.firstSeq() {
			return false // a change of a message that isn't shown
		}
		news = b.GetSeq() == e.Seq && b.GetSenderId() != r.me && r.find(b.GetSeq()) == nil
		r.message(b)
		delete(r.typing, b.GetSenderId())
	case *chatv1.Conversation:
		if r.summary.GetConversation().GetTitle() != b.GetTitle() && e.Seq > 1 {
			r.note(e.Seq, "called "+cleanLine(b.GetTitle())+" from now on")
		}
		r.summary.Conversation = b
	case *chatv1.MembersChanged:
		r.membersChanged(b)
		r.note(e.Seq, membersText(b, e.Seq, p))
	case *chatv1.ConversationSummary:
		r.summary = b
		for _, receipt := range b.GetPeerReceipts() {
			r.receipt(receipt)
		}
	case *chatv1.Receipt:
		r.receipt(b)
	case *chatv1.Typing:
		delete(r.typing, b.GetUserId())
		if b.GetTyping() && b.GetUserId() != r.me {
			r.typing[b.GetUserId()] = now.Add(typingLasts)
		}
	}
	return news
}

func (r *room) receipt(receipt *chatv1.Receipt) {
	if receipt.GetUserId() != r.me {
		r.receipts[receipt.GetUserId()] = receipt
	}
}

// message puts a message in its place, or a newer state of it; an older state changes nothing.
func (r *room) message(m *chatv1.Message) {
	if it := r.find(m.GetSeq()); it != nil {
		if it.msg == nil || m.GetChangedSeq() >= it.msg.GetChangedSeq() {
			it.msg, it.note = m, ""
		}
	} else {
		r.insert(item{seq: m.GetSeq(), msg: m})
	}
	if m.GetSenderId() == r.me {
		r.sending = slices.DeleteFunc(r.sending, func(o *outgoing) bool { return o.id == m.GetClientMessageId() })
	}
}

func (r *room) note(seq int64, text string) {
	if text != "" && r.find(seq) == nil && seq > r.firstSeq() {
		r.insert(item{seq: seq, note: text})
	}
}

func (r *room) find(seq int64) *item {
	i, ok := slices.BinarySearchFunc(r.items, seq, func(it item, seq int64) int { return cmp.Compare(it.seq, seq) })
	if !ok {
		return nil
	}
	return &r.items[i]
}

func (r *room) insert(it item) {
	i, _ := slices.BinarySearchFunc(r.items, it.seq, func(it item, seq int64) int { return cmp.Compare(it.seq, seq) })
	r.items = slices.Insert(r.items, i, it)
}

func (r *room) membersChanged(b *chatv1.MembersChanged) {
	for _, m := range b.GetMembers() {
		id := m.GetUser().GetId()
		r.members = slices.DeleteFunc(r.members, func(old *chatv1.Member) bool { return old.GetUser().GetId() == id })
		if m.GetLeftSeq() == 0 {
			r.members = append(r.members, m)
		} else {
			delete(r.receipts, id)
		}
	}
}

// typers returns who types now, and forgets who has stopped.
func (r *room) typers(now time.Time) []string {
	var ids []string
	for id, until := range r.typing {
		if until.After(now) {
			ids = append(ids, id)
		} else {
			delete(r.typing, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// mark is how far a message of one's own has come.
type mark int

const (
	markNone mark = iota // not one's own, or deleted
	markSent
	markDelivered // to at least one other member
	markRead      // by at least one other member
)

func (r *room) markOf(m *chatv1.Message) mark {
	if m.GetSenderId() != r.me || m.GetDeleteTime() != nil {
		return markNone
	}
	best := markSent
	for _, receipt := range r.receipts {
		if receipt.GetReadSeq() >= m.GetSeq() {
			return markRead
		}
		if receipt.GetDeliveredSeq() >= m.GetSeq() {
			best = markDelivered
		}
	}
	return best
}

// last returns the newest message that fits; nil where none does.
func (r *room) last(fits func(*chatv1.Message) bool) *chatv1.Message {
	for _, it := range slices.Backward(r.items) {
		if it.msg != nil && it.msg.GetDeleteTime() == nil && fits(it.msg) {
			return it.msg
		}
	}
	return nil
}

// sent takes the outcome of a message: a refused one stays on the screen with its reason.
func (r *room) sent(id string, err error) {
	for _, o := range r.sending {
		if o.id == id {
			o.err = err
		}
	}
}
