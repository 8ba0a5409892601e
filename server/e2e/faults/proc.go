package faults

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/natterjack-chat/natterjack/server/internal/testservers"
)

// Patience is how long tests wait for what has to come: long enough for a busy machine, so that running out of it is a fault.
const Patience = 60 * time.Second

// Await waits until a condition holds, and fails the test if it doesn't.
func Await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain: %s", Patience, what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// builds are the binaries of this test process, by build tag.
var builds = struct {
	sync.Mutex
	dir    string
	binary map[string]string
}{binary: map[string]string{}}

// Binary returns the path of the server's binary with a build tag, built when first asked for.
func Binary(t testing.TB, tag string) string {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
	if path, ok := builds.binary[tag]; ok {
		return path
	}
	if builds.dir == "" {
		dir, err := os.MkdirTemp("", "natterjack-e2e-") //nolint:usetesting // for all tests of the process
		if err != nil {
			t.Fatal(err)
		}
		builds.dir = dir
	}
	path := filepath.Join(builds.dir, "natterjack-"+tag)
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", tag, "-o", path, "github.com/natterjack-chat/natterjack/server/cmd/natterjack")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the server: %v\n%s", err, out)
	}
	builds.binary[tag] = path
	return path
}

// RemoveBinaries removes what Binary built; for TestMain.
func RemoveBinaries() error {
	builds.Lock()
	defer builds.Unlock()
	clear(builds.binary)
	return os.RemoveAll(builds.dir)
}

// Options say how to run a server. The zero value is a plain one.
type Options struct {
	// Binary is what to run; empty: Binary(t, "").
	Binary string
	// Env is added to the environment.
	Env []string
	// DiskBytes, unless 0, puts the data on a file system of that size, which is gone with the process. See [Server.Ballast].
	DiskBytes int
}

// Server is the real binary in a process of its own, with a data folder and an address that it keeps when it is started again.
// It dies with the test. Methods are called by one goroutine at a time.
type Server struct {
	URL string

	t       testing.TB
	options Options
	dir     string
	port    int
	log     *tail
	cmd     *exec.Cmd
	exited  chan struct{} // closed when the process has ended
	err     error         // of its end; set before exited is closed
}

// Start runs a server on a free port of 127.0.0.1 and waits until it is ready.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	if o.DiskBytes != 0 {
		needMounts(t)
	}
	if o.Binary == "" {
		o.Binary = Binary(t, "")
	}
	s := &Server{t: t, options: o, dir: t.TempDir(), port: testservers.FreePort(), log: &tail{}}
	s.URL = "http://127.0.0.1:" + strconv.Itoa(s.port)
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("the server's last words:\n%s", s.log)
		}
	})
	s.Start()
	return s
}

// Start starts the process, again after it has ended, and waits until it is ready.
func (s *Server) Start() {
	s.t.Helper()
	s.cmd = s.command()
	s.cmd.Env = append(os.Environ(), "NATTERJACK_LISTEN=127.0.0.1:"+strconv.Itoa(s.port), "NATTERJACK_LOG_LEVEL=info")
	s.cmd.Env = append(s.cmd.Env, "NATTERJACK_DATABASE_URL=sqlite:"+filepath.Join(s.dir, "natterjack.db"))
	s.cmd.Env = append(append(s.cmd.Env, unlimited...), s.options.Env...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.SysProcAttr = attributes()
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	cmd, exited := s.cmd, make(chan struct{})
	s.exited = exited
	go func() { // ends with the process
		s.err = cmd.Wait()
		close(exited)
	}()
	Await(s.t, "the server is ready", func() bool {
		select {
		case <-exited:
			s.t.Fatalf("the server ended: %v\n%s", s.err, s.log)
		default:
		}
		return s.Ready()
	})
}

func (s *Server) command() *exec.Cmd {
	ctx := context.Background() // it outlives whatever starts it, and Kill ends it
	if s.options.DiskBytes == 0 {
		return exec.CommandContext(ctx, s.options.Binary, "serve")
	}
	mount := fmt.Sprintf("mount -t tmpfs -o size=%d tmpfs %s && exec %s serve", s.options.DiskBytes, s.dir, s.options.Binary)
	return exec.CommandContext(ctx, "unshare", mountFlags(), "sh", "-c", mount)
}

// mountFlags make unshare give a process mounts of its own: as root, or as one in its own eyes.
func mountFlags() string {
	if os.Geteuid() == 0 {
		return "-m"
	}
	return "-Urm"
}

// needMounts skips the test where the system doesn't let a process have mounts of its own.
func needMounts(t testing.TB) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "unshare", mountFlags(), "true").CombinedOutput(); err != nil {
		t.Skipf("a full disk needs a mount of its own, which this system doesn't give: %v %s", err, out)
	}
}

// PID is the number of the process. There has to be one.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Ready reports whether the server says that it is ready.
func (s *Server) Ready() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/readyz", http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Running reports whether the process is there.
func (s *Server) Running() bool {
	if s.cmd == nil {
		return false
	}
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// Kill ends the process at once (kill -9) and waits until it is gone. Does nothing where there is none.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	<-s.exited
	s.cmd = nil
}

// Terminate asks the process to end (SIGTERM) and returns what it ended with.
func (s *Server) Terminate() error {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	select {
	case <-s.exited:
		s.cmd = nil
		return s.err
	case <-time.After(Patience):
		return errors.New("the server didn't end")
	}
}

// Freeze stops the process (SIGSTOP) until Thaw.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw lets a frozen process go on (SIGCONT).
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := syscall.Kill(-s.cmd.Process.Pid, sig); err != nil {
		s.t.Fatal(err)
	}
}

// Memory returns the resident memory of the process in bytes.
func (s *Server) Memory() int64 {
	s.t.Helper()
	return Resident(s.t, s.cmd.Process.Pid)
}

// Resident returns the resident memory of a process in bytes.
func Resident(t testing.TB, pid int) int64 {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells the memory of a process by a file")
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatal("the process tells no VmRSS")
	return 0
}

// Ballast fills the server's small file system up with a file, so that nothing more fits, and returns a function that takes it away again.
func (s *Server) Ballast() (remove func()) {
	s.t.Helper()
	// The mount is the process's own: only it can see it.
	path := filepath.Join(fmt.Sprintf("/proc/%d/root", s.cmd.Process.Pid), s.dir, "ballast")
	return fillUp(s.t, path)
}

// tail keeps the end of a log. Safe for concurrent use.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// tailBytes is enough to see what went before the end.
const tailBytes = 16 << 10

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if over := len(l.text) - tailBytes; over > 0 {
		l.text = append(l.text[:0], l.text[over:]...)
	}
	return len(p), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}
