// Package chat is what the product means: conversations, members, messages, their one order, and who may do what.
//
// A change enters through a method of [Service], waits in the [Committer] for the transaction that stores it together with
// whatever else is waiting, is decided there by a rule (rules.go) against what that transaction sees, and leaves as a [Batch]
// to the [Publisher]. Reads go straight to the [Store].
//
// The package imports nothing of ours: the store, the hub and presence are interfaces that it owns (ports.go).
package chat
