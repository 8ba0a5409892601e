package faults

import "syscall"

// attributes make a server die with the test, however that ends, and take along what it has started.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
