package account

import (
	"sync/atomic"

	"golang.org/x/crypto/argon2"
)

// What tests of the package from outside, which use accounttest, need of its inside.

// CountHashes counts the hashes that the service computes from now on.
func (s *Service) CountHashes() *atomic.Int64 {
	var n atomic.Int64
	s.HookHashes(func() { n.Add(1) })
	return &n
}

// HookHashes calls before ahead of each hash, within its place among those under way.
func (s *Service) HookHashes(before func()) {
	s.hasher.derive = func(password, salt []byte, passes, memoryKiB uint32, threads uint8, keyLen uint32) []byte {
		before()
		return argon2.IDKey(password, salt, passes, memoryKiB, threads, keyLen)
	}
}

// RefreshTokens and AccessTokens are how many of each a session has at most.
const (
	RefreshTokens = refreshTokens
	AccessTokens  = accessTokens
)

// FloodRate is how many unknown tokens an address may try.
var FloodRate = floodRate

// ParseAccessToken returns the hash of a token.
func ParseAccessToken(s string) (Hash, bool) { return parseAccessToken(s) }
