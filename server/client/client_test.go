package client

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// drain takes all events that there are now. It is for use inside a synctest bubble.
func drain(t testing.TB, c *Client) []Event {
	t.Helper()
	var events []Event
	for {
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		e, err := c.Next(ctx)
		if err != nil {
			return events
		}
		events = append(events, e)
	}
}

// seqsOf returns the seqs of the durable events of a conversation, in order.
func seqsOf(events []Event, conversation string) []int64 {
	var seqs []int64
	for _, e := range events {
		if e.Conversation == conversation && e.Seq > 0 {
			seqs = append(seqs, e.Seq)
		}
	}
	return seqs
}

func wantSeqs(t *testing.T, got []int64, from, to int64) {
	t.Helper()
	var want []int64
	for i := from; i <= to; i++ {
		want = append(want, i)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("seqs %v, want %d to %d", got, from, to)
	}
}

func TestFullModeGetsEveryEventOnceThroughCuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		m.create("c1")
		for i := range 40 {
			m.post("c1", fmt.Sprint("old ", i))
		}
		c := m.start(t, Options{Mode: Full})
		defer c.Close()
		events := drain(t, c)
		wantSeqs(t, seqsOf(events, "c1"), 1, 41)
		if c.State() != (Live{}) {
			t.Fatalf("state %#v, want live", c.State())
		}
		m.cut()
		m.post("c1", "while away")
		synctest.Wait()
		if _, ok := c.State().(Offline); !ok {
			t.Fatalf("state %#v after the cut, want offline", c.State())
		}
		time.Sleep(time.Second) // the first retry is within 500 ms
		m.post("c1", "back")
		wantSeqs(t, seqsOf(drain(t, c), "c1"), 42, 43)
	})
}

func TestSendIsStoredAndTellsWhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		m.create("c1")
		c := m.start(t, Options{})
		defer c.Close()
		called := make(chan Sent, 1)
		s, err := c.Send("c1", "hello", SendOptions{OnDone: func(s Sent, err error) { called <- s }})
		if err != nil {
			t.Fatal(err)
		}
		sent, err := s.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if sent.Seq != 2 || sent.ID != "c1-2" || sent.ClientID != s.ID() || sent.Duplicate {
			t.Fatalf("sent %+v", sent)
		}
		if got := <-called; got != sent {
			t.Fatalf("OnDone got %+v, Wait %+v", got, sent)
		}
	})
}

func TestFinalErrorsAreReportedAndRetryableOnesAreNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		m.create("c1")
		fail := 3
		m.onRequest = func(r *chatv1.StreamRequest) *chatv1.RequestError {
			if r.GetSendMessage().GetContent() == "bad" {
				return &chatv1.RequestError{Code: int32(connect.CodePermissionDenied), Detail: &chatv1.ErrorDetail{Reason: chatv1.ErrorReason_ERROR_REASON_ROLE_TOO_LOW}}
			}
			if fail > 0 {
				fail--
				return &chatv1.RequestError{Code: int32(connect.CodeUnavailable)}
			}
			return nil
		}
		c := m.start(t, Options{})
		defer c.Close()
		a, _ := c.Send("c1", "first", SendOptions{})
		bad, _ := c.Send("c1", "bad", SendOptions{})
		b, _ := c.Send("c1", "second", SendOptions{})
		if _, err := bad.Wait(t.Context()); ReasonOf(err) != chatv1.ErrorReason_ERROR_REASON_ROLE_TOO_LOW {
			t.Fatalf("error %v, want ROLE_TOO_LOW", err)
		}
		first, err1 := a.Wait(t.Context())
		second, err2 := b.Wait(t.Context())
		if err1 != nil || err2 != nil || first.Seq >= second.Seq {
			t.Fatalf("first %+v %v, second %+v %v", first, err1, second, err2)
		}
	})
}

func TestGoodbyesThatEndTheClient(t *testing.T) {
	for reason, want := range map[chatv1.GoodbyeReason]error{
		chatv1.GoodbyeReason_GOODBYE_REASON_SESSION_REVOKED: ErrSessionEnded,
		chatv1.GoodbyeReason_GOODBYE_REASON_SUPERSEDED:      ErrSuperseded,
		chatv1.GoodbyeReason_GOODBYE_REASON_PROTOCOL_ERROR:  ErrProtocol,
	} {
		t.Run(reason.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newModel()
				c := m.start(t, Options{})
				defer c.Close()
				s, _ := c.Send("nowhere", "x", SendOptions{})
				_, _ = s.Wait(t.Context())
				m.set(func() {
					m.onRequest = func(*chatv1.StreamRequest) *chatv1.RequestError {
						return &chatv1.RequestError{Code: int32(connect.CodeUnavailable)}
					}
				})
				waiting, _ := c.Send("nowhere", "y", SendOptions{})
				m.goodbye(reason, 0)
				var err error
				for err == nil {
					_, err = c.Next(t.Context())
				}
				var bye *GoodbyeError
				if !errors.Is(err, want) || !errors.As(err, &bye) || bye.Reason != reason {
					t.Fatalf("Next: %v, want %v", err, want)
				}
				if _, err := waiting.Wait(t.Context()); !errors.Is(err, want) {
					t.Fatalf("Wait: %v, want %v", err, want)
				}
				if _, err := c.Send("nowhere", "z", SendOptions{}); !errors.Is(err, want) {
					t.Fatalf("Send: %v, want %v", err, want)
				}
			})
		})
	}
}

func TestGoodbyeDelayIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		c := m.start(t, Options{})
		defer c.Close()
		drain(t, c)
		m.goodbye(chatv1.GoodbyeReason_GOODBYE_REASON_DRAIN, 7*time.Second)
		synctest.Wait()
		off, ok := c.State().(Offline)
		if !ok || time.Until(off.Retry) != 7*time.Second {
			t.Fatalf("state %#v, want a retry in 7 s", c.State())
		}
		time.Sleep(7 * time.Second)
		synctest.Wait()
		if c.State() != (Live{}) || m.opened != 2 {
			t.Fatalf("state %#v after %d streams", c.State(), m.opened)
		}
	})
}

func TestSilentServerIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		c := m.start(t, Options{})
		defer c.Close()
		time.Sleep(39 * time.Second)
		synctest.Wait()
		if c.State() != (Live{}) {
			t.Fatalf("state %#v before two heartbeats were missed", c.State())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if m.opened != 2 {
			t.Fatalf("%d streams, want a second one after 40 s of silence", m.opened)
		}
	})
}

func TestPingsAfter25SecondsOfSayingNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		c := m.start(t, Options{})
		defer c.Close()
		beat := time.NewTicker(20 * time.Second)
		defer beat.Stop()
		for range 10 {
			<-beat.C
			m.push(&chatv1.Event{Event: &chatv1.Event_Heartbeat{Heartbeat: &chatv1.Heartbeat{}}})
		}
		synctest.Wait()
		pings := 0
		for _, r := range m.asked {
			if r.GetPing() != nil {
				pings++
			}
		}
		if pings != 8 || m.opened != 1 {
			t.Fatalf("%d pings in 200 s on %d streams, want 8 on 1", pings, m.opened)
		}
	})
}
