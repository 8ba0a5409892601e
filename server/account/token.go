package account

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// Tokens are a prefix, which lets secret scanners find leaked ones, and random bytes in base64url without padding.
const (
	accessPrefix  = "nja_"
	refreshPrefix = "njr_"

	secretBytes = 32
	// seriesBytes is enough for a name that can't be guessed. With the secret it makes a multiple of three, which needs no padding bits.
	seriesBytes = 16
)

// tokenEncoding refuses padding bits that aren't zero, so that a token has one spelling only.
var tokenEncoding = base64.RawURLEncoding.Strict()

// newAccessToken returns a fresh access token and its hash.
func newAccessToken() (Secret, Hash) {
	b := make([]byte, secretBytes)
	_, _ = rand.Read(b) // crypto/rand.Read never fails (Go 1.24).
	return NewSecret(accessPrefix + tokenEncoding.EncodeToString(b)), sha256.Sum256(b)
}

// parseAccessToken returns the hash of what may be an access token; ok is false for anything that can't be one.
func parseAccessToken(s string) (h Hash, ok bool) {
	var b [secretBytes]byte
	if !parseToken(s, accessPrefix, b[:]) {
		return h, false
	}
	return sha256.Sum256(b[:]), true
}

// refreshToken is a refresh token in its two halves.
type refreshToken struct {
	series [seriesBytes]byte
	secret [secretBytes]byte
}

// newRefreshToken returns the first refresh token of a session.
func newRefreshToken() (t refreshToken) {
	_, _ = rand.Read(t.series[:])
	return t.next()
}

// next returns a fresh token of the same series.
func (t refreshToken) next() refreshToken {
	_, _ = rand.Read(t.secret[:])
	return t
}

func (t refreshToken) seriesHash() Hash { return sha256.Sum256(t.series[:]) }
func (t refreshToken) secretHash() Hash { return sha256.Sum256(t.secret[:]) }

// reveal returns the token as the client gets it.
func (t refreshToken) reveal() Secret {
	return NewSecret(refreshPrefix + tokenEncoding.EncodeToString(append(t.series[:], t.secret[:]...)))
}

// parseRefreshToken reads what reveal wrote; ok is false for anything that can't be a refresh token.
func parseRefreshToken(s string) (t refreshToken, ok bool) {
	var b [seriesBytes + secretBytes]byte
	if !parseToken(s, refreshPrefix, b[:]) {
		return t, false
	}
	copy(t.series[:], b[:seriesBytes])
	copy(t.secret[:], b[seriesBytes:])
	return t, true
}

// parseToken decodes s into b, which it has to fill exactly.
func parseToken(s, prefix string, b []byte) bool {
	s, ok := strings.CutPrefix(s, prefix)
	if !ok || len(s) != tokenEncoding.EncodedLen(len(b)) {
		return false
	}
	// The decoder skips line breaks, which would give a token further spellings and less bytes.
	n, err := tokenEncoding.Decode(b, []byte(s))
	return err == nil && n == len(b)
}
