// Package envelope reads and writes the messages of the stream over WebSocket: each binary message is one envelope of Connect's streaming
// protocol, that is a byte of flags, the length of the data in four bytes (big-endian), and the data. The format as a whole, with
// the order in which messages have to come, is specified in api/README.md; server/rpc and server/client hold to it.
//
// Frames of WebSocket are read by [Reader] and appended to a buffer by the functions, so that whatever waits leaves with one write. An idle
// connection holds nothing but the Reader's small buffer.
package envelope
