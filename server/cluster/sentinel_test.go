package cluster

import (
	"testing"

	"github.com/natterjack-chat/natterjack/server/internal/testservers"
)

// sentinelURL starts a master with a sentinel, and returns the URL of the latter.
func sentinelURL(t *testing.T) string {
	t.Helper()
	url, _ := testservers.StartRedisSentinel(t)
	return url
}
