package testservers

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Redis returns the URL of a server: the one that the environment names, shared with other tests, or else a new one that is stopped at the end of the test.
func Redis(t testing.TB) string {
	t.Helper()
	if u := os.Getenv(RedisURLVariable); u != "" {
		return u
	}
	return StartRedis(t).URL
}

// StartRedis starts a server that this test alone uses and may break. It keeps nothing over a [Server.Kill], and is stopped at the end of the test.
func StartRedis(t testing.TB) *Server {
	t.Helper()
	return startRedis(t, nil)
}

// StartRedisCluster starts a Redis Cluster of three masters, which together serve all slots.
func StartRedisCluster(t testing.TB) []*Server {
	t.Helper()
	return startRedisCluster(t, nil)
}

func startRedisCluster(t testing.TB, tls *redisTLS) []*Server {
	t.Helper()
	var masters []*Server
	create := append(tls.cli(), "--cluster", "create")
	for range 3 {
		of := tls.another()
		s := startRedis(t, of, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
		masters = append(masters, s)
		create = append(create, of.addr(s))
	}
	if out, err := exec.Command("redis-cli", append(create, "--cluster-yes")...).CombinedOutput(); err != nil {
		t.Fatalf("making a cluster: %v\n%s", err, out)
	}
	for _, s := range masters {
		for deadline := time.Now().Add(patience); !strings.Contains(ask(s.Addr, "CLUSTER INFO"), "cluster_state:ok"); {
			if time.Now().After(deadline) {
				t.Fatalf("the cluster doesn't come up:\n%s", s.log())
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return masters
}

// StartRedisSentinel starts a master with a replica, and a sentinel that makes the replica the master soon after the master is gone. The URL is the
// sentinel's.
func StartRedisSentinel(t testing.TB) (url string, master *Server) {
	t.Helper()
	return startRedisSentinel(t, nil)
}

func startRedisSentinel(t testing.TB, tls *redisTLS) (url string, master *Server) {
	t.Helper()
	const name = "mymaster"
	of := tls.another()
	master = startRedis(t, of)
	host, port, err := net.SplitHostPort(of.addr(master))
	if err != nil {
		t.Fatal(err)
	}
	startRedis(t, tls.another(), "--replicaof", host+" "+port)
	by := tls.another()
	sentinel := launchRedis(t, redis{tls: by, options: []string{"--sentinel"}, config: "sentinel monitor " + name + " " + host + " " + port + ` 1
sentinel down-after-milliseconds ` + name + ` 500
sentinel failover-timeout ` + name + ` 3000
`})
	for deadline := time.Now().Add(patience); !strings.Contains(ask(sentinel.Addr, "SENTINEL CKQUORUM "+name), "OK") ||
		!strings.Contains(ask(sentinel.Addr, "INFO sentinel"), "status=ok,address="+of.addr(master)+",slaves=1"); {
		if time.Now().After(deadline) {
			t.Fatalf("the sentinel doesn't find the replica:\n%s", sentinel.log())
		}
		time.Sleep(20 * time.Millisecond)
	}
	return by.scheme("redis") + "+sentinel://" + by.addr(sentinel) + "/" + name, master
}

func startRedis(t testing.TB, tls *redisTLS, options ...string) *Server {
	t.Helper()
	return launchRedis(t, redis{tls: tls, options: append([]string{"--save", "", "--appendonly", "no"}, options...)})
}

func launchRedis(t testing.TB, r redis) *Server {
	t.Helper()
	var err error
	if r.program, err = exec.LookPath("redis-server"); err != nil {
		t.Fatal(missing("Redis", RedisURLVariable))
	}
	s, err := launch(r)
	if err != nil {
		t.Fatalf("starting Redis: %v", err)
	}
	t.Cleanup(s.end)
	s.URL = "redis://" + s.Addr
	return s
}

type redis struct {
	program string
	tls     *redisTLS // nil: without
	options []string
	config  string // what its file holds from the beginning; the server may write to it
}

func (r redis) prepare(dir string) error {
	if err := r.tls.prepare(dir); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "redis.conf"), []byte(r.config), 0o600); err != nil {
		return err
	}
	return os.Chmod(filepath.Join(dir, "redis.conf"), 0o666) // whoever the server runs as
}

func (r redis) command(dir string, port int) []string {
	var bus []string
	if slices.Contains(r.options, "--cluster-enabled") {
		bus = []string{"--cluster-port", strconv.Itoa(FreePort())} // by itself it takes port+10000, which may be anybody's
	}
	return slices.Concat([]string{
		r.program, filepath.Join(dir, "redis.conf"), "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir, "--daemonize", "no",
	}, r.tls.options(dir), r.options, bus)
}

func (redis) ready(addr string) bool { return ask(addr, "PING") == "+PONG\r\n" }

func (redis) crash() syscall.Signal { return syscall.SIGKILL }

func (redis) processes(pid int) ([]int, error) { return []int{pid}, nil }

// ask sends one command and returns the answer as it came, "" where there was none.
func ask(addr, command string) string {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return ""
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return ""
	}
	if _, err := fmt.Fprintf(c, "%s\r\n", command); err != nil {
		return ""
	}
	r := bufio.NewReader(c)
	answer, err := r.ReadString('\n')
	if err != nil || !strings.HasPrefix(answer, "$") {
		return answer
	}
	n, err := strconv.Atoi(strings.TrimSpace(answer[1:]))
	if err != nil || n < 0 {
		return answer
	}
	text := make([]byte, n)
	for i := range text {
		if text[i], err = r.ReadByte(); err != nil {
			return ""
		}
	}
	return string(text)
}
