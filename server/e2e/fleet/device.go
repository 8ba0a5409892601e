package fleet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/e2e/history"
)

// DeviceOptions say how a device is.
type DeviceOptions struct {
	// URL is where it finds the server; empty: that of the fleet. A proxy's, for bad connections.
	URL string
	// Window is client.Options.ConversationWindow; 0 means 16, so that a device can be quick.
	Window int
	// Checkpoint and Outbox are those of client.Options.
	Checkpoint client.CheckpointStore
	Outbox     client.OutboxStore
	// Brake, unless nil, is called before each read of the stream and may wait until its context ends.
	Brake func(context.Context)
	// ReceiveBuffer, unless 0, is how many bytes of the stream wait at the device before the server has to hold them. It goes over HTTP/2.
	ReceiveBuffer int
	// GRPC makes it speak gRPC. Without it and ReceiveBuffer, every other device of a fleet has its stream over a WebSocket, the rest over Connect.
	GRPC bool
	// Continue, unless nil, is a closed device of the same user, whose state and records this one goes on with.
	Continue *Device
	// OwnSession signs it in for a session of its own, instead of the one that the user's devices share.
	OwnSession bool
}

// Device is one device of one user: a client that mirrors all its conversations. Safe for concurrent use.
type Device struct {
	User   *User
	Name   string
	Client *client.Client
	Mirror *Mirror
	Record *history.Device

	http    *http.Client
	sockets *http.Client   // what WebSockets are made with; nil: it has none
	running sync.WaitGroup // follow
	mu      sync.Mutex     // guards what follows
	ended   error          // why the client has stopped by itself
	closed  bool
	// watching: the device watches the presence of all.
	watching bool
}

// Device connects a new device.
func (u *User) Device(name string, o DeviceOptions) (*Device, error) {
	f := u.fleet
	url := o.URL
	if url == "" {
		url = f.URL
	}
	if o.Window == 0 {
		o.Window = 16
	}
	d := &Device{User: u, Name: u.Name + "/" + name, http: client.NewHTTPClient()}
	if o.Continue != nil {
		d.Record, d.Mirror = o.Continue.Record, o.Continue.Mirror
	} else {
		d.Record, d.Mirror = f.Recorder.Device(u.ID, d.Name), newMirror(func() string { return u.ID })
	}
	if o.ReceiveBuffer > 0 {
		d.http.Transport.(*http.Transport).HTTP2.MaxReceiveBufferPerStream = o.ReceiveBuffer //nolint:forcetypeassert // NewHTTPClient's own
	}
	var protocol []connect.ClientOption
	if o.GRPC {
		protocol = append(protocol, connect.WithGRPC())
	}
	next := client.NewHTTPTransport(d.http, url, protocol...)
	if !o.GRPC && o.ReceiveBuffer == 0 && f.made.Add(1)%2 == 0 {
		d.sockets = client.NewWebSocketClient()
		next = client.NewWebSocketTransport(d.sockets, url)
	}
	options := client.Options{
		ServerURL: url, Mode: client.Full, DeviceID: name, Session: u.session, ConversationWindow: o.Window,
		Checkpoint: o.Checkpoint, Outbox: o.Outbox, HTTPClient: d.http, ConnectOptions: protocol, Backoff: f.Backoff, Logger: f.Logger,
		Transport: &transport{device: d.Record, next: next, brake: o.Brake},
	}
	if o.OwnSession {
		s, err := client.SignIn(context.Background(), options, client.Credentials{Username: u.Name, Password: Password, DeviceName: name})
		if err != nil {
			return nil, err
		}
		options.Session = client.MemorySession(s)
	}
	var err error
	if d.Client, err = client.New(options); err != nil {
		return nil, err
	}
	d.Client.Start()
	d.running.Go(d.follow)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.devices = append(f.devices, d)
	return d, nil
}

// follow hands the client's events to the mirror until it stops.
func (d *Device) follow() {
	for {
		e, err := d.Client.Next(context.Background())
		if err != nil {
			d.mu.Lock()
			defer d.mu.Unlock()
			if !errors.Is(err, client.ErrClosed) {
				d.ended = err
			}
			return
		}
		d.Mirror.apply(e)
		if _, ok := e.Body.(*chatv1.MembersChanged); ok && d.watches() {
			// Who shares a conversation with whom has changed, and with that who may be watched.
			_ = d.Client.WatchPresence(d.User.fleet.ids()...) // fails for too many only
		}
	}
}

// Ended returns why the client has stopped by itself; nil while it hasn't.
func (d *Device) Ended() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ended
}

// Close ends the device. It no longer takes part when the fleet settles.
func (d *Device) Close() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	err := d.Client.Close()
	d.running.Wait()
	d.http.CloseIdleConnections()
	if d.sockets != nil {
		d.sockets.CloseIdleConnections()
	}
	return err
}

func (d *Device) watches() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.watching
}

// open reports whether the device takes part.
func (d *Device) open() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.closed && d.ended == nil
}

// Send gives a message to the client and records what becomes of it; done, unless nil, is called then.
func (d *Device) Send(conversation, content string, done func(client.Sent, error)) error {
	id := uuid.Must(uuid.NewV7()).String()
	p := d.Record.Begin(history.Call{
		Kind: history.Send, Conversation: conversation, ClientID: id, Content: history.DigestOf(content), Local: true,
	})
	_, err := d.Client.Send(conversation, content, client.SendOptions{ClientID: id, OnDone: func(s client.Sent, err error) {
		if err == nil {
			p.Done(func(c *history.Call) { c.Seq, c.MessageID, c.Duplicate = s.Seq, s.ID, s.Duplicate })
		} else {
			end(p, err)
		}
		if done != nil {
			done(s, err)
		}
	}})
	if err != nil {
		p.Refused(err.Error())
	}
	return err
}

// SendWait sends a message and returns its seq.
func (d *Device) SendWait(ctx context.Context, conversation, content string) (int64, error) {
	type answer struct {
		seq int64
		err error
	}
	done := make(chan answer, 1)
	if err := d.Send(conversation, content, func(s client.Sent, err error) { done <- answer{s.Seq, err} }); err != nil {
		return 0, err
	}
	select {
	case a := <-done:
		return a.seq, a.err
	case <-ctx.Done():
		return 0, fmt.Errorf("%s sends: %w", d.Name, ctx.Err())
	}
}

// Edit edits a message.
func (d *Device) Edit(ctx context.Context, conversation string, seq int64, content string) error {
	c := history.Call{Kind: history.Edit, Conversation: conversation, Target: seq, Content: history.DigestOf(content)}
	return d.change(c, func() (*chatv1.Message, error) { return d.Client.Edit(ctx, conversation, seq, content) })
}

// Delete deletes a message.
func (d *Device) Delete(ctx context.Context, conversation string, seq int64) error {
	c := history.Call{Kind: history.Delete, Conversation: conversation, Target: seq}
	return d.change(c, func() (*chatv1.Message, error) { return d.Client.Delete(ctx, conversation, seq) })
}

// React adds a reaction, or takes it back.
func (d *Device) React(ctx context.Context, conversation string, seq int64, emoji string, add bool) error {
	c := history.Call{Kind: history.React, Conversation: conversation, Target: seq}
	return d.change(c, func() (*chatv1.Message, error) {
		if add {
			return d.Client.React(ctx, conversation, seq, emoji)
		}
		return d.Client.Unreact(ctx, conversation, seq, emoji)
	})
}

func (d *Device) change(c history.Call, call func() (*chatv1.Message, error)) error {
	p := d.Record.Begin(c)
	m, err := call()
	if err != nil {
		end(p, err)
		return err
	}
	p.Done(func(c *history.Call) { c.Seq = m.GetChangedSeq() })
	return nil
}

// Page reads a page of history.
func (d *Device) Page(ctx context.Context, conversation string, page client.Page) (*chatv1.ListMessagesResponse, error) {
	p := d.Record.Begin(pageCall(conversation, page.Before, page.After, page.Limit))
	r, err := d.Client.Messages(ctx, conversation, page)
	return r, endPage(p, r, err)
}

func pageCall(conversation string, before, after int64, limit int32) history.Call {
	return history.Call{
		Kind: history.ReadPage, Conversation: conversation, Page: &history.Page{Before: before, After: after, Limit: int(limit)},
	}
}

func endPage(p *history.Pending, r *chatv1.ListMessagesResponse, err error) error {
	if err != nil {
		end(p, err)
		return err
	}
	p.Done(func(c *history.Call) {
		c.Page.HasOlder, c.Page.HasNewer = r.GetHasOlder(), r.GetHasNewer()
		for _, m := range r.GetMessages() {
			c.Page.Messages = append(c.Page.Messages, *toMessage(m))
		}
	})
	return nil
}

// Add lets a user into a group.
func (d *Device) Add(ctx context.Context, conversation string, u *User) error {
	p := d.Record.Begin(history.Call{Kind: history.AddMember, Conversation: conversation, User: u.ID})
	_, err := d.Client.AddMembers(ctx, conversation, chatv1.MemberRole_MEMBER_ROLE_UNSPECIFIED, u.ID)
	return endMember(p, err)
}

// Remove removes a user from a group.
func (d *Device) Remove(ctx context.Context, conversation string, u *User) error {
	p := d.Record.Begin(history.Call{Kind: history.RemoveMember, Conversation: conversation, User: u.ID})
	return endMember(p, d.Client.RemoveMember(ctx, conversation, u.ID))
}

func endMember(p *history.Pending, err error) error {
	if err != nil {
		end(p, err)
		return err
	}
	p.Done(nil)
	return nil
}
