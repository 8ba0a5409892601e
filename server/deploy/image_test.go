package deploy

import (
	"debug/elf"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/natterjack-chat/natterjack/server/internal/testservers"
)

// dockerfile is what Dockerfile says.
type dockerfile struct {
	build      string            // the command that makes /natterjack
	env        map[string]string // of the image
	entrypoint string
}

func readDockerfile(t *testing.T) dockerfile {
	t.Helper()
	text := strings.ReplaceAll(string(must(os.ReadFile("Dockerfile"))(t)), "\\\n", " ")
	d := dockerfile{env: make(map[string]string)}
	for line := range strings.Lines(text) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case word == "RUN" && strings.Contains(rest, "go build"):
			d.build = regexp.MustCompile(`--mount=\S+`).ReplaceAllString(rest, "")
		case word == "ENV":
			name, value, _ := strings.Cut(rest, "=")
			d.env[name] = value
		case word == "ENTRYPOINT":
			d.entrypoint = rest
		}
	}
	if d.build == "" || d.entrypoint != `["/natterjack"]` {
		t.Fatalf("Dockerfile is read as %+v", d)
	}
	return d
}

// TestImageServesFromNothingButItself builds the program as the image does, and runs it as the image's user in a folder that has nothing but it, and of
// which it can write /data alone. Without the right to change the root folder, it is run without that.
func TestImageServesFromNothingButItself(t *testing.T) {
	d := readDockerfile(t)
	root := must(os.MkdirTemp("", "natterjack-image-"))(t) //nolint:usetesting // a test's own folder is not for everybody
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	program := filepath.Join(root, "natterjack")
	build := exec.CommandContext(within(t), "sh", "-c", strings.Replace(d.build, "/natterjack", program, 1))
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", d.build, err, out)
	}
	binary := must(elf.Open(program))(t)
	defer binary.Close()
	for _, p := range binary.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the program isn't static")
		}
	}

	data, port := filepath.Join(root, "data"), testservers.FreePort()
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	serve := exec.CommandContext(t.Context(), program, "serve")
	if os.Getuid() == 0 {
		if err := os.Chmod(root, 0o755); err != nil { // its owner stays root
			t.Fatal(err)
		}
		if err := os.Chown(data, 65532, 65532); err != nil {
			t.Fatal(err)
		}
		serve.Path, serve.Dir = "/natterjack", "/"
		serve.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	} else {
		d.env["NATTERJACK_DATABASE_URL"] = "sqlite:" + data + "/natterjack.db"
	}
	for name, value := range d.env {
		if strings.HasSuffix(name, "_LISTEN") {
			value = "127.0.0.1:0"
		}
		serve.Env = append(serve.Env, name+"="+value)
	}
	serve.Args = append(serve.Args, fmt.Sprintf("--listen=127.0.0.1:%d", port))
	var log strings.Builder
	serve.Stderr = &log
	serve.Cancel = func() error { return serve.Process.Signal(syscall.SIGTERM) }
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	ready := awaitReady(t, fmt.Sprintf("http://127.0.0.1:%d/readyz", port))
	if err := serve.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := serve.Wait(); err != nil || !ready {
		t.Fatalf("ready: %v; ended with %v\n%s", ready, err, log.String())
	}
	if _, err := os.Stat(filepath.Join(data, "natterjack.db")); err != nil {
		t.Error(err)
	}
}

// awaitReady asks until the answer is 200, or it has taken too long.
func awaitReady(t *testing.T, url string) bool {
	t.Helper()
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for ctx := within(t); ctx.Err() == nil; {
		answer, err := fresh.Do(must(http.NewRequestWithContext(ctx, http.MethodGet, url, nil))(t))
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return true
			}
		}
		<-time.After(20 * time.Millisecond)
	}
	return false
}
