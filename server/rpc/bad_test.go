package rpc_test

import (
	"strings"
	"time"

	"connectrpc.com/connect"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/node"
)

// Answers to bad input.
var (
	invalidField = want{connect.CodeInvalidArgument, chatv1.ErrorReason_ERROR_REASON_INVALID_FIELD}
	invalidID    = want{connect.CodeInvalidArgument, chatv1.ErrorReason_ERROR_REASON_INVALID_ID}
	invalidToken = want{connect.CodeInvalidArgument, chatv1.ErrorReason_ERROR_REASON_INVALID_TOKEN}
	tooLarge     = want{connect.CodeResourceExhausted, chatv1.ErrorReason_ERROR_REASON_TOO_LARGE}
)

func letters(n int) string { return strings.Repeat("x", n) }

func shortHello(c *node.Config) { c.RPC.HelloTimeout = 300 * time.Millisecond }
