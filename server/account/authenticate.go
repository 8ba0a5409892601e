package account

import (
	"context"
	"net/netip"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// Identity is whose an access token is, and until when.
type Identity struct {
	Caller     chat.Caller
	ExpireTime time.Time
}

// floodRate is how many tokens that don't exist an address may try. Each costs a look-up; the rate is above that of any honest crowd behind one
// address after an incident that ended their sessions.
var floodRate = Rate{Burst: 200, Every: 50 * time.Millisecond}

// Authenticate tells whose an access token is. address is where the request comes from. The answer may be as old as [Settings].CacheTime
// where another node ended the session; ends on this node count at once.
//
// Errors: INVALID_SESSION; TOKEN_EXPIRED, for a day after it ran out; RATE_LIMITED for an address from which too many unknown tokens came.
func (s *Service) Authenticate(ctx context.Context, accessToken string, address netip.Addr) (Identity, error) {
	h, ok := parseAccessToken(accessToken)
	if !ok {
		return Identity{}, invalidSession()
	}
	t, verdict, ends := s.cache.get(h, s.clock())
	switch verdict {
	case tokenKnown:
		return s.identity(t)
	case tokenUnknown:
		return Identity{}, invalidSession()
	case notCached:
	}
	if err := s.checkFlood(address); err != nil {
		return Identity{}, err
	}
	t, ok, err := s.store.AccessToken(ctx, h)
	if err != nil {
		return Identity{}, err
	}
	if !ok {
		s.cache.putUnknown(h)
		return Identity{}, s.unknownToken(ctx, address)
	}
	s.cache.put(t, s.clock(), ends)
	return s.identity(t)
}

// Confirm does what Authenticate does, but always asks the store. A stream does so after it was registered with the hub, so that an end of the session that
// happened meanwhile, on whatever node, either finds the stream or is found here; and from time to time, in case that a revocation was lost on its way.
func (s *Service) Confirm(ctx context.Context, accessToken string) (Identity, error) {
	h, ok := parseAccessToken(accessToken)
	if !ok {
		return Identity{}, invalidSession()
	}
	t, ok, err := s.store.AccessToken(ctx, h)
	if err != nil {
		return Identity{}, err
	}
	if !ok {
		s.cache.putUnknown(h)
		return Identity{}, invalidSession()
	}
	return s.identity(t)
}

func (s *Service) identity(t AccessToken) (Identity, error) {
	if !s.clock().Before(t.ExpireTime) {
		return Identity{}, &chat.Error{
			Code: chat.CodeUnauthenticated, Reason: chat.ReasonTokenExpired, Message: "the access token has run out; refresh the session",
		}
	}
	return Identity{chat.Caller{User: t.User, Session: t.Session}, t.ExpireTime}, nil
}

// checkFlood refuses an address from which too many unknown tokens came.
func (s *Service) checkFlood(address netip.Addr) error {
	b := s.floodBucket(address)
	if b.Key == "" {
		return nil
	}
	if wait := s.floods.wait(b); wait > 0 {
		s.stats.limited.Add(1)
		return rateLimited("too many tokens that aren't valid came from this address; try again shortly", wait)
	}
	return nil
}

// unknownToken counts a token that doesn't exist, and returns the answer to it.
func (s *Service) unknownToken(ctx context.Context, address netip.Addr) error {
	if b := s.floodBucket(address); b.Key != "" {
		_, _ = s.floods.Take(ctx, b) // never fails; an empty one refuses the next
	}
	return invalidSession()
}

func (s *Service) floodBucket(address netip.Addr) Bucket {
	return Bucket{"unknown-token", s.addressKey(address), floodRate}
}
