package load

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/node"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

func TestMain(m *testing.M) { nodetest.VerifyMain(m) }

// quick lets a node serve users who are in a hurry, and end without a polite wait.
var quick = nodetest.Config(func(c *node.Config) {
	c.RPC.UserRate, c.RPC.UserBurst = 1e6, 1e6
	c.Drain.Notice, c.Drain.Spread = 0, 0
})

// short is a run on some servers that is over soon.
func short(t *testing.T, servers ...*nodetest.Server) Config {
	t.Helper()
	c := Config{
		Users: 6, GroupSize: 2, Rate: 200, Window: 16, Duration: time.Second, Size: 100, StreamsPerConnection: 1, Transport: HTTP2, PID: os.Getpid(),
		Progress: func(s string) { t.Log(s) },
	}
	for _, s := range servers {
		c.Servers = append(c.Servers, s.URL)
	}
	return c
}

// clean makes a run and expects that nothing was lost, doubled or out of order, and everybody is there.
func clean(t *testing.T, c Config) *Report {
	t.Helper()
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Sent == 0 || r.Acknowledged != r.Sent || r.Delivered != r.Expected || r.Lost+r.Duplicated+r.OutOfOrder+r.Away+r.Refused > 0 {
		t.Fatalf("got %+v", r)
	}
	return r
}

func TestEveryMessageIsAccountedFor(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"at a rate":       func(*Config) {},
		"with a window":   func(c *Config) { c.Rate = 0 },
		"in groups":       func(c *Config) { c.GroupSize = 3 },
		"on a connection": func(c *Config) { c.StreamsPerConnection = 6 },
		"by WebSocket":    func(c *Config) { c.Transport = WebSocket },
	} {
		t.Run(name, func(t *testing.T) {
			c := short(t, nodetest.StartCluster(t, 2, quick)...)
			change(&c)
			r := clean(t, c)
			if r.Expected != r.Acknowledged*int64(c.GroupSize-1) {
				t.Errorf("%d deliveries of %d messages", r.Expected, r.Acknowledged)
			}
			var out strings.Builder
			if err := r.WriteText(&out); err != nil || !strings.Contains(out.String(), "0 lost") {
				t.Errorf("%v: %s", err, out.String())
			}
		})
	}
}

func TestAGroupMayHaveMoreMembersThanOneCallCanName(t *testing.T) {
	c := short(t, nodetest.Start(t, quick))
	c.Users, c.GroupSize, c.Rate = addAtOnce+2, addAtOnce+2, 5
	c.StreamsPerConnection = 100
	if r := clean(t, c); r.Expected != r.Sent*(addAtOnce+1) {
		t.Errorf("%d deliveries of %d messages", r.Expected, r.Sent)
	}
}

func TestUsersOfAServerThatEndsGoOnWithTheNext(t *testing.T) {
	nodes := nodetest.StartCluster(t, 2, quick)
	c := short(t, nodes...)
	c.Duration = 5 * time.Second // longer than the first server takes to let go of its users
	stopped := make(chan struct{})
	c.Progress = func(s string) {
		if strings.HasPrefix(s, "sending") {
			go func() { defer close(stopped); nodes[0].Stop() }()
		}
	}
	r := clean(t, c)
	<-stopped
	if r.Reconnects < 3 || r.BackMS.Max == 0 {
		t.Errorf("%d of 3 users came back, the last after %v ms", r.Reconnects, r.BackMS.Max)
	}
}

// gated opens a stream for each element of its channel, however long that takes.
type gated struct {
	client.Transport
	pass chan struct{}
}

func (g gated) Open(ctx context.Context, header http.Header) (client.Stream, error) {
	<-g.pass
	return g.Transport.Open(ctx, header)
}

// Of states that follow each other at once a client tells the newest: whoever was busy meanwhile hears that it connects, and not that it was offline.
func TestACutCountsThoughNobodyHeardOfIt(t *testing.T) {
	c := short(t, nodetest.Start(t, quick))
	sessions, err := signUp(t.Context(), c, 1)
	if err != nil {
		t.Fatal(err)
	}
	conns := newConnections(&c)
	defer conns.close()
	h, transport := conns.next(0)
	gate := gated{transport, make(chan struct{}, 1)}
	r := &run{cfg: c, ledger: newLedger()}
	u, err := r.newUser(0, sessions[0], h, gate)
	if err != nil {
		t.Fatal(err)
	}
	defer u.client.Close()
	gate.pass <- struct{}{}
	u.client.Start()
	for event, err := range u.client.Events(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := event.Body.(client.Live); ok {
			break
		}
	}
	u.cameBack()
	u.line.cut()
	for u.client.State() != (client.Connecting{}) {
		sleep(t.Context(), time.Millisecond)
	}
	ctx, stop := context.WithCancel(t.Context())
	var receiving sync.WaitGroup
	receiving.Go(func() { u.receive(ctx) })
	for deadline := time.Now().Add(30 * time.Second); r.ledger.away.Load() != 1 && time.Now().Before(deadline); {
		sleep(ctx, time.Millisecond)
	}
	close(gate.pass)
	for deadline := time.Now().Add(time.Minute); r.ledger.away.Load() != 0 && time.Now().Before(deadline); {
		sleep(ctx, time.Millisecond)
	}
	stop()
	receiving.Wait()
	if away, lost := r.ledger.away.Load(), r.ledger.reconnects.Load(); away != 0 || lost != 1 {
		t.Errorf("lost %d times, away %d; want once, and back", lost, away)
	}
}

func TestCutStreamsComeBackWithoutLoss(t *testing.T) {
	c := short(t, nodetest.Start(t, quick))
	c.Duration, c.CutEvery = 3*time.Second, time.Second
	if r := clean(t, c); r.Reconnects < int64(c.Users) {
		t.Errorf("%d streams were lost", r.Reconnects)
	}
}

func TestSlowReadersGetEverythingAndDontCountForLatency(t *testing.T) {
	c := short(t, nodetest.Start(t, quick))
	c.Slow, c.Late, c.Duration = 6, time.Nanosecond, 3*time.Second
	r := clean(t, c)
	if r.Late != 0 || r.LatencyMS.Max != 0 {
		t.Errorf("%d late, %v ms", r.Late, r.LatencyMS.Max)
	}
	c.Slow = 3
	if r = clean(t, c); r.Late != r.Delivered/2 {
		t.Errorf("%d of %d late; all to the 3 readers who aren't slow are", r.Late, r.Delivered)
	}
}

func TestPresenceIsHeardByTheOtherMembers(t *testing.T) {
	c := short(t, nodetest.Start(t, quick))
	c.Presence = 50
	r := clean(t, c)
	if r.PresenceChanged < 20 || r.PresenceHeard == 0 {
		t.Errorf("%d changes, heard %d times", r.PresenceChanged, r.PresenceHeard)
	}
}

func TestIdleStreamsAreOpenedAndMeasured(t *testing.T) {
	c := short(t, nodetest.Start(t, quick))
	c.Idle, c.StreamsPerConnection, c.StreamsPerUser = 30, 10, 15
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Users != 2 || r.Idle.Streams != 30 {
		t.Errorf("got %+v", r)
	}
}

func TestARunIsGivenUpWhenNoServerAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		_, err := patiently(t.Context(), func() (int, error) {
			return 0, &client.Error{Code: connect.CodeUnavailable, Message: "nobody is there"}
		})
		if err == nil || !strings.Contains(err.Error(), "given up") || !strings.Contains(err.Error(), "nobody is there") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begin); took < patience || took > patience+time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestPatienceEndsAtOnceWithErrorsThatStay(t *testing.T) {
	final := &client.Error{Code: connect.CodeInvalidArgument}
	if _, err := patiently(t.Context(), func() (int, error) { return 0, final }); !errors.Is(err, final) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	busy := &client.Error{Code: connect.CodeUnavailable}
	if _, err := patiently(ctx, func() (int, error) { return 0, busy }); !errors.Is(err, context.Canceled) || !errors.Is(err, busy) {
		t.Errorf("got %v", err)
	}
}

func TestARunThatIsInterruptedSaysSo(t *testing.T) {
	c := short(t, nodetest.Start(t, quick))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c.Duration = time.Hour
	c.Progress = func(s string) {
		if strings.HasPrefix(s, "sending") {
			time.AfterFunc(50*time.Millisecond, cancel)
		}
	}
	if r, err := Run(ctx, c); !errors.Is(err, context.Canceled) || r == nil {
		t.Errorf("got %v, %v", r, err)
	}
	if _, err := Run(t.Context(), Config{}); err == nil {
		t.Error("a run without anything was made")
	}
}

// TestLedgerTellsLossDoublesAndDisorder plays a server that does everything wrong.
func TestLedgerTellsLossDoublesAndDisorder(t *testing.T) {
	r := &run{cfg: Config{Users: 2, Late: time.Minute}, id: 7, start: time.Now(), ledger: newLedger()}
	u := &user{receipts: newReceipts(r, 0, 0)}
	r.users = []*user{u}
	r.ledger.expected.Store(4)
	message := func(run, sender, number uint32, seq int64, due time.Duration) *chatv1.Message {
		return &chatv1.Message{Content: stamp{run, sender, number, due}.text(minSize), Seq: seq}
	}
	for _, m := range []*chatv1.Message{
		message(7, 1, 0, 1, 0),
		message(7, 1, 0, 1, 0),              // doubled, and not after what went before
		message(7, 1, 2, 3, -2*time.Minute), // late
		message(7, 1, 1, 2, 0),              // out of order
		message(8, 1, 5, 9, 0),              // of another run
		message(7, 0, 5, 9, 0),              // the user's own
		{Content: "hello", Seq: 10},
	} {
		u.takeMessage(m)
	}
	got := r.report(time.Second, time.Second, nil, nil)
	if got.Delivered != 3 || got.Lost != 1 || got.Duplicated != 1 || got.OutOfOrder != 2 || got.Late != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestUsersGoToTheNextServerOncePerFailure(t *testing.T) {
	c := Config{Servers: []string{"http://a:1", "http://b:2", "https://c:3"}}
	var asked []string
	down := map[string]bool{"b:2": true}
	h := c.roaming(&http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
		asked = append(asked, r.URL.Scheme+"://"+r.URL.Host)
		if down[r.URL.Host] {
			return nil, errors.New("nobody is there")
		}
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	})}, 4)
	for range 3 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://a:1/x", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := h.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}
	if got := strings.Join(asked, " "); got != "http://b:2 https://c:3 https://c:3" {
		t.Errorf("asked %s", got)
	}
}

type tripper func(*http.Request) (*http.Response, error)

func (t tripper) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

func TestListenersGetEveryMessageOfTheirConversation(t *testing.T) {
	c := short(t, nodetest.StartCluster(t, 2, quick)...)
	c.GroupSize, c.Listeners, c.StreamsPerConnection = 3, 10, 4
	r := clean(t, c)
	// Of the ten listeners the first four users have two each, so the first conversation has six and the second one four.
	first, second := int64(2+6), int64(2+4)
	if most, least := r.Acknowledged*first, r.Acknowledged*second; r.Expected <= least || r.Expected >= most {
		t.Errorf("%d deliveries of %d messages", r.Expected, r.Acknowledged)
	}
}

// TestListenersReadWhatTheServerWrites holds the scan of bytes to the schema, with what comes in any pieces.
func TestListenersReadWhatTheServerWrites(t *testing.T) {
	message := func(number uint32, seq int64) *chatv1.Event {
		m := &chatv1.Message{
			Id: "an id", ConversationId: "c", Seq: seq, SenderId: "s", Timestamp: timestamppb.Now(), Ordinal: 1 << 40,
			Content: stamp{7, 1, number, 0}.text(minSize), Reactions: []*chatv1.Reaction{{Emoji: "+", UserIds: []string{"s"}}},
		}
		return &chatv1.Event{ConversationId: "c", Seq: seq, Event: &chatv1.Event_Message{Message: m}}
	}
	heartbeat := &chatv1.Event{Event: &chatv1.Event_Heartbeat{Heartbeat: &chatv1.Heartbeat{}}}
	var sent []byte
	for _, events := range [][]*chatv1.Event{
		{heartbeat},
		{message(0, 1), message(1, 2)},
		{message(1, 2), {Event: &chatv1.Event_CaughtUp{CaughtUp: &chatv1.CaughtUp{Token: []byte("t")}}}, message(3, 4), message(2, 3)},
		{{Event: &chatv1.Event_Goodbye{Goodbye: &chatv1.Goodbye{Message: "until then"}}}},
	} {
		data, err := proto.Marshal(&chatv1.StreamResponse{Events: events})
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, enveloped(data)...)
	}
	for name, body := range map[string]io.Reader{"whole": bytes.NewReader(sent), "byte by byte": iotest.OneByteReader(bytes.NewReader(sent))} {
		t.Run(name, func(t *testing.T) {
			r := &run{cfg: Config{Users: 2, Late: time.Minute}, id: 7, start: time.Now(), ledger: newLedger()}
			l := &listener{receipts: newReceipts(r, 2, noneOwn), body: io.NopCloser(body)}
			var err error
			for err == nil {
				err = l.more()
			}
			if !strings.Contains(err.Error(), "until then") || !l.live {
				t.Errorf("the end: %v, live: %v", err, l.live)
			}
			r.listeners = []*listener{l}
			if got := r.report(time.Second, time.Second, nil, nil); got.Delivered != 4 || got.Duplicated != 1 || got.OutOfOrder != 2 {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestListenersEndWithWhatIsNotOfTheSchema(t *testing.T) {
	for name, sent := range map[string][]byte{
		"a field cut short":    enveloped([]byte{0x0a, 5, 1}),
		"no field":             enveloped([]byte{0x80}),
		"the end of a stream":  append([]byte{2, 0, 0, 0, 2}, "{}"...),
		"a message cut short":  enveloped([]byte{0x0a, 4, 0x1a, 2, 0x2a, 9}),
		"a number cut short":   enveloped([]byte{0x0a, 4, 0x1a, 2, 0x18, 0x80}),
		"the end of the bytes": {0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := &listener{receipts: newReceipts(&run{start: time.Now(), ledger: newLedger()}, 0, noneOwn), body: io.NopCloser(bytes.NewReader(sent))}
			err := l.more()
			if err == nil {
				err = l.more()
			}
			if err == nil {
				t.Error("it was taken")
			}
		})
	}
}
