package figures

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/net/websocket"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1/chatv1connect"
	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/e2e/faults"
	"github.com/natterjack-chat/natterjack/server/load"
)

// The anchors: what connect-go and net/http do by themselves. The same stream and the same generated types, and the transport of the Go client, but
// a server that knows nothing, stores nothing and tells nobody else. Server and clients are processes of their own, of this test's binary.

// bareVariable makes this binary a bare program: a bareSpec as JSON.
const bareVariable = "FIGURES_BARE"

// bareSpec says what a bare program does.
type bareSpec struct {
	Role     string // serve, echo, flood, idle, or websocket: an echo of messages over WebSockets
	URL      string // of the server
	Streams  int
	Share    int     // streams on a connection; 0: one
	Window   int     // echo without Rate: requests that may be unanswered on each stream
	Rate     float64 // echo: requests per second over all streams; flood: messages per second on each stream
	Duration time.Duration
}

// bareResult is what a bare client prints.
type bareResult struct {
	PerSecond float64
	P50, P99  float64 // milliseconds
}

func runBare(spec string) (code int) {
	var s bareSpec
	err := json.Unmarshal([]byte(spec), &s)
	if err == nil {
		switch s.Role {
		case "serve":
			err = bareServe()
		case "idle":
			err = s.idle()
		case "websocket":
			go endWithParent()
			err = s.webSockets()
		default:
			go endWithParent()
			err = s.measure()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// endWithParent ends this program when the one that started it has.
func endWithParent() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(1)
}

// bareServer answers, floods or says one word, as hello asks.
type bareServer struct {
	chatv1connect.UnimplementedChatServiceHandler
}

func (bareServer) Stream(ctx context.Context, stream *connect.BidiStream[chatv1.StreamRequest, chatv1.StreamResponse]) error {
	for {
		r, err := stream.Receive()
		if err != nil {
			return err
		}
		if rate := r.GetHello().GetAttempt(); rate != 0 {
			return flood(ctx, stream, float64(rate))
		}
		ack := &chatv1.Ack{RequestId: r.GetRequestId(), MessageId: "a message's id", Seq: 1 << 20}
		if err := stream.Send(&chatv1.StreamResponse{Events: []*chatv1.Event{{Event: &chatv1.Event_Ack{Ack: ack}}}}); err != nil {
			return err
		}
	}
}

// flood sends messages at a rate, all streams at the same moments. A message's seq is when it was due.
func flood(ctx context.Context, stream *connect.BidiStream[chatv1.StreamRequest, chatv1.StreamResponse], rate float64) error {
	text := strings.Repeat("a toad ", 15)
	every := time.Duration(float64(time.Second) / rate)
	for due := time.Now().Truncate(every); ctx.Err() == nil; due = due.Add(every) {
		if wait := time.Until(due); wait > 0 {
			<-time.After(wait)
		}
		m := &chatv1.Message{Id: "a message's id", ConversationId: "a conversation", Seq: due.UnixNano(), SenderId: "a sender's id", Content: text}
		e := &chatv1.Event{ConversationId: m.GetConversationId(), Seq: m.GetSeq(), Event: &chatv1.Event_Message{Message: m}}
		if err := stream.Send(&chatv1.StreamResponse{Events: []*chatv1.Event{e}}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// bareServe serves until its input ends.
func bareServe() error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	protocols.SetHTTP1(true)
	mux := http.NewServeMux()
	mux.Handle(chatv1connect.NewChatServiceHandler(bareServer{}))
	mux.Handle("/websocket", websocket.Handler(func(ws *websocket.Conn) { _, _ = io.Copy(ws, ws) })) // to its end
	server := &http.Server{Handler: mux, Protocols: &protocols, ReadHeaderTimeout: time.Minute}
	fmt.Printf("http://%s\n", l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	if err := server.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// open opens the streams, each with its first request.
func (s *bareSpec) open(ctx context.Context, first *chatv1.StreamRequest) ([]client.Stream, error) {
	var h *http.Client
	streams := make([]client.Stream, s.Streams)
	for i := range streams {
		if i%max(s.Share, 1) == 0 {
			h = client.NewHTTPClient()
		}
		stream, err := client.NewHTTPTransport(h, s.URL).Open(ctx, http.Header{})
		if err != nil {
			return nil, err
		}
		if err := stream.Send(first); err != nil {
			return nil, err
		}
		if _, err := stream.Receive(); err != nil {
			return nil, err
		}
		streams[i] = stream
	}
	return streams, nil
}

// idle opens streams and keeps them until its input ends.
func (s *bareSpec) idle() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if _, err := s.open(ctx, &chatv1.StreamRequest{RequestId: 1}); err != nil {
		return err
	}
	fmt.Println("open")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// webSockets measures an echo over WebSockets: on each, Window messages of 120 bytes are sent and then received, again and again.
func (s *bareSpec) webSockets() error {
	url := "ws" + strings.TrimPrefix(s.URL, "http") + "/websocket"
	conns := make([]*websocket.Conn, s.Streams)
	for i := range conns {
		var err error
		if conns[i], err = websocket.Dial(url, "", s.URL); err != nil {
			return err
		}
		conns[i].PayloadType = websocket.BinaryFrame
	}
	var came atomic.Int64
	var working sync.WaitGroup
	deadline := time.Now().Add(s.Duration)
	for _, ws := range conns {
		if err := ws.SetDeadline(deadline); err != nil {
			return err
		}
		working.Go(func() {
			message, answer := make([]byte, 120), []byte(nil)
			for {
				for range s.Window {
					if websocket.Message.Send(ws, message) != nil {
						return
					}
				}
				for range s.Window {
					if websocket.Message.Receive(ws, &answer) != nil {
						return
					}
					came.Add(1)
				}
			}
		})
	}
	working.Wait()
	return json.NewEncoder(os.Stdout).Encode(bareResult{PerSecond: float64(came.Load()) / s.Duration.Seconds()})
}

// bareLoad measures echo and flood.
type bareLoad struct {
	spec  *bareSpec
	start time.Time
	mu    sync.Mutex
	took  *hdrhistogram.Histogram // guarded by mu, in microseconds
}

func (l *bareLoad) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.took.RecordValue(min(max(d.Microseconds(), 1), 60_000_000)) // in range, so it doesn't fail
}

func (s *bareSpec) measure() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	first := &chatv1.StreamRequest{RequestId: 1}
	if s.Role == "flood" {
		first.Request = &chatv1.StreamRequest_Hello{Hello: &chatv1.Hello{Attempt: uint64(s.Rate)}}
	}
	streams, err := s.open(ctx, first)
	if err != nil {
		return err
	}
	l := &bareLoad{spec: s, start: time.Now(), took: hdrhistogram.New(1, 60_000_000, 3)}
	until, end := context.WithTimeout(ctx, s.Duration)
	defer end()
	var working sync.WaitGroup
	for _, stream := range streams {
		slots := make(chan struct{}, max(s.Window, 1))
		working.Go(func() { l.receive(stream, slots) })
		if s.Role == "echo" && s.Rate == 0 {
			working.Go(func() { l.send(until, stream, slots) })
		}
	}
	if s.Role == "echo" && s.Rate > 0 {
		working.Go(func() { l.sendAtRate(until, streams) })
	}
	<-until.Done()
	took := time.Since(l.start)
	cancel()
	working.Wait()
	ms := func(q float64) float64 { return float64(l.took.ValueAtQuantile(q)) / 1000 }
	return json.NewEncoder(os.Stdout).Encode(bareResult{float64(l.took.TotalCount()) / took.Seconds(), ms(50), ms(99)})
}

// receive counts what comes, until the stream ends.
func (l *bareLoad) receive(stream client.Stream, slots chan struct{}) {
	for {
		r, err := stream.Receive()
		if err != nil {
			return
		}
		for _, e := range r.GetEvents() {
			if m := e.GetMessage(); m != nil {
				l.add(time.Since(time.Unix(0, m.GetSeq())))
			} else {
				l.add(time.Since(l.start) - time.Duration(e.GetAck().GetRequestId()))
				select {
				case <-slots:
				default: // at a rate nothing bounds what is unanswered
				}
			}
		}
	}
}

// send sends as fast as the window allows. Each Send takes along what that leaves room for.
func (l *bareLoad) send(ctx context.Context, stream client.Stream, slots chan struct{}) {
	for {
		due := time.Since(l.start)
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		batch := []*chatv1.StreamRequest{bareRequest(due)}
		for more := true; more; {
			select {
			case slots <- struct{}{}:
				batch = append(batch, bareRequest(due))
			default:
				more = false
			}
		}
		if stream.Send(batch...) != nil {
			return
		}
	}
}

// sendAtRate sends to the streams in turn, at the times at which [load.Run] would.
func (l *bareLoad) sendAtRate(ctx context.Context, streams []client.Stream) {
	for k := 0; ; k++ {
		due := time.Duration(float64(k) / l.spec.Rate * float64(time.Second))
		if wait := due - time.Since(l.start); wait > 0 && !load.Sleep(ctx, wait) {
			return
		}
		if streams[k%len(streams)].Send(bareRequest(due)) != nil {
			return
		}
	}
}

// bareRequest has as its id when it was due.
func bareRequest(due time.Duration) *chatv1.StreamRequest {
	m := &chatv1.SendMessageRequest{ConversationId: "a conversation", ClientMessageId: "an id of the client", Content: strings.Repeat("a toad ", 15)}
	return &chatv1.StreamRequest{RequestId: uint64(due), Request: &chatv1.StreamRequest_SendMessage{SendMessage: m}}
}

// bareProcess is a bare program that runs until its input ends.
type bareProcess struct {
	pid  int
	word string // the first line that it wrote
}

// start starts a bare program, which ends with the test, and waits for its first line.
func (s bareSpec) start(t *testing.T) *bareProcess {
	t.Helper()
	cmd := s.command(t)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait() // streams of a server that ends break
	})
	word, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the bare %s says nothing: %v", s.Role, err)
	}
	return &bareProcess{cmd.Process.Pid, strings.TrimSpace(word)}
}

// run runs a bare client to its end against a new bare server.
func (s bareSpec) run(t *testing.T) bareResult {
	t.Helper()
	s.URL = bareSpec{Role: "serve"}.start(t).word
	cmd := s.command(t)
	in, err := cmd.StdinPipe() // which is open as long as this process is
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the bare %s: %v", s.Role, err)
	}
	var r bareResult
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func (s bareSpec) command(t *testing.T) *exec.Cmd {
	t.Helper()
	spec, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), self) // the clean-up ends it
	cmd.Env = append(os.Environ(), bareVariable+"="+string(spec))
	cmd.Stderr = os.Stderr
	return cmd
}

// bareIdle opens idle streams on a bare server, and returns how to learn by how much its memory grew by each of them, in KiB.
func bareIdle(t *testing.T, streams, share int) (kib func() float64) {
	t.Helper()
	server := bareSpec{Role: "serve"}.start(t)
	before := faults.Resident(t, server.pid)
	bareSpec{Role: "idle", URL: server.word, Streams: streams, Share: share}.start(t)
	return func() float64 { return float64(faults.Resident(t, server.pid)-before) / 1024 / float64(streams) }
}
