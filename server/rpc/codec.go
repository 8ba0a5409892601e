package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/natterjack-chat/natterjack/server/hub"
)

// The codecs do for all messages what connect's own do, and know two more types: a received request, which keeps the reason why it
// couldn't be decoded instead of failing, so that it is answered with a detail or, on a stream, by an event; and a frame, which is made of bytes
// that were encoded before.

// maxNesting is how deep messages may be nested in a request. The schema needs 4.
const maxNesting = 32

// received is a request as it came.
type received[T any] struct {
	msg T
	err error // why it couldn't be decoded; nil otherwise
}

// incoming is a received of any type.
type incoming interface {
	target() proto.Message
	fail(error)
}

func (r *received[T]) target() proto.Message {
	return any(&r.msg).(proto.Message) //nolint:forcetypeassert,errcheck // only made for generated messages
}

func (r *received[T]) fail(err error) { r.err = err }

// frame is what one write to a stream says: events that were encoded before.
type frame struct {
	events []*hub.Frame
}

// Names of the codecs, which are part of content types.
const (
	protoName    = "proto"
	jsonName     = "json"
	jsonUTF8Name = "json; charset=utf-8"
)

// codecs returns the options that put our codecs in the place of connect's.
func codecs() connect.HandlerOption {
	return connect.WithHandlerOptions(
		connect.WithCodec(binaryCodec{}), connect.WithCodec(jsonCodec{jsonName}), connect.WithCodec(jsonCodec{jsonUTF8Name}),
	)
}

func asProto(message any) (proto.Message, error) {
	if m, ok := message.(proto.Message); ok {
		return m, nil
	}
	return nil, fmt.Errorf("%T is no protobuf message", message)
}

type binaryCodec struct{}

func (binaryCodec) Name() string   { return protoName }
func (binaryCodec) IsBinary() bool { return true }

func (c binaryCodec) Marshal(message any) ([]byte, error) { return c.MarshalAppend(nil, message) }

func (binaryCodec) MarshalAppend(b []byte, message any) ([]byte, error) {
	if f, ok := message.(*frame); ok {
		for _, e := range f.events {
			b = append(b, e.Binary()...)
		}
		return b, nil
	}
	m, err := asProto(message)
	if err != nil {
		return nil, err
	}
	return proto.MarshalOptions{}.MarshalAppend(b, m)
}

func (c binaryCodec) MarshalStable(message any) ([]byte, error) {
	if _, ok := message.(*frame); ok {
		return c.Marshal(message)
	}
	m, err := asProto(message)
	if err != nil {
		return nil, err
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

func (binaryCodec) Unmarshal(b []byte, message any) error {
	return unmarshal(message, func(m proto.Message) error {
		// What this version doesn't know it doesn't keep.
		return proto.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: maxNesting}.Unmarshal(b, m)
	})
}

type jsonCodec struct{ name string }

func (c jsonCodec) Name() string { return c.name }
func (jsonCodec) IsBinary() bool { return false }

func (c jsonCodec) Marshal(message any) ([]byte, error) { return c.MarshalAppend(nil, message) }

func (jsonCodec) MarshalAppend(b []byte, message any) ([]byte, error) {
	if f, ok := message.(*frame); ok {
		return f.appendJSON(b), nil
	}
	m, err := asProto(message)
	if err != nil {
		return nil, err
	}
	return protojson.MarshalOptions{}.MarshalAppend(b, m)
}

func (f *frame) appendJSON(b []byte) []byte {
	b = append(b, `{"events":[`...)
	between := ""
	for _, e := range f.events {
		if e == nothing {
			continue
		}
		b = append(append(b, between...), e.JSON()...)
		between = ","
	}
	return append(b, `]}`...)
}

func (c jsonCodec) MarshalStable(message any) ([]byte, error) {
	b, err := c.Marshal(message)
	if err != nil {
		return nil, err
	}
	var compact bytes.Buffer
	// protojson varies its white space on purpose.
	if err := json.Compact(&compact, b); err != nil {
		return nil, err
	}
	return compact.Bytes(), nil
}

var errNoJSON = errors.New("it is empty, and has to be a JSON object")

func (jsonCodec) Unmarshal(b []byte, message any) error {
	return unmarshal(message, func(m proto.Message) error {
		if len(b) == 0 {
			return errNoJSON
		}
		return protojson.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: maxNesting}.Unmarshal(b, m)
	})
}

// unmarshal decodes into a message, or into a received request, for which it never fails.
func unmarshal(message any, decode func(proto.Message) error) error {
	if r, ok := message.(incoming); ok {
		if err := decode(r.target()); err != nil {
			r.fail(unreadable(err))
		}
		return nil
	}
	m, err := asProto(message)
	if err != nil {
		return err
	}
	return decode(m)
}
