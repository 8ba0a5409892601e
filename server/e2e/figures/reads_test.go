package figures

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/jackc/pgx/v5"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/e2e/faults"
	"github.com/natterjack-chat/natterjack/server/internal/testservers"
)

// Figures of reading. The messages are sent by clients, so that they are stored as those of users are.

// library is a server's conversations, in which writers have written for one reader.
type library struct {
	server        *faults.Server
	session       *client.Session // the reader's
	reader        *client.Client  // not started: for calls
	writers       []*client.Client
	conversations []string // conversation i is written by writer i modulo their number
	heads         []int64  // of each, after what was written
}

// newLibrary makes so many groups of a writer and the reader.
func newLibrary(t *testing.T, server *faults.Server, writers, conversations int) *library {
	t.Helper()
	l := &library{server: server, heads: make([]int64, conversations)}
	l.reader, l.session = l.user(t, "reader")
	for i := range writers {
		w, _ := l.user(t, "writer-"+strconv.Itoa(i))
		w.Start()
		l.writers = append(l.writers, w)
	}
	for i := range conversations {
		c, err := l.writers[i%writers].CreateGroup(t.Context(), "pond", l.session.UserID)
		if err != nil {
			t.Fatal(err)
		}
		l.conversations = append(l.conversations, c.GetConversation().GetId())
	}
	return l
}

func (l *library) user(t *testing.T, name string) (*client.Client, *client.Session) {
	t.Helper()
	h := client.NewHTTPClient()
	o := client.Options{
		ServerURL: l.server.URL, HTTPClient: h, Window: 1024, ConversationWindow: 256, MaxPending: 100_000, KeepSent: -1,
	}
	s, err := client.SignUp(t.Context(), o, client.Credentials{Username: name, Password: "by the pond at night", DeviceName: "bench"}, "")
	if err != nil {
		t.Fatal(err)
	}
	o.Session = client.MemorySession(s)
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close() // no state to save
		h.CloseIdleConnections()
	})
	return c, s
}

// fill sends so many messages to each conversation and waits until they are stored.
func (l *library) fill(t *testing.T, each int) {
	t.Helper()
	var mu sync.Mutex
	var failure error
	var sending sync.WaitGroup
	for w, writer := range l.writers {
		sending.Go(func() {
			free := make(chan struct{}, 4096)
			for k := range each {
				for i := w; i < len(l.conversations); i += len(l.writers) {
					free <- struct{}{}
					text := "message " + strconv.Itoa(k) + ": the toad sings at night by the pond, and the whole heath hears it well, far away"
					_, err := writer.Send(l.conversations[i], text, client.SendOptions{OnDone: func(sent client.Sent, err error) {
						mu.Lock()
						if err != nil {
							failure = err
						} else {
							l.heads[i] = max(l.heads[i], sent.Seq)
						}
						mu.Unlock()
						<-free
					}})
					if err != nil {
						t.Error(err)
						return
					}
				}
			}
			for range cap(free) {
				free <- struct{}{}
			}
		})
	}
	sending.Wait()
	if failure != nil {
		t.Fatal(failure)
	}
}

// times are durations in microseconds.
func times() *hdrhistogram.Histogram { return hdrhistogram.New(1, 60_000_000, 3) }

func millis(h *hdrhistogram.Histogram, quantile float64) float64 {
	return float64(h.ValueAtQuantile(quantile)) / 1000
}

func record(t *testing.T, h *hdrhistogram.Histogram, begin time.Time) {
	t.Helper()
	if err := h.RecordValue(max(time.Since(begin).Microseconds(), 1)); err != nil {
		t.Fatal(err)
	}
}

func history(t *testing.T, s sizes) []line {
	database := testservers.StartPostgres(t).URL
	l := newLibrary(t, serve(t, "DATABASE_URL="+database), 4, 12)
	each := s.messages / len(l.conversations)
	l.fill(t, each)
	tidy(t, database)
	took := times()
	random := rand.New(rand.NewPCG(1, 2))
	for range s.pages {
		i := random.IntN(len(l.conversations))
		begin := time.Now()
		r, err := l.reader.Messages(t.Context(), l.conversations[i], client.Page{Before: l.heads[i] - random.Int64N(int64(each-1))})
		if err != nil || len(r.GetMessages()) == 0 {
			t.Fatalf("%d messages, %v", len(r.GetMessages()), err)
		}
		record(t, took, begin)
	}
	stored := number(float64(s.messages)) + " messages stored"
	return []line{
		{what: "p50, " + stored, value: millis(took, 50), unit: "ms"},
		{what: "p99, " + stored, value: millis(took, 99), unit: "ms", hold: 5, aim: 2},
	}
}

// tidy does what PostgreSQL does by and by, and here has had no time for: so many messages are written in years and not in two minutes.
func tidy(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	for _, statement := range []string{"VACUUM ANALYZE", "CHECKPOINT"} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

func resume(t *testing.T, s sizes) []line {
	l := newLibrary(t, serve(t, onPostgres(t)), 1, 20)
	h := client.NewHTTPClient()
	t.Cleanup(h.CloseIdleConnections)
	hello := &chatv1.Hello{DeviceId: "phone"}
	hello.Token, _ = l.catchUp(t, h, hello)
	for _, id := range l.conversations {
		hello.Positions = append(hello.Positions, &chatv1.Position{ConversationId: id, Seq: seqBefore})
	}
	l.fill(t, s.missed)
	took := times()
	for range min(s.pages, 100) {
		begin := time.Now()
		if _, got := l.catchUp(t, h, hello); got != len(l.conversations)*s.missed {
			t.Fatalf("%d of %d messages", got, len(l.conversations)*s.missed)
		}
		record(t, took, begin)
	}
	what := number(float64(len(l.conversations)*s.missed)) + " messages missed: hello to caught up"
	return []line{
		{what: what + ", p50", value: millis(took, 50), unit: "ms", hold: 50, aim: 20},
		{what: what + ", p99", value: millis(took, 99), unit: "ms"},
	}
}

// seqBefore is the seq of a new group: its creation, and the joining of its members.
const seqBefore = 2

// catchUp opens a stream and reads it up to caught_up.
func (l *library) catchUp(t *testing.T, h *http.Client, hello *chatv1.Hello) (token []byte, messages int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := client.NewHTTPTransport(h, l.server.URL).Open(ctx, http.Header{"Authorization": {"Bearer " + l.session.AccessToken}})
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&chatv1.StreamRequest{Request: &chatv1.StreamRequest_Hello{Hello: hello}}); err != nil {
		t.Fatal(err)
	}
	for {
		r, err := stream.Receive()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range r.GetEvents() {
			if e.GetMessage() != nil {
				messages++
			}
			if e.GetCaughtUp() != nil {
				return e.GetCaughtUp().GetToken(), messages
			}
		}
	}
}
