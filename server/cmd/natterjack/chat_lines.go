package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
)

const (
	// maxContent is the largest message, in bytes (a rule of the schema).
	maxContent = 16384
	// maxUnanswered is how many lines are read ahead of their acknowledgement.
	maxUnanswered = 1000
)

// lineChat is a conversation whose input or output is no terminal. Three goroutines work on it, beside the one that reads the input: one sends,
// one waits for the acknowledgements in order, one prints what comes.
type lineChat struct {
	c      *client.Client
	o      chatOptions
	id     string
	stderr io.Writer
	out    *printer
	broken chan struct{} // closed when nobody reads the output any more

	mu   sync.Mutex
	mine map[string]bool // client ids of the messages sent here
}

// numbered is a message on its way, with the number of its line.
type numbered struct {
	line    int
	sending *client.Sending
}

// runLines sends the lines of the input and prints what comes, until the input has ended and all is acknowledged.
func runLines(
	ctx context.Context, c *client.Client, o chatOptions, s *chatv1.ConversationSummary, stdin io.Reader, stdout, stderr io.Writer,
) error {
	l := &lineChat{
		c: c, o: o, id: s.GetConversation().GetId(), stderr: stderr, broken: make(chan struct{}), mine: map[string]bool{},
	}
	l.out = newPrinter(stdout, o.json, func() { close(l.broken) })
	l.out.people.told(s)
	if err := l.showHistory(ctx, s.GetLastSeq()); err != nil {
		return err
	}
	c.TrackFrom(l.id, s.GetLastSeq())
	c.Start()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	var ended error // of the printing goroutine
	failed := false // of the acknowledging one
	var workers sync.WaitGroup
	sendings := make(chan numbered, maxUnanswered)
	acknowledged := make(chan struct{})
	workers.Go(func() { failed = l.acknowledge(ctx, sendings); close(acknowledged) })
	workers.Go(func() { ended = l.printEvents(ctx); cancel() })

	refused, err := l.send(ctx, readLines(ctx, stdin), sendings)
	close(sendings)
	<-acknowledged
	if err == nil && o.follow {
		select {
		case <-ctx.Done():
		case <-l.broken:
		}
	}
	cancel()
	workers.Wait()
	if n := len(c.Pending()); n > 0 {
		fmt.Fprintf(stderr, "natterjack chat: %d of the messages wait in the outbox; they are sent next time\n", n)
	}
	switch {
	case ended != nil:
		return ended
	case err == nil && (failed || refused):
		return errQuiet
	default:
		return err
	}
}

// readLines returns the lines of the input that are not empty. Its goroutine ends with the input or with ctx, or, where a read
// never returns, with the program.
func readLines(ctx context.Context, stdin io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		in := bufio.NewReader(stdin)
		for {
			line, err := in.ReadString('\n')
			if line = strings.TrimRight(line, "\r\n"); line != "" {
				select {
				case lines <- line:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return lines
}

// send sends the lines, until there are no more or nobody reads our output. refused tells that one couldn't be sent at all.
func (l *lineChat) send(ctx context.Context, lines <-chan string, sendings chan<- numbered) (refused bool, err error) {
	for n := 1; ; n++ {
		select {
		case line, ok := <-lines:
			if !ok {
				return refused, nil
			}
			s, err := l.sendLine(ctx, line)
			if _, ok := errors.AsType[*client.Error](err); ok {
				l.outcome(n, client.Sent{}, err)
				refused = true
				continue
			}
			if err != nil {
				return refused, err
			}
			select {
			case sendings <- numbered{n, s}:
			case <-ctx.Done():
				return refused, nil
			}
		case <-l.broken:
			return refused, nil
		case <-ctx.Done():
			return refused, nil
		}
	}
}

// sendLine puts one line into the outbox; it waits while that is full.
func (l *lineChat) sendLine(ctx context.Context, line string) (*client.Sending, error) {
	if !utf8.ValidString(line) || len(line) > maxContent {
		return nil, &client.Error{
			Message: fmt.Sprintf("the line is not UTF-8, or longer than %d bytes", maxContent),
			Reason:  chatv1.ErrorReason_ERROR_REASON_INVALID_FIELD,
		}
	}
	id := uuid.NewString()
	l.mu.Lock()
	l.mine[id] = true
	l.mu.Unlock()
	for {
		s, err := l.c.Send(l.id, line, client.SendOptions{ClientID: id})
		if !errors.Is(err, client.ErrOutboxFull) {
			return s, err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// acknowledge waits for the messages in order, and tells what became of them.
func (l *lineChat) acknowledge(ctx context.Context, sendings <-chan numbered) (failed bool) {
	for n := range sendings {
		sent, err := n.sending.Wait(ctx)
		if ctx.Err() != nil {
			return failed
		}
		l.outcome(n.line, sent, err)
		failed = failed || err != nil
	}
	return failed
}

// outcome tells what became of a line of input.
func (l *lineChat) outcome(line int, sent client.Sent, err error) {
	if l.o.json {
		l.out.sent(line, sent, err)
	}
	if err != nil {
		fmt.Fprintf(l.stderr, "natterjack chat: line %d was not sent: %s\n", line, explain(err, l.o))
	}
}

// printEvents prints what comes until ctx ends; what is there by then is still printed.
func (l *lineChat) printEvents(ctx context.Context) error {
	for {
		e, err := l.c.Next(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // the caller ended it
			}
			return err
		}
		if s, ok := e.Body.(client.State); ok {
			l.state(s)
		}
		if e.Conversation != "" && e.Conversation != l.id {
			continue
		}
		l.out.people.told(e.Body)
		l.out.people.lookUp(ctx, l.c, l.out.people.unknown(mentioned(e.Body)...))
		l.out.event(e, l.isMine(e))
		if _, gone := e.Body.(*client.Gone); gone {
			return notFoundError("you are no longer a member of this conversation")
		}
		if s, ok := e.Body.(*chatv1.ConversationSummary); ok && s.GetSelf().GetLeftSeq() > 0 {
			return notFoundError("you are no longer a member of this conversation")
		}
	}
}

// isMine reports whether an event is a message that was sent here.
func (l *lineChat) isMine(e client.Event) bool {
	m, ok := e.Body.(*chatv1.Message)
	l.mu.Lock()
	defer l.mu.Unlock()
	return ok && m.GetSeq() == e.Seq && l.mine[m.GetClientMessageId()]
}

// state tells on the error output that the connection is lost, and that it is back.
func (l *lineChat) state(s client.State) {
	if off, ok := s.(client.Offline); ok && off.Err != nil && !l.o.json {
		fmt.Fprintf(l.stderr, "natterjack chat: offline (%s); trying again\n", explain(off.Err, l.o))
	}
}

// showHistory prints the newest messages up to a seq, as many as --history says. What comes after it comes as events.
func (l *lineChat) showHistory(ctx context.Context, upTo int64) error {
	if l.o.history <= 0 {
		return nil
	}
	page, err := l.c.Messages(ctx, l.id, client.Page{Before: upTo + 1, Limit: int32(l.o.history)})
	if err != nil {
		return err
	}
	for _, m := range page.GetMessages() {
		l.out.people.lookUp(ctx, l.c, l.out.people.unknown(mentioned(m)...))
		l.out.event(client.Event{Conversation: l.id, Seq: m.GetSeq(), Body: m}, false)
	}
	return nil
}
