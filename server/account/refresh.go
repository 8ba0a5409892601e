package account

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

const (
	// refreshGrace is how long a spent refresh token gives another pair, because the answer to its first use may have been lost.
	refreshGrace = 30 * time.Second
	// refreshTokens is how many refresh tokens of a session are known at once. More than one or two of them come only from the use of
	// one token again and again within the grace.
	refreshTokens = 16
	// accessTokens is how many access tokens a session may have.
	accessTokens = 16
)

// Refresh exchanges a refresh token for a new pair. Errors: INVALID_SESSION, RATE_LIMITED. See the package's documentation.
func (s *Service) Refresh(ctx context.Context, token Secret, address netip.Addr) (Tokens, error) {
	t, ok := parseRefreshToken(token.Reveal())
	if !ok {
		return Tokens{}, invalidSession()
	}
	if err := s.checkFlood(address); err != nil {
		return Tokens{}, err
	}
	// Looked up before the transaction, which others would wait for.
	if _, ok, err := s.store.SessionBySeries(ctx, t.seriesHash()); err != nil {
		return Tokens{}, err
	} else if !ok {
		return Tokens{}, s.unknownToken(ctx, address)
	}
	var (
		r      rotation
		now    = s.now()
		tokens Tokens
	)
	ok, err := s.store.RefreshSession(ctx, t.seriesHash(), func(state RefreshState) (RefreshChange, error) {
		r = rotation{state: state, now: now}
		if err := r.use(t.secretHash()); err != nil || r.reused {
			return RefreshChange{End: r.reused, Session: state.Session}, err
		}
		session := state.Session
		session.Address, session.RefreshTime, session.ExpireTime = addressText(address), now, now.Add(s.settings.SessionLife)
		next := t.next()
		access, out := s.newTokens(&session, next, now)
		tokens = out
		return RefreshChange{
			Session: session, Tokens: r.add(next.secretHash()), Access: access, KeepAccess: accessTokens,
		}, nil
	})
	switch {
	case err != nil:
		return Tokens{}, err
	case !ok:
		return Tokens{}, invalidSession()
	case r.reused:
		s.reused(ctx, &r.state.Session, address)
		return Tokens{}, invalidSession()
	}
	s.stats.refreshes.Add(1)
	return tokens, nil
}

// reused makes the end of a session felt of which two have the tokens.
func (s *Service) reused(ctx context.Context, session *Session, address netip.Addr) {
	s.ended(session.ID)
	s.stats.reused.Add(1)
	s.logger.LogAttrs(ctx, slog.LevelWarn, "a spent refresh token was used; its session is ended",
		slog.String("user", session.User.String()), slog.String("session", session.ID.String()),
		slog.Any("address", address), slog.String("last_address", session.Address))
}

// rotation is the use of a refresh token.
//
// Tokens have generations. The use of one spends all of its generation and below, so of two that descend from the same one (two
// answers to it, within the grace) only one has successors; the use of the other one later is a reuse. Spent ones are kept for the grace.
type rotation struct {
	state  RefreshState
	now    time.Time
	used   RefreshToken // set by use
	reused bool         // set by use: the session has to end
}

// use finds the token that is used. Errors: INVALID_SESSION, RATE_LIMITED.
func (r *rotation) use(secret Hash) error {
	if !r.now.Before(r.state.Session.ExpireTime) {
		return invalidSession()
	}
	r.state.Tokens = slices.DeleteFunc(slices.Clone(r.state.Tokens), func(t RefreshToken) bool {
		return !t.SpentTime.IsZero() && r.now.Sub(t.SpentTime) > refreshGrace
	})
	i := slices.IndexFunc(r.state.Tokens, func(t RefreshToken) bool { return t.Secret == secret })
	if i < 0 {
		r.reused = true
		return nil
	}
	r.used = r.state.Tokens[i]
	if len(r.state.Tokens) >= refreshTokens {
		return rateLimited("the session was refreshed too often; try again shortly", refreshGrace)
	}
	return nil
}

// add returns the tokens that the session has after the use, with the new one.
func (r *rotation) add(secret Hash) []RefreshToken {
	for i := range r.state.Tokens {
		t := &r.state.Tokens[i]
		if t.Generation <= r.used.Generation && t.SpentTime.IsZero() {
			t.SpentTime = r.now
		}
	}
	return append(r.state.Tokens, RefreshToken{Secret: secret, Generation: r.used.Generation + 1})
}

func invalidSession() *chat.Error {
	return &chat.Error{
		Code: chat.CodeUnauthenticated, Reason: chat.ReasonInvalidSession, Message: "the token isn't valid; sign in",
	}
}
