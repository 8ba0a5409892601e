// Package rpc is the wire: it turns requests into calls of [chat.Service] and what happens into bytes.
//
// One port serves gRPC, gRPC-Web and Connect, the REST form of reading history, and health. A request passes, in this order: limits on its
// address and size (http.go), the token (caller.go), decoding (codec.go), the schema's rules (validate.go), and then its method in the file
// of its noun. Every error leaves through errors.go.
//
// Stream and Subscribe are one code path, a session (stream.go): the handler's goroutine reads, one more writes what the hub has for the
// stream. What carries it is a wire: HTTP (stream_http.go), or for a Stream also a WebSocket (websocket.go: the handshake, websocket_stream.go: its
// life, websocket_wire.go: reading and writing). What a session says leaves as frames: events encoded once by [Encoder], shared by all streams that get them, and only copied here.
//
// The package knows no SQL and no rules of the product; it is the only one of the server that knows generated types.
package rpc
