package hub

import (
	"slices"
	"time"
)

// Pace. To wake a stream's writer and to flush what it writes costs about 4 µs, several times what one more event in the same frame does. A conversation that
// many streams listen to therefore wakes them in rounds: the first event after a pause at once, and what follows within the interval that belongs to so many streams
// together, at the interval's end. At 20 µs for each stream, a conversation spends no more than a fifth of a processor on waking. What waits is in the streams'
// queues already, in order, and goes with whatever else wakes one of them: an answer, another conversation.

// paceFloor is the interval below which a timer is not worth its own cost.
const paceFloor = time.Millisecond

// interval returns the least time between two rounds for so many streams; 0: each event is a round.
func (l *Limits) interval(streams int) time.Duration {
	d := min(time.Duration(streams)*l.WakePerStream, l.WakeWithin)
	if d < paceFloor {
		return 0
	}
	return d
}

// pace reports whether the streams of r are woken for the event that comes, or later with others. Called with the shard's lock held.
func (sh *shard) pace(r *room) (later bool) {
	every := sh.hub.limits.interval(len(r.streams))
	if every == 0 {
		return false
	}
	now := time.Now()
	if now.Sub(r.woken) >= every {
		r.woken = now
		return false
	}
	if r.due.IsZero() {
		r.due = r.woken.Add(every)
		sh.paced = append(sh.paced, r)
	}
	return true
}

// nextDue returns when the first round of a conversation is due; zero: none is. Called with the shard's lock held.
func (sh *shard) nextDue() (next time.Time) {
	for _, r := range sh.paced {
		if next.IsZero() || r.due.Before(next) {
			next = r.due
		}
	}
	return next
}

// wakeDue wakes the streams of the conversations whose round is due, and returns when the next one is; zero: none.
func (sh *shard) wakeDue(now time.Time) (next time.Time) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.paced = slices.DeleteFunc(sh.paced, func(r *room) bool {
		if r.due.After(now) {
			return false
		}
		r.woken, r.due = now, time.Time{}
		for _, s := range r.streams {
			s.wakeUp()
		}
		return true
	})
	return sh.nextDue()
}

// wakeUp wakes the writer where something waits for it.
func (s *Stream) wakeUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) > 0 {
		s.signal()
	}
}
