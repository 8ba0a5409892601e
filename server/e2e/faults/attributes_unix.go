//go:build unix && !linux

package faults

import "syscall"

// attributes make a server take along what it has started, when the test ends it.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
