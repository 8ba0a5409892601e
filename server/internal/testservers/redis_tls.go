package testservers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// StartRedisTLS starts a server, a cluster and a master behind a sentinel, all of which speak TLS, also among themselves. It returns their URLs by what
// they are, and the authority that their certificates are of.
func StartRedisTLS(t testing.TB) (urls map[string]string, roots *x509.CertPool) {
	t.Helper()
	tls, err := newRedisTLS()
	if err != nil {
		t.Fatal(err)
	}
	of := tls.another()
	urls = map[string]string{"a server": "rediss://" + of.addr(startRedis(t, of))}
	var masters []string
	for _, s := range startRedisCluster(t, tls) {
		masters = append(masters, s.kind.(redis).tls.addr(s))
	}
	urls["a cluster"] = "rediss://" + strings.Join(masters, ",")
	urls["a master behind a sentinel"], _ = startRedisSentinel(t, tls)
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(tls.cert)
	return urls, roots
}

// redisTLS has a server speak TLS on a port of its own; the other one is left to the test. Of nil all methods do as without TLS.
type redisTLS struct {
	cert, key []byte // PEM
	port      int
}

// newRedisTLS makes a certificate for this machine, which is also its own authority.
func newRedisTLS() (*redisTLS, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	return &redisTLS{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
	}, nil
}

// another is the same for another server.
func (r *redisTLS) another() *redisTLS {
	if r == nil {
		return nil
	}
	return &redisTLS{r.cert, r.key, FreePort()}
}

// addr is where clients find the server.
func (r *redisTLS) addr(s *Server) string {
	if r == nil {
		return s.Addr
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port))
}

func (r *redisTLS) scheme(plain string) string {
	if r == nil {
		return plain
	}
	return plain + "s"
}

func (r *redisTLS) prepare(dir string) error {
	if r == nil {
		return nil
	}
	for name, b := range map[string][]byte{certFile: r.cert, keyFile: r.key} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil { // whoever the server runs as reads it
			return err
		}
	}
	return nil
}

const certFile, keyFile = "cert.pem", "key.pem"

func (r *redisTLS) options(dir string) []string {
	if r == nil {
		return nil
	}
	cert := filepath.Join(dir, certFile)
	return []string{
		"--tls-port", strconv.Itoa(r.port), "--tls-cert-file", cert, "--tls-ca-cert-file", cert, "--tls-key-file", filepath.Join(dir, keyFile),
		"--tls-auth-clients", "no", "--tls-replication", "yes", "--tls-cluster", "yes",
	}
}

// cli is what redis-cli has to be told.
func (r *redisTLS) cli() []string {
	if r == nil {
		return nil
	}
	return []string{"--tls", "--insecure"}
}
