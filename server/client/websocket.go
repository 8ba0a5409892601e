package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1/chatv1connect"
	"github.com/natterjack-chat/natterjack/server/internal/envelope"
)

// maxResponseBytes bounds what a server may say at once. It sends far less; see the limits in api/README.md.
const maxResponseBytes = 16 << 20

// NewWebSocketClient returns an HTTP client for [NewWebSocketTransport]: over HTTP/1.1 only, of which WebSockets are made.
func NewWebSocketClient() *http.Client {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Client{Transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		Protocols:           &protocols,
		DialContext:         (&net.Dialer{Timeout: handshakeTimeout}).DialContext,
		TLSHandshakeTimeout: handshakeTimeout,
	}}
}

// NewWebSocketTransport returns a transport that opens each stream over a WebSocket, and so over a connection of its own: it costs the server less memory and
// less work for a message than HTTP/2, and passes proxies that know HTTP/1.1 only. Unary calls don't go over it. httpClient must not
// speak HTTP/2 to the server; nil: one as of [NewWebSocketClient].
func NewWebSocketTransport(httpClient *http.Client, serverURL string) Transport {
	if httpClient == nil {
		httpClient = NewWebSocketClient()
	}
	return &webSocketTransport{http: httpClient, url: baseURL(serverURL) + chatv1connect.ChatServiceStreamProcedure}
}

type webSocketTransport struct {
	http *http.Client
	url  string
}

func (t *webSocketTransport) Open(ctx context.Context, header http.Header) (Stream, error) {
	conn, err := t.handshake(ctx)
	if err != nil {
		return nil, err
	}
	s := &webSocketStream{conn: conn}
	s.frames = envelope.NewClientReader(conn, maxResponseBytes, s.pong)
	s.detach = context.AfterFunc(ctx, func() { _ = conn.Close() })
	metadata := map[string]map[string][]string{"metadata": {"authorization": header.Values("Authorization")}}
	data, err := json.Marshal(metadata)
	if err == nil {
		s.first = envelope.AppendMasked(nil, envelope.Metadata, data) // goes with hello
	}
	return s, err
}

// handshake makes a WebSocket of a request.
func (t *webSocketTransport) handshake(ctx context.Context) (io.ReadWriteCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url, nil)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	key := base64.StdEncoding.EncodeToString(nonce[:])
	r.Header = http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key": {key}, "Sec-Websocket-Protocol": {envelope.Subprotocol},
	}
	res, err := t.http.Do(r)
	if err != nil {
		return nil, connect.NewError(connect.CodeUnavailable, err)
	}
	conn, upgraded := res.Body.(io.ReadWriteCloser)
	if res.StatusCode != http.StatusSwitchingProtocols || !upgraded {
		defer func() { _ = res.Body.Close() }()
		return nil, refused(res)
	}
	if res.Header.Get("Sec-Websocket-Accept") != envelope.AcceptKey(key) || res.Header.Get("Sec-Websocket-Protocol") != envelope.Subprotocol {
		_ = conn.Close()
		return nil, connect.NewError(connect.CodeUnimplemented, errors.New("what answers at this address speaks another protocol over WebSocket"))
	}
	return conn, nil
}

// refused is the error of a handshake that was answered by something else, with codes as Connect gives them to answers of HTTP.
func refused(res *http.Response) error {
	code := connect.CodeUnknown
	switch res.StatusCode {
	case http.StatusUnauthorized:
		code = connect.CodeUnauthenticated
	case http.StatusForbidden:
		code = connect.CodePermissionDenied
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUpgradeRequired:
		code = connect.CodeUnimplemented
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		code = connect.CodeUnavailable
	}
	text, _ := io.ReadAll(io.LimitReader(res.Body, 512))
	return connect.NewError(code, fmt.Errorf("the server answered the WebSocket handshake with %s: %s", res.Status, strings.TrimSpace(string(text))))
}

// webSocketStream is a stream over a WebSocket.
type webSocketStream struct {
	conn   io.ReadWriteCloser
	frames *envelope.Reader // of the goroutine that receives
	detach func() bool      // from the context of Open

	mu    sync.Mutex // held while something is written
	first []byte     // guarded by mu: what goes before all else
	out   []byte     // guarded by mu: room for frames
	data  []byte     // guarded by mu: room for one request
}

func (s *webSocketStream) Send(requests ...*chatv1.StreamRequest) error {
	return s.write(func(b []byte) ([]byte, error) {
		for _, r := range requests {
			var err error
			if s.data, err = (proto.MarshalOptions{}).MarshalAppend(s.data[:0], r); err != nil {
				return nil, connect.NewError(connect.CodeInternal, err)
			}
			b = envelope.AppendMasked(b, envelope.Data, s.data)
		}
		return b, nil
	})
}

// keepBytes bounds the room that a stream keeps for what it sends.
const keepBytes = 16 << 10

// write sends what add appends, with one call.
func (s *webSocketStream) write(add func([]byte) ([]byte, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := add(append(s.out[:0], s.first...))
	if err != nil {
		return err
	}
	s.first, s.out = nil, b
	if cap(b) > keepBytes {
		s.out = nil
	}
	if _, err := s.conn.Write(b); err != nil {
		return connect.NewError(connect.CodeUnavailable, err)
	}
	return nil
}

func (s *webSocketStream) pong(payload []byte) error {
	return s.write(func(b []byte) ([]byte, error) { return envelope.AppendPong(b, payload, true), nil })
}

func (s *webSocketStream) CloseSend() error {
	return s.write(func(b []byte) ([]byte, error) { return envelope.AppendMasked(b, envelope.End, nil), nil })
}

func (s *webSocketStream) Close() error {
	s.detach()
	return s.conn.Close()
}

func (s *webSocketStream) Receive() (*chatv1.StreamResponse, error) {
	flags, data, err := s.frames.Next()
	if err != nil {
		return nil, connect.NewError(connect.CodeUnavailable, fmt.Errorf("the WebSocket ended: %w", err))
	}
	switch flags {
	case envelope.Data:
		r := new(chatv1.StreamResponse)
		if err := proto.Unmarshal(data, r); err != nil {
			return nil, connect.NewError(connect.CodeInternal, err)
		}
		return r, nil
	case envelope.End:
		return nil, endOfStream(data)
	default:
		return nil, connect.NewError(connect.CodeInternal, fmt.Errorf("the server sent an envelope with the flags %#02x", flags))
	}
}

// endOfStream is what Connect's EndStreamResponse says: io.EOF, or the error that the stream ended with.
func endOfStream(data []byte) error {
	var end struct {
		Error *struct {
			Code    connect.Code `json:"code"`
			Message string       `json:"message"`
			Details []struct {
				Type  string `json:"type"`
				Value string `json:"value"`
			} `json:"details"`
		} `json:"error"`
	}
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&end); err != nil {
		return connect.NewError(connect.CodeInternal, fmt.Errorf("the end of the stream can't be read: %w", err))
	}
	if end.Error == nil {
		return io.EOF
	}
	ce := connect.NewWireError(end.Error.Code, errors.New(end.Error.Message))
	for _, d := range end.Error.Details {
		value, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(d.Value, "="))
		if err != nil {
			continue // one that can't be read is as good as none
		}
		if detail, err := connect.NewErrorDetail(&anypb.Any{TypeUrl: "type.googleapis.com/" + d.Type, Value: value}); err == nil {
			ce.AddDetail(detail)
		}
	}
	return ce
}
