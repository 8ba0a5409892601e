package client

import (
	"context"
	"time"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
)

// OutboxItem is a message on its way.
type OutboxItem struct {
	// ClientID is the message's client_message_id: a UUID, the same in every repetition.
	ClientID string `json:"id"`
	// Conversation is where to.
	Conversation string `json:"conversation"`
	// Content is the text.
	Content string `json:"content"`
	// ReplyTo is the seq of the message this one answers; 0 for none.
	ReplyTo int64 `json:"reply_to,omitempty"`
	// Created is when Send was called, in milliseconds since 1970.
	Created int64 `json:"created"`
	// Acknowledged tells that the server has stored it. It is kept for a while, to be sent again should the server lose it.
	Acknowledged bool `json:"-"`
}

// OutboxStore keeps the outbox over restarts; FileOutbox is one. Its methods are called one at a time.
type OutboxStore interface {
	// Load returns what was put and not removed, in the order of putting.
	Load() ([]OutboxItem, error)
	// Put adds an item, or makes one that was acknowledged wait again in its old place. It returns once that would survive a crash.
	Put(item OutboxItem) error
	// Acknowledge notes that an item was stored by the server. It need not be durable: a message that is sent again is stored once.
	Acknowledge(clientID string) error
	// Remove forgets an item; as durable as Acknowledge.
	Remove(clientID string) error
	// Close frees what the store holds.
	Close() error
}

// Sent is a message that the server has stored.
type Sent struct {
	ClientID     string
	Conversation string
	// ID, Seq and Time are what the server gave it.
	ID   string
	Seq  int64
	Time time.Time
	// Duplicate: it had been stored before, by an attempt whose answer was lost.
	Duplicate bool
}

// Sending is a message in the outbox.
type Sending struct {
	item   OutboxItem
	client *Client

	// Guarded by client.mu.
	inFlight bool
	attempts int           // refused so far, retryably
	again    bool          // was acknowledged, and is sent again after a RESET: nobody waits for it
	done     chan struct{} // made by the first who waits; closed when finished
	finished bool
	sent     Sent
	err      error

	onDone func(Sent, error) // set in Send, never changed
}

// ID returns the message's client_message_id.
func (s *Sending) ID() string { return s.item.ClientID }

// Item returns the message.
func (s *Sending) Item() OutboxItem { return s.item }

// Wait waits until the message is stored, or finally refused. After ErrClosed or another end of the Client the message stays in
// the store, if one was given, and is sent by the next Client that gets it; without a store its fate is unknown.
func (s *Sending) Wait(ctx context.Context) (Sent, error) {
	select {
	case <-s.Done():
		return s.sent, s.err
	case <-ctx.Done():
		return Sent{}, ctx.Err()
	}
}

// Done is closed once Wait wouldn't wait.
func (s *Sending) Done() <-chan struct{} {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if s.done == nil {
		s.done = make(chan struct{})
		if s.finished {
			close(s.done)
		}
	}
	return s.done
}

// finish ends the waiting for a message, and adds the call that tells of it to calls, to be made without the lock. Client.mu is held.
func (s *Sending) finish(calls []func(), sent Sent, err error) []func() {
	if s.finished {
		return calls
	}
	s.finished, s.sent, s.err = true, sent, err
	if s.done != nil {
		close(s.done)
	}
	if s.onDone != nil {
		calls = append(calls, func() { s.onDone(sent, err) })
	}
	return calls
}

// lane is the outbox of one conversation. Messages leave in order, at most window of them unanswered: with a window of one, a message never
// passes an earlier one, whatever happens.
type lane struct {
	items    []*Sending // not finished, in order; the first inFlight ones of them are on their way, but for holes left by a refusal
	inFlight int
	after    time.Time // not before: the first item was refused for now
	queued   bool      // in outbox.ready
}

// outbox decides what is sent next. It does no I/O and has no lock: Client.mu guards it.
type outbox struct {
	window     int // unanswered messages on the stream
	laneWindow int // unanswered messages in one conversation
	backoff    Backoff
	keep       int // acknowledged messages kept for reassert

	lanes    map[string]*lane
	ready    []*lane // those with something to send, in the order in which they became so
	waiting  []*lane // those whose time has not come
	inFlight int
	pending  int          // items in all lanes
	kept     []OutboxItem // acknowledged in the last 24 hours, oldest first
}

// keepAcknowledged is for how long own messages are sent again after a RESET (a rule of the protocol).
const keepAcknowledged = 24 * time.Hour

func (o *outbox) put(s *Sending) {
	l := o.lanes[s.item.Conversation]
	if l == nil {
		l = &lane{}
		o.lanes[s.item.Conversation] = l
	}
	l.items = append(l.items, s)
	o.pending++
	o.enqueue(l)
}

func (o *outbox) enqueue(l *lane) {
	if l.queued || l.inFlight >= o.laneWindow || l.inFlight == len(l.items) {
		return
	}
	l.queued = true
	if l.after.IsZero() {
		o.ready = append(o.ready, l)
	} else {
		o.waiting = append(o.waiting, l)
	}
}

// next returns the next message to send, or nil. The caller sends it, or calls disconnected.
func (o *outbox) next() *Sending {
	for o.inFlight < o.window && len(o.ready) > 0 {
		l := o.ready[0]
		o.ready[0] = nil
		o.ready = o.ready[1:]
		l.queued = false
		for _, s := range l.items {
			if !s.inFlight {
				s.inFlight = true
				l.inFlight++
				o.inFlight++
				o.enqueue(l)
				return s
			}
		}
	}
	return nil
}

// wake makes lanes ready whose time has come, and returns when the next one's comes; zero where none waits.
func (o *outbox) wake(now time.Time) (next time.Time) {
	still := o.waiting[:0]
	for _, l := range o.waiting {
		if l.after.After(now) {
			still = append(still, l)
			if next.IsZero() || l.after.Before(next) {
				next = l.after
			}
			continue
		}
		l.after, l.queued = time.Time{}, false
		o.enqueue(l)
	}
	o.waiting = still
	return next
}

// landed takes a message off its way: answered is false where it has to be sent again.
func (o *outbox) landed(s *Sending, answered bool) {
	l := o.lanes[s.item.Conversation]
	if s.inFlight {
		s.inFlight = false
		l.inFlight--
		o.inFlight--
	}
	if answered {
		for i, other := range l.items {
			if other == s {
				l.items = append(l.items[:i], l.items[i+1:]...)
				break
			}
		}
		o.pending--
		if len(l.items) == 0 && !l.queued {
			delete(o.lanes, s.item.Conversation)
			return
		}
	}
	o.enqueue(l)
}

// refused puts a message back whose request failed for now. Its conversation waits with it.
func (o *outbox) refused(s *Sending, now time.Time, retryAfter time.Duration) {
	l := o.lanes[s.item.Conversation]
	l.after = now.Add(max(retryAfter, o.backoff.Delay(s.attempts)))
	s.attempts++
	if l.queued {
		o.ready = without(o.ready, l)
		o.waiting = without(o.waiting, l)
		l.queued = false
	}
	o.landed(s, false)
}

func without(lanes []*lane, l *lane) []*lane {
	kept := lanes[:0]
	for _, other := range lanes {
		if other != l {
			kept = append(kept, other)
		}
	}
	return kept
}

// disconnected puts everything back that was on its way: its fate is unknown, and it is sent again in order.
func (o *outbox) disconnected() {
	for _, l := range o.lanes {
		for _, s := range l.items {
			if s.inFlight {
				o.landed(s, false)
			}
		}
	}
}

// acknowledged keeps a stored message for reassert, and returns those that are no longer to be kept.
func (o *outbox) acknowledged(item OutboxItem, now time.Time) (forget []OutboxItem) {
	o.kept = append(o.kept, item)
	oldest := now.Add(-keepAcknowledged).UnixMilli()
	for len(o.kept) > max(o.keep, 0) || len(o.kept) > 0 && o.kept[0].Created < oldest {
		forget = append(forget, o.kept[0])
		o.kept = o.kept[1:]
	}
	return forget
}

// recent returns the acknowledged messages that are to be sent again should the server have lost them.
func (o *outbox) recent(now time.Time) []OutboxItem {
	oldest := now.Add(-keepAcknowledged).UnixMilli()
	var items []OutboxItem
	for _, item := range o.kept {
		if item.Created >= oldest {
			items = append(items, item)
		}
	}
	return items
}

// reassert puts items that were acknowledged in front of those that wait. Their ids make it harmless where the server has them.
func (o *outbox) reassert(c *Client, items []OutboxItem) {
	front := map[string][]*Sending{}
	for _, item := range items {
		front[item.Conversation] = append(front[item.Conversation], &Sending{item: item, client: c, again: true})
		o.pending++
	}
	o.kept = nil
	for id, items := range front {
		l := o.lanes[id]
		if l == nil {
			l = &lane{}
			o.lanes[id] = l
		}
		l.items = append(items, l.items...)
		o.enqueue(l)
	}
}

func sendRequest(s *Sending) *chatv1.SendMessageRequest {
	return &chatv1.SendMessageRequest{
		ConversationId: s.item.Conversation, ClientMessageId: s.item.ClientID, Content: s.item.Content, ReplyToSeq: s.item.ReplyTo,
	}
}
