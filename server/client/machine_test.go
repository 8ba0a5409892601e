package client

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"pgregory.net/rapid"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
)

// mirror is a consumer that keeps what it gets as the documentation says, in a store of its own.
type mirror struct {
	full  bool
	seqs  map[string]int64 // the last seq of each conversation
	token []byte
	// soft are the conversations, in Window mode, of which only a summary came so far: events may begin before its head, but not beyond.
	soft map[string]bool
}

func (m *mirror) Load() (Checkpoint, error) {
	return Checkpoint{Token: m.token, Device: "mirror", Seqs: maps.Clone(m.seqs)}, nil
}

func (m *mirror) Save(Checkpoint) error { return nil }

// apply keeps an event, or tells what is wrong with it.
func (m *mirror) apply(e Event) error {
	last, known := m.seqs[e.Conversation]
	soft := m.soft[e.Conversation]
	switch b := e.Body.(type) {
	case *CaughtUp:
		m.token = b.Token
	case *Reset:
		if e.Conversation == "" {
			m.seqs = map[string]int64{} // the token stays: it tells the old store from the new one until the next is there
		} else {
			delete(m.seqs, e.Conversation)
		}
	case *Gone:
		delete(m.seqs, e.Conversation)
	case *Gap:
		if m.full || known && !soft && b.After != last || soft && b.After > last || b.Head <= b.After {
			return fmt.Errorf("%s: a gap %+v after %d", e.Conversation, *b, last)
		}
		m.seqs[e.Conversation], m.soft[e.Conversation] = b.Head, false
	case *chatv1.ConversationSummary:
		switch {
		case b.GetSelf().GetLeftSeq() > 0:
			delete(m.seqs, e.Conversation)
		case !m.full && !known:
			m.seqs[e.Conversation], m.soft[e.Conversation] = b.GetLastSeq(), true
		}
	}
	if e.Seq > 0 {
		if e.Seq != last+1 && (m.full || known) && (!soft || e.Seq > last) {
			return fmt.Errorf("%s: got %d after %d", e.Conversation, e.Seq, last)
		}
		m.seqs[e.Conversation], m.soft[e.Conversation] = e.Seq, false
	}
	return nil
}

// machine drives a client with a file outbox and a mirror against a model that fails in every way.
type machine struct {
	t      *testing.T
	m      *model
	c      *Client
	mirror *mirror
	path   string
	mode   Mode
	queue  int
	window int
	convs  []string
	posted int
	wrong  error
	trace  []string // what the consumer got

	order map[string][]string // client ids of the sends by conversation, in the order of the calls
	lost  bool                // the model lost its end at least once
}

func (s *machine) open(rt *rapid.T) {
	store, err := FileOutbox(s.path)
	if err != nil {
		rt.Fatal(err)
	}
	// The session outlives the process, as the tokens of the model move on.
	s.m.mu.Lock()
	session := validSession()
	session.AccessToken, session.RefreshToken = s.m.access, s.m.refresh
	s.m.mu.Unlock()
	s.c = s.m.start(s.t, Options{
		Mode: s.mode, Checkpoint: s.mirror, Outbox: store, Queue: s.queue, ConversationWindow: s.window, Session: MemorySession(session),
	})
}

// consume takes up to n events.
func (s *machine) consume(n int) {
	for range n {
		synctest.Wait()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		e, err := s.c.Next(ctx)
		if err != nil {
			return
		}
		s.trace = append(s.trace, fmt.Sprintf("%s %d %T %.40v", e.Conversation, e.Seq, e.Body, e.Body))
		if err := s.mirror.apply(e); err != nil && s.wrong == nil {
			s.wrong = fmt.Errorf("%w, in mode %d, at the end of\n%s", err, s.mode, strings.Join(s.trace[max(0, len(s.trace)-60):], "\n"))
		}
	}
}

func (s *machine) send(id, text string) {
	sending, err := s.c.Send(id, text, SendOptions{OnDone: nil})
	if err == nil {
		s.order[id] = append(s.order[id], sending.ID())
	}
}

func (s *machine) actions() map[string]func(*rapid.T) {
	conv := rapid.SampledFrom(s.convs)
	return map[string]func(*rapid.T){
		"": func(rt *rapid.T) {
			if s.wrong != nil {
				rt.Fatal(s.wrong)
			}
		},
		"post": func(rt *rapid.T) {
			id := conv.Draw(rt, "conversation")
			for range rapid.SampledFrom([]int{1, 1, 3, 40}).Draw(rt, "n") {
				s.posted++
				s.m.post(id, fmt.Sprint("post ", s.posted))
			}
		},
		"send": func(rt *rapid.T) {
			id := conv.Draw(rt, "conversation")
			for i := range rapid.IntRange(1, 4).Draw(rt, "n") {
				s.send(id, fmt.Sprint("send ", i))
			}
		},
		"consume": func(rt *rapid.T) { s.consume(rapid.SampledFrom([]int{1, 5, 200}).Draw(rt, "n")) },
		"settle":  func(*rapid.T) { synctest.Wait() },
		"time": func(rt *rapid.T) {
			time.Sleep(time.Duration(rapid.IntRange(1, 5000).Draw(rt, "ms")) * time.Millisecond)
		},
		"cut":   func(*rapid.T) { s.m.cut() },
		"drain": func(*rapid.T) { s.m.goodbye(chatv1.GoodbyeReason_GOODBYE_REASON_DRAIN, 300*time.Millisecond) },
		"expire": func(*rapid.T) {
			s.m.mu.Lock()
			s.m.access = "another"
			s.m.mu.Unlock()
			s.m.goodbye(chatv1.GoodbyeReason_GOODBYE_REASON_TOKEN_EXPIRED, 0)
		},
		"caughtUp": func(*rapid.T) {
			s.m.push(&chatv1.Event{Event: &chatv1.Event_CaughtUp{CaughtUp: &chatv1.CaughtUp{Token: s.m.tokenNow()}}})
		},
		"leave and join": func(rt *rapid.T) {
			id := conv.Draw(rt, "conversation")
			s.m.leave(id)
			if rapid.Bool().Draw(rt, "meanwhile") {
				s.m.post(id, "unseen")
				synctest.Wait()
			}
			s.m.join(id)
		},
		"resync": func(rt *rapid.T) { s.m.lag(conv.Draw(rt, "conversation"), rapid.IntRange(1, 30).Draw(rt, "n")) },
		"lose": func(rt *rapid.T) {
			if s.mirror.token == nil {
				rt.Skip("without a token nobody can tell one store from another")
			}
			s.lost = true
			s.m.lose(rapid.IntRange(1, 3).Draw(rt, "n"))
		},
		"restart": func(rt *rapid.T) {
			if err := s.c.Close(); err != nil {
				rt.Fatal(err)
			}
			s.open(rt)
		},
	}
}

// tokenNow is a token of which it is true that everything before it was sent.
func (m *model) tokenNow() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.token()
}

// lag stores n messages of which the streams get only a resync.
func (m *model) lag(id string, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.convs[id]
	if !c.member {
		return
	}
	streams := m.streams
	m.streams = map[*modelStream]bool{}
	for range n {
		m.store(c, peer, &chatv1.SendMessageRequest{Content: "unsent"})
	}
	m.streams = streams
	for s := range streams {
		s.raw(&chatv1.Event{Event: &chatv1.Event_Resync{Resync: &chatv1.Resync{ConversationId: id, LastSeq: int64(len(c.log))}}})
	}
}

// faults makes the model fail now and then. It asks while holding the model's lock.
func (s *machine) faults(dice *rand.Rand) {
	s.m.onEvent = func(e *chatv1.Event) []*chatv1.Event {
		out := []*chatv1.Event{e}
		switch n := dice.IntN(100); {
		case n < 3: // twice
			out = append(out, e)
		case n < 6 && s.m.late == nil:
			s.m.late = e
			return nil
		case n < 8: // never: the client has to find the hole by itself
			return nil
		}
		if s.m.late != nil && dice.IntN(100) < 50 {
			out, s.m.late = append(out, s.m.late), nil
		}
		return out
	}
	s.m.onRequest = func(r *chatv1.StreamRequest) *chatv1.RequestError {
		if r.GetSendMessage() == nil {
			return nil
		}
		switch n := dice.IntN(100); {
		case n < 5:
			return &chatv1.RequestError{Code: int32(connect.CodeUnavailable)}
		case n < 7:
			return &chatv1.RequestError{Code: int32(connect.CodePermissionDenied)}
		}
		return nil
	}
	s.m.dropAck = func() bool { return dice.IntN(100) < 5 }
	s.m.onOpen = func() error {
		if dice.IntN(100) < 20 {
			return connect.NewError(connect.CodeUnavailable, nil)
		}
		return nil
	}
	s.m.onFetch = func() error {
		if dice.IntN(100) < 20 {
			return connect.NewError(connect.CodeUnavailable, nil)
		}
		return nil
	}
}

// calm ends all faults, gives everything its time, and checks that nothing was lost, doubled or turned round.
func (s *machine) calm(rt *rapid.T) {
	s.m.mu.Lock()
	s.m.onEvent, s.m.onRequest, s.m.dropAck, s.m.onOpen, s.m.onFetch = nil, nil, nil, nil, nil
	s.m.mu.Unlock()
	s.m.cut() // what the faults held back comes by resuming
	for range 100 {
		time.Sleep(time.Second)
		s.m.push(&chatv1.Event{Event: &chatv1.Event_Heartbeat{Heartbeat: &chatv1.Heartbeat{}}})
		s.consume(1 << 20)
	}
	if s.wrong != nil {
		rt.Fatal(s.wrong)
	}
	if s.c.State() != (Live{}) {
		rt.Fatalf("state %#v, want live", s.c.State())
	}
	if n := len(s.c.Pending()); n > 0 {
		rt.Fatalf("%d messages still pending", n)
	}
	for _, id := range s.convs {
		log := s.m.log(id)
		if seq, known := s.mirror.seqs[id]; int(seq) != len(log) && (s.mode == Full || known) {
			rt.Fatalf("%s: the mirror is at %d, the server at %d", id, seq, len(log))
		}
		s.checkSends(rt, id, log)
	}
}

func (s *machine) checkSends(rt *rapid.T, id string, log []*chatv1.Event) {
	var stored []string
	for _, e := range log {
		if msg := e.GetMessage(); msg.GetSenderId() == me {
			if slices.Contains(stored, msg.GetClientMessageId()) {
				rt.Fatalf("%s: %s is stored twice", id, msg.GetClientMessageId())
			}
			stored = append(stored, msg.GetClientMessageId())
		}
	}
	var want []string
	for _, sent := range s.order[id] {
		if !s.m.refused[sent] {
			want = append(want, sent)
		} else if i := slices.Index(stored, sent); i >= 0 { // refused on a repetition, after it had been stored
			stored = slices.Delete(stored, i, i+1)
		}
	}
	if s.lost || s.window > 1 { // the order of repetitions may differ then
		slices.Sort(stored)
		slices.Sort(want)
	}
	if fmt.Sprint(stored) != fmt.Sprint(want) {
		rt.Fatalf("%s: stored\n%v, want\n%v", id, stored, want)
	}
}

// Whatever happens to the connection, the server, the process and the consumer: each message is stored once and in order, and the consumer gets each
// conversation once and without gaps.
func TestNothingIsLostDoubledOrReordered(t *testing.T) {
	dir := t.TempDir()
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		path := filepath.Join(dir, fmt.Sprint(runs), "outbox")
		var failure any
		synctest.Test(t, func(t *testing.T) {
			defer func() { failure = recover() }() // rapid wants its panics in its own goroutine
			runMachine(t, rt, path)
		})
		if failure != nil {
			panic(failure)
		}
	})
}

func runMachine(t *testing.T, rt *rapid.T, path string) {
	s := &machine{
		t: t, m: newModel(), mirror: &mirror{seqs: map[string]int64{}, soft: map[string]bool{}}, path: path, mode: rapid.SampledFrom([]Mode{Full, Full, Window}).Draw(rt, "mode"),
		queue: rapid.SampledFrom([]int{16, 64, 1024}).Draw(rt, "queue"), window: rapid.SampledFrom([]int{1, 1, 4}).Draw(rt, "window"),
		convs: []string{"c1", "c2", "c3"}, order: map[string][]string{},
	}
	s.mirror.full = s.mode == Full
	for _, id := range s.convs {
		s.m.create(id)
	}
	s.m.maxReplay = rapid.SampledFrom([]int64{5, 100}).Draw(rt, "replay")
	if rapid.Bool().Draw(rt, "faults") {
		s.faults(rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "dice"), 0)))
	}
	s.open(rt)
	defer func() { _ = s.c.Close() }()
	rt.Repeat(s.actions())
	s.calm(rt)
}
