package load

import (
	"context"
	"time"
)

// fine is the end of a wait that is left to the kernel's clock. A sender whose next message is further away waits cancellably for the rest.
const fine = 5 * time.Millisecond

// Sleep waits for d, to within a tenth of a millisecond on an idle Linux machine, and reports whether ctx lasted as long; the last 5 ms it waits
// in any case.
//
// A timer of Go's runtime is late by up to a millisecond there: it waits in epoll_wait, whose time is counted in whole ones. A message at a fixed rate
// would be sent half a millisecond late on average, and the delay be taken for the server's.
func Sleep(ctx context.Context, d time.Duration) bool {
	due := time.Now().Add(d)
	if d > fine && !sleep(ctx, d-fine) {
		return false
	}
	for d = time.Until(due); d > 0; d = time.Until(due) {
		sleepFinely(d)
	}
	return ctx.Err() == nil
}
