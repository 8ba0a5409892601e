package testservers

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// HAProxyPort stands for the port in a configuration of [StartHAProxy].
const HAProxyPort = "${PORT}"

// StartHAProxy starts HAProxy with a configuration, in which one frontend binds "127.0.0.1:${PORT}", in double quotes. Its URL is where that frontend
// answers. It is stopped at the end of the test.
func StartHAProxy(t testing.TB, config string) *Server {
	t.Helper()
	if !strings.Contains(config, HAProxyPort) {
		t.Fatalf("no frontend of the configuration binds %s", HAProxyPort)
	}
	program, err := haproxyProgram()
	if err != nil {
		t.Fatal(err)
	}
	s, err := launch(haproxy{program, config})
	if err != nil {
		t.Fatalf("starting HAProxy: %v", err)
	}
	t.Cleanup(s.end)
	s.URL = "http://" + s.Addr
	return s
}

func haproxyProgram() (string, error) {
	for _, name := range []string{"haproxy", "/usr/sbin/haproxy"} { // where only root looks
		if program, err := exec.LookPath(name); err == nil {
			return program, nil
		}
	}
	return "", errors.New("this test needs HAProxy, which isn't installed: run server/internal/testservers/install.sh")
}

type haproxy struct{ program, config string }

const haproxyFile = "haproxy.cfg"

func (h haproxy) prepare(dir string) error {
	file := filepath.Join(dir, haproxyFile)
	if err := os.WriteFile(file, []byte(h.config), 0o644); err != nil { // whoever it runs as reads it
		return err
	}
	check := exec.Command(h.program, "-dW", "-c", "-f", file) // also for warnings
	check.Env = []string{"PORT=1"}
	if out, err := check.CombinedOutput(); err != nil {
		return fmt.Errorf("the configuration is refused: %w\n%s", err, out)
	}
	return nil
}

func (h haproxy) command(dir string, port int) []string {
	return []string{"env", "PORT=" + strconv.Itoa(port), h.program, "-db", "-f", filepath.Join(dir, haproxyFile)}
}

func (haproxy) ready(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

func (haproxy) crash() syscall.Signal { return syscall.SIGKILL }

func (haproxy) processes(pid int) ([]int, error) { return []int{pid}, nil }
