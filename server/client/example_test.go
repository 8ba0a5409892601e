package client_test

import (
	"context"
	"fmt"
	"log"

	"github.com/google/uuid"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
)

// A bot that answers every message, in every conversation that it is in, once: also those that came while it was not running.
func Example() {
	ctx := context.Background()
	outbox, err := client.FileOutbox("bot/outbox")
	if err != nil {
		log.Fatal(err)
	}
	c, err := client.New(client.Options{
		ServerURL:   "https://chat.example.com",
		Session:     client.FileSession("bot/session.json"),
		Credentials: &client.Credentials{Username: "echo", Password: "correct horse battery staple"},
		Mode:        client.Full,
		Checkpoint:  client.FileCheckpoint("bot/checkpoint.json"),
		Outbox:      outbox,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	c.Start()
	for event, err := range c.Events(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		switch body := event.Body.(type) {
		case *chatv1.Message:
			if body.GetSeq() == event.Seq && body.GetSenderId() != c.User() {
				// An id made from the question keeps the answer the only one, even if the bot dies and sees the question again.
				id := uuid.NewSHA1(uuid.NameSpaceOID, []byte(body.GetId())).String()
				_, err = c.Send(event.Conversation, "you said: "+body.GetContent(), client.SendOptions{ReplyTo: body.GetSeq(), ClientID: id})
			}
		case client.Offline:
			fmt.Println("offline:", body.Err, "until", body.Retry)
		case client.Live:
			fmt.Println("live")
		}
		if err != nil {
			log.Fatal(err)
		}
	}
}
