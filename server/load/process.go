package load

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// process is what the kernel says of a process (Linux, proc(5)).
type process struct {
	cpu       time.Duration
	rss, peak int64
}

// clockTick is the unit of times in /proc, 1/100 s on every Linux that Go runs on (USER_HZ).
const clockTick = 10 * time.Millisecond

// readProcess returns nil for pid 0, for a process that can't be read, and where there is no /proc.
func readProcess(pid int) *process {
	if pid == 0 {
		return nil
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil
	}
	return parseProcess(stat, status)
}

func parseProcess(stat, status []byte) *process {
	// The name, in parentheses, may hold anything; what follows the last one are fields 3 and up.
	_, rest, ok := cutLast(stat, ')')
	fields := bytes.Fields(rest)
	if !ok || len(fields) < 13 {
		return nil
	}
	var ticks int64
	for _, f := range fields[11:13] { // utime and stime, fields 14 and 15
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return nil
		}
		ticks += n
	}
	return &process{cpu: time.Duration(ticks) * clockTick, rss: statusBytes(status, "VmRSS:"), peak: statusBytes(status, "VmHWM:")}
}

func cutLast(b []byte, sep byte) (before, after []byte, ok bool) {
	i := bytes.LastIndexByte(b, sep)
	if i < 0 {
		return b, nil, false
	}
	return b[:i], b[i+1:], true
}

// statusBytes reads a line such as "VmRSS:   123 kB".
func statusBytes(status []byte, name string) int64 {
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			f := bytes.Fields(rest)
			if len(f) == 0 {
				return 0
			}
			n, _ := strconv.ParseInt(string(f[0]), 10, 64) // 0 where it isn't a number
			return n * 1024
		}
	}
	return 0
}

func usage(before, after *process) *ServerUsage {
	if before == nil || after == nil {
		return nil
	}
	return &ServerUsage{CPUSeconds: (after.cpu - before.cpu).Seconds(), RSSBytes: after.rss, PeakRSSBytes: after.peak}
}
