package node_test

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"connectrpc.com/connect"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/node"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

// collector takes what an exporter of OTLP over HTTP sends.
type collector struct {
	*httptest.Server

	mu    sync.Mutex   // guards what follows
	raw   bytes.Buffer // all that came
	name  string       // of the service
	spans []*tracev1.Span
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := new(collector)
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		data := new(tracev1.TracesData) // as a request of the collector's service is, on the wire
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, data) != nil {
			t.Errorf("the collector got %s %s, %v", r.Method, r.URL, err)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.raw.Write(body)
		for _, resource := range data.GetResourceSpans() {
			for _, a := range resource.GetResource().GetAttributes() {
				if a.GetKey() == "service.name" {
					c.name = a.GetValue().GetStringValue()
				}
			}
			for _, scope := range resource.GetScopeSpans() {
				c.spans = append(c.spans, scope.GetSpans()...)
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// of returns the spans of a name.
func (c *collector) of(name string) (found []*tracev1.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.GetName() == name {
			found = append(found, s)
		}
	}
	return found
}

func (c *collector) service() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.name
}

// got says whether a text came, wherever in a span.
func (c *collector) got(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Contains(c.raw.Bytes(), []byte(text))
}

func attributeOf(s *tracev1.Span, key string) string {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == key {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

// traced reads the settings from the environment, as natterjack serve does.
func traced(t *testing.T, environment ...string) nodetest.Option {
	t.Helper()
	for _, e := range environment {
		name, value, _ := strings.Cut(e, "=")
		t.Setenv(name, value)
	}
	loaded, err := node.Load(nil, environment, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return nodetest.Config(func(c *node.Config) { c.Traces = loaded.Traces })
}

const (
	callersTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	callersSpan  = "00f067aa0ba902b7"
)

func TestTracesTellOfCallsAndTheirCommits(t *testing.T) {
	c := newCollector(t)
	s := nodetest.Start(t, traced(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL))
	ada, bob := s.SignUp("ada"), s.SignUp("bob")
	made, err := s.Chat(binary, ada).CreateConversation(within(t), &chatv1.CreateConversationRequest{
		Kind: chatv1.ConversationKind_CONVERSATION_KIND_DIRECT, MemberIds: []string{bob.ID},
	})
	if err != nil {
		t.Fatal(err)
	}
	until := listen(t, s, bob, "phone") // a stream, which is no span
	ctx, info := connect.NewClientContext(within(t))
	info.RequestHeader().Set("Traceparent", "00-"+callersTrace+"-"+callersSpan+"-01")
	send := &chatv1.SendMessageRequest{ConversationId: made.GetConversation().GetId(), ClientMessageId: nodetest.UUID(), Content: "a secret"}
	if _, err := s.Chat(binary, ada).SendMessage(ctx, send); err != nil {
		t.Fatal(err)
	}
	until(func(e *chatv1.Event) bool { return e.GetMessage() != nil })
	if _, err := s.Chat(binary, ada).GetConversation(within(t), &chatv1.GetConversationRequest{ConversationId: "nonsense"}); err == nil {
		t.Fatal("a conversation of that name")
	}
	s.Stop()

	sent := c.of("natterjack.chat.v1.ChatService/SendMessage")
	if len(sent) != 1 || hex.EncodeToString(sent[0].GetTraceId()) != callersTrace || hex.EncodeToString(sent[0].GetParentSpanId()) != callersSpan {
		t.Fatalf("the call's span isn't the caller's: %v", sent)
	}
	below := slices.DeleteFunc(c.of("commit"), func(s *tracev1.Span) bool { return !bytes.Equal(s.GetParentSpanId(), sent[0].GetSpanId()) })
	if len(below) != 1 || !bytes.Equal(below[0].GetTraceId(), sent[0].GetTraceId()) {
		t.Errorf("%d commits below the call", len(below))
	}
	if all := c.of("commit"); len(all) < 2 {
		t.Errorf("%d commits; the conversation had one too", len(all))
	}
	wrong := c.of("natterjack.chat.v1.ChatService/GetConversation")
	if len(wrong) != 1 || attributeOf(wrong[0], "rpc.connect_rpc.error_code") != "invalid_argument" {
		t.Errorf("the failed call is told as %v", wrong)
	}
	if streams := c.of("natterjack.chat.v1.ChatService/Subscribe"); len(streams) != 0 {
		t.Error("a stream is told of as a call")
	}
	if c.service() != "natterjack" {
		t.Errorf("the service is called %q", c.service())
	}
	if c.got("a secret") || c.got(ada.Session.GetAccessToken()) {
		t.Error("a message or a token is in a span")
	}
}

func TestCallsLeftOutOfTheSampleLeaveTheirCommitOut(t *testing.T) {
	c := newCollector(t)
	s := nodetest.Start(t, traced(t, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="+c.URL+"/v1/traces", "OTEL_SERVICE_NAME=toad"))
	ada, bob := s.SignUp("ada"), s.SignUp("bob")
	ctx, info := connect.NewClientContext(within(t))
	info.RequestHeader().Set("Traceparent", "00-"+callersTrace+"-"+callersSpan+"-00")
	if _, err := s.Chat(binary, ada).CreateConversation(ctx, &chatv1.CreateConversationRequest{
		Kind: chatv1.ConversationKind_CONVERSATION_KIND_DIRECT, MemberIds: []string{bob.ID},
	}); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if calls, commits := c.of("natterjack.chat.v1.ChatService/CreateConversation"), c.of("commit"); len(calls)+len(commits) != 0 {
		t.Errorf("spans: %v %v", calls, commits)
	}
	if c.of("natterjack.auth.v1.AuthService/SignUp") == nil || c.service() != "toad" {
		t.Errorf("other calls are told of, by the name that the environment gives: %q", c.service())
	}
}

func TestCollectorThatIsAwayCostsNothing(t *testing.T) {
	c := newCollector(t)
	c.Close()
	s := nodetest.Start(t, traced(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL, "OTEL_EXPORTER_OTLP_TIMEOUT=100"))
	s.SignUp("ada")
	s.Stop() // fails the test if it doesn't end, or ends with an error
}

func TestTracesAreOffUnlessACollectorIsNamed(t *testing.T) {
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318"
	for _, c := range []struct {
		environment []string
		want        bool
		err         string
	}{
		{nil, false, ""},
		{[]string{"OTEL_SERVICE_NAME=toad"}, false, ""},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT="}, false, ""},
		{[]string{endpoint}, true, ""},
		{[]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://collector/v1/traces"}, true, ""},
		{[]string{endpoint, "OTEL_SDK_DISABLED=true"}, false, ""},
		{[]string{endpoint, "OTEL_TRACES_EXPORTER=none"}, false, ""},
		{[]string{endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"}, true, ""},
		{[]string{endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, false, "OTEL_EXPORTER_OTLP_PROTOCOL is grpc"},
		{[]string{endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf"}, true, ""},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318"}, false, "OTEL_EXPORTER_OTLP_ENDPOINT has to be"},
	} {
		got, err := node.Load(nil, c.environment, io.Discard)
		if got.Traces != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: %v, %v", c.environment, got.Traces, err)
		}
	}
}
