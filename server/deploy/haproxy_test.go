package deploy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/e2e/faults"
	"github.com/natterjack-chat/natterjack/server/e2e/fleet"
	"github.com/natterjack-chat/natterjack/server/e2e/history"
	"github.com/natterjack-chat/natterjack/server/internal/testservers"
	"github.com/natterjack-chat/natterjack/server/node"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

// balance starts HAProxy with haproxy.cfg in front of two servers, given by their URLs, and returns where it answers. changes are pairs of old and new text.
func balance(t *testing.T, one, two string, changes ...string) string {
	t.Helper()
	text, err := os.ReadFile("haproxy.cfg")
	if err != nil {
		t.Fatal(err)
	}
	config := string(text)
	changes = append(changes,
		"bind :8080", `bind "127.0.0.1:`+testservers.HAProxyPort+`"`,
		"node-a:8080", strings.TrimPrefix(one, "http://"),
		"node-b:8080", strings.TrimPrefix(two, "http://"))
	for i := 0; i < len(changes); i += 2 {
		if strings.Count(config, changes[i]) != 1 {
			t.Fatalf("haproxy.cfg doesn't have %q once", changes[i])
		}
		config = strings.Replace(config, changes[i], changes[i+1], 1)
	}
	return testservers.StartHAProxy(t, config).URL
}

// unhurried lifts the limit that would hold a quick user back.
var unhurried = nodetest.Config(func(c *node.Config) { c.RPC.UserRate, c.RPC.UserBurst = 1_000_000, 1_000_000 })

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestHAProxyCarriesEveryProtocol(t *testing.T) {
	nodes := nodetest.StartCluster(t, 2)
	s := nodes[0].Via(balance(t, nodes[0].URL, nodes[1].URL))
	ada, bob := s.SignUp("ada"), s.SignUp("bob")
	made := must(s.Chat(nodetest.Protocols()[0], ada).CreateConversation(within(t), &chatv1.CreateConversationRequest{
		Kind: chatv1.ConversationKind_CONVERSATION_KIND_DIRECT, MemberIds: []string{bob.ID},
	}))(t)
	room := made.GetConversation().GetId()
	for _, p := range slices.Concat(nodetest.Protocols(), nodetest.HTTP1()) {
		t.Run(p.Name, func(t *testing.T) {
			ctx := within(t)
			heard := subscribe(ctx, t, s, p, bob)
			text := "by " + p.Name
			must(s.Chat(p, ada).SendMessage(ctx, &chatv1.SendMessageRequest{ConversationId: room, ClientMessageId: nodetest.UUID(), Content: text}))(t)
			wantMessage(t, heard, text)
			if p.HTTP1 {
				return
			}
			text += " on a stream"
			converse(ctx, t, s, p, ada, room, text)
			wantMessage(t, heard, text)
		})
	}
	t.Run("REST", func(t *testing.T) {
		r := must(http.NewRequestWithContext(within(t), http.MethodGet, s.URL+"/api/messages?limit=1&conversationId="+room, nil))(t)
		r.Header.Set("Authorization", "Bearer "+ada.Session.GetAccessToken())
		answer := must(s.HTTP(true).Do(r))(t)
		defer answer.Body.Close()
		if body := must(io.ReadAll(answer.Body))(t); answer.StatusCode != http.StatusOK || !strings.Contains(string(body), "by connect-get-http1") {
			t.Errorf("%d: %s", answer.StatusCode, body)
		}
	})
}

// subscribe hands over the content of the messages that a user gets live, over Subscribe.
func subscribe(ctx context.Context, t *testing.T, s *nodetest.Server, p nodetest.Protocol, u *nodetest.User) <-chan string {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	t.Cleanup(cancel)
	stream := must(s.Chat(p, u).Subscribe(ctx, &chatv1.SubscribeRequest{Hello: &chatv1.Hello{}}))(t)
	contents := make(chan string, 16)
	live := make(chan struct{})
	go func() {
		defer close(contents)
		defer stream.Close()
		for stream.Receive() {
			for _, e := range stream.Msg().GetEvents() {
				if e.GetCaughtUp() != nil {
					close(live)
				}
				if e.GetMessage() != nil {
					contents <- e.GetMessage().GetContent()
				}
			}
		}
	}()
	select {
	case <-live:
	case <-ctx.Done():
		t.Fatal("Subscribe doesn't become live")
	}
	return contents
}

func wantMessage(t *testing.T, heard <-chan string, want string) {
	t.Helper()
	select {
	case got := <-heard:
		if got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	case <-within(t).Done():
		t.Fatalf("%q doesn't come", want)
	}
}

// converse sends a message on a bidirectional stream, after hello was answered, and waits until it is acknowledged.
func converse(ctx context.Context, t *testing.T, s *nodetest.Server, p nodetest.Protocol, u *nodetest.User, room, text string) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream := must(s.Chat(p, u).Stream(ctx))(t)
	send := func(r *chatv1.StreamRequest) {
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
	}
	await := func(what string, is func(*chatv1.Event) bool) {
		for {
			if slices.ContainsFunc(must(stream.Receive())(t).GetEvents(), is) {
				return
			}
		}
	}
	send(&chatv1.StreamRequest{Request: &chatv1.StreamRequest_Hello{Hello: &chatv1.Hello{}}})
	await("live", func(e *chatv1.Event) bool { return e.GetCaughtUp() != nil })
	send(&chatv1.StreamRequest{RequestId: 1, Request: &chatv1.StreamRequest_SendMessage{SendMessage: &chatv1.SendMessageRequest{
		ConversationId: room, ClientMessageId: nodetest.UUID(), Content: text,
	}}})
	await("the answer", func(e *chatv1.Event) bool {
		if e.GetError() != nil {
			t.Fatal(e.GetError())
		}
		return e.GetAck() != nil
	})
}

// TestHAProxySendsClientsOffADrainingNode stops one of two nodes, as SIGTERM does, while people chat through HAProxy: all of them go on
// on the other one, and the checker of histories finds everything once and in order.
func TestHAProxySendsClientsOffADrainingNode(t *testing.T) {
	nodes := nodetest.StartCluster(t, 2, unhurried, measured, nodetest.Config(func(c *node.Config) {
		c.Drain = node.Drain{Notice: 3 * time.Second, Spread: 500 * time.Millisecond, Grace: 30 * time.Second}
	}))
	f := fleet.New(balance(t, nodes[0].URL, nodes[1].URL))
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := f.Populate(within(t), fleet.Shape{Users: 4, Devices: 2}); err != nil {
		t.Fatal(err)
	}
	if err := f.Run(within(t), fleet.Work{Seed: 1, Sends: 200}); err != nil {
		t.Fatal(err)
	}
	for i, n := range nodes {
		if metrics(t, n)["natterjack_hub_streams"] == 0 {
			t.Errorf("node %d has no streams", i)
		}
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		nodes[0].Stop()
	}()
	seed := uint64(2)
	for ended := false; !ended; seed++ { // chats until the node is gone, and once after
		select {
		case <-drained:
			ended = true
		default:
		}
		if err := f.RunOn(within(t), f.Devices(), fleet.Work{Seed: seed, Sends: 100}); err != nil {
			t.Fatal(err)
		}
	}
	run := must(f.Settle(within(t), faults.Patience))(t)
	if r := history.Check(run); !r.Clean() {
		t.Fatal(r)
	}
}

// TestHAProxyKeepsSilentStreams lets nobody say anything for several times as long as HAProxy waits for either side: heartbeats keep streams open.
func TestHAProxyKeepsSilentStreams(t *testing.T) {
	n := nodetest.Start(t, nodetest.Config(func(c *node.Config) { c.RPC.Heartbeat = 250 * time.Millisecond }))
	// A busy machine may keep a node from speaking for a few seconds.
	s := n.Via(balance(t, n.URL, n.URL, "timeout client 2m", "timeout client 6s", "timeout server 2m", "timeout server 6s"))
	u := s.SignUp("ada")
	var silent sync.WaitGroup
	for _, p := range []nodetest.Protocol{nodetest.Protocols()[0], nodetest.HTTP1()[1]} {
		stream := must(s.Chat(p, u).Subscribe(within(t), &chatv1.SubscribeRequest{Hello: &chatv1.Hello{DeviceId: p.Name}}))(t)
		silent.Go(func() {
			defer stream.Close() // nothing more is wanted of it
			for beats := 0; beats < 72; {
				if !stream.Receive() {
					t.Errorf("%s: the stream ended after %d heartbeats: %v", p.Name, beats, stream.Err())
					return
				}
				for _, e := range stream.Msg().GetEvents() {
					if e.GetHeartbeat() != nil {
						beats++
					}
				}
			}
		})
	}
	silent.Wait()
}

// TestHAProxyKeepsSlowClientsApart has one device stop reading. Through one connection to the node, another one's events would queue up behind its,
// until the node's ping isn't answered for 45 s. (Threads of HAProxy don't share connections, so there is one here.)
func TestHAProxyKeepsSlowClientsApart(t *testing.T) {
	n := nodetest.Start(t, unhurried, nodetest.Config(func(c *node.Config) {
		c.RPC.WriteStall, c.RPC.Idle, c.Hub.SlowAfter = time.Hour, time.Hour, time.Hour
	}))
	f := fleet.New(balance(t, n.URL, n.URL, "hard-stop-after 10m", "nbthread 1"))
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx := within(t)
	ann, bob := must(f.SignUp(ctx, "ann"))(t), must(f.SignUp(ctx, "bob"))(t)
	room := must(ann.Group(ctx, "Us", bob))(t)
	stopped, goOn := make(chan struct{}), make(chan struct{})
	brake := func(ctx context.Context) {
		select {
		case <-stopped:
		default:
			return
		}
		select {
		case <-goOn:
		case <-ctx.Done():
		}
	}
	annPhone := must(ann.Device("phone", fleet.DeviceOptions{}))(t)
	bobPhone := must(bob.Device("phone", fleet.DeviceOptions{}))(t)
	slow := must(bob.Device("slow", fleet.DeviceOptions{ReceiveBuffer: 64 << 10, Brake: brake}))(t)
	if err := f.AwaitLive(ctx); err != nil {
		t.Fatal(err)
	}
	close(stopped)
	const sends = 400
	work := fleet.Work{Seed: 8, Sends: sends, Bytes: 4000, Rooms: []string{room}, SendOnly: true}
	soon, cancel := context.WithTimeout(ctx, 30*time.Second) // ample, and less than the ping takes
	defer cancel()
	if err := f.RunOn(soon, []*fleet.Device{annPhone}, work); err != nil {
		t.Fatal(err)
	}
	for bobPhone.Mirror.Head(room) != sends+2 {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-soon.Done():
			t.Fatalf("the quick device has %d of %d events", bobPhone.Mirror.Head(room), sends+2)
		}
	}
	if slow.Mirror.Head(room) == sends+2 {
		t.Fatal("the slow device wasn't slow")
	}
	close(goOn)
	run := must(f.Settle(within(t), faults.Patience))(t)
	if r := history.Check(run); !r.Clean() {
		t.Fatal(r)
	}
}

// TestHAProxyTellsWhoCalls: a node believes HAProxy, so HAProxy must not pass on what a client claims.
func TestHAProxyTellsWhoCalls(t *testing.T) {
	stub := stubNode(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%d %q", r.ProtoMajor, r.Header.Values("X-Forwarded-For"))
	})
	r := must(http.NewRequestWithContext(within(t), http.MethodGet, balance(t, stub, stub), nil))(t)
	r.Header.Add("X-Forwarded-For", "192.0.2.1")
	r.Header.Add("X-Forwarded-For", "192.0.2.2")
	answer := must(http.DefaultTransport.RoundTrip(r))(t)
	defer answer.Body.Close()
	if got := string(must(io.ReadAll(answer.Body))(t)); got != `2 ["127.0.0.1"]` {
		t.Errorf("the node saw %s", got)
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestHAProxyCarriesWebSockets asks for an upgrade, and says something both ways afterwards.
func TestHAProxyCarriesWebSockets(t *testing.T) {
	stub := stubNode(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" || r.ProtoMajor != 1 {
			http.Error(w, "no upgrade came", http.StatusBadRequest)
			return
		}
		conn, both, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		// The key and its answer are the example in RFC 6455, section 1.3.
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
		line, _ := both.ReadString('\n')
		fmt.Fprint(conn, "heard "+line)
	})
	conn := must(net.Dial("tcp", strings.TrimPrefix(balance(t, stub, stub), "http://")))(t)
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	lines := bufio.NewReader(conn)
	answer := must(http.ReadResponse(lines, nil))(t)
	if answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the upgrade was answered with %s", answer.Status)
	}
	fmt.Fprintln(conn, "croak")
	if got := must(lines.ReadString('\n'))(t); got != "heard croak\n" {
		t.Errorf("heard %q", got)
	}
}

// stubNode serves one answer to everything but /readyz, over HTTP/1.1 and cleartext HTTP/2 as nodes do.
func stubNode(t *testing.T, answer http.HandlerFunc) (url string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/", answer)
	s := httptest.NewUnstartedServer(mux)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}
