package rpc

import (
	"context"
	"net/http"
	"net/netip"
	"strings"

	"connectrpc.com/connect"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/chat"
)

// Accounts tells whose access tokens are. Implemented by [account.Service].
type Accounts interface {
	// Authenticate may answer from memory; address is where the token comes from.
	Authenticate(ctx context.Context, token string, address netip.Addr) (account.Identity, error)
	// Confirm asks the store.
	Confirm(ctx context.Context, token string) (account.Identity, error)
}

// maxTokenBytes is far above what an access token of this server has.
const maxTokenBytes = 512

// CallerFrom returns who makes the call that ctx belongs to. It is never zero in a method that needs a token.
func CallerFrom(ctx context.Context) chat.Caller { return requestFrom(ctx).identity.Caller }

// AddressFrom returns the address of the client that makes the call: the peer's, or what a trusted proxy says. The zero address
// where it isn't known.
func AddressFrom(ctx context.Context) netip.Addr { return requestFrom(ctx).address }

// authenticate finds out who sends a request, and holds the user to their rate.
func (s *Server) authenticate(ctx context.Context, header http.Header) error {
	token, err := bearer(header)
	if err != nil {
		return err
	}
	r := requestFrom(ctx)
	identity, err := s.accounts.Authenticate(ctx, token, r.address)
	if err != nil {
		return err
	}
	r.identity, r.token = identity, token
	return s.userRates.allow(ctx, identity.Caller.User)
}

// gate is in front of every procedure but those that make a session. It runs before anything is read, so that nothing
// is decoded, decompressed or even waited for on behalf of nobody.
func (s *Server) gate(ctx context.Context, spec connect.Spec, _ connect.Peer, header http.Header) (context.Context, error) {
	authenticate := s.authenticate
	if spec.StreamType != connect.StreamTypeUnary {
		authenticate = s.authenticateStream
	}
	if err := authenticate(ctx, header); err != nil {
		return nil, s.fail(ctx, err)
	}
	return ctx, nil
}

// authenticateStream does so when it is the stream's turn.
func (s *Server) authenticateStream(ctx context.Context, header http.Header) error {
	t := turn{of: s.openings}
	if err := t.enter(ctx); err != nil {
		return err
	}
	defer t.pass()
	return s.authenticate(ctx, header)
}

// bearer returns the token of a request. A token in a cookie or in the URL doesn't count: what a browser adds by itself proves nothing, and URLs are logged.
func bearer(header http.Header) (string, error) {
	values := header.Values("Authorization")
	switch {
	case len(values) == 0:
		return "", invalidSession("this call needs the header Authorization: Bearer <access token>; SignIn gets one")
	case len(values) > 1:
		return "", invalidSession("send the header Authorization once")
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "bearer") || token == "" || len(token) > maxTokenBytes {
		return "", invalidSession("the header Authorization has to be: Bearer <access token>")
	}
	return token, nil
}

func invalidSession(message string) *chat.Error {
	return &chat.Error{Code: chat.CodeUnauthenticated, Reason: chat.ReasonInvalidSession, Message: message}
}
