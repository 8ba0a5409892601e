package load

import (
	"syscall"
	"time"
)

// sleepFinely waits for d, or less where a signal comes.
func sleepFinely(d time.Duration) {
	t := syscall.NsecToTimespec(d.Nanoseconds())
	_ = syscall.Nanosleep(&t, nil)
}
