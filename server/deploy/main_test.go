// Package deploy has no code: it holds files for operators, and tests that run them.
package deploy

import (
	"testing"

	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

func TestMain(m *testing.M) { nodetest.VerifyMain(m) }
