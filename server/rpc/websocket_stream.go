package rpc

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"time"

	"connectrpc.com/connect"

	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/internal/envelope"
)

const (
	// metadataBytes bounds what a client says before anybody knows who it is.
	metadataBytes = 8 << 10
	// A socket that is over waits for the client to close it, lingerTime and lingerBytes at most.
	lingerTime, lingerBytes = 2 * time.Second, 1 << 20
)

// serveSocket is the life of a WebSocket.
func (s *Server) serveSocket(k *socket, start time.Time) {
	defer s.sockets.remove(k)
	ctx := context.WithValue(context.Background(), requestKey{}, k.request)
	k.end(s.socketStatus(ctx, k), s.draining.Err() != nil)
	s.finish(ctx, k.request, start)
}

// socketStatus runs the stream of a WebSocket and returns its status, as other transports tell it.
func (s *Server) socketStatus(ctx context.Context, k *socket) (status *connect.Error) {
	defer func() {
		if fault := recover(); fault != nil {
			status = s.fail(ctx, panicked(fault))
		}
	}()
	err := s.socketStream(ctx, k)
	if err != nil && !k.heard.Load() && s.draining.Err() != nil {
		err = errDraining
	}
	if err = s.status(ctx, err); err != nil {
		_ = errors.As(err, &status)
	}
	return status
}

// socketStream does in the order of the other transports what they do before a stream's session: the address, the token, and only then what is said.
func (s *Server) socketStream(ctx context.Context, k *socket) error {
	release, err := s.streams.take(k.request.address)
	if err != nil {
		return err
	}
	defer release()
	header, err := k.metadata(time.Now().Add(s.limits.HelloTimeout))
	if err != nil {
		return err
	}
	if err := s.authenticate(ctx, header); err != nil {
		return err
	}
	k.frames.SetLimit(s.limits.RequestBytes)
	return s.stream(ctx, k)
}

// metadata returns the client's first message as headers: those that mean something here.
func (k *socket) metadata(deadline time.Time) (http.Header, error) {
	k.receiveUntil(deadline)
	flags, data, err := k.frames.Next()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, k.violated(envelope.ClosePolicy, invalidSession("no metadata came in time; they have to be the first message"))
	case err != nil:
		return nil, k.broken(err)
	case flags != envelope.Metadata:
		return nil, k.violated(envelope.CloseProtocol, badMessage("the first message has to be metadata: an envelope with the flags 0x04"))
	}
	var first struct {
		Metadata *struct {
			Authorization []string `json:"authorization"`
		} `json:"metadata"`
	}
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&first); err != nil || first.Metadata == nil {
		return nil, k.violated(envelope.CloseInvalidData, badMessage(`metadata have to be JSON: {"metadata":{"authorization":["Bearer <access token>"]}}`))
	}
	k.receiveUntil(time.Time{})
	return http.Header{"Authorization": first.Metadata.Authorization}, nil
}

func badMessage(text string) *chat.Error {
	return &chat.Error{Code: chat.CodeInvalidArgument, Reason: chat.ReasonInvalidField, Message: text}
}

// end says how the stream ended, and closes. Nothing else touches the socket any more.
func (k *socket) end(status *connect.Error, draining bool) {
	defer func() { _ = k.conn.Close() }()
	if k.sendAborted.Load() || k.cut {
		return
	}
	var b []byte
	if !k.closedByPeer {
		data := endOfStream(status)
		b = append(envelope.AppendPrefix(b, envelope.End, len(data)), data...)
	}
	b = envelope.AppendClose(b, k.closeCode(status, draining), false)
	_ = k.conn.SetWriteDeadline(time.Now().Add(lingerTime))
	if _, err := k.conn.Write(b); err != nil || k.closedByPeer {
		return
	}
	_ = k.conn.SetReadDeadline(time.Now().Add(lingerTime))
	k.frames.Discard(lingerBytes)
}

// closeCode is for people who look at a browser's tools; programs have the status.
func (k *socket) closeCode(status *connect.Error, draining bool) uint16 {
	switch {
	case k.violation != 0:
		return k.violation
	case draining:
		return envelope.CloseGoingAway
	case status == nil:
		return envelope.CloseNormal
	}
	switch status.Code() {
	case connect.CodeUnauthenticated, connect.CodePermissionDenied, connect.CodeResourceExhausted:
		return envelope.ClosePolicy
	default:
		return envelope.CloseNormal
	}
}

// endOfStream is Connect's EndStreamResponse.
func endOfStream(status *connect.Error) []byte {
	type detail struct {
		Type  string `json:"type"`
		Value string `json:"value"`
	}
	type failure struct {
		Code    string   `json:"code"`
		Message string   `json:"message,omitempty"`
		Details []detail `json:"details,omitempty"`
	}
	var end struct {
		Error *failure `json:"error,omitempty"`
	}
	if status != nil {
		end.Error = &failure{Code: status.Code().String(), Message: status.Message()}
		for _, d := range status.Details() {
			end.Error.Details = append(end.Error.Details, detail{d.Type(), base64.RawStdEncoding.EncodeToString(d.Bytes())})
		}
	}
	b, err := json.Marshal(end)
	if err != nil {
		panic(err) // strings can always be encoded
	}
	return b
}
