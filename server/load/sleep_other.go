//go:build !linux

package load

import "time"

func sleepFinely(d time.Duration) { time.Sleep(d) }
