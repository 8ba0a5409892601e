package node_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	authv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1/authv1connect"
	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/node"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

func TestMain(m *testing.M) { nodetest.VerifyMain(m) }

var binary = nodetest.Protocols()[2]

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// fetch reads a page.
func fetch(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(within(t), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func config(t *testing.T) node.Config {
	t.Helper()
	c := node.DefaultConfig()
	c.Listen, c.DatabaseURL = "127.0.0.1:0", "sqlite:"+filepath.Join(t.TempDir(), "sub", "natterjack.db")
	return c
}

func TestWhatKeepsANodeFromStartingIsOneClearLine(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	taken, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	inUse := config(t)
	held, err := node.New(t.Context(), inUse, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	defer func() {
		if err := held.Run(done); err != nil { // releases what New took
			t.Error(err)
		}
	}()
	for name, c := range map[string]struct {
		change func(*node.Config)
		says   string
	}{
		"the port is taken":           {func(c *node.Config) { c.Listen = taken.Addr().String() }, "--listen"},
		"the port of metrics is":      {func(c *node.Config) { c.MetricsListen = taken.Addr().String() }, "--metrics-listen"},
		"the database is no database": {func(c *node.Config) { c.DatabaseURL = "mysql://x:secret@y/z" }, "sqlite:"},
		"the database is in use":      {func(c *node.Config) { c.DatabaseURL = inUse.DatabaseURL }, "another process"},
		"no certificate":              {func(c *node.Config) { c.TLSCert, c.TLSKey = "missing.pem", "missing.key" }, "--tls-cert"},
	} {
		cfg := config(t)
		c.change(&cfg)
		_, err := node.New(t.Context(), cfg, slog.New(slog.DiscardHandler), nil)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.ContainsAny(err.Error(), "\n") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAFirstStartTellsWhatItDidAndWhatToDo(t *testing.T) {
	t.Parallel()
	c := config(t)
	start := func() string {
		t.Helper()
		var log bytes.Buffer
		n, err := node.New(t.Context(), c, node.NewLogger(&log, c), nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- n.Run(ctx) }()
		if status, _ := fetch(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, n.URL()+"/readyz"); status != http.StatusOK {
			t.Errorf("not ready: %d", status)
		}
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		return log.String()
	}
	first := start()
	for _, text := range []string{"made the database", "msg=serving url=http://127.0.0.1:", "natterjack chat", "msg=stopped"} {
		if !strings.Contains(first, text) {
			t.Errorf("the log doesn't tell %q:\n%s", text, first)
		}
	}
	if again := start(); strings.Contains(again, "made the database") || strings.Contains(again, "natterjack chat") {
		t.Errorf("a later start tells a newcomer's things:\n%s", again)
	}
}

func TestMetricsAreServedOnTheirOwnAddress(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t, nodetest.Config(func(c *node.Config) { c.MetricsListen = "127.0.0.1:0" }))
	ada, bob := s.SignUp("ada"), s.SignUp("bob")
	chat := s.Chat(binary, ada)
	if _, err := chat.CreateConversation(within(t), &chatv1.CreateConversationRequest{
		Kind: chatv1.ConversationKind_CONVERSATION_KIND_DIRECT, MemberIds: []string{bob.ID},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := chat.GetConversation(within(t), &chatv1.GetConversationRequest{ConversationId: "c"}); err == nil {
		t.Fatal("a wrong id is taken")
	}
	_, text := fetch(t, s.HTTP(true), s.Node.MetricsURL())
	for _, line := range []string{
		`natterjack_request_duration_seconds_count{code="ok",procedure="/natterjack.auth.v1.AuthService/SignUp",transport="http2"} 2`,
		`natterjack_request_duration_seconds_count{code="invalid_argument",procedure="/natterjack.chat.v1.ChatService/GetConversation",transport="http2"} 1`,
		"natterjack_commit_changes_count 1", "natterjack_commit_duration_seconds_count 1", "natterjack_hub_streams 0", "natterjack_account_sign_ups_total 2",
		"go_goroutines", "process_resident_memory_bytes",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("there is no %s in\n%s", line, text)
		}
	}
	if status, _ := fetch(t, s.HTTP(true), strings.Replace(s.Node.MetricsURL(), "/metrics", "/debug/pprof/goroutine?debug=1", 1)); status != http.StatusOK {
		t.Errorf("profiles are answered %d", status)
	}
	if status, _ := fetch(t, s.HTTP(true), s.URL+"/metrics"); status != http.StatusNotFound {
		t.Errorf("clients are shown metrics: %d", status)
	}
}

// certificate makes one for this machine, and returns its files and a client that trusts it.
func certificate(t *testing.T) (cert, key string, client func(http2 bool) *http.Client) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for path, b := range map[string][]byte{cert: certPEM, key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	return cert, key, func(http2 bool) *http.Client {
		var protocols http.Protocols
		protocols.SetHTTP1(!http2)
		protocols.SetHTTP2(http2)
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, Protocols: &protocols}
		t.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: transport}
	}
}

func TestTLSIsServedWhenThereIsACertificate(t *testing.T) {
	t.Parallel()
	cert, key, client := certificate(t)
	s := nodetest.Start(t, nodetest.Config(func(c *node.Config) { c.TLSCert, c.TLSKey = cert, key }))
	if !strings.HasPrefix(s.URL, "https://") {
		t.Errorf("serves at %s", s.URL)
	}
	for _, http2 := range []bool{true, false} {
		_, err := authv1connect.NewAuthServiceClient(client(http2), s.URL).SignIn(within(t), &authv1.SignInRequest{Username: "nobody", Password: "password"})
		if connect.CodeOf(err) != connect.CodeUnauthenticated {
			t.Errorf("HTTP/2 %v: %v", http2, err)
		}
	}
	bidi := connect.NewClient[chatv1.StreamRequest, chatv1.StreamResponse](client(true), s.URL+"/natterjack.chat.v1.ChatService/Stream", connect.WithGRPC()).CallBidiStream(within(t))
	_ = bidi.Send(nil) // sends the headers; Receive tells more
	if _, err := bidi.Receive(); connect.CodeOf(err) != connect.CodeUnauthenticated {
		t.Errorf("a stream without a token: %v", err)
	}
	_ = bidi.CloseResponse()
}

func TestSignUpCanBeClosed(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t, nodetest.Config(func(c *node.Config) { c.Accounts.SignUpClosed = true }))
	_, err := s.Auth(binary, nil).SignUp(within(t), &authv1.SignUpRequest{Username: "ada", Password: nodetest.Password})
	if connect.CodeOf(err) != connect.CodePermissionDenied {
		t.Errorf("got %v", err)
	}
}

func TestDataOutlivesANode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := nodetest.Start(t, nodetest.Dir(dir))
	ada := first.SignUp("ada")
	first.Stop()
	again := nodetest.Start(t, nodetest.Dir(dir))
	if _, err := again.Auth(binary, ada).GetAccount(within(t), &authv1.GetAccountRequest{}); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

func TestTheCommitLogIsTrimmed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := nodetest.Start(t, nodetest.Dir(dir))
	ada, bob := first.SignUp("ada"), first.SignUp("bob")
	direct(t, first, ada, bob)
	direct(t, first, ada, first.SignUp("cyd"))
	first.Stop()
	ask := func(sql string) string {
		t.Helper()
		out, err := exec.CommandContext(within(t), "sqlite3", "-cmd", ".timeout 20000", filepath.Join(dir, "natterjack.db"), sql).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if n := ask("UPDATE commit_log SET at = 1; SELECT count(*) > 1 FROM commit_log"); n != "1" {
		t.Fatal("the log has no batches to trim")
	}
	nodetest.Start(t, nodetest.Dir(dir))
	eventually(t, "all but the newest batch of the old log to go", func() bool { return ask("SELECT count(*) FROM commit_log") == "1" })
}

func TestMigrateTellsAndMovesTheTables(t *testing.T) {
	t.Parallel()
	url := config(t).DatabaseURL
	steps := func(direction string) (applied int) {
		t.Helper()
		list, err := node.Migrate(t.Context(), url, direction)
		if err != nil {
			t.Fatalf("%s: %v", direction, err)
		}
		for _, s := range list {
			if s.Applied {
				applied++
			}
		}
		return applied
	}
	if n := steps("status"); n != 0 {
		t.Errorf("a new database has %d steps", n)
	}
	all := steps("up")
	if again := steps("up"); all == 0 || again != all {
		t.Errorf("up takes %d steps, and then %d", all, again)
	}
	if n := steps("down"); n != all-1 {
		t.Errorf("one down from %d is %d", all, n)
	}
	if _, err := node.Migrate(t.Context(), url, "sideways"); err == nil || !strings.Contains(err.Error(), "up, down or status") {
		t.Errorf("sideways gives %v", err)
	}
}
