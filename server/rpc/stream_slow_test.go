package rpc_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	authv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1/authv1connect"
	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/node"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

// shortQueue makes a node keep little for slow clients.
func shortQueue(c *node.Config) { c.Hub.QueueBytes = 64 << 10 }

// impatient makes a node give up on them soon.
func impatient(c *node.Config) { c.RPC.WriteStall, c.RPC.Heartbeat = 3*time.Second, time.Second }

// hurried starts a node that gives calls so little time, and returns it with a user who had more time to sign up.
func hurried(t *testing.T, timeout time.Duration) (*nodetest.Server, *nodetest.User) {
	t.Helper()
	dir := nodetest.Dir(t.TempDir())
	before := nodetest.Start(t, dir)
	ada := before.SignUp("ada")
	before.Stop()
	return nodetest.Start(t, dir, nodetest.Config(func(c *node.Config) { c.RPC.UnaryTimeout = timeout })), ada
}

func TestAClientThatDoesNotReadHurtsOnlyItself(t *testing.T) {
	t.Parallel()
	for _, p := range []nodetest.Protocol{binary, nodetest.WebSocket()} {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			slowReader(t, p)
		})
	}
}

func slowReader(t *testing.T, p nodetest.Protocol) {
	t.Helper()
	s := nodetest.Start(t, nodetest.Config(shortQueue))
	ada, bob := s.SignUp("ada"), s.SignUp("bob")
	id := direct(t, s, ada, bob)
	st := live(t, s, ada)
	deaf := open(t, s, p, bob, &chatv1.Hello{DeviceId: "deaf"})
	deaf.until(isCaughtUp) // and from now on it doesn't read

	content := letters(16000)
	const messages = 600 // more than the buffers of both sides hold
	for n := range messages {
		st.say(uint64(n+1), sending(id, content))
		if n%50 == 49 {
			st.until(isAck(uint64(n + 1))) // the others' streams go on as ever
		}
	}
	// Whatever it reads now has no hole that it isn't told of, and an end.
	last, resync := int64(0), false
	for {
		e, err := deaf.receive()
		if err != nil {
			break
		}
		if r := e.GetResync(); r != nil {
			last, resync = r.GetLastSeq(), true
		}
		if e.GetMessage() != nil {
			if last != 0 && e.GetSeq() != last+1 {
				t.Errorf("after %d came %d", last, e.GetSeq())
			}
			last = e.GetSeq()
		}
		if e.GetGoodbye() != nil {
			break
		}
		if last == messages+2 && resync {
			break
		}
	}
	again := open(t, s, p, bob, &chatv1.Hello{DeviceId: "deaf", Positions: []*chatv1.Position{{ConversationId: id, Seq: last}}})
	for e := again.next(); !isCaughtUp(e); e = again.next() {
		if e.GetMessage() != nil {
			if e.GetSeq() != last+1 {
				t.Errorf("on coming back, after %d came %d", last, e.GetSeq())
			}
			last = e.GetSeq()
		}
	}
	if last != messages+2 {
		t.Errorf("caught up to %d of %d", last, messages+2)
	}
}

func TestAClientThatAsksWithoutReadingIsNotReadEither(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t, nodetest.Config(shortQueue), nodetest.Config(impatient), nodetest.Config(func(c *node.Config) { c.RPC.Unanswered, c.RPC.UserRate, c.RPC.UserBurst = 8, 1e6, 1e6 }))
	for _, p := range []nodetest.Protocol{binary, nodetest.WebSocket()} {
		t.Run(p.Name, func(t *testing.T) {
			st := open(t, s, p, s.SignUp("ada"), &chatv1.Hello{})
			st.until(isCaughtUp)
			askWithoutReading(t, st)
		})
	}
}

func askWithoutReading(t *testing.T, st *stream) {
	t.Helper()
	// The client's side of the connection takes no answers: the server has to stop reading, or its memory would hold them.
	// Each answer tells of 200 users that nobody knows.
	watch := &chatv1.WatchPresenceRequest{}
	for u := range chat.UserID(200) {
		watch.UserIds = append(watch.UserIds, (u + 1).String())
	}
	stopped := make(chan error, 1)
	go func() {
		for {
			if err := st.bidi.Send(&chatv1.StreamRequest{RequestId: 1, Request: &chatv1.StreamRequest_WatchPresence{WatchPresence: watch}}); err != nil {
				stopped <- err
				return
			}
		}
	}()
	select {
	case <-stopped:
	case <-st.ctx.Done():
		t.Fatal("the server read on and on")
	}
}

func TestARequestThatDoesNotComeIsGivenUp(t *testing.T) {
	t.Parallel()
	s, ada := hurried(t, time.Second)
	token := "Bearer " + ada.Session.GetAccessToken()
	t.Run("HTTP/1.1", func(t *testing.T) {
		t.Parallel()
		var d net.Dialer
		conn, err := d.DialContext(within(t), "tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: %s\r\nContent-Length: 9\r\n\r\n{", authv1connect.AuthServiceGetAccountProcedure, token)
		if b, _ := io.ReadAll(conn); bytes.Contains(b, []byte("200 OK")) { // returns only when the server closes
			t.Errorf("answered %s", b)
		}
	})
	t.Run("HTTP/2", func(t *testing.T) {
		t.Parallel()
		body, write := io.Pipe()
		defer write.Close()
		r, err := http.NewRequestWithContext(within(t), http.MethodPost, s.URL+authv1connect.AuthServiceGetAccountProcedure, body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", token)
		go func() { _, _ = write.Write([]byte("{")) }() // and never the rest
		res, err := s.HTTP(false).Do(r)
		if err != nil {
			return // cut off
		}
		defer res.Body.Close()
		if b, _ := io.ReadAll(res.Body); res.StatusCode == http.StatusOK {
			t.Errorf("answered %d, %s", res.StatusCode, b)
		}
	})
}

func TestASlowCallDoesNotEndBeforeItsTime(t *testing.T) {
	t.Parallel()
	// The connection goes on after the deadline of an earlier call on it has passed.
	const timeout = 500 * time.Millisecond
	s, ada := hurried(t, timeout)
	for _, p := range append(nodetest.Protocols(), nodetest.HTTP1()...) {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			auth := s.Auth(p, ada)
			until := time.After(2*timeout + 200*time.Millisecond)
			for n := 0; ; n++ {
				start := time.Now()
				_, err := auth.GetAccount(within(t), &authv1.GetAccountRequest{})
				if took := time.Since(start); err != nil && took < timeout {
					t.Fatalf("call %d ended after %v: %v", n, took, err)
				}
				select {
				case <-until:
					return
				case <-time.After(100 * time.Millisecond):
				}
			}
		})
	}
}
