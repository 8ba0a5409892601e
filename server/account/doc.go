// Package account keeps who users are: accounts and their passwords, sessions and their tokens, and how often somebody may try.
//
// [Service] is all of it. Passwords are hashed with argon2id in a bounded line (password.go), tokens are random and stored as SHA-256 only
// (token.go), attempts are counted by a [Limiter] before anything is hashed. [Service.Authenticate] is on the way of every request and answers from memory
// for a few seconds (cache.go); whatever ends a session drops it from there first.
//
// Session, refresh token, access token. A session is a signed-in device. It has a refresh token, which is exchanged for a new pair
// of tokens and is spent thereby, and access tokens, which go with requests and run out within the hour. A refresh token has two halves: the series, which stays the
// same for the session's whole life, and a secret, which is new with each. A known series with a secret that isn't the newest is a token that was spent:
// somebody has a copy. So no spent token has to be kept to recognise it, however old it is. (The idea is Barry Jaspan's, for
// persistent login cookies, 2006.)
//
// The package knows nothing of conversations, connections or SQL: what it needs of them are the interfaces in ports.go.
package account
