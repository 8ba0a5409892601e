package rpc_test

import (
	"bytes"
	"compress/gzip"
	"context"
	byteorder "encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	authv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1/authv1connect"
	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1/chatv1connect"
	"github.com/natterjack-chat/natterjack/server/node"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

// Answers to bad input.
var (
	invalidField = want{connect.CodeInvalidArgument, chatv1.ErrorReason_ERROR_REASON_INVALID_FIELD}
	invalidID    = want{connect.CodeInvalidArgument, chatv1.ErrorReason_ERROR_REASON_INVALID_ID}
	invalidToken = want{connect.CodeInvalidArgument, chatv1.ErrorReason_ERROR_REASON_INVALID_TOKEN}
	tooLarge     = want{connect.CodeResourceExhausted, chatv1.ErrorReason_ERROR_REASON_TOO_LARGE}
)

func letters(n int) string { return strings.Repeat("x", n) }

// shortHello is for tests in which hello never comes; what comes before it still has to, on a slow machine too.
func shortHello(c *node.Config) { c.RPC.HelloTimeout = 5 * time.Second }

// rawCodec sends bytes as they are, whatever the schema says.
type rawCodec struct{ name string }

type rawMessage struct{ bytes []byte }

func (c rawCodec) Name() string                        { return c.name }
func (c rawCodec) IsBinary() bool                      { return c.name == "proto" }
func (c rawCodec) Marshal(m any) ([]byte, error)       { return bytes.Clone(m.(*rawMessage).bytes), nil } // connect keeps them
func (c rawCodec) MarshalStable(m any) ([]byte, error) { return m.(*rawMessage).bytes, nil }
func (c rawCodec) Unmarshal(b []byte, m any) error {
	if p, ok := m.(proto.Message); ok {
		return proto.Unmarshal(b, p) // connect's own, such as a gRPC status
	}
	m.(*rawMessage).bytes = bytes.Clone(b)
	return nil
}

// rawCall makes a unary call with bytes for a request.
func rawCall(ctx context.Context, s *nodetest.Server, p nodetest.Protocol, codec, procedure, token string, body []byte, more ...connect.ClientOption) error {
	var options []connect.ClientOption
	if strings.HasPrefix(p.Name, "grpc") {
		options = append(options, p.Options...)
	}
	options = append(append(options, connect.WithCodec(rawCodec{codec})), more...)
	c := connect.NewClient[rawMessage, rawMessage](s.HTTP(p.HTTP1), s.URL+procedure, options...)
	r := connect.NewRequest(&rawMessage{body})
	if token != "" {
		r.Header().Set("Authorization", "Bearer "+token)
	}
	_, err := c.CallUnary(ctx, r)
	return err
}

// zipped makes a client send these bytes, compressed once, in the place of what it is given.
func zipped(b []byte) connect.ClientOption {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return connect.WithClientOptions(
		connect.WithAcceptCompression("gzip", func() connect.Decompressor { return &gzip.Reader{} }, func() connect.Compressor { return &canned{bytes: out.Bytes()} }),
		connect.WithSendCompression("gzip"),
	)
}

// canned compresses anything to the same bytes.
type canned struct {
	bytes []byte
	to    io.Writer
}

func (c *canned) Write(p []byte) (int, error) { return len(p), nil }
func (c *canned) Reset(w io.Writer)           { c.to = w }
func (c *canned) Close() error {
	_, err := c.to.Write(c.bytes)
	return err
}

// wires are the ways to send bytes: each protocol with each codec.
func wires(t *testing.T, do func(t *testing.T, p nodetest.Protocol, codec string)) {
	for _, p := range append(nodetest.Protocols()[:3:3], nodetest.HTTP1()[:2]...) {
		for _, codec := range []string{"proto", "json"} {
			t.Run(p.Name+"+"+codec, func(t *testing.T) { do(t, p, codec) })
		}
	}
}

// field encodes one field of a message with bytes for a value.
func field(n protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), value)
}

func TestBytesThatAreNoRequestAreRefused(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	w := newWorld(t, s)
	valid := &chatv1.SendMessageRequest{ConversationId: w.group, ClientMessageId: nodetest.UUID(), Content: "x"}
	encoded := must[[]byte](t)(proto.Marshal(valid))
	for name, body := range map[string]map[string][]byte{
		"nothing":              {"proto": {}, "json": {}},
		"cut off":              {"proto": encoded[:len(encoded)-1], "json": []byte(`{"conversationId":"`)},
		"not UTF-8":            {"proto": append(bytes.Clone(encoded), field(3, []byte{0xff, 0xfe})...), "json": []byte("{\"content\":\"\xff\"}")},
		"a surrogate alone":    {"json": []byte(`{"content":"\ud800"}`)},
		"another type":         {"proto": append(bytes.Clone(encoded), 0x0d, 1, 2, 3), "json": []byte(`{"content":7}`)},
		"a list":               {"json": []byte(`[]`)},
		"two objects":          {"json": []byte(`{}{}`)},
		"a field twice":        {"json": []byte(`{"content":"a","content":"b"}`)},
		"a number too large":   {"json": []byte(`{"replyToSeq":"9223372036854775808"}`)},
		"nested 10,000 deep":   {"json": []byte(strings.Repeat(`{"a":`, 10000) + "1" + strings.Repeat("}", 10000))},
		"a list 30,000 deep":   {"json": []byte(`{"x":` + strings.Repeat("[", 30000) + strings.Repeat("]", 30000) + `}`)},
		"groups 10,000 deep":   {"proto": append(bytes.Repeat([]byte{0x9b, 6}, 10000), bytes.Repeat([]byte{0x9c, 6}, 10000)...)},
		"field number 0":       {"proto": {0x02, 0x00}},
		"a length of 2^63":     {"proto": append([]byte{0x1a}, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f)},
		"an endless varint":    {"proto": bytes.Repeat([]byte{0xff}, 100)},
		"unknown fields alone": {"proto": bytes.Repeat(field(2000, nil), 10000), "json": []byte(`{` + strings.Repeat(`"a":1,`, 1000) + `"b":2}`)},
	} {
		wires(t, func(t *testing.T, p nodetest.Protocol, codec string) {
			if b, ok := body[codec]; ok {
				err := rawCall(within(t), s, p, codec, chatv1connect.ChatServiceSendMessageProcedure, w.member.Session.GetAccessToken(), b)
				invalidField.check(t, err)
				if err == nil {
					t.Error(name)
				}
			}
		})
	}
}

func TestARequestMayBeAsLargeAsTheLimitAndNoLarger(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	w := newWorld(t, s)
	const limit = 64 << 10
	padded := func(codec string, size int) []byte {
		m := &chatv1.ListConversationsRequest{PageSize: 1}
		if codec == "json" {
			b := must[[]byte](t)(protojson.Marshal(m))
			return append(b, bytes.Repeat([]byte(" "), size-len(b))...)
		}
		b := must[[]byte](t)(proto.Marshal(m))
		rest := size - len(b)
		filler := field(2000, make([]byte, rest-5))
		return append(b, field(2000, make([]byte, rest-5-(len(filler)-rest)))...)
	}
	for _, size := range []struct {
		name string
		size int
		want want
	}{{"at the limit", limit, allowed}, {"one above", limit + 1, tooLarge}, {"10 MiB", 10 << 20, tooLarge}} {
		compressed := map[string]connect.ClientOption{"proto": zipped(padded("proto", size.size)), "json": zipped(padded("json", size.size))}
		wires(t, func(t *testing.T, p nodetest.Protocol, codec string) {
			body := padded(codec, size.size)
			if len(body) != size.size {
				t.Fatalf("%d bytes, want %d", len(body), size.size)
			}
			token := w.owner.Session.GetAccessToken()
			size.want.check(t, rawCall(within(t), s, p, codec, chatv1connect.ChatServiceListConversationsProcedure, token, body))
			// The same compressed, where it is small on the wire.
			size.want.check(t, rawCall(within(t), s, p, codec, chatv1connect.ChatServiceListConversationsProcedure, token, []byte{0}, compressed[codec]))
		})
	}
}

func TestABombIsNotUnpacked(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	ada := s.SignUp("ada")
	bomb := zipped(make([]byte, 32<<20))
	wires(t, func(t *testing.T, p nodetest.Protocol, codec string) {
		noToken.check(t, rawCall(within(t), s, p, codec, chatv1connect.ChatServiceListMessagesProcedure, "", []byte{0}, bomb))
		tooLarge.check(t, rawCall(within(t), s, p, codec, chatv1connect.ChatServiceListMessagesProcedure, ada.Session.GetAccessToken(), []byte{0}, bomb))
		tooLarge.check(t, rawCall(within(t), s, p, codec, authv1connect.AuthServiceSignInProcedure, "", []byte{0}, bomb))
	})
}

// postBytes makes a request by hand. The answer's body is read.
func postBytes(t *testing.T, s *nodetest.Server, http1 bool, path string, header map[string]string, body io.Reader) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(within(t), http.MethodPost, s.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, s, http1, r, header)
}

func do(t *testing.T, s *nodetest.Server, http1 bool, r *http.Request, header map[string]string) (*http.Response, []byte) {
	t.Helper()
	for name, value := range header {
		r.Header.Set(name, value)
	}
	res, err := s.HTTP(http1).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body) // a body that ends early is looked at as far as it goes
	return res, b
}

func TestAnEnvelopeOf4GiBIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	ada := s.SignUp("ada")
	envelope := append(byteorder.BigEndian.AppendUint32([]byte{0}, 1<<32-1), make([]byte, 100<<10)...)
	for _, procedure := range []string{
		chatv1connect.ChatServiceListMessagesProcedure, chatv1connect.ChatServiceSubscribeProcedure, chatv1connect.ChatServiceStreamProcedure,
	} {
		t.Run(procedure, func(t *testing.T) {
			res, _ := postBytes(t, s, false, procedure, map[string]string{
				"Content-Type": "application/grpc", "Te": "trailers", "Authorization": "Bearer " + ada.Session.GetAccessToken(),
			}, bytes.NewReader(envelope))
			if status := res.Trailer.Get("Grpc-Status"); status != "8" && procedure != chatv1connect.ChatServiceStreamProcedure {
				t.Errorf("answered with status %q, want RESOURCE_EXHAUSTED", status)
			}
		})
	}
}

func TestRequestsOfTheWrongFormAreRefusedByHTTP(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	ada := s.SignUp("ada")
	token := map[string]string{"Authorization": "Bearer " + ada.Session.GetAccessToken()}
	send := chatv1connect.ChatServiceSendMessageProcedure
	for _, c := range []struct {
		name, method, path, contentType string
		status                          int
	}{
		{"no content type", http.MethodPost, send, "", http.StatusUnsupportedMediaType},
		{"a form", http.MethodPost, send, "application/x-www-form-urlencoded", http.StatusUnsupportedMediaType},
		{"text", http.MethodPost, send, "text/plain", http.StatusUnsupportedMediaType},
		{"another codec", http.MethodPost, send, "application/grpc+thrift", http.StatusUnsupportedMediaType},
		{"GET on what writes", http.MethodGet, send + "?encoding=json&message={}", "", http.StatusMethodNotAllowed},
		{"PUT", http.MethodPut, send, "application/json", http.StatusMethodNotAllowed},
		{"a stream over HTTP/1.1", http.MethodPost, chatv1connect.ChatServiceStreamProcedure, "application/connect+json", http.StatusHTTPVersionNotSupported},
		{"an unknown procedure", http.MethodPost, "/natterjack.chat.v1.ChatService/Nonsense", "application/json", http.StatusNotImplemented},
		{"an unknown page", http.MethodGet, "/nonsense", "", http.StatusNotFound},
		{"GET with a message that is none", http.MethodGet, chatv1connect.ChatServiceGetUsersProcedure + "?encoding=json&message=%7B", "", http.StatusBadRequest},
		{"GET without its parameters", http.MethodGet, chatv1connect.ChatServiceGetUsersProcedure, "", http.StatusUnsupportedMediaType},
		{"an unknown compression", http.MethodPost, send, "application/json", http.StatusNotImplemented},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(within(t), c.method, s.URL+c.path, strings.NewReader(""))
			if err != nil {
				t.Fatal(err)
			}
			if c.contentType != "" {
				r.Header.Set("Content-Type", c.contentType)
			}
			if c.name == "an unknown compression" {
				r.Header.Set("Content-Encoding", "snappy")
			}
			if res, body := do(t, s, true, r, token); res.StatusCode != c.status {
				t.Errorf("status %d, want %d: %s", res.StatusCode, c.status, body)
			}
		})
	}
}

// connectError is an error as Connect writes it as JSON.
type connectError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Details []struct {
		Debug struct {
			Reason string `json:"reason"`
			Field  string `json:"field"`
		} `json:"debug"`
	} `json:"details"`
}

func parseError(t *testing.T, body []byte) connectError {
	t.Helper()
	var e connectError
	if err := json.Unmarshal(body, &e); err != nil || len(e.Details) == 0 {
		t.Fatalf("%q is no error with a detail: %v", body, err)
	}
	return e
}

func TestBrowsersOfOtherOriginsAndCookiesGetNowhere(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	ada := s.SignUp("ada")
	token := "Bearer " + ada.Session.GetAccessToken()
	account := authv1connect.AuthServiceGetAccountProcedure
	for _, c := range []struct {
		name   string
		header map[string]string
		status int
	}{
		{"no browser", map[string]string{"Authorization": token}, http.StatusOK},
		{"same origin", map[string]string{"Authorization": token, "Origin": s.URL, "Sec-Fetch-Site": "same-origin"}, http.StatusOK},
		{"another site", map[string]string{"Authorization": token, "Sec-Fetch-Site": "cross-site"}, http.StatusForbidden},
		{"another origin", map[string]string{"Authorization": token, "Origin": "https://evil.example"}, http.StatusForbidden},
		{"a cookie for a token", map[string]string{"Cookie": "Authorization=" + token + "; access_token=" + ada.Session.GetAccessToken()}, http.StatusUnauthorized},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.header["Content-Type"] = "application/json"
			if res, body := postBytes(t, s, true, account, c.header, strings.NewReader("{}")); res.StatusCode != c.status {
				t.Errorf("status %d, want %d: %s", res.StatusCode, c.status, body)
			}
		})
	}
}

func TestTokensThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	ada := s.SignUp("ada")
	token := ada.Session.GetAccessToken()
	flipped := []byte(token)
	flipped[len(flipped)-5] ^= 1
	for name, values := range map[string][]string{
		"none":              nil,
		"empty":             {""},
		"no scheme":         {token},
		"another scheme":    {"Basic " + token},
		"only the scheme":   {"Bearer "},
		"truncated":         {"Bearer " + token[:len(token)-1]},
		"with more":         {"Bearer " + token + "x"},
		"forged":            {"Bearer " + string(flipped)},
		"the refresh token": {"Bearer " + ada.Session.GetRefreshToken()},
		"twice in one":      {"Bearer " + token + ", Bearer " + token},
		"two headers":       {"Bearer " + token, "Bearer " + token},
		"very long":         {"Bearer " + letters(10000)},
		"not ASCII":         {"Bearer njá"},
	} {
		for _, p := range nodetest.Protocols() {
			t.Run(name+"/"+p.Name, func(t *testing.T) {
				ctx, call := connect.NewClientContext(within(t))
				for _, v := range values {
					call.RequestHeader().Add("Authorization", v)
				}
				_, err := s.Auth(p, nil).GetAccount(ctx, &authv1.GetAccountRequest{})
				noToken.check(t, err)
			})
		}
	}
}
