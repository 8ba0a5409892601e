// Package load puts a server under load as its users would, and reports what came of every message.
//
// A run makes its own users and conversations, opens one stream per user through package client, sends at a fixed rate or with a
// window of unanswered messages, and counts at the receivers. At a fixed rate the time of each message is fixed beforehand, and latency is
// measured from that time, so that a server that stalls can't hide its own delay (G. Tene's "coordinated omission"; vegeta's attacker).
//
// Start reading at run.go. Idle streams are measured apart, in idle.go.
package load
