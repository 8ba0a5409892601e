package testservers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Postgres returns the URL of an empty database that no other test uses meanwhile. It is on the server that the environment
// names, or else on one that all tests of this process share.
func Postgres(t testing.TB) string {
	t.Helper()
	if server := os.Getenv(DatabaseURLVariable); server != "" {
		database := newDatabase(t, server)
		t.Cleanup(func() {
			if err := execute(server, "DROP DATABASE "+nameOf(database)+" WITH (FORCE)"); err != nil {
				t.Errorf("dropping the test's database: %v", err)
			}
		})
		return database
	}
	s, err := sharedPostgres()
	if err != nil {
		t.Fatal(err)
	}
	database := usedDatabases.take()
	if database == "" {
		database = newDatabase(t, s.URL)
	}
	t.Cleanup(func() {
		if err := wipe(database); err != nil {
			t.Errorf("wiping the test's database: %v", err)
			return
		}
		usedDatabases.put(database)
	})
	return database
}

// usedDatabases are the databases of tests that have ended. Creating and dropping one takes a second, and wiping it a hundredth.
var usedDatabases pile

type pile struct {
	mu   sync.Mutex
	urls []string
}

func (p *pile) take() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.urls) == 0 {
		return ""
	}
	last := len(p.urls) - 1
	url := p.urls[last]
	p.urls = p.urls[:last]
	return url
}

func (p *pile) put(url string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.urls = append(p.urls, url)
}

// wipe ends everything in a database and makes it as new.
func wipe(database string) error {
	return errors.Join(
		execute(database, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"),
		execute(database, "ALTER DATABASE "+nameOf(database)+" RESET ALL"),
		execute(database, "DROP SCHEMA public CASCADE"),
		execute(database, "CREATE SCHEMA public"),
	)
}

// StartPostgres starts a server that this test alone uses and may break. It is stopped at the end of the test.
func StartPostgres(t testing.TB) *Server {
	t.Helper()
	s, err := launchPostgres()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.end)
	s.URL = newDatabase(t, s.URL)
	return s
}

var sharedPostgres = sync.OnceValues(launchPostgres)

func launchPostgres() (*Server, error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	s, err := launch(postgres{bin})
	if err != nil {
		return nil, fmt.Errorf("starting PostgreSQL: %w", err)
	}
	s.URL = "postgres://natterjack@" + s.Addr + "/postgres?sslmode=disable"
	return s, nil
}

// newDatabase creates a database beside the one that a URL names and returns its URL.
func newDatabase(t testing.TB, server string) string {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("%s: %v", DatabaseURLVariable, errors.Unwrap(err)) // the URL may hold a password
	}
	name := "natterjack_test_" + strings.ToLower(rand.Text()[:12])
	if err := execute(server, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("creating a database for the test: %v", err)
	}
	u.Path = "/" + name
	return u.String()
}

// nameOf returns the name of the database that a URL of newDatabase names.
func nameOf(database string) string {
	u, err := url.Parse(database)
	if err != nil {
		return "" // newDatabase made it
	}
	return strings.TrimPrefix(u.Path, "/")
}

// execute runs one statement on a connection of its own.
func execute(server, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, statement)
	return errors.Join(err, c.Close(ctx))
}

// postgres runs PostgreSQL from the folder of its programs.
type postgres struct{ bin string }

func (p postgres) prepare(dir string) error {
	account, err := servant()
	if err != nil {
		return err
	}
	initdb := exec.Command(filepath.Join(p.bin, "initdb"), "--pgdata="+filepath.Join(dir, "data"), "--username=natterjack", "--auth=trust",
		"--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
	initdb.Dir = dir
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: account}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func (p postgres) command(dir string, port int) []string {
	return []string{
		filepath.Join(p.bin, "postgres"), "-D", filepath.Join(dir, "data"), "-p", strconv.Itoa(port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=" + dir, "-c", "max_connections=200",
		// As in production: what is committed is on the disk.
		"-c", "fsync=on", "-c", "synchronous_commit=on", "-c", "full_page_writes=on", "-c", "wal_compression=lz4",
		"-c", "max_wal_size=4GB", "-c", "shared_buffers=256MB",
	}
}

func (postgres) ready(addr string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, "postgres://natterjack@"+addr+"/postgres?sslmode=disable")
	if err != nil {
		return false
	}
	return c.Close(ctx) == nil
}

func (postgres) crash() syscall.Signal { return syscall.SIGQUIT } // the immediate shutdown

func (postgres) processes(pid int) ([]int, error) {
	// Each connection has a process, which isn't in the group of the first.
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(pid)).Output()
	if err != nil {
		return []int{pid}, fmt.Errorf("listing the processes of PostgreSQL: %w", err)
	}
	pids := []int{pid}
	for word := range strings.FieldsSeq(string(out)) {
		child, err := strconv.Atoi(word)
		if err != nil {
			return nil, err
		}
		pids = append(pids, child)
	}
	return pids, nil
}

// postgresPrograms finds the folder with the newest installed server.
func postgresPrograms() (string, error) {
	var found []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", // Debian
		"/usr/pgsql-*/bin",          // Red Hat
		"/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin",
	} {
		folders, _ := filepath.Glob(pattern) // fails for bad patterns only
		for _, f := range folders {
			if _, err := os.Stat(filepath.Join(f, "postgres")); err == nil {
				found = append(found, f)
			}
		}
	}
	if len(found) > 0 {
		slices.SortFunc(found, func(a, b string) int { return version(a) - version(b) })
		return found[len(found)-1], nil
	}
	if p, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(p), nil
	}
	return "", missing("PostgreSQL", DatabaseURLVariable)
}

// version reads the first number in a folder's path.
func version(folder string) int {
	i := strings.IndexAny(folder, "0123456789")
	if i < 0 {
		return 0
	}
	digits := folder[i:]
	if end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		digits = digits[:end]
	}
	n, _ := strconv.Atoi(digits)
	return n
}

func missing(what, variable string) error {
	return fmt.Errorf("this test needs %s, which isn't installed: run server/internal/testservers/install.sh, or set %s", what, variable)
}
