// Package client is the Go client of Natterjack: for other backends, bots and mirrors, and for our own terminal client and load generator.
//
// A [Client] is one device of one user. It keeps one stream, comes back by itself when that is cut, and resumes where it was:
//
//	session, err := client.SignIn(ctx, client.Options{ServerURL: url}, client.Credentials{Username: "ada", Password: pw})
//	c, err := client.New(client.Options{ServerURL: url, Session: client.MemorySession(session)})
//	c.Start()
//	defer c.Close()
//	sending, err := c.Send(conversation, "hello", client.SendOptions{})
//	sent, err := sending.Wait(ctx) // stored, with its place in the conversation
//	for event, err := range c.Events(ctx) {
//		switch body := event.Body.(type) {
//		case *chatv1.Message:
//		…
//
// What it promises, and by what:
//
//   - An event of a conversation comes once, in order, without gaps, or a [Gap], [Reset] or [Gone] says otherwise (inbox.go).
//   - A message given to Send is stored once, in the order of the calls, or its [Sending] tells why not (outbox.go); with a
//     [FileOutbox] also when the program ends in between (journal.go).
//   - Nothing waits for a slow consumer, and memory stays bounded (queue.go).
//   - A session is refreshed before it runs out, by one process at a time (session.go, sessionfile.go).
//
// The stream goes over HTTP/2 (transport.go) or, given [NewWebSocketTransport] as Options.Transport, over a WebSocket (websocket.go).
//
// Start reading at run.go (connecting again and again), then conn.go (one connection), inbox.go and outbox.go (the decisions, without I/O).
package client
