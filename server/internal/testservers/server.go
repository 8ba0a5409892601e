package testservers

import (
	"bufio"
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A test waits this long at most for a server to answer, and for it to end.
const patience = 30 * time.Second

// Server is a private server. Its methods are safe for concurrent use, and end the test where they fail.
type Server struct {
	// URL is where it answers, also after a restart. For PostgreSQL it names a database of the test's own.
	URL string
	// Addr is its host and port, for a proxy before it.
	Addr string

	kind kind
	dir  string

	mu    sync.Mutex // guards what follows
	guard *guard
	pid   int // of the server's first process; 0 while it is down
}

// kind is what PostgreSQL and Redis do each in their own way.
type kind interface {
	// prepare makes the folder ready, once.
	prepare(dir string) error
	// command is what runs in the foreground and serves the port.
	command(dir string, port int) []string
	// ready reports whether the server at the address answers requests.
	ready(addr string) bool
	// crash is the signal that ends all its processes without saving anything.
	crash() syscall.Signal
	// processes lists all that belong to the first process, itself included.
	processes(pid int) ([]int, error)
}

// launch starts a server in a new folder on a free port. Nobody else need ever stop it: it ends with this process.
func launch(k kind) (*Server, error) {
	account, err := servant()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "natterjack-test-")
	if err != nil {
		return nil, err
	}
	s := &Server{kind: k, dir: dir}
	if err := s.launch(account); err != nil {
		s.abandon()
		return nil, err
	}
	return s, nil
}

func (s *Server) launch(account *syscall.Credential) error {
	if account != nil {
		if err := os.Chown(s.dir, int(account.Uid), int(account.Gid)); err != nil {
			return err
		}
	}
	if err := s.kind.prepare(s.dir); err != nil {
		return err
	}
	var err error
	for range 5 { // someone else may take the port first
		port := FreePort()
		s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if s.guard, err = newGuard(s.dir, s.kind, port, account); err != nil {
			return err
		}
		if err = s.up(); err == nil {
			return nil
		}
		s.guard.end(false)
		s.guard, s.pid = nil, 0
	}
	return err
}

// abandon removes what launch left behind.
func (s *Server) abandon() {
	if s.guard != nil {
		s.guard.end(true)
		s.guard, s.pid = nil, 0
		return
	}
	_ = os.RemoveAll(s.dir)
}

// up starts the processes and waits until they answer.
func (s *Server) up() (err error) {
	if s.pid, err = s.guard.start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); !s.kind.ready(s.Addr); {
		switch {
		case !alive(s.pid):
			return fmt.Errorf("the server ended at its start:\n%s", s.log())
		case time.Now().After(deadline):
			return fmt.Errorf("the server doesn't answer at %s:\n%s", s.Addr, s.log())
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}

// Kill ends the server at once, as a power cut would: nothing that isn't on the disk is left. The port answers no more when it returns.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pid == 0 {
		return
	}
	if err := s.guard.stop(s.kind.crash()); err != nil {
		t.Fatalf("killing the server: %v", err)
	}
	s.pid = 0
}

// Start starts the server again after [Server.Kill], on the same port and with what is left of its data, and waits until it answers.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pid != 0 {
		return
	}
	if err := s.up(); err != nil {
		t.Fatalf("starting the server again: %v", err)
	}
}

// Pause stops all of the server's processes where they are: connections stay open and nothing answers, until [Server.Resume].
func (s *Server) Pause(t testing.TB) { t.Helper(); s.signal(t, syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (s *Server) Resume(t testing.TB) { t.Helper(); s.signal(t, syscall.SIGCONT) }

func (s *Server) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pid == 0 {
		t.Fatalf("sending %v: the server is down", sig)
	}
	// The first process comes first when stopping, so that it starts no others meanwhile.
	pids, err := s.kind.processes(s.pid)
	for _, pid := range pids {
		if e := syscall.Kill(pid, sig); e != nil && !errors.Is(e, syscall.ESRCH) {
			err = errors.Join(err, e)
		}
	}
	if err != nil {
		t.Fatalf("sending %v: %v", sig, err)
	}
}

// end stops the server and removes its folder.
func (s *Server) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pid != 0 { // a paused one doesn't end
		pids, _ := s.kind.processes(s.pid)
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}
	s.guard.end(true)
	s.pid = 0
}

// log returns the end of what the server wrote.
func (s *Server) log() string {
	b, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(b[max(0, len(b)-2000):])
}

func alive(pid int) bool {
	// The guard has not waited for it, so an ended process is a zombie, and still takes signals.
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return syscall.Kill(pid, 0) == nil
	}
	return !bytes.HasPrefix(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" Z"))
}

// FreePort returns a port of the loopback interface that nobody listens on, below those that the system gives to outgoing connections: a client that keeps dialling
// a stopped server on one of those connects to itself sooner or later, and then the server can't come back. It is this process's own: while its server is stopped,
// no test of another one gets it.
func FreePort() int { return ownPorts().free() }

// The ports of tests come in blocks. Whoever listens on the first port of a block owns the others.
const (
	firstPort  = 20_000
	portBlocks = 48
	blockPorts = 250
)

// ownPorts is the block of this process.
var ownPorts = sync.OnceValue(claimPorts)

type portBlock struct {
	claim net.Listener // as long as the process lives

	mu    sync.Mutex
	given int // guarded by mu: how many were given out; each comes again after all the others
}

// claimPorts takes a block that nobody has.
func claimPorts() *portBlock {
	for {
		if l, err := listen(firstPort + blockPorts*rand.IntN(portBlocks)); err == nil {
			return &portBlock{claim: l}
		}
	}
}

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}

// free returns the next port of the block that nobody listens on.
func (b *portBlock) free() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	first := b.claim.Addr().(*net.TCPAddr).Port
	for {
		port := first + 1 + b.given%(blockPorts-1)
		b.given++
		if l, err := listen(port); err == nil {
			_ = l.Close()
			return port
		}
	}
}

// servant returns whom servers run as: nil for the present user, and someone unprivileged for root, as which PostgreSQL refuses to run.
func servant() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("there is neither a user postgres nor a user nobody to run the server as")
}

// Owner returns the ids of the user and the group that servers run as.
func Owner() (uid, gid int, err error) {
	account, err := servant()
	if err != nil || account == nil {
		return os.Getuid(), os.Getgid(), err
	}
	return int(account.Uid), int(account.Gid), nil
}

//go:embed guard.sh
var guardScript string

// guard is a shell that starts and stops one server at our word, and ends it and removes its folder when we are gone: its standard input ends
// then, however we ended. (The parent-death signal of Linux would not do: it comes when a thread ends.)
type guard struct {
	shell *exec.Cmd
	in    *os.File
	out   *os.File
	lines *bufio.Reader
}

func newGuard(dir string, k kind, port int, account *syscall.Credential) (*guard, error) {
	stdin, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer stdin.Close()
	out, stdout, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	defer stdout.Close()
	g := &guard{in: in, out: out, lines: bufio.NewReader(out)}
	arguments := append([]string{"-c", guardScript, "guard", dir, signalName(k.crash())}, k.command(dir, port)...)
	g.shell = exec.Command("/bin/sh", arguments...)
	g.shell.Dir, g.shell.Stdin, g.shell.Stdout = dir, stdin, stdout
	// A session of its own: an interrupt from the terminal is for us.
	g.shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: account}
	if err := g.shell.Start(); err != nil {
		return nil, errors.Join(err, in.Close(), out.Close())
	}
	return g, nil
}

// start starts the server's first process and returns its id.
func (g *guard) start() (int, error) {
	answer, err := g.say("start")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(answer)
}

// stop sends the server a signal and returns when it has ended.
func (g *guard) stop(sig syscall.Signal) error {
	_, err := g.say("stop " + signalName(sig))
	return err
}

func (g *guard) say(command string) (string, error) {
	if err := g.in.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintln(g.in, command); err != nil {
		return "", err
	}
	if err := g.out.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	answer, err := g.lines.ReadString('\n')
	return strings.TrimSpace(answer), err
}

// end ends the server with the guard, and its folder if that is wanted.
func (g *guard) end(remove bool) {
	if !remove {
		_, _ = fmt.Fprintln(g.in, "keep")
	}
	_ = g.in.Close()
	_ = g.shell.Wait()
	_ = g.out.Close()
}

func signalName(s syscall.Signal) string {
	if s == syscall.SIGKILL {
		return "KILL"
	}
	return "QUIT"
}
