package client

import (
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
)

// SendOptions are what else a message may have.
type SendOptions struct {
	// ReplyTo is the seq of the message this one answers; 0 for none.
	ReplyTo int64
	// ClientID is the client_message_id, a UUID; empty: a new one of version 7.
	ClientID string
	// OnDone is called once with what Wait would return, by a goroutine of the Client: it may call Send, but must not block, nor call Close. It spares
	// those who send much a goroutine per message. May be nil.
	OnDone func(Sent, error)
}

// Send puts a message into the outbox and returns at once; with an OutboxStore, once the message would survive a crash. From there it is sent when there is a connection,
// and again until the server has stored it or refused it for good; it is stored once. Messages of one conversation are sent in the order of the calls.
//
// The error is ErrOutboxFull, that of the store, that with which the Client has stopped, or an [*Error] for content that can't be sent.
func (c *Client) Send(conversation, content string, o SendOptions) (*Sending, error) {
	if err := checkSend(conversation, content, &o); err != nil {
		return nil, err
	}
	s := &Sending{client: c, onDone: o.OnDone, item: OutboxItem{
		ClientID: o.ClientID, Conversation: conversation, Content: content, ReplyTo: o.ReplyTo, Created: time.Now().UnixMilli(),
	}}
	if c.o.Outbox == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if err := c.put(s); err != nil {
			return nil, err
		}
		return s, nil
	}
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	c.mu.Lock()
	err := c.mayPut()
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := c.o.Outbox.Put(s.item); err != nil {
		return nil, err
	}
	c.mu.Lock()
	err = c.put(s)
	c.mu.Unlock()
	if err != nil { // it stopped meanwhile: what is refused must not be sent later
		c.noteStore(c.o.Outbox.Remove(s.item.ClientID))
		return nil, err
	}
	return s, nil
}

func checkSend(conversation, content string, o *SendOptions) error {
	switch {
	case conversation == "" || !utf8.ValidString(conversation):
		return invalid("conversation_id", "is empty or not UTF-8")
	case content == "" || !utf8.ValidString(content):
		return invalid("content", "is empty or not UTF-8")
	case o.ReplyTo < 0:
		return invalid("reply_to_seq", "is negative")
	case o.ClientID == "":
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		o.ClientID = id.String()
	case uuid.Validate(o.ClientID) != nil || len(o.ClientID) != 36:
		return invalid("client_message_id", "is not a UUID")
	}
	return nil
}

func (c *Client) mayPut() error {
	if c.err != nil {
		return c.err
	}
	if c.out.pending >= c.o.MaxPending {
		return ErrOutboxFull
	}
	return nil
}

// put makes a message wait for the writer; mu is held.
func (c *Client) put(s *Sending) error {
	if err := c.mayPut(); err != nil {
		return err
	}
	c.out.put(s)
	c.says.messageSent(s.item.Conversation)
	c.kick()
	return nil
}

// Pending returns the messages in the outbox that are not stored yet, those from an earlier run of the program among them; of each
// conversation in order.
func (c *Client) Pending() []*Sending {
	c.mu.Lock()
	defer c.mu.Unlock()
	pending := make([]*Sending, 0, c.out.pending)
	for _, l := range c.out.lanes {
		for _, s := range l.items {
			if !s.again {
				pending = append(pending, s)
			}
		}
	}
	return pending
}

// stored ends a message's way well. mu is held; the returned functions are to be called without it.
func (c *Client) stored(s *Sending, a *chatv1.Ack) []func() {
	c.out.landed(s, true)
	forget := c.out.acknowledged(s.item, time.Now())
	calls := s.finish(nil, Sent{
		ClientID: s.item.ClientID, Conversation: s.item.Conversation,
		ID: a.GetMessageId(), Seq: a.GetSeq(), Time: a.GetTimestamp().AsTime(), Duplicate: a.GetDuplicate(),
	}, nil)
	if c.o.Outbox == nil {
		return calls
	}
	return append(calls, func() {
		c.sendMu.Lock()
		defer c.sendMu.Unlock()
		c.noteStore(c.o.Outbox.Acknowledge(s.item.ClientID))
		for _, item := range forget {
			c.noteStore(c.o.Outbox.Remove(item.ClientID))
		}
	})
}

// refusedSend ends a message's way badly, or lets it wait. Same rules as stored.
func (c *Client) refusedSend(s *Sending, err *Error) []func() {
	if err.Retryable() || isUnauthenticated(err) { // the stream will end with the session; what comes of the message is decided there
		c.out.refused(s, time.Now(), err.RetryAfter)
		return nil
	}
	c.out.landed(s, true)
	calls := s.finish(nil, Sent{}, err)
	if c.o.Outbox == nil {
		return calls
	}
	return append(calls, func() {
		c.sendMu.Lock()
		defer c.sendMu.Unlock()
		c.noteStore(c.o.Outbox.Remove(s.item.ClientID))
	})
}

// reassert sends the messages of the last 24 hours again: the server's store is another one, and may not have them.
func (c *Client) reassert() {
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	c.mu.Lock()
	items := c.out.recent(time.Now())
	c.mu.Unlock()
	if c.o.Outbox != nil {
		for _, item := range items {
			c.noteStore(c.o.Outbox.Put(item))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.reassert(c, items)
}

// noteStore logs that the outbox's store failed where that costs no more than sending a message again.
func (c *Client) noteStore(err error) {
	if err != nil {
		c.o.Logger.Warn("the outbox was not updated; messages may be sent again", "error", err)
	}
}
