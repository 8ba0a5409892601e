package rpc_test

import (
	"bytes"
	"context"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"

	"github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1/authv1connect"
	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1/chatv1connect"
	"github.com/natterjack-chat/natterjack/server/node"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

func TestToolsFindTheSchemaWithoutAToken(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	stream := grpcreflect.NewClient(s.HTTP(false), s.URL, connect.WithGRPC()).NewStream(within(t))
	defer func() { _, _ = stream.Close() }()
	services := must[[]string](t)(asStrings(stream.ListServices()))
	for _, want := range []string{chatv1connect.ChatServiceName, authv1connect.AuthServiceName, "grpc.health.v1.Health"} {
		if !strings.Contains(strings.Join(services, " "), want) {
			t.Errorf("%s is not among %v", want, services)
		}
	}
	for _, name := range []string{chatv1connect.ChatServiceName, authv1connect.AuthServiceName} {
		if files, err := stream.FileContainingSymbol("natterjack.chat.v1.Event"); err != nil || len(files) == 0 {
			t.Errorf("%s has no files: %v", name, err)
		}
	}
}

func asStrings[T ~string](list []T, err error) ([]string, error) {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return out, err
}

func TestHealthIsAskedInEveryWay(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, body := get(t, s, path, nil); status != http.StatusOK || !bytes.Contains(body, []byte(`"ok"`)) {
			t.Errorf("%s answers %d, %s", path, status, body)
		}
	}
	check := func(p nodetest.Protocol, service string) error {
		c := connect.NewClient[rawMessage, rawMessage](s.HTTP(p.HTTP1), s.URL+"/grpc.health.v1.Health/Check", append(p.Options, connect.WithCodec(rawCodec{"proto"}))...)
		r, err := c.CallUnary(within(t), connect.NewRequest(&rawMessage{field(1, []byte(service))}))
		if err == nil && !bytes.Equal(r.Msg.bytes, []byte{0x08, 1}) {
			t.Errorf("%s answers %x, want SERVING", p.Name, r.Msg.bytes)
		}
		return err
	}
	for _, p := range nodetest.Protocols()[:3] {
		for _, service := range []string{"", chatv1connect.ChatServiceName, authv1connect.AuthServiceName} {
			if err := check(p, service); err != nil {
				t.Errorf("%s, %q: %v", p.Name, service, err)
			}
		}
		notThere.check(t, check(p, "nonsense"))
	}
	watch := connect.NewClient[rawMessage, rawMessage](s.HTTP(false), s.URL+"/grpc.health.v1.Health/Watch", connect.WithGRPC(), connect.WithCodec(rawCodec{"proto"}))
	stream := must[*connect.ServerStreamForClient[rawMessage]](t)(watch.CallServerStream(within(t), connect.NewRequest(&rawMessage{})))
	defer stream.Close()
	if !stream.Receive() || !bytes.Equal(stream.Msg().bytes, []byte{0x08, 1}) {
		t.Fatalf("watching began with %v, %v", stream.Msg(), stream.Err())
	}
}

func TestTheFrontPageSaysWhatThisIs(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	if status, body := get(t, s, "/", nil); status != http.StatusOK || !bytes.Contains(body, []byte("Natterjack")) {
		t.Errorf("answers %d, %s", status, body)
	}
}

// from is a request of a client behind a proxy.
func from(address string) map[string]string {
	return map[string]string{"X-Forwarded-For": address, "Content-Type": "application/json"}
}

// thisMachine makes the tests' own address that of a proxy, because it is exempt from limits.
func thisMachine(c *node.Config) {
	c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
}

func TestAnAddressIsHeldToItsRate(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t, nodetest.Config(thisMachine), nodetest.Config(func(c *node.Config) { c.RPC.AddressRate, c.RPC.AddressBurst = 1, 10 }))
	ada := s.SignUp("ada")
	call := func(address string) int {
		header := from(address)
		header["Authorization"] = "Bearer " + ada.Session.GetAccessToken()
		res, _ := postBytes(t, s, true, authv1connect.AuthServiceGetAccountProcedure, header, strings.NewReader("{}"))
		return res.StatusCode
	}
	allowedAtOnce(t, 10, func() int { return call("192.0.2.1") })
	if got := call("192.0.2.2"); got != http.StatusOK {
		t.Errorf("another address is answered %d", got)
	}
}

// allowedAtOnce asks again and again until an address at a rate of one a second is refused, and wants it to get its burst, and no more than has come back meanwhile.
func allowedAtOnce(t *testing.T, burst int, ask func() (status int)) {
	t.Helper()
	start, allowed, patience := time.Now(), 0, within(t)
	for ask() != http.StatusTooManyRequests {
		if allowed++; patience.Err() != nil {
			t.Fatalf("none of %d requests was refused", allowed)
		}
	}
	if most := burst + int(time.Since(start).Seconds()) + 1; allowed < burst || allowed > most {
		t.Errorf("%d requests were allowed, want %d to %d", allowed, burst, most)
	}
}

func TestAnAddressIsHeldToItsNumberOfStreams(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t, nodetest.Config(thisMachine), nodetest.Config(func(c *node.Config) { c.RPC.StreamsPerAddress = 2 }))
	subscribe := func(address string) (*http.Response, context.CancelFunc) {
		t.Helper()
		ctx, cancel := context.WithCancel(within(t))
		t.Cleanup(cancel)
		body := append([]byte{0, 0, 0, 0, 12}, `{"hello":{}}`...)
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+chatv1connect.ChatServiceSubscribeProcedure, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/connect+json")
		r.Header.Set("X-Forwarded-For", address)
		r.Header.Set("Authorization", "Bearer "+s.SignUp("bob").Session.GetAccessToken())
		res, err := s.HTTP(false).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = res.Body.Close() })
		return res, cancel
	}
	first := func(res *http.Response) (said string) { // up to the first event, or all of it
		for b := make([]byte, 1024); !strings.Contains(said, "ready"); {
			n, err := res.Body.Read(b)
			said += string(b[:n])
			if err != nil {
				break
			}
		}
		return said
	}
	one, end := subscribe("192.0.2.3")
	two, _ := subscribe("192.0.2.3")
	three, _ := subscribe("192.0.2.3")
	four, _ := subscribe("192.0.2.4")
	if !strings.Contains(first(three), "LIMIT_REACHED") {
		t.Error("a third stream from one address was let in")
	}
	for _, res := range []*http.Response{one, two, four} {
		if got := first(res); !strings.Contains(got, "ready") {
			t.Errorf("a stream began with %q", got)
		}
	}
	end()
	for deadline := time.Now().Add(20 * time.Second); ; {
		if again, _ := subscribe("192.0.2.3"); strings.Contains(first(again), "ready") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a stream that ended still counts")
		}
	}
}

func TestAUserIsHeldToTheirRate(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t, nodetest.Config(func(c *node.Config) { c.RPC.UserRate, c.RPC.UserBurst = 5, 20 }))
	w := newWorld(t, s)
	limited := want{connect.CodeResourceExhausted, chatv1.ErrorReason_ERROR_REASON_RATE_LIMITED}
	var err error
	for range 200 {
		if _, err = w.as(w.stranger).ListConversations(within(t), &chatv1.ListConversationsRequest{}); err != nil {
			break
		}
	}
	limited.check(t, err)
	_, err = w.as(w.former).ListConversations(within(t), &chatv1.ListConversationsRequest{})
	allowed.check(t, err)

	// A stream is read more slowly instead: nothing is lost.
	st := open(t, s, binary, w.admin, &chatv1.Hello{DeviceId: "d"})
	start := time.Now()
	for n := range 30 {
		st.say(uint64(n+1), ping)
	}
	for n := range 30 {
		st.until(isAck(uint64(n + 1)))
	}
	if took := time.Since(start); took < time.Second {
		t.Errorf("30 requests, 20 at once and then 5 a second, took %v", took)
	}
}

func TestARequestIsLoggedUnderItsID(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	r, err := http.NewRequestWithContext(within(t), http.MethodPost, s.URL+authv1connect.AuthServiceGetAccountProcedure, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Request-Id", "my-request.1")
	if res, _ := do(t, s, true, r, nil); res.Header.Get("X-Request-Id") != "my-request.1" {
		t.Errorf("the answer has the id %q", res.Header.Get("X-Request-Id"))
	}
}
