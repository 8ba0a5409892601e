// Package nodetest starts whole nodes for tests: real ones, on free ports of this machine, with their data in the test's folder.
//
// A node that logs an error, doesn't drain, or leaves goroutines behind fails the test. [Start] starts one node, [StartCluster] several that share
// a store and a bus; [Server.SignUp] makes users; [Server.Chat] makes generated clients over each of [Protocols].
package nodetest
