package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
)

func TestBackoffIsFullJitter(t *testing.T) {
	b := Backoff{}
	for n, most := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second} {
		low, high := most, time.Duration(0)
		for range 1000 {
			d := b.Delay(n)
			low, high = min(low, d), max(high, d)
		}
		if high > most || high < most*9/10 || low > most/10 {
			t.Errorf("after %d failures from %v to %v, want 0 to %v", n, low, high, most)
		}
	}
	for _, n := range []int{31, 32, 63, 64, 1000} {
		if d := b.Delay(n); d < 0 || d > 30*time.Second {
			t.Errorf("after %d failures %v", n, d)
		}
	}
}

func TestUnreachableServerIsAskedEverMoreSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		m.onOpen = func() error { return connect.NewError(connect.CodeUnavailable, errors.New("down")) }
		c := m.start(t, Options{})
		defer c.Close()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if m.opened < 20 || m.opened > 100 { // 15 s on average, once the cap is reached
			t.Fatalf("%d attempts in 10 minutes", m.opened)
		}
		off, ok := c.State().(Offline)
		var e *Error
		if !ok || off.Retry.IsZero() || !errors.As(off.Err, &e) || e.Code != connect.CodeUnavailable {
			t.Fatalf("state %#v", c.State())
		}
		m.set(func() { m.onOpen = nil })
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if c.State() != (Live{}) {
			t.Fatalf("state %#v", c.State())
		}
	})
}

func TestServerThatFailsRightAfterReadyIsNotHammered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		m.greet = func(*chatv1.Hello) []*chatv1.Event {
			return []*chatv1.Event{
				{Event: &chatv1.Event_Ready{Ready: &chatv1.Ready{UserId: me}}},
				caughtUpEvent("t"), goodbye(chatv1.GoodbyeReason_GOODBYE_REASON_INTERNAL, 0),
			}
		}
		c := m.start(t, Options{})
		defer c.Close()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if m.opened > 100 {
			t.Fatalf("%d attempts in 10 minutes", m.opened)
		}
	})
}

func TestHandshakeHasItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		m.greet = func(*chatv1.Hello) []*chatv1.Event { return nil } // silence
		c := m.start(t, Options{})
		defer c.Close()
		time.Sleep(handshakeTimeout)
		synctest.Wait()
		if off, ok := c.State().(Offline); !ok || !errors.Is(off.Err, errNoAnswer) {
			t.Fatalf("state %#v", c.State())
		}
	})
}

func TestHelloThatIsRefused(t *testing.T) {
	refuse := func(code connect.Code, reason chatv1.ErrorReason) []*chatv1.Event {
		return []*chatv1.Event{{Event: &chatv1.Event_Error{Error: &chatv1.RequestError{
			RequestId: 1, Code: int32(code), Detail: &chatv1.ErrorDetail{Reason: reason, Field: "hello.token"},
		}}}, goodbye(chatv1.GoodbyeReason_GOODBYE_REASON_PROTOCOL_ERROR, 0)}
	}
	t.Run("for its token: without one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := newModel()
			m.create("c1")
			m.greet = func(*chatv1.Hello) []*chatv1.Event {
				m.greet = nil
				return refuse(connect.CodeInvalidArgument, chatv1.ErrorReason_ERROR_REASON_INVALID_TOKEN)
			}
			store := FileCheckpoint(filepath.Join(t.TempDir(), "sub", "checkpoint"))
			must(t, store.Save(Checkpoint{Device: "d", Attempt: 1 << 62, Token: []byte("strange"), Seqs: map[string]int64{"c1": 77}}))
			c := m.start(t, Options{Mode: Full, Checkpoint: store})
			defer c.Close()
			time.Sleep(time.Second)
			events := drain(t, c)
			wantSeqs(t, seqsOf(events, "c1"), 1, 1)
			if !slices.ContainsFunc(events, func(e Event) bool { _, ok := e.Body.(*Reset); return ok && e.Conversation == "" }) {
				t.Fatal("the consumer was not told to begin anew")
			}
			if h := m.hellos; len(h) != 2 || len(h[1].GetToken()) != 0 || h[1].GetAttempt() <= h[0].GetAttempt() || h[0].GetAttempt() <= 1<<62 {
				t.Fatalf("hellos %v", h)
			}
		})
	})
	t.Run("for anything else: the end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := newModel()
			m.greet = func(*chatv1.Hello) []*chatv1.Event {
				return refuse(connect.CodeInvalidArgument, chatv1.ErrorReason_ERROR_REASON_INVALID_FIELD)
			}
			c := m.start(t, Options{})
			defer c.Close()
			var err error
			for err == nil {
				_, err = c.Next(t.Context())
			}
			if !errors.Is(err, ErrProtocol) || ReasonOf(err) != chatv1.ErrorReason_ERROR_REASON_INVALID_FIELD {
				t.Fatalf("error %v", err)
			}
		})
	})
}

func TestOverloadedServerNamesTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		m.onOpen = func() error {
			return refusal(connect.CodeResourceExhausted, chatv1.ErrorReason_ERROR_REASON_RATE_LIMITED, time.Minute)
		}
		c := m.start(t, Options{})
		defer c.Close()
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if m.opened != 1 {
			t.Fatalf("%d attempts within the minute", m.opened)
		}
	})
}

// Cut after each event of a conversation's life, and resume: what is handed over is the same.
func TestCutAfterEachEventAndResume(t *testing.T) {
	const events = 12
	for _, mode := range []Mode{Full, Window} {
		for n := range events + 6 {
			t.Run(fmt.Sprintf("mode %d after %d", mode, n), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := newModel()
					m.create("c1")
					sent := 0
					m.onEvent = func(e *chatv1.Event) []*chatv1.Event {
						if sent++; sent == n {
							for s := range m.streams {
								s.raw(e)
								s.end(io.ErrUnexpectedEOF) // e and all after it are lost
							}
							return nil
						}
						return []*chatv1.Event{e}
					}
					c := m.start(t, Options{Mode: mode})
					defer c.Close()
					c.Track("c1")
					got := drain(t, c)
					for i := range events {
						m.post("c1", fmt.Sprint(i))
					}
					time.Sleep(time.Minute)
					got = append(got, drain(t, c)...)
					from := map[Mode]int64{Full: 1, Window: 2}[mode]
					wantSeqs(t, seqsOf(got, "c1"), from, events+1)
				})
			})
		}
	}
}

func TestMarksAreCoalescedAndRepeatedUntilStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		m.create("c1")
		c := m.start(t, Options{})
		defer c.Close()
		synctest.Wait()
		for seq := range int64(50) {
			c.MarkRead("c1", seq+1)
			c.MarkDelivered("c1", seq+1)
			time.Sleep(100 * time.Millisecond)
		}
		c.MarkRead("c1", 3) // below
		c.MarkRead("", 9)
		time.Sleep(time.Second)
		synctest.Wait()
		var reads, delivered []int64
		for _, r := range m.asked {
			if q := r.GetMarkRead(); q != nil {
				reads = append(reads, q.GetSeq())
			}
			if q := r.GetMarkDelivered(); q != nil {
				delivered = append(delivered, q.GetSeq())
			}
		}
		if len(reads) > 7 || reads[len(reads)-1] != 50 || len(delivered) != 0 {
			t.Fatalf("read %v, delivered %v in 5 s", reads, delivered)
		}

		m.set(func() { m.dropAck = func() bool { return true } }) // the answer is lost with the connection
		c.MarkDelivered("c1", 60)
		c.MarkRead("c1", 55)
		time.Sleep(time.Second)
		synctest.Wait() // what is asked at this very moment goes to the connection that is lost
		m.set(func() { m.dropAck, m.asked = nil, nil })
		time.Sleep(time.Minute)
		synctest.Wait()
		got := ""
		for _, r := range m.asked {
			if r.GetPing() == nil {
				got += fmt.Sprintf("read %d delivered %d; ", r.GetMarkRead().GetSeq(), r.GetMarkDelivered().GetSeq())
			}
		}
		if got != "read 55 delivered 0; read 0 delivered 60; " {
			t.Fatalf("after reconnecting: %s", got)
		}
	})
}

func TestMarkThatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		codes := []connect.Code{connect.CodeUnavailable, connect.CodeUnavailable, connect.CodeNotFound}
		m.onRequest = func(r *chatv1.StreamRequest) *chatv1.RequestError {
			if r.GetMarkRead() == nil || len(codes) == 0 {
				return nil
			}
			code := codes[0]
			codes = codes[1:]
			return &chatv1.RequestError{Code: int32(code)}
		}
		c := m.start(t, Options{})
		defer c.Close()
		c.MarkRead("c1", 5)
		time.Sleep(time.Minute)
		synctest.Wait()
		n := 0
		for _, r := range m.asked {
			if r.GetMarkRead() != nil {
				n++
			}
		}
		if n != 3 { // again while it may help, then no more
			t.Fatalf("asked %d times, want 3", n)
		}
	})
}

func TestWatchThatIsRefusedIsRepeatedWhileItMayHelp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		codes := []connect.Code{connect.CodeUnavailable, connect.CodeUnavailable}
		m.onRequest = func(r *chatv1.StreamRequest) *chatv1.RequestError {
			switch {
			case r.GetWatchPresence() == nil:
				return nil
			case r.GetWatchPresence().GetUserIds()[0] == "nobody":
				return &chatv1.RequestError{Code: int32(connect.CodeInvalidArgument)}
			case len(codes) == 0:
				return nil
			}
			code := codes[0]
			codes = codes[1:]
			return &chatv1.RequestError{Code: int32(code)}
		}
		c := m.start(t, Options{})
		defer c.Close()
		for _, who := range []string{"bob", "nobody"} {
			must(t, c.WatchPresence(who))
			time.Sleep(10 * time.Second) // the connection lasts longer; the next one would be told anyway
		}
		synctest.Wait()
		asked := map[string]int{}
		for _, r := range m.asked {
			if q := r.GetWatchPresence(); q != nil {
				asked[q.GetUserIds()[0]]++
			}
		}
		if asked["bob"] != 3 || asked["nobody"] != 1 {
			t.Fatalf("asked %v, want 3 times for bob and once for nobody", asked)
		}
	})
}

func TestTypingIsThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		m.create("c1")
		c := m.start(t, Options{})
		defer c.Close()
		c.SetTyping("c1", true) // not connected yet: nobody would see it
		synctest.Wait()
		for range 65 { // 6.5 s of keys
			c.SetTyping("c1", true)
			time.Sleep(100 * time.Millisecond)
		}
		c.SetTyping("c1", false)
		c.SetTyping("c1", false)
		c.SetTyping("c1", true)
		s, _ := c.Send("c1", "x", SendOptions{})
		_, err := s.Wait(t.Context())
		must(t, err)
		c.SetTyping("c1", false) // the message has ended it
		c.SetTyping("\xff", true)
		synctest.Wait()
		got := ""
		for _, r := range m.asked {
			if q := r.GetTyping(); q != nil {
				got += fmt.Sprint(q.GetTyping(), " ")
			}
		}
		if got != "true true true false true " {
			t.Fatalf("said %s", got)
		}
	})
}

func TestPresenceIsKeptOverReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		c := m.start(t, Options{Away: true})
		defer c.Close()
		must(t, c.WatchPresence("u1", "u2"))
		synctest.Wait()
		c.SetAway(true)
		c.SetAway(false)
		synctest.Wait()
		m.cut()
		time.Sleep(time.Second)
		synctest.Wait()
		got := ""
		for _, r := range m.asked {
			if q := r.GetWatchPresence(); q != nil {
				got += fmt.Sprint(q.GetUserIds())
			}
			if q := r.GetSetPresence(); q != nil {
				got += q.GetState().String()
			}
		}
		if got != "[u1 u2]PRESENCE_STATE_ONLINE[u1 u2]" {
			t.Fatalf("asked %s", got)
		}
		if m.hellos[0].GetPresence() != chatv1.PresenceState_PRESENCE_STATE_AWAY || m.hellos[1].GetPresence() != chatv1.PresenceState_PRESENCE_STATE_ONLINE {
			t.Fatalf("hellos %v", m.hellos)
		}
		if c.WatchPresence(make([]string, 201)...) == nil || c.WatchPresence("") == nil || c.WatchPresence("\xff") == nil {
			t.Fatal("what can't be watched is no error")
		}
	})
}

// A consumer that waits for its own messages without taking events must not wait for ever.
func TestSendingDoesNotWaitForTheConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		m.create("c1")
		c := m.start(t, Options{Mode: Full, Queue: 16})
		defer c.Close()
		for i := range 500 {
			m.post("c1", "noise")
			s, err := c.Send("c1", fmt.Sprint(i), SendOptions{})
			must(t, err)
			_, err = s.Wait(t.Context())
			must(t, err)
		}
		wantSeqs(t, seqsOf(drain(t, c), "c1"), 1, 1001)
	})
}

func TestNextEndsWithItsContextAndWithClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		c := m.start(t, Options{})
		drain(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error %v", err)
		}
		ended := make(chan error)
		go func() {
			for _, err := range c.Events(t.Context()) {
				if err != nil {
					ended <- err
				}
			}
		}()
		synctest.Wait()
		must(t, c.Close(), c.Close())
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Fatalf("error %v, want ErrClosed", err)
		}
		c.Start() // too late
	})
}

func TestTrackFromHandsOverWhatFollowsAPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		m.create("c1")
		m.post("c1", "on the page")
		c, err := New(Options{ServerURL: "http://model", HTTPClient: m.inMemory(), Transport: m, Session: MemorySession(validSession())})
		must(t, err)
		defer c.Close()
		c.TrackFrom("c1", 2)
		m.post("c1", "between the page and the stream")
		c.Start()
		events := drain(t, c)
		m.post("c1", "live")
		c.TrackFrom("c1", 1) // known already
		wantSeqs(t, seqsOf(append(events, drain(t, c)...), "c1"), 3, 4)
	})
}

func TestEventsMayBeLeftEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		c := m.start(t, Options{})
		defer c.Close()
		for e, err := range c.Events(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Body == State(Live{}) {
				break
			}
		}
		c.Untrack("never tracked")
	})
}

// Over a real connection, with each protocol: cut by the server in the middle, many sends at once, all stored once.
func TestOverTheNetwork(t *testing.T) {
	for name, options := range map[string][]connect.ClientOption{
		"connect": nil, "grpc": {connect.WithGRPC()}, "grpc-web": {connect.WithGRPCWeb()},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel()
			m.create("c1")
			shared := NewHTTPClient()
			defer shared.CloseIdleConnections()
			c, err := New(Options{
				ServerURL: m.serve(t), Session: MemorySession(validSession()), ConnectOptions: options, HTTPClient: shared,
				Mode: Full, ConversationWindow: 16, Backoff: Backoff{Base: time.Millisecond, Cap: 10 * time.Millisecond},
			})
			must(t, err)
			defer c.Close()
			c.Start()
			const n = 300
			var answered sync.WaitGroup
			for i := range n {
				answered.Add(1)
				_, err := c.Send("c1", fmt.Sprint("message ", i), SendOptions{OnDone: func(_ Sent, err error) {
					defer answered.Done()
					if err != nil {
						t.Error(err)
					}
				}})
				must(t, err)
				if i%100 == 50 {
					m.cut()
				}
			}
			answered.Wait()
			seen := int64(0)
			for seen < n+1 {
				e, err := c.Next(t.Context())
				must(t, err)
				if e.Seq > 0 {
					if seen++; e.Seq != seen {
						t.Fatalf("got %d after %d", e.Seq, seen-1)
					}
				}
			}
			if len(m.log("c1")) != n+1 {
				t.Fatalf("%d stored", len(m.log("c1"))-1)
			}
		})
	}
}

func TestRefusedStreamsTellWhy(t *testing.T) {
	m := newModel()
	m.onOpen = func() error {
		return refusal(connect.CodeResourceExhausted, chatv1.ErrorReason_ERROR_REASON_LIMIT_REACHED, time.Hour)
	}
	c, err := New(Options{ServerURL: m.serve(t), Session: MemorySession(validSession())})
	must(t, err)
	defer c.Close()
	c.Start()
	for {
		e, err := c.Next(t.Context())
		must(t, err)
		if off, ok := e.Body.(Offline); ok {
			if ReasonOf(off.Err) != chatv1.ErrorReason_ERROR_REASON_LIMIT_REACHED || time.Until(off.Retry) < time.Minute {
				t.Fatalf("offline %+v", off)
			}
			return
		}
	}
}

func TestStreamEndsWithItsContextThoughBothSidesAreSilent(t *testing.T) {
	m := newModel()
	h := NewHTTPClient()
	defer h.CloseIdleConnections()
	for name, end := range map[string]func(context.CancelFunc, Stream){
		"context": func(cancel context.CancelFunc, _ Stream) { cancel() },
		"Close":   func(_ context.CancelFunc, s Stream) { _ = s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stream, err := NewHTTPTransport(h, m.serve(t)).Open(ctx, http.Header{"Authorization": {"Bearer access-0"}})
			must(t, err)
			defer stream.Close()
			must(t, stream.Send(&chatv1.StreamRequest{Request: &chatv1.StreamRequest_Hello{Hello: &chatv1.Hello{}}}))
			_, err = stream.Receive()
			must(t, err)
			time.AfterFunc(20*time.Millisecond, func() { end(cancel, stream) }) // while Receive waits
			for err == nil {
				_, err = stream.Receive()
			}
		})
	}
}

// recorder counts what a request body gives at one read: that is a frame with a flush.
type recorder struct {
	next  http.RoundTripper
	mu    sync.Mutex
	reads []int
}

func (r *recorder) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.Body != nil {
		q = q.Clone(q.Context())
		q.Body = countingBody{q.Body, r}
	}
	return r.next.RoundTrip(q)
}

type countingBody struct {
	io.ReadCloser
	r *recorder
}

func (b countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.r.mu.Lock()
	defer b.r.mu.Unlock()
	b.r.reads = append(b.r.reads, n)
	return n, err
}

func TestRequestsOfOneSendLeaveTogether(t *testing.T) {
	m := newModel()
	h := NewHTTPClient()
	defer h.CloseIdleConnections()
	count := &recorder{next: h.Transport}
	stream, err := NewHTTPTransport(&http.Client{Transport: count}, m.serve(t)).Open(t.Context(), http.Header{"Authorization": {"Bearer access-0"}})
	must(t, err)
	defer stream.Close()
	hello := &chatv1.StreamRequest{Request: &chatv1.StreamRequest_Hello{Hello: &chatv1.Hello{}}}
	ping := &chatv1.StreamRequest{RequestId: 1, Request: &chatv1.StreamRequest_Ping{Ping: &chatv1.Ping{}}}
	must(t, stream.Send(hello))
	must(t, stream.Send(ping, ping, ping, ping, ping))
	for acks := 0; acks < 5; {
		r, err := stream.Receive()
		must(t, err)
		for _, e := range r.GetEvents() {
			if e.GetAck() != nil {
				acks++
			}
		}
	}
	count.mu.Lock()
	defer count.mu.Unlock()
	if len(count.reads) > 2 { // not two for each of the six
		t.Fatalf("reads of %v bytes, want two at most", count.reads)
	}
}
