package rpc

import (
	"compress/gzip"
	"errors"
	"io"

	"connectrpc.com/connect"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// compression lets clients of unary calls compress with gzip, and bounds what a compressed request may grow to. Connect alone would refuse to keep a message that is
// too large, but decompress all of it to tell its size.
func compression(limits *Limits) connect.HandlerOption {
	return connect.WithHandlerOptions(
		connect.WithCompression("gzip",
			func() connect.Decompressor { return &boundedGzip{most: limits.RequestBytes} },
			func() connect.Compressor { return gzip.NewWriter(io.Discard) }),
		connect.WithCompressMinBytes(limits.CompressAbove),
	)
}

// noCompression is for streams: what they carry is small, and a compressor for each would cost more memory than all else about it.
func noCompression() connect.HandlerOption { return connect.WithCompression("gzip", nil, nil) }

// boundedGzip reads gzip up to a size. Its errors reach the client as they are. One goroutine uses it at a time.
type boundedGzip struct {
	most   int
	left   int
	source io.Reader // not nil: its beginning hasn't been read
	zip    gzip.Reader
}

// Reset reads nothing yet, so that all errors come from Read.
func (g *boundedGzip) Reset(source io.Reader) error {
	g.source, g.left = source, g.most
	return nil
}

func (g *boundedGzip) Close() error {
	g.source = nil
	return nil
}

func (g *boundedGzip) Read(p []byte) (int, error) {
	if g.source != nil {
		err := g.zip.Reset(g.source)
		g.source = nil
		if err != nil {
			return 0, damaged(err)
		}
	}
	n, err := g.zip.Read(p)
	if g.left -= n; g.left < 0 {
		return n, wireError(tooLarge())
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return n, damaged(err)
	}
	return n, err
}

func damaged(err error) error {
	return wireError(&chat.Error{
		Code: chat.CodeInvalidArgument, Reason: chat.ReasonInvalidField, Message: "the request is not gzip, or damaged: " + err.Error(),
	})
}
