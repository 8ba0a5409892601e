// Package fleet is many users with many devices that use a server and record what it does.
//
// A [Device] is the Go client over a transport that records every request and event below it (transport.go), and a [Mirror] of what its
// events make (mirror.go). A [Raw] device speaks to the server with the generated clients, by any protocol. [Fleet.Run] lets devices
// chat at random, by a seed, until so many messages are acknowledged; [Fleet.Settle] waits until all has come to rest, fetches what
// is stored, and returns the [history.Run] for [history.Check].
//
// It knows nothing of the server but its URL: what goes wrong there meanwhile is the test's business.
package fleet
