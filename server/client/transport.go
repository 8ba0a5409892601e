package client

import (
	"context"
	"encoding/binary"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1/chatv1connect"
)

// Transport opens streams. All that makes a stream reliable (hello, resume, pings, reconnecting) is above it, so a
// transport over another protocol needs nothing but these methods.
type Transport interface {
	// Open starts one stream. header goes with its request and holds the Authorization. The stream ends when ctx does.
	// Open may return before the server has answered: then the first Receive tells what the server thinks of it.
	Open(ctx context.Context, header http.Header) (Stream, error)
}

// Stream is one open stream. Send and Receive may run at the same time as each other, not as themselves; CloseSend and Close may run
// at any time.
type Stream interface {
	// Send hands requests over in order; the implementation sends them together where it can. It may wait for the network,
	// and keeps none of the requests. After an error the stream is of no more use; Receive tells the cause.
	Send(requests ...*chatv1.StreamRequest) error
	// Receive waits for what the server says next. An error is the end: io.EOF where the server ended the stream in good order.
	Receive() (*chatv1.StreamResponse, error)
	// CloseSend tells the server that the client goes; the server ends the stream then. A Send that it meets fails.
	CloseSend() error
	// Close ends the stream at once, makes Send and Receive return, and frees what it holds.
	Close() error
}

// NewHTTPClient returns an HTTP client for streams and calls, over HTTP/2 only: in the clear for http URLs (h2c), with TLS for https. One may
// serve any number of Clients; their streams then share its connections.
func NewHTTPClient() *http.Client {
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		Protocols:           &protocols,
		DialContext:         (&net.Dialer{Timeout: handshakeTimeout}).DialContext,
		TLSHandshakeTimeout: handshakeTimeout,
		IdleConnTimeout:     90 * time.Second,
		// The transport's own pings notice a dead connection also below idle streams and calls.
		HTTP2: &http.HTTP2Config{SendPingTimeout: pingInterval, PingTimeout: handshakeTimeout},
	}}
}

// httpTransport opens streams with the generated client: Connect by default, gRPC or gRPC-Web by option.
type httpTransport struct {
	chat chatv1connect.ChatServiceClient
}

// NewHTTPTransport returns the default transport. httpClient has to speak HTTP/2 to the server.
func NewHTTPTransport(httpClient *http.Client, serverURL string, options ...connect.ClientOption) Transport {
	batching := &http.Client{
		Transport: batchTripper{httpClient.Transport}, CheckRedirect: httpClient.CheckRedirect, Jar: httpClient.Jar,
	}
	plain := connect.WithAcceptCompression("gzip", nil, nil) // of a stream's small frames it costs more than it saves
	return &httpTransport{chat: chatv1connect.NewChatServiceClient(batching, serverURL, append([]connect.ClientOption{plain}, options...)...)}
}

func (t *httpTransport) Open(ctx context.Context, header http.Header) (Stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &httpStream{cancel: cancel}
	ctx, call := connect.NewClientContext(context.WithValue(ctx, batchKey{}, &s.coming))
	maps.Copy(call.RequestHeader(), header)
	stream, err := t.chat.Stream(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	s.stream = stream
	// net/http looks at ctx only between two reads of the request body, once the response has begun: the body has to end too.
	context.AfterFunc(ctx, func() { _ = stream.CloseRequest() })
	return s, nil
}

type httpStream struct {
	stream *connect.BidiStreamForClientSimple[chatv1.StreamRequest, chatv1.StreamResponse]
	cancel context.CancelFunc
	coming atomic.Int64 // envelopes of the present Send that have not been read by the HTTP transport
}

func (s *httpStream) Send(requests ...*chatv1.StreamRequest) error {
	s.coming.Add(int64(len(requests)))
	for _, r := range requests {
		if err := s.stream.Send(r); err != nil {
			return err
		}
	}
	return nil
}

func (s *httpStream) Receive() (*chatv1.StreamResponse, error) { return s.stream.Receive() }

func (s *httpStream) CloseSend() error { return s.stream.CloseRequest() }

func (s *httpStream) Close() error {
	s.cancel()
	return nil
}

// batchKey is where a stream's request context keeps the number of envelopes to come.
type batchKey struct{}

// batchTripper lets the requests of one Send leave as one HTTP/2 frame. connect writes the prefix and the body of each envelope by themselves,
// and net/http sends what one read of the request body returns as a frame with a flush: unbatched, a request costs two system calls here
// and on the server.
type batchTripper struct{ next http.RoundTripper }

func (t batchTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	if coming, ok := r.Context().Value(batchKey{}).(*atomic.Int64); ok && r.Body != nil {
		r = r.Clone(r.Context())
		r.Body = &batchBody{ReadCloser: r.Body, coming: coming}
	}
	next := t.next
	if next == nil {
		next = http.DefaultTransport
	}
	return next.RoundTrip(r)
}

// batchBody reads whole envelopes from a pipe, as many as were announced and fit. Only net/http reads it, one read at a time.
type batchBody struct {
	io.ReadCloser
	coming *atomic.Int64
	left   int // bytes of the present envelope's body that have not been read
	prefix []byte
}

func (b *batchBody) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		want := p[n:]
		if b.left > 0 {
			want = want[:min(len(want), b.left)]
		} else {
			want = want[:min(len(want), 5-len(b.prefix))]
		}
		m, err := b.ReadCloser.Read(want)
		b.took(want[:m])
		n += m
		if err != nil {
			return n, err
		}
		if b.left == 0 && len(b.prefix) == 0 && b.coming.Load() <= 0 {
			break
		}
	}
	return n, nil
}

// took follows the envelopes in what was read.
func (b *batchBody) took(p []byte) {
	if b.left > 0 {
		b.left -= len(p)
	} else {
		b.prefix = append(b.prefix, p...)
		if len(b.prefix) < 5 {
			return
		}
		b.left = int(binary.BigEndian.Uint32(b.prefix[1:]))
		b.prefix = b.prefix[:0]
	}
	if b.left == 0 {
		b.coming.Add(-1)
	}
}

// baseURL returns the URL without slashes at its end, as the generated clients want it.
func baseURL(serverURL string) string { return strings.TrimRight(serverURL, "/") }
