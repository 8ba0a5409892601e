package testservers

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestPostgresGivesEachTestADatabaseOfItsOwn(t *testing.T) {
	a, b := Postgres(t), Postgres(t)
	query(t, a, "CREATE TABLE mine (id int)")
	if got := query(t, b, "SELECT count(*)::text FROM pg_tables WHERE tablename = 'mine'"); got != "0" {
		t.Errorf("the other database has %s such tables", got)
	}
}

func TestPostgresIsEmptyForTheNextTest(t *testing.T) {
	var first string
	t.Run("a test", func(t *testing.T) {
		first = Postgres(t)
		query(t, first, "CREATE TABLE mine (id int)")
		query(t, first, "ALTER DATABASE "+nameOf(first)+" SET work_mem = '1MB'")
	})
	again := Postgres(t)
	if again != first {
		t.Errorf("the database wasn't used again")
	}
	if got := query(t, again, "SELECT count(*)::text FROM pg_tables WHERE tablename = 'mine'"); got != "0" {
		t.Errorf("it has %s such tables", got)
	}
	if got := query(t, again, "SHOW work_mem"); got == "1MB" {
		t.Error("it keeps its settings")
	}
}

func TestNamedServersDatabaseIsDropped(t *testing.T) {
	s := StartPostgres(t)
	t.Setenv(DatabaseURLVariable, s.URL)
	var name string
	t.Run("a test", func(t *testing.T) {
		name = nameOf(Postgres(t))
		if got := query(t, s.URL, "SELECT count(*)::text FROM pg_database WHERE datname = '"+name+"'"); got != "1" {
			t.Errorf("the named server has %s of it", got)
		}
	})
	if got := query(t, s.URL, "SELECT count(*)::text FROM pg_database WHERE datname = '"+name+"'"); got != "0" {
		t.Error("the database is still there")
	}
}

func TestPrivatePostgresIsDurableOverKill(t *testing.T) {
	s := StartPostgres(t)
	for setting, want := range map[string]string{"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"} {
		if got := query(t, s.URL, "SHOW "+setting); got != want {
			t.Errorf("%s is %s", setting, got)
		}
	}
	query(t, s.URL, "CREATE TABLE kept AS SELECT 'here' AS word")
	s.Kill(t)
	if (postgres{}).ready(s.Addr) {
		t.Error("answers after Kill")
	}
	s.Start(t)
	if got := query(t, s.URL, "SELECT word FROM kept"); got != "here" {
		t.Errorf("kept %q", got)
	}
}

func TestPauseStopsAnswersUntilResume(t *testing.T) {
	for name, s := range map[string]*Server{"PostgreSQL": StartPostgres(t), "Redis": StartRedis(t)} {
		s.Pause(t)
		if s.kind.ready(s.Addr) {
			t.Errorf("%s: answers while paused", name)
		}
		s.Resume(t)
		eventually(t, name+" answers after Resume", func() bool { return s.kind.ready(s.Addr) })
	}
}

func TestPausedServersEndWithTheTest(t *testing.T) {
	var servers []*Server
	t.Run("a test", func(t *testing.T) {
		servers = []*Server{StartPostgres(t), StartRedis(t)}
		for _, s := range servers {
			s.Pause(t)
		}
	})
	for _, s := range servers {
		if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
			t.Errorf("folder %s is still there: %v", s.dir, err)
		}
	}
}

func TestRedisIsEmptyAfterKill(t *testing.T) {
	s := StartRedis(t)
	if got := ask(s.Addr, "SET key value"); got != "+OK\r\n" {
		t.Fatalf("SET: %q", got)
	}
	s.Kill(t)
	s.Start(t)
	if got := ask(s.Addr, "GET key"); got != "$-1\r\n" {
		t.Errorf("GET: %q", got)
	}
}

func TestRedisClusterServesAllSlots(t *testing.T) {
	for _, s := range StartRedisCluster(t) {
		// A master that was busy for as long as its time-out is in doubt for a while.
		eventually(t, "all slots are served at "+s.Addr, func() bool { return strings.Contains(ask(s.Addr, "CLUSTER INFO"), "cluster_slots_ok:16384") })
	}
}

func TestRedisSentinelTellsOfAnotherMasterWhenTheMasterIsGone(t *testing.T) {
	url, master := StartRedisSentinel(t)
	sentinel := strings.TrimPrefix(strings.TrimSuffix(url, "/mymaster"), "redis+sentinel://")
	_, port, _ := net.SplitHostPort(master.Addr)
	master.Kill(t)
	eventually(t, "another master", func() bool {
		info := ask(sentinel, "INFO sentinel")
		return strings.Contains(info, "status=ok") && !strings.Contains(info, ":"+port+",")
	})
}

// The test program runs itself, and that run starts servers, says where they are, and waits to be killed.
func TestServersEndWithAKilledTestProcess(t *testing.T) {
	if os.Getenv("TESTSERVERS_VICTIM") != "" {
		for _, s := range []*Server{StartPostgres(t), StartRedis(t)} {
			_, _ = os.Stdout.WriteString("server " + strconv.Itoa(s.pid) + " " + s.dir + "\n")
		}
		select {}
	}
	victim := exec.Command(os.Args[0], "-test.run=^TestServersEndWithAKilledTestProcess$")
	victim.Env = append(os.Environ(), "TESTSERVERS_VICTIM=1")
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	type server struct {
		pid int
		dir string
	}
	var servers []server
	for lines := bufio.NewScanner(out); len(servers) < 2 && lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) == 3 && words[0] == "server" {
			pid, _ := strconv.Atoi(words[1])
			servers = append(servers, server{pid, words[2]})
		}
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait()
	if len(servers) != 2 {
		t.Fatalf("the process told of %d servers", len(servers))
	}
	for _, s := range servers {
		eventually(t, "process "+strconv.Itoa(s.pid)+" ends", func() bool { return syscall.Kill(s.pid, 0) != nil })
		eventually(t, "folder "+s.dir+" goes", func() bool { _, err := os.Stat(s.dir); return os.IsNotExist(err) })
	}
}

func TestPortsAreOfOneProcessAndComeInTurn(t *testing.T) {
	a, b := claimPorts(), claimPorts() // as two processes do
	defer a.claim.Close()
	defer b.claim.Close()
	seen := make(map[int]bool)
	for range 100 {
		for _, port := range []int{a.free(), b.free()} {
			if seen[port] {
				t.Fatalf("port %d was given out twice", port)
			}
			seen[port] = true
		}
	}
}

func TestMissingServerSaysHowToInstallIt(t *testing.T) {
	err := missing("Redis", RedisURLVariable)
	for _, want := range []string{"install.sh", RedisURLVariable} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q doesn't name %s", err, want)
		}
	}
	if _, err := os.Stat(filepath.Join("install.sh")); err != nil {
		t.Error(err)
	}
}

func TestHAProxyIsNotStartedWithAWarning(t *testing.T) {
	program, err := haproxyProgram()
	if err != nil {
		t.Fatal(err)
	}
	const odd = "defaults\n mode http\nlisten all\n bind \"127.0.0.1:${PORT}\"\n" // without time-outs
	s, err := launch(haproxy{program, odd})
	if err == nil {
		s.end()
		t.Fatal("it was started")
	}
	if !strings.Contains(err.Error(), "missing timeouts") {
		t.Errorf("the error doesn't say what is wrong: %v", err)
	}
}

func TestNewestVersionOfPostgresWins(t *testing.T) {
	for folder, want := range map[string]int{"/usr/lib/postgresql/9/bin": 9, "/usr/lib/postgresql/15/bin": 15, "/opt/homebrew/opt/postgresql/bin": 0, "/x/16": 16} {
		if got := version(folder); got != want {
			t.Errorf("version(%s) = %d", folder, got)
		}
	}
}

func query(t *testing.T, url, statement string) (value string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(ctx) }()
	rows, err := c.Query(ctx, statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&value); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return value
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
