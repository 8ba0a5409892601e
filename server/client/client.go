package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	"github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1/authv1connect"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1/chatv1connect"
)

// Mode says how much of the conversations a client wants.
type Mode int

const (
	// Window hands over what happens while the client is connected. What it missed is handed over for tracked conversations as far as the
	// server bridges it, and announced by a Gap for the others. For a user's screen.
	Window Mode = iota
	// Full hands over every event of every conversation from its first one, or from the checkpoint, on. For mirrors and bots.
	Full
)

// Options configure a Client. ServerURL and one of Session, Credentials and Token are needed.
type Options struct {
	// ServerURL is the server's base URL: http (HTTP/2 without TLS) or https.
	ServerURL string
	// Session keeps the session; see FileSession and MemorySession. Nil with Credentials: in memory.
	Session SessionStore
	// Credentials sign in where Session has none, or one that has run out. May be nil.
	Credentials *Credentials
	// Token returns an access token that is valid now, for callers who get theirs elsewhere; Session and Credentials must be nil then. It is called for each
	// call and each connection, by several goroutines.
	Token func(ctx context.Context) (string, error)

	// Mode is Window or Full.
	Mode Mode
	// DeviceID names the device: at most 64 of A-Z a-z 0-9 . _ : -. A newer client of the same device and user ends the older one.
	// Empty: that of the checkpoint, or else a random one.
	DeviceID string
	// Checkpoint keeps where the client is; nil: it begins anew each time.
	Checkpoint CheckpointStore
	// Outbox keeps messages until they are stored by the server; nil: in memory only.
	Outbox OutboxStore
	// Away makes the device begin as AWAY instead of ONLINE; see SetAway.
	Away bool

	// Queue bounds the events that wait for Next; past it events are fetched again later instead. 0 means 1,024; at least 16.
	Queue int
	// Window bounds the messages sent on the stream without an answer. 0 means 64.
	Window int
	// ConversationWindow bounds them within one conversation. 0 means 1: then a message never passes an earlier one, even when the server
	// can't take the earlier one for a while. With more, it may in that case.
	ConversationWindow int
	// MaxPending bounds the messages in the outbox; past it Send returns ErrOutboxFull. 0 means 10,000.
	MaxPending int
	// KeepSent bounds the stored messages of the last 24 hours that are kept to be sent again after a Reset. 0 means 256, negative none.
	KeepSent int

	// HTTPClient is used for calls and streams; it has to speak HTTP/2 to the server (see NewHTTPClient). Nil: one of its own.
	HTTPClient *http.Client
	// Transport opens streams; nil: over HTTPClient.
	Transport Transport
	// ConnectOptions go to the generated clients: another protocol (connect.WithGRPC()), interceptors.
	ConnectOptions []connect.ClientOption
	// Backoff spaces out reconnecting and repetitions.
	Backoff Backoff
	// Logger gets what the events don't tell, at debug and warn level; nil: nothing is logged.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	o.ServerURL = baseURL(o.ServerURL)
	if o.HTTPClient == nil {
		o.HTTPClient = NewHTTPClient()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Session == nil {
		o.Session = MemorySession(nil)
	}
	setDefault(&o.Queue, 1024)
	o.Queue = max(o.Queue, 16)
	setDefault(&o.Window, 64)
	setDefault(&o.ConversationWindow, 1)
	setDefault(&o.MaxPending, 10_000)
	setDefault(&o.KeepSent, 256)
	return o
}

func setDefault(v *int, to int) {
	if *v == 0 {
		*v = to
	}
}

func (o Options) authClient(options ...connect.ClientOption) authv1connect.AuthServiceClient {
	return authv1connect.NewAuthServiceClient(o.HTTPClient, o.ServerURL, append(options, o.ConnectOptions...)...)
}

// Client is one device of one user. All methods may be called by any goroutine at any time, but Next and Events by one at a time.
//
// After Start it has at most three goroutines: one that connects and reads, one that writes while connected, and one that fetches
// while something is missing. None of them ever waits for the consumer of the events.
type Client struct {
	o         Options
	tokens    *tokens
	chat      chatv1connect.ChatServiceClient
	auth      authv1connect.AuthServiceClient
	transport Transport
	ownHTTP   bool // HTTPClient was made here

	ctx      context.Context // ends all goroutines
	cancel   context.CancelFunc
	running  sync.WaitGroup // the goroutine of Start, which waits for the others
	more     chan struct{}  // has an element when there may be something for Next
	stopped  chan struct{}  // closed when err is set
	closing  sync.Once      // guards closeErr
	closeErr error
	sendMu   sync.Mutex // makes the order of the store that of the lanes; taken before mu

	mu      sync.Mutex // guards all below; never held while waiting for anything
	in      *inbox
	out     *outbox
	says    *says
	conn    *conn // nil while not connected
	user    string
	device  string
	attempt uint64
	started bool
	err     error // why the Client has stopped
}

// New returns a client that is not connected yet; Start does that. Calls (Messages, Chat …) work without.
// It loads the session, the checkpoint and the outbox, but doesn't talk to the server.
func New(o Options) (*Client, error) {
	if o.ServerURL == "" {
		return nil, errors.New("client: Options.ServerURL is empty")
	}
	if o.Session == nil && o.Credentials == nil && o.Token == nil {
		return nil, errors.New("client: one of Options.Session, Credentials and Token is needed")
	}
	ownHTTP := o.HTTPClient == nil
	o = o.withDefaults()
	c := &Client{o: o, ownHTTP: ownHTTP, more: make(chan struct{}, 1), stopped: make(chan struct{})}
	c.tokens = &tokens{
		store: o.Session, source: o.Token, cred: o.Credentials, auth: o.authClient(), flight: make(chan struct{}, 1),
	}
	authorized := connect.WithInterceptors(connect.UnaryInterceptorFunc(c.tokens.intercept))
	c.auth = o.authClient(authorized)
	c.chat = chatv1connect.NewChatServiceClient(o.HTTPClient, o.ServerURL, append([]connect.ClientOption{authorized}, o.ConnectOptions...)...)
	if c.transport = o.Transport; c.transport == nil {
		c.transport = NewHTTPTransport(o.HTTPClient, o.ServerURL, o.ConnectOptions...)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if err := c.load(); err != nil {
		c.cancel()
		return nil, err
	}
	return c, nil
}

// load fills the state from the stores.
func (c *Client) load() error {
	s, err := c.tokens.load(c.ctx)
	if err != nil {
		return err
	}
	if s != nil {
		c.user = s.UserID
	}
	var saved Checkpoint
	if c.o.Checkpoint != nil {
		if saved, err = c.o.Checkpoint.Load(); err != nil {
			return err
		}
	}
	c.device = c.o.DeviceID
	if c.device == "" {
		c.device = saved.Device
	}
	if c.device == "" {
		c.device = uuid.NewString()
	}
	c.attempt = saved.Attempt
	c.in = newInbox(c.o.Mode == Full, c.o.Queue, saved)
	c.says = &says{marks: map[string]*mark{}, typing: map[string]typingState{}}
	c.says.setAway(c.o.Away)
	c.out = &outbox{
		window: c.o.Window, laneWindow: c.o.ConversationWindow, backoff: c.o.Backoff, keep: c.o.KeepSent, lanes: map[string]*lane{},
	}
	if c.o.Outbox == nil {
		return nil
	}
	items, err := c.o.Outbox.Load()
	if err != nil {
		return err
	}
	for _, item := range items {
		if item.Acknowledged {
			c.out.kept = append(c.out.kept, item)
		} else {
			c.out.put(&Sending{item: item, client: c})
		}
	}
	return nil
}

// Start connects and stays connected, until Close or an end that Next tells. It returns at once; a second call does nothing.
func (c *Client) Start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.started || c.err != nil {
		return
	}
	c.started = true
	c.running.Go(c.run)
}

// Close ends the connection and all goroutines, saves the checkpoint and closes the outbox. Messages that are not stored yet stay in
// the outbox's store; those who wait for them get ErrClosed. It always returns within a moment.
func (c *Client) Close() error {
	c.stop(ErrClosed)
	c.cancel()
	c.running.Wait()
	c.closing.Do(func() { c.closeErr = c.release() })
	return c.closeErr
}

// User returns the id of the signed-in user; empty before it is known (with Token, before the first connection).
func (c *Client) User() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.user
}

// Device returns the device id in use.
func (c *Client) Device() string { return c.device }

// State returns the state of the connection as it is now. Next tells of its changes in order with the other events.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.in.state
}

// Chat returns the generated client of the chat service, which adds the access token and renews it when needed. Its errors are Connect's; see AsError.
// Its Stream and Subscribe don't get a token.
func (c *Client) Chat() chatv1connect.ChatServiceClient { return c.chat }

// Auth returns the generated client of the auth service, as Chat does.
func (c *Client) Auth() authv1connect.AuthServiceClient { return c.auth }

// Next waits for the next event. That it is called again says that the event before has been dealt with: only then is it
// part of the checkpoint.
//
// A consumer that is slow, or never calls Next, delays nobody: sending, acknowledgements and the connection go on. What doesn't fit the queue is fetched
// again when there is room; Typing and Presence may be left out.
//
// Events that are there are handed over also where ctx has ended: so a consumer takes what there is without waiting. The error is that of ctx, or says why the Client has stopped: ErrClosed, ErrSessionEnded, ErrSuperseded or ErrProtocol.
func (c *Client) Next(ctx context.Context) (Event, error) {
	for {
		e, ok, err := c.next()
		if ok || err != nil {
			return e, err
		}
		select {
		case <-c.more:
		case <-c.stopped:
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
}

func (c *Client) next() (Event, bool, error) {
	c.mu.Lock()
	err := c.err
	if errors.Is(err, ErrClosed) {
		c.mu.Unlock()
		return Event{}, false, err
	}
	e, ok, caughtUp := c.in.pop()
	c.refill()
	var save Checkpoint
	if caughtUp && c.o.Checkpoint != nil {
		save = c.checkpoint()
	}
	c.mu.Unlock()
	if save.Device != "" {
		if err := c.o.Checkpoint.Save(save); err != nil {
			c.o.Logger.Warn("the checkpoint was not saved", "error", err)
		}
	}
	if ok {
		err = nil
	}
	return e, ok, err
}

// Events returns Next as an iterator, which ends with an error.
func (c *Client) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for {
			e, err := c.Next(ctx)
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Checkpoint returns where a client could resume that has dealt with all events but the one that Next returned last.
func (c *Client) Checkpoint() Checkpoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.checkpoint()
}

func (c *Client) checkpoint() Checkpoint {
	p := c.in.checkpoint()
	p.Device, p.Attempt = c.device, c.attempt
	return p
}

// Track says that a conversation is in use (on screen): after a cut its missed events are handed over, as far as the server bridges them.
// For Window mode; Full mode tracks all. At most 100 of them, the last used first, can be bridged.
func (c *Client) Track(conversation string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in.tracked[conversation] = true
}

// TrackFrom is Track for a conversation that is known up to seq, from a page or a summary fetched before: what follows is handed over too.
// Without it a conversation begins where the first connection finds its head. It changes nothing where the Client knows more already.
func (c *Client) TrackFrom(conversation string, seq int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in.tracked[conversation] = true
	if !c.in.full && c.in.convs[conversation] == nil && seq > 0 {
		c.in.add(conversation, seq)
	}
}

// Untrack ends Track.
func (c *Client) Untrack(conversation string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.in.tracked, conversation)
}

// stop ends the Client for good, for the first reason given; that Close was called overrides others. Those who wait for their messages are told.
func (c *Client) stop(err error) {
	c.mu.Lock()
	if c.err != nil {
		if errors.Is(err, ErrClosed) {
			c.err = err
		}
		c.mu.Unlock()
		return
	}
	c.err = err
	close(c.stopped)
	var calls []func()
	for _, l := range c.out.lanes {
		for _, s := range l.items {
			calls = s.finish(calls, Sent{}, err)
		}
	}
	c.mu.Unlock()
	for _, call := range calls {
		call()
	}
}

// release saves and frees what the stores hold.
func (c *Client) release() error {
	var errs []error
	if c.o.Checkpoint != nil {
		errs = append(errs, c.o.Checkpoint.Save(c.Checkpoint()))
	}
	if c.o.Outbox != nil {
		c.sendMu.Lock()
		defer c.sendMu.Unlock()
		errs = append(errs, c.o.Outbox.Close())
	}
	if c.ownHTTP {
		c.o.HTTPClient.CloseIdleConnections()
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close the client: %w", err)
	}
	return nil
}

// signal makes Next look again.
func (c *Client) signal() {
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// nextAttempt returns a number for a new connection of the device, above all before.
func (c *Client) nextAttempt() uint64 {
	c.attempt = max(c.attempt+1, uint64(time.Now().UnixMilli()))
	return c.attempt
}
