package rpc_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1/chatv1connect"
	"github.com/natterjack-chat/natterjack/server/internal/envelope"
	"github.com/natterjack-chat/natterjack/server/node"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

// upgradeHeader is what a client has to say to get a WebSocket.
func upgradeHeader(more map[string]string) map[string]string {
	h := map[string]string{
		"Connection": "keep-alive, Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "AQIDBAUGBwgJCgsMDQ4PEA==", "Sec-WebSocket-Protocol": "other, natterjack.chat.v1.proto",
	}
	maps.Copy(h, more)
	return h
}

// rawSocket is a client's end of a WebSocket, of which each byte is the test's.
type rawSocket struct {
	t      *testing.T
	conn   net.Conn
	frames *envelope.Reader
	pongs  []string
}

// knock sends a handshake and returns the answer. An empty value takes a header out.
func knock(t *testing.T, s *nodetest.Server, path string, header map[string]string) (*http.Response, *rawSocket) {
	t.Helper()
	ctx := within(t)
	var d net.Dialer
	conn := must[net.Conn](t)(d.DialContext(ctx, "tcp", strings.TrimPrefix(s.URL, "http://")))
	t.Cleanup(func() { _ = conn.Close() })
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\n", path, strings.TrimPrefix(s.URL, "http://"))
	for k, v := range header {
		if v != "" {
			fmt.Fprintf(&b, "%s: %s\r\n", k, v)
		}
	}
	must[int](t)(io.WriteString(conn, b.String()+"\r\n"))
	in := bufio.NewReader(conn)
	res := must[*http.Response](t)(http.ReadResponse(in, nil))
	r := &rawSocket{t: t, conn: conn}
	r.frames = envelope.NewClientReader(in, 1<<20, func(p []byte) error {
		r.pongs = append(r.pongs, string(p))
		return nil
	})
	return res, r
}

func socket(t *testing.T, s *nodetest.Server, header map[string]string) *rawSocket {
	t.Helper()
	res, r := knock(t, s, chatv1connect.ChatServiceStreamProcedure, upgradeHeader(header))
	if res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the handshake is answered by %s", res.Status)
	}
	return r
}

// say sends bytes; a server that has ended the stream already may not take them.
func (r *rawSocket) say(b ...[]byte) { _, _ = r.conn.Write(bytes.Join(b, nil)) }

// isServed waits for an answer to a ping. The handshake is answered before the server counts the socket among those that it has; a ping is only after that.
// Nothing else may have been asked before.
func (r *rawSocket) isServed() {
	r.t.Helper()
	r.say([]byte{0x89, 0x80, 0, 0, 0, 0})
	var pong [2]byte
	if _, err := io.ReadFull(r.conn, pong[:]); err != nil || string(pong[:]) != "\x8a\x00" {
		r.t.Fatalf("a ping is answered by % x, %v", pong, err)
	}
}

func metadata(token string) []byte {
	return envelope.AppendMasked(nil, envelope.Metadata, fmt.Appendf(nil, `{"metadata":{"authorization":["Bearer %s"],"x-else":["?"]}}`, token))
}

func wireRequest(t *testing.T, r *chatv1.StreamRequest) []byte {
	t.Helper()
	return envelope.AppendMasked(nil, envelope.Data, must[[]byte](t)(proto.Marshal(r)))
}

// hello is that of a device of its own: no other stream of the user ends this one.
func hello(t *testing.T) []byte {
	t.Helper()
	return wireRequest(t, &chatv1.StreamRequest{RequestId: 1, Request: &chatv1.StreamRequest_Hello{Hello: &chatv1.Hello{DeviceId: nodetest.UUID()}}})
}

// ended is how a stream over a WebSocket ended.
type ended struct {
	events  []*chatv1.Event
	code    connect.Code // 0: in good order
	reason  chatv1.ErrorReason
	message string
	close   uint16
}

func (e *ended) goodbye() chatv1.GoodbyeReason {
	if len(e.events) == 0 {
		return 0
	}
	return e.events[len(e.events)-1].GetGoodbye().GetReason()
}

// rest reads to the end, which has to have the form that the specification gives it.
func (r *rawSocket) rest() (e ended) {
	r.t.Helper()
	for {
		flags, data, err := r.frames.Next()
		if err != nil {
			r.t.Fatalf("the end of the stream didn't come, but %v", err)
		}
		if flags == envelope.Data {
			var res chatv1.StreamResponse
			if err := proto.Unmarshal(data, &res); err != nil {
				r.t.Fatal(err)
			}
			e.events = append(e.events, res.GetEvents()...)
			continue
		}
		if flags != envelope.End {
			r.t.Fatalf("an envelope has the flags %#x", flags)
		}
		e.status(r.t, data)
		break
	}
	_, _, err := r.frames.Next()
	var c *envelope.ClosedError
	if !errors.As(err, &c) {
		r.t.Fatalf("after the end came %v", err)
	}
	e.close = c.Code
	r.say(envelope.AppendClose(nil, c.Code, true))
	if n, err := r.conn.Read(make([]byte, 1)); n != 0 || err == nil {
		r.t.Errorf("after the close came %d bytes, %v", n, err)
	}
	return e
}

func (e *ended) status(t *testing.T, data []byte) {
	t.Helper()
	var end struct {
		Error *struct {
			Code    connect.Code
			Message string
			Details []struct{ Type, Value string }
		}
	}
	if err := json.Unmarshal(data, &end); err != nil {
		t.Fatalf("the end is %s: %v", data, err)
	}
	if end.Error == nil {
		return
	}
	e.code, e.message = end.Error.Code, end.Error.Message
	for _, d := range end.Error.Details {
		var detail chatv1.ErrorDetail
		if d.Type != "natterjack.chat.v1.ErrorDetail" {
			t.Errorf("a detail is a %s", d.Type)
		}
		if err := proto.Unmarshal(must[[]byte](t)(base64.RawStdEncoding.DecodeString(d.Value)), &detail); err != nil {
			t.Fatal(err)
		}
		e.reason = detail.GetReason()
	}
}

func TestWhatIsNoFrameEndsTheStreamWithItsReason(t *testing.T) {
	t.Parallel()
	patient, hasty := nodetest.Start(t), nodetest.Start(t, nodetest.Config(shortHello))
	token := patient.SignUp("ada").Session.GetAccessToken()
	silent := metadata(hasty.SignUp("bob").Session.GetAccessToken())
	const (
		invalid  = chatv1.ErrorReason_ERROR_REASON_INVALID_FIELD
		session  = chatv1.ErrorReason_ERROR_REASON_INVALID_SESSION
		tooLarge = chatv1.ErrorReason_ERROR_REASON_TOO_LARGE
		noHello  = chatv1.ErrorReason_ERROR_REASON_HELLO_EXPECTED
	)
	text := []byte{0x81, 0x80, 0, 0, 0, 0}
	first := func(data string) []byte { return envelope.AppendMasked(nil, envelope.Metadata, []byte(data)) }
	huge := []byte{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}
	for name, c := range map[string]struct {
		say    [][]byte
		code   connect.Code
		reason chatv1.ErrorReason
		close  uint16
	}{
		// Before anybody knows who it is.
		"nothing":                           {nil, connect.CodeUnauthenticated, session, 1008},
		"a request first":                   {[][]byte{hello(t)}, connect.CodeInvalidArgument, invalid, 1002},
		"the end first":                     {[][]byte{envelope.AppendMasked(nil, envelope.End, nil)}, connect.CodeInvalidArgument, invalid, 1002},
		"a text message first":              {[][]byte{text}, connect.CodeInvalidArgument, invalid, 1003},
		"metadata that aren't JSON":         {[][]byte{first("authorization: Bearer")}, connect.CodeInvalidArgument, invalid, 1007},
		"metadata of another form":          {[][]byte{first(`{"authorization":["x"]}`)}, connect.CodeInvalidArgument, invalid, 1007},
		"metadata with a text for a list":   {[][]byte{first(`{"metadata":{"authorization":"Bearer x"}}`)}, connect.CodeInvalidArgument, invalid, 1007},
		"metadata without a token":          {[][]byte{first(`{"metadata":{}}`)}, connect.CodeUnauthenticated, session, 1008},
		"two tokens":                        {[][]byte{first(`{"metadata":{"authorization":["Bearer ` + token + `","Bearer ` + token + `"]}}`)}, connect.CodeUnauthenticated, session, 1008},
		"a token that is none":              {[][]byte{metadata("nja_x")}, connect.CodeUnauthenticated, session, 1008},
		"a bad token, and then nonsense":    {[][]byte{metadata("nja_x"), text, huge}, connect.CodeUnauthenticated, session, 1008},
		"metadata of 8 KiB and one byte":    {[][]byte{first(strings.Repeat(" ", 8<<10+1))}, connect.CodeResourceExhausted, tooLarge, 1009},
		"metadata larger than all there is": {[][]byte{huge}, connect.CodeResourceExhausted, tooLarge, 1009},
		// Where hello should be.
		"no hello":                 {[][]byte{silent}, connect.CodeFailedPrecondition, noHello, 1000},
		"the end for hello":        {[][]byte{metadata(token), envelope.AppendMasked(nil, envelope.End, nil)}, connect.CodeFailedPrecondition, noHello, 1000},
		"a hello that isn't one":   {[][]byte{metadata(token), envelope.AppendMasked(nil, envelope.Data, []byte{0xff})}, connect.CodeInvalidArgument, invalid, 1007},
		"metadata for hello":       {[][]byte{metadata(token), metadata(token)}, connect.CodeInvalidArgument, invalid, 1002},
		"a text message for hello": {[][]byte{metadata(token), text}, connect.CodeInvalidArgument, invalid, 1003},
		// On a live stream.
		"metadata again":           {[][]byte{metadata(token), hello(t), metadata(token)}, connect.CodeInvalidArgument, invalid, 1002},
		"a text message":           {[][]byte{metadata(token), hello(t), text}, connect.CodeInvalidArgument, invalid, 1003},
		"flags of no meaning":      {[][]byte{metadata(token), hello(t), envelope.AppendMasked(nil, 0x80, nil)}, connect.CodeInvalidArgument, invalid, 1002},
		"an end that says more":    {[][]byte{metadata(token), hello(t), envelope.AppendMasked(nil, envelope.End, []byte("{}"))}, connect.CodeInvalidArgument, invalid, 1002},
		"a compressed request":     {[][]byte{metadata(token), hello(t), envelope.AppendMasked(nil, envelope.Compressed, nil)}, connect.CodeUnimplemented, invalid, 1002},
		"no envelope":              {[][]byte{metadata(token), hello(t), {0x82, 0x80, 0, 0, 0, 0}}, connect.CodeInvalidArgument, invalid, 1002},
		"not masked":               {[][]byte{metadata(token), hello(t), {0x82, 0x05, 0, 0, 0, 0, 0}}, connect.CodeInvalidArgument, invalid, 1002},
		"a request above 64 KiB":   {[][]byte{metadata(token), hello(t), envelope.AppendMasked(nil, envelope.Data, make([]byte, 64<<10+1))}, connect.CodeResourceExhausted, tooLarge, 1009},
		"larger than all there is": {[][]byte{metadata(token), hello(t), huge}, connect.CodeResourceExhausted, tooLarge, 1009},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := patient
			if name == "nothing" || name == "no hello" {
				s = hasty
			}
			r := socket(t, s, nil)
			r.say(c.say...)
			e := r.rest()
			if e.code != c.code || e.reason != c.reason || e.close != c.close || e.message == "" {
				t.Errorf("got %v, %v, closed with %d (%s)", e.code, e.reason, e.close, e.message)
			}
			known := len(c.say) > 1 && c.code != connect.CodeUnauthenticated || c.reason == noHello
			if known != (e.goodbye() == chatv1.GoodbyeReason_GOODBYE_REASON_PROTOCOL_ERROR) {
				t.Errorf("the goodbye is %v", e.goodbye())
			}
		})
	}
}

func TestAStreamComesThroughFramesOfAnyShape(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	r := socket(t, s, nil)
	all := bytes.Join([][]byte{metadata(s.SignUp("ada").Session.GetAccessToken()), hello(t)}, nil)
	body := must[[]byte](t)(proto.Marshal(&chatv1.StreamRequest{RequestId: 2, Request: ping}))
	message := append([]byte{0, 0, 0, 0, byte(len(body))}, body...)
	all = append(all, 0x02, 0x80|3, 0, 0, 0, 0) // the first three bytes of a message, masked with zeros
	all = append(all, message[:3]...)
	all = append(all, 0x89, 0x80|2, 0, 0, 0, 0, 'h', 'i') // a ping in between
	all = append(all, 0x80, 0x80|byte(len(message)-3), 0, 0, 0, 0)
	all = append(all, message[3:]...)
	all = append(all, envelope.AppendMasked(nil, envelope.End, nil)...)
	for _, b := range all { // also byte by byte
		must[int](t)(r.conn.Write([]byte{b}))
	}
	e := r.rest()
	acks := 0
	for _, event := range e.events {
		if event.GetAck() != nil {
			acks++
		}
	}
	if e.code != 0 || e.close != 1000 || acks != 2 {
		t.Errorf("got %d acks, then %v, closed with %d (%s)", acks, e.code, e.close, e.message)
	}
}

func TestAPingIsAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	r := socket(t, s, nil)
	r.say([]byte{0x89, 0x80 | 2, 0, 0, 0, 0, 'h', 'i'}) // before it is known who asks
	var pong [4]byte
	must[int](t)(io.ReadFull(r.conn, pong[:]))
	if string(pong[:]) != "\x8a\x02hi" {
		t.Errorf("got % x", pong)
	}
}

func TestAClientThatClosesIsGone(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	ada, bob := s.SignUp("ada"), s.SignUp("bob")
	direct(t, s, ada, bob)
	b := live(t, s, bob)
	b.say(1, &chatv1.StreamRequest_WatchPresence{WatchPresence: &chatv1.WatchPresenceRequest{UserIds: []string{ada.ID}}})
	b.until(isAck(1))
	r := socket(t, s, nil)
	r.say(metadata(ada.Session.GetAccessToken()), hello(t))
	b.until(func(e *chatv1.Event) bool {
		return e.GetPresence().GetState() == chatv1.PresenceState_PRESENCE_STATE_ONLINE
	})
	r.say(envelope.AppendClose(nil, 1001, true))
	var c *envelope.ClosedError
	for {
		flags, _, err := r.frames.Next()
		if err == nil && flags == envelope.Data {
			continue
		}
		if !errors.As(err, &c) || c.Code != 1000 {
			t.Errorf("the close is answered by %d, %v", flags, err)
		}
		break
	}
	b.until(func(e *chatv1.Event) bool {
		return e.GetPresence().GetState() == chatv1.PresenceState_PRESENCE_STATE_OFFLINE
	})
}

func TestAnAddressHasSoManyStreamsWhateverCarriesThem(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t, nodetest.Config(func(c *node.Config) {
		c.RPC.StreamsPerAddress = 2
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}))
	from := map[string]string{"X-Forwarded-For": "192.0.2.7"}
	first, second := socket(t, s, from), socket(t, s, from)
	for _, r := range []*rawSocket{first, second} {
		r.isServed()
	}
	if e := socket(t, s, from).rest(); e.code != connect.CodeResourceExhausted || e.reason != chatv1.ErrorReason_ERROR_REASON_LIMIT_REACHED || e.close != 1008 {
		t.Errorf("the third got %v, %v, closed with %d", e.code, e.reason, e.close)
	}
	first.say(envelope.AppendClose(nil, 1000, true))
	_, _, _ = first.frames.Next()
	third := socket(t, s, from)
	third.say(metadata("nja_x"))
	if e := third.rest(); e.code != connect.CodeUnauthenticated {
		t.Errorf("with room again, it got %v", e.code)
	}
}

func TestAnAddressHasItsRateOfHandshakes(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t, nodetest.Config(func(c *node.Config) {
		c.RPC.AddressRate, c.RPC.AddressBurst = 1, 1
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}))
	from := upgradeHeader(map[string]string{"X-Forwarded-For": "192.0.2.7"})
	allowedAtOnce(t, 1, func() int {
		res, _ := knock(t, s, chatv1connect.ChatServiceStreamProcedure, from)
		return res.StatusCode
	})
}

func TestAServerThatGoesDownTellsThoseWhoHaveNotSaidHello(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	silent, known := socket(t, s, nil), socket(t, s, nil)
	for _, r := range []*rawSocket{silent, known} {
		r.isServed()
	}
	known.say(metadata(s.SignUp("ada").Session.GetAccessToken()))
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.Stop()
	}()
	for _, r := range []*rawSocket{silent, known} {
		if e := r.rest(); e.code != connect.CodeUnavailable || e.reason != chatv1.ErrorReason_ERROR_REASON_UNAVAILABLE || e.close != 1001 {
			t.Errorf("got %v, %v, closed with %d", e.code, e.reason, e.close)
		}
	}
	<-stopped
}

// lockedBuffer is a log that may be written by many.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// logged starts a node with its log in a buffer, and returns how to stop it.
func logged(t *testing.T, log io.Writer) (url string, stop func() error) {
	t.Helper()
	c := node.DefaultConfig()
	c.Listen, c.DatabaseURL = "127.0.0.1:0", "sqlite:"+t.TempDir()+"/natterjack.db"
	n := must[*node.Node](t)(node.New(t.Context(), c, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})), nil))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	return n.URL(), func() error {
		cancel()
		return <-done
	}
}

func TestTheLogTellsOfAWebSocketAndNeverOfItsToken(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	url, stop := logged(t, &log)
	const secret = "nja_secretsecretsecret"
	for _, first := range [][]byte{
		metadata(secret),
		envelope.AppendMasked(nil, envelope.Metadata, []byte(`{"metadata":{"authorization":"Bearer `+secret+`"}}`)),
		envelope.AppendMasked(nil, envelope.Data, []byte(secret)),
	} {
		r := socket(t, &nodetest.Server{URL: url}, nil)
		r.say(first)
		r.rest()
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if text := log.String(); strings.Contains(text, "secretsecret") || strings.Count(text, "transport=websocket") != 3 {
		t.Errorf("the log says %s", text)
	}
}
