package rpc

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// turns bounds how many streams at a time have the database read what it takes to open them. When all clients come back at once the others wait here, in the
// order in which they came. In the line for the database's connections they would fail after two seconds, only to come back and ask again; and whoever
// else reads would wait behind them. Where even this line is long, who comes new is told to come back before anything is done for them: those who
// wait would else have given up by the time it is their turn.
type turns struct {
	slots   chan struct{}
	waiting atomic.Int64
	line    int64         // how many may wait for others to be let in
	spread  time.Duration // over which those come back who were not
}

func newTurns(l *Limits) *turns {
	return &turns{slots: make(chan struct{}, l.Openings), line: int64(l.OpeningLine), spread: l.RetrySpread}
}

// turnPatience is how long a stream waits for its turn: about as long as clients wait to be let in.
const turnPatience = 15 * time.Second

// turn is one stream's. Used by one goroutine.
type turn struct {
	of   *turns
	held bool
}

var errManyOpenings = errors.New("too many streams are being opened")

// enter is take for a stream that comes new: it doesn't wait where too many do.
func (t *turn) enter(ctx context.Context) error {
	if len(t.of.slots) == cap(t.of.slots) && t.of.waiting.Load() >= t.of.line {
		e := chat.Unavailable(errManyOpenings)
		e.RetryAfter = time.Second + rand.N(t.of.spread+1)
		return e
	}
	return t.take(ctx)
}

// take waits for the turn. Its error is ctx's, or UNAVAILABLE when it didn't come in time.
func (t *turn) take(ctx context.Context) error {
	t.of.waiting.Add(1)
	defer t.of.waiting.Add(-1)
	ctx, cancel := context.WithTimeoutCause(ctx, turnPatience, chat.Unavailable(errManyOpenings))
	defer cancel()
	select {
	case t.of.slots <- struct{}{}:
		t.held = true
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// pass gives the turn to the next, if it is held.
func (t *turn) pass() {
	if t.held {
		t.held = false
		<-t.of.slots
	}
}
