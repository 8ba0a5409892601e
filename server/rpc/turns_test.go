package rpc

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// oneAtATime counts in asked how often the store was asked for memberships.
func oneAtATime(asked *int) func(*rig) {
	return func(r *rig) {
		r.limits.Openings = 1
		r.store.memberships = func() ([]chat.ConversationID, error) {
			*asked++
			return []chat.ConversationID{room}, nil
		}
	}
}

// occupy takes the one turn.
func (r *rig) occupy() *turn {
	r.t.Helper()
	other := &turn{of: r.server.openings}
	if err := other.take(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	return other
}

func TestAStreamIsOpenedWhenItIsItsTurn(t *testing.T) {
	t.Parallel()
	var asked int
	inBubble(t, oneAtATime(&asked), func(r *rig) {
		other := r.occupy()
		r.hello()
		time.Sleep(turnPatience - time.Second)
		synctest.Wait()
		if asked != 0 {
			t.Error("the store was asked before it was the stream's turn")
		}
		other.pass()
		for e := range r.wire.out {
			if e.GetCaughtUp() != nil {
				break
			}
		}
		synctest.Wait()
		if held := len(r.server.openings.slots); asked != 1 || held != 0 {
			t.Errorf("the store was asked %d times, and %d turns are held by a stream that is live", asked, held)
		}
	})
}

func TestAStreamWhoseTurnDoesNotComeIsToldToComeBack(t *testing.T) {
	t.Parallel()
	var asked int
	inBubble(t, oneAtATime(&asked), func(r *rig) {
		r.occupy()
		r.hello()
		start := time.Now()
		_, _, status := r.rest()
		if took := time.Since(start); took != turnPatience || status == nil || status.Reason != chat.ReasonUnavailable || asked != 0 {
			t.Errorf("after %v the status was %v", took, status)
		}
	})
}

func TestWhoLeavesGivesUpTheTurn(t *testing.T) {
	t.Parallel()
	var asked int
	inBubble(t, oneAtATime(&asked), func(r *rig) {
		other := r.occupy()
		r.hello()
		synctest.Wait()
		r.cancel()
		_, _, _ = r.rest()
		other.pass()
		if held := len(r.server.openings.slots); asked != 0 || held != 0 {
			t.Errorf("the store was asked %d times, and %d turns are held, for a client that has gone", asked, held)
		}
	})
}

func TestWhoIsRefusedPassesTheTurnOn(t *testing.T) {
	t.Parallel()
	var asked int
	inBubble(t, func(r *rig) {
		oneAtATime(&asked)(r)
		r.accounts.ended = true
	}, func(r *rig) {
		r.hello()
		_, _, _ = r.rest()
		if held := len(r.server.openings.slots); held != 0 {
			t.Errorf("%d turns are held", held)
		}
	})
}

func TestAClientThatReadsSlowlyKeepsNobodyFromItsTurn(t *testing.T) {
	t.Parallel()
	const page, pages = 200, 10 // as the service reads them
	var asked int
	inBubble(t, func(r *rig) {
		oneAtATime(&asked)(r)
		given := 0
		r.store.summaries = func() ([]chat.Summary, error) {
			var list []chat.Summary
			for ; len(list) < page && given < page*pages; given++ {
				list = append(list, chat.Summary{Conversation: chat.Conversation{ID: chat.ConversationID(100 + given)}})
			}
			return list, nil
		}
	}, func(r *rig) {
		r.hello()
		synctest.Wait() // nothing was read yet, and there is more than the stream may keep
		if held := len(r.server.openings.slots); asked != 1 || held != 0 {
			t.Fatalf("the store was asked %d times, and %d turns are held by a client that doesn't read", asked, held)
		}
		summaries := 0
		for e := range r.wire.out {
			if e.GetSummary() != nil {
				summaries++
			}
			if e.GetCaughtUp() != nil {
				break
			}
		}
		synctest.Wait()
		if held := len(r.server.openings.slots); summaries != page*pages || held != 0 {
			t.Errorf("%d summaries came, and %d turns are held in the end", summaries, held)
		}
	})
}

func TestWhoComesToALongLineIsToldWhenToComeBack(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) { r.limits.Openings, r.limits.OpeningLine = 1, 1 }, func(r *rig) {
		r.live() // the client of the bubble has nothing to do with it
		first, second := turn{of: r.server.openings}, turn{of: r.server.openings}
		if err := first.enter(r.t.Context()); err != nil {
			t.Fatal(err)
		}
		waited := make(chan error, 1)
		go func() { waited <- second.enter(r.t.Context()) }()
		synctest.Wait()
		start := time.Now()
		err := r.server.authenticateStream(r.t.Context(), http.Header{"Authorization": {"Bearer t"}})
		e, ok := chat.AsError(err)
		if !ok || e.Reason != chat.ReasonUnavailable || e.RetryAfter < time.Second || e.RetryAfter > time.Second+r.limits.RetrySpread || time.Since(start) != 0 {
			t.Errorf("after %v the third is told %v", time.Since(start), err)
		}
		first.pass()
		if err := <-waited; err != nil {
			t.Errorf("the second, who was there in time, is told %v", err)
		}
		second.pass()
		if err := r.server.authenticateStream(r.t.Context(), http.Header{"Authorization": {"Bearer t"}}); err != nil {
			t.Errorf("when nobody waits: %v", err)
		}
	})
}
