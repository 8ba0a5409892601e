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

// openSocket is the life of a WebSocket up to hello. What is long goes on in a goroutine of its own, because opening takes a deep stack, and one that has been
// deep stays large: it would be most of what an idle stream holds.
func (s *Server) openSocket(k *socket) {
	ctx := context.WithValue(context.Background(), requestKey{}, k.request)
	var ss *session
	var o *opening
	err := protected(func() (err error) {
		ss, o, err = s.openSocketStream(ctx, k)
		return err
	})
	if ss == nil {
		s.endSocket(ctx, k, err)
		return
	}
	go s.runSocket(ctx, k, ss, o)
}

// runSocket is the life of a WebSocket from hello on.
func (s *Server) runSocket(ctx context.Context, k *socket, ss *session, o *opening) {
	s.endSocket(ctx, k, protected(func() error { return ss.run(ctx, o) }))
}

// protected turns a panic into an error.
func protected(f func() error) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = panicked(fault)
		}
	}()
	return f()
}

// endSocket says how the stream ended, and tells of it as of other requests.
func (s *Server) endSocket(ctx context.Context, k *socket, err error) {
	defer s.sockets.remove(k)
	draining := s.draining.Err() != nil
	if err != nil && draining && !k.heard.Load() {
		err, k.violation = errDraining, envelope.CloseGoingAway
	}
	if k.release != nil {
		k.release()
	}
	var status *connect.Error
	_ = errors.As(s.status(ctx, err), &status) // nil where it ended well
	k.end(status, draining)
	s.finish(ctx, k.request, k.opened)
}

// openSocketStream does in the order of the other transports what they do before a stream's session: the address, the token, and only then what is said.
func (s *Server) openSocketStream(ctx context.Context, k *socket) (ss *session, o *opening, err error) {
	if k.release, err = s.streams.take(k.request.address); err != nil {
		return nil, nil, err
	}
	header, err := k.metadata(time.Now().Add(s.limits.HelloTimeout))
	if err != nil {
		return nil, nil, err
	}
	if err := s.authenticateStream(ctx, header); err != nil {
		return nil, nil, err
	}
	k.frames.SetLimit(s.limits.RequestBytes)
	return s.openStream(ctx, k)
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
