package store

import (
	"testing"

	"github.com/natterjack-chat/natterjack/server/chat/chattest"
	"github.com/natterjack-chat/natterjack/server/internal/testservers"
)

func TestPostgresHoldsTheContract(t *testing.T) {
	chattest.TestStore(t, func(tb testing.TB) *chattest.Harness {
		return newHarness(tb, Options{URL: testservers.Postgres(tb)})
	})
}
