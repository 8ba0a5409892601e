package cluster

import (
	"crypto/x509"
	"testing"

	"github.com/natterjack-chat/natterjack/server/internal/testservers"
)

// trust has a connection believe these authorities and no others, as it does those of the system otherwise.
func trust(roots *x509.CertPool) redisOption {
	return func(r *Redis) {
		r.options.TLSConfig.RootCAs = roots
		if r.options.Sentinel.TLSConfig != nil {
			r.options.Sentinel.TLSConfig.RootCAs = roots
		}
	}
}

func TestRedisIsReachedOverTLSInEveryForm(t *testing.T) {
	urls, roots := testservers.StartRedisTLS(t)
	for name, url := range urls {
		t.Run(name, func(t *testing.T) {
			p := &pair{a: openRedis(t, url, "nj", trust(roots)), b: openRedis(t, url, "nj", trust(roots))}
			p.in.on(p.b.Bus())
			runRedis(t, p.a)
			runRedis(t, p.b)
			p.wantCarried(t)
		})
		t.Run(name+" of an unknown authority", func(t *testing.T) {
			var log logBook
			r := openRedis(t, url, "nj", trust(x509.NewCertPool()), logTo(&log), patient) // only the first error is logged
			run(t, r.Run)
			eventually(t, "it is refused", func() bool { return log.count("unknown authority") > 0 })
			if r.Up() {
				t.Error("it was taken")
			}
		})
		t.Run(name+" without verifying", func(t *testing.T) {
			runRedis(t, openRedis(t, url+"?skip_verify=true", "nj"))
		})
	}
}
