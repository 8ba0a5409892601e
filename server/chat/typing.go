package chat

import (
	"context"
	"sync"
	"time"
)

const (
	// typingInterval is how often one user's typing in one conversation is passed on. Clients repeat it every 3 s; half a second is left for jitter.
	typingInterval = 2500 * time.Millisecond
	// maxTypingMembers is the largest conversation in which typing is passed on.
	maxTypingMembers = 200
)

// typist throttles typing, and so also the look-ups that it costs.
type typist struct {
	clock func() time.Time

	mu    sync.Mutex
	last  map[MemberKey]typingMark // guarded by mu
	swept time.Time                // guarded by mu: when old entries were last dropped
}

type typingMark struct {
	at     time.Time
	typing bool
}

func newTypist(clock func() time.Time) *typist {
	return &typist{clock: clock, last: make(map[MemberKey]typingMark), swept: clock()}
}

// due reports whether a typing should be passed on, and notes it.
func (y *typist) due(key MemberKey, typing bool) bool {
	now := y.clock()
	y.mu.Lock()
	defer y.mu.Unlock()
	if now.Sub(y.swept) > 10*typingInterval {
		for k, m := range y.last {
			if now.Sub(m.at) > typingInterval {
				delete(y.last, k)
			}
		}
		y.swept = now
	}
	last, ok := y.last[key]
	if ok && last.typing == typing && now.Sub(last.at) < typingInterval {
		return false
	}
	// Ending and beginning again in turn is no way around the throttle.
	if ok && typing && now.Sub(last.at) < typingInterval/5 {
		return false
	}
	y.last[key] = typingMark{now, typing}
	return true
}

// ended notes that a message ended the typing for those who saw it: what is typed after it is no repetition.
func (y *typist) ended(key MemberKey) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if m, ok := y.last[key]; ok && m.typing {
		y.last[key] = typingMark{m.at, false}
	}
}

func (y *typist) forget(key MemberKey) {
	y.mu.Lock()
	defer y.mu.Unlock()
	delete(y.last, key)
}

// Typing shows or ends the caller's typing to the members that are there. Whether anybody saw it isn't known.
func (s *Service) Typing(ctx context.Context, caller Caller, id ConversationID, typing bool) error {
	key := MemberKey{id, caller.User}
	if !s.typist.due(key, typing) {
		return nil
	}
	if _, err := s.member(ctx, caller, id, sendMessage); err != nil {
		s.typist.forget(key) // so that the next try is refused too
		return err
	}
	c, ok, err := s.store.ConversationState(ctx, id)
	if err != nil || !ok || c.MemberCount > maxTypingMembers {
		return err
	}
	s.publisher.Typing(id, caller.User, typing)
	return nil
}
