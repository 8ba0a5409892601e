package client_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

// echo is a bot as the package is meant to be used: it answers every message of every conversation that it is in, once, also those that came
// while it was not running.
func echo(ctx context.Context, serverURL, dir string, cred client.Credentials) error {
	outbox, err := client.FileOutbox(filepath.Join(dir, "outbox"))
	if err != nil {
		return err
	}
	c, err := client.New(client.Options{
		ServerURL:   serverURL,
		Session:     client.FileSession(filepath.Join(dir, "session.json")),
		Credentials: &cred,
		Mode:        client.Full,
		Checkpoint:  client.FileCheckpoint(filepath.Join(dir, "checkpoint.json")),
		Outbox:      outbox,
	})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	c.Start()
	for event, err := range c.Events(ctx) {
		if err != nil {
			return err
		}
		m, ok := event.Body.(*chatv1.Message)
		if !ok || m.GetSeq() != event.Seq || m.GetSenderId() == c.User() {
			continue // no new message, or its own
		}
		// An id made from the question keeps the answer the only one, even if the bot dies here and sees the question again.
		id := uuid.NewSHA1(uuid.NameSpaceOID, []byte(m.GetId())).String()
		if _, err := c.Send(event.Conversation, "you said: "+m.GetContent(), client.SendOptions{ReplyTo: m.GetSeq(), ClientID: id}); err != nil {
			return err
		}
	}
	return nil
}

func TestABotAnswersEachMessageOnceThroughRestarts(t *testing.T) {
	s := nodetest.Start(t)
	ada, bot := s.SignUp("ada"), s.SignUp("bot")
	c := start(t, options(s, ada))
	until(t, c, "live", body(live)) // what comes while it catches up may be told by a gap
	id := ok[*chatv1.ConversationSummary](t)(c.CreateDirect(t.Context(), bot.ID)).GetConversation().GetId()
	c.TrackFrom(id, 1)
	dir := t.TempDir()
	answers := map[string]int{}
	for _, question := range []string{"one", "two", "three"} {
		sending := ok[*client.Sending](t)(c.Send(id, question, client.SendOptions{}))
		ok[client.Sent](t)(sending.Wait(t.Context())) // the bot isn't running yet
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		ended := make(chan error, 1)
		go func() {
			ended <- echo(ctx, s.URL, dir, client.Credentials{Username: bot.Username, Password: bot.Password})
		}()
		until(t, c, "the answer", body(func(m *chatv1.Message) bool {
			if m.GetSenderId() == bot.ID {
				answers[m.GetContent()]++
			}
			return m.GetContent() == "you said: "+question
		}))
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Fatalf("the bot ended with %v", err)
		}
	}
	if len(answers) != 3 || answers["you said: one"] != 1 || answers["you said: two"] != 1 {
		t.Fatalf("answers %v", answers)
	}
}
