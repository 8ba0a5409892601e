package node_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/node"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

func TestANodeThatDrainsIsNotReadyBeforeItSaysGoodbye(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t, nodetest.Config(func(c *node.Config) { c.Drain.Notice = 10 * time.Second }))
	ada := s.SignUp("ada")
	until := listen(t, s, ada, "a")
	http1 := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // not closed by Stop
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.Stop()
	}()
	for {
		status, body := fetch(t, http1, s.URL+"/readyz")
		if status == http.StatusServiceUnavailable && strings.Contains(body, "draining") {
			break
		}
	}
	// Within the notice everything still works.
	if _, err := s.Chat(binary, ada).ListConversations(within(t), &chatv1.ListConversationsRequest{}); err != nil {
		t.Errorf("a call in the notice time: %v", err)
	}
	until(isGoodbye)
	<-stopped
}

func TestWhatWasAcceptedIsStoredBeforeANodeEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := nodetest.Start(t, nodetest.Dir(dir))
	ada, bob := s.SignUp("ada"), s.SignUp("bob")
	chat := s.Chat(binary, ada)
	made, err := chat.CreateConversation(within(t), &chatv1.CreateConversationRequest{
		Kind: chatv1.ConversationKind_CONVERSATION_KIND_DIRECT, MemberIds: []string{bob.ID},
	})
	if err != nil {
		t.Fatal(err)
	}
	id := made.GetConversation().GetId()
	acknowledged := make(chan string, 10_000)
	ctx := within(t)
	done := make(chan struct{})
	go func() { // sends until it is cut off
		defer close(done)
		defer close(acknowledged)
		for n := 0; ; n++ {
			content := fmt.Sprint(n)
			if _, err := chat.SendMessage(ctx, &chatv1.SendMessageRequest{ConversationId: id, ClientMessageId: nodetest.UUID(), Content: content}); err != nil {
				return
			}
			acknowledged <- content
		}
	}()
	for range 20 {
		<-acknowledged
	}
	s.Stop()
	<-done
	again := nodetest.Start(t, nodetest.Dir(dir))
	stored := make(map[string]bool)
	for after := int64(0); ; {
		page, err := again.Chat(binary, ada).ListMessages(within(t), &chatv1.ListMessagesRequest{ConversationId: id, AfterSeq: max(after, 1), Limit: 200})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page.GetMessages() {
			stored[m.GetContent()] = true
			after = m.GetSeq()
		}
		if !page.GetHasMore() {
			break
		}
	}
	for content := range acknowledged {
		if !stored[content] {
			t.Errorf("message %s was acknowledged and is gone", content)
		}
	}
}

func TestWhatDoesNotEndInTheGraceTimeIsCutOff(t *testing.T) {
	t.Parallel()
	c := config(t)
	c.Drain.Grace = time.Second
	c.RPC.UnaryTimeout = time.Minute
	n, err := node.New(t.Context(), c, node.NewLogger(t.Output(), c), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- n.Run(ctx) }()
	// A call whose request never comes. The client begins with its body when the server begins to read it.
	stuck := make(chan struct{})
	waiting, end := context.WithCancel(t.Context())
	defer end()
	body := endless{waiting, make(chan struct{}, 1)}
	go func() {
		defer close(stuck)
		r, err := http.NewRequestWithContext(within(t), http.MethodPost, n.URL()+"/natterjack.auth.v1.AuthService/SignIn", body)
		if err != nil {
			t.Error(err)
			return
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Expect", "100-continue")
		transport := &http.Transport{ExpectContinueTimeout: time.Minute}
		defer transport.CloseIdleConnections()
		if res, err := (&http.Client{Transport: transport}).Do(r); err == nil {
			_ = res.Body.Close()
		}
	}()
	<-body.begun
	cancel()
	if err := <-ran; err == nil || !strings.Contains(err.Error(), "grace time") {
		t.Errorf("Run returned %v", err)
	}
	end()
	<-stuck
}

// endless is a body that doesn't come before ctx ends. begun gets an element when it is first asked for.
type endless struct {
	ctx   context.Context //nolint:containedctx // a reader has no other way to be told
	begun chan struct{}
}

func (e endless) Read([]byte) (int, error) {
	select {
	case e.begun <- struct{}{}:
	default:
	}
	<-e.ctx.Done()
	return 0, e.ctx.Err()
}
