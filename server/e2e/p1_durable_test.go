package e2e

import (
	"fmt"
	"sync"
	"testing"

	"github.com/natterjack-chat/natterjack/server/e2e/faults"
)

// TestP1AcknowledgedMeansStored kills the server while messages are on their way. What was acknowledged is there when it comes back.
func TestP1AcknowledgedMeansStored(t *testing.T) {
	t.Parallel()
	s := faults.Start(t, faults.Options{})
	w := newWorld(t, s.URL)
	for round := range 3 {
		acknowledged := make(chan struct{}, 1000)
		var sending sync.WaitGroup
		for _, d := range w.Devices() {
			sending.Go(func() {
				for i := range 100 {
					if _, err := d.SendWait(limit(t), w.room, fmt.Sprintf("%d of round %d", i, round)); err != nil {
						t.Error(err)
						return
					}
					acknowledged <- struct{}{}
				}
			})
		}
		for range 50 + 30*round {
			<-acknowledged
		}
		s.Kill()
		w.Recorder.Crashed()
		s.Start()
		sending.Wait()
	}
	w.clean(t)
	if got := w.Recorder.Acknowledged(); got != 900 {
		t.Fatalf("%d messages were acknowledged, not 900", got)
	}
}
