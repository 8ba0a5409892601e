package rpc

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/reflect/protoreflect"

	authv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1"
	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/chat"
)

func TestTheAddressIsWhatTrustedProxiesSay(t *testing.T) {
	t.Parallel()
	s := &Server{config: Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}}
	for _, c := range []struct {
		peer, forwarded, want string
	}{
		{"192.0.2.1:99", "", "192.0.2.1"},
		{"192.0.2.1:99", "198.51.100.7", "192.0.2.1"}, // nobody we trust says so
		{"10.0.0.1:99", "198.51.100.7", "198.51.100.7"},
		{"10.0.0.1:99", "203.0.113.9, 198.51.100.7", "198.51.100.7"}, // what the client wrote before doesn't count
		{"10.0.0.1:99", "198.51.100.7, 10.2.3.4", "198.51.100.7"},
		{"10.0.0.1:99", "10.9.9.9", "10.9.9.9"},
		{"10.0.0.1:99", "nonsense", "10.0.0.1"},
		{"10.0.0.1:99", "198.51.100.7, nonsense", "10.0.0.1"},
		{"10.0.0.1:99", "", "10.0.0.1"},
		{"[fd00::1]:99", "2001:db8::7", "2001:db8::7"},
		{"[::ffff:192.0.2.1]:99", "", "192.0.2.1"},
		{"[fe80::1%eth0]:99", "", "fe80::1"},
		{"@", "", ""},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.RemoteAddr = c.peer
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		got := (&request{address: s.address(r)}).addressText()
		if got != c.want {
			t.Errorf("from %s, forwarded for %q: %s, want %s", c.peer, c.forwarded, got, c.want)
		}
	}
}

func TestARequestIDIsTakenOverIfItFitsALog(t *testing.T) {
	t.Parallel()
	for id, keep := range map[string]bool{
		"abc-123_X.Y:Z": true, strings.Repeat("a", 64): true,
		"": false, strings.Repeat("a", 65): false, "a b": false, "a\"b": false, "ä": false,
	} {
		got := requestID(http.Header{requestIDHeader: {id}})
		if (got == id) != keep || got == "" {
			t.Errorf("%q became %q", id, got)
		}
	}
	if a, b := requestID(nil), requestID(nil); a == b {
		t.Error("two requests got the same id")
	}
}

func TestARateIsKeptPerKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRates[string](10, 3)
		for range 3 {
			if err := r.allow("ada"); err != nil {
				t.Fatalf("within the burst: %v", err)
			}
		}
		err := r.allow("ada")
		if e, ok := chat.AsError(err); !ok || e.Reason != chat.ReasonRateLimited || e.RetryAfter != 100*time.Millisecond {
			t.Errorf("above the burst: %v", err)
		}
		if err := r.allow("bob"); err != nil {
			t.Errorf("somebody else: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
		if err := r.allow("ada"); err != nil {
			t.Errorf("after a tenth of a second: %v", err)
		}
		time.Sleep(61 * time.Second)
		_ = r.allow("bob") // turns the generations over
		time.Sleep(61 * time.Second)
		_ = r.allow("bob")
		if r.young["ada"] != nil || r.old["ada"] != nil || r.young["bob"] == nil {
			t.Errorf("kept are %v and %v, want bob's", r.young, r.old)
		}
	})
}

func TestRatesRememberNoMoreThanTheyMay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // where no time passes
		r := newRates[int](1, 1)
		for n := range 3 * maxBuckets {
			r.bucket(n)
		}
		_ = r.allow(3*maxBuckets - 1)
		if n := len(r.young) + len(r.old); n > 2*maxBuckets {
			t.Errorf("%d buckets are kept", n)
		}
		if err := r.allow(3*maxBuckets - 1); err == nil {
			t.Error("the newest bucket was forgotten")
		}
	})
}

func TestStreamsAreCountedPerAddress(t *testing.T) {
	t.Parallel()
	c := &counts{most: 2, open: make(map[netip.Addr]int)}
	here, there := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	first, err := c.take(here)
	if err != nil {
		t.Fatal(err)
	}
	second, _ := c.take(here)
	if _, err := c.take(here); !chat.IsReason(err, chat.ReasonLimitReached) {
		t.Errorf("a third: %v", err)
	}
	third, err := c.take(there)
	if err != nil {
		t.Errorf("from elsewhere: %v", err)
	}
	for _, release := range []func(){first, second, third} {
		release()
	}
	if len(c.open) != 0 {
		t.Errorf("after all have ended %v are counted", c.open)
	}
	for range 5 {
		if _, err := c.take(netip.MustParseAddr("::1")); err != nil {
			t.Errorf("from this machine: %v", err)
		}
	}
}

// reasonOf is the reason in an error of the wire.
func reasonOf(err error) chatv1.ErrorReason {
	var ce *connect.Error
	if !errors.As(err, &ce) || len(ce.Details()) == 0 {
		return 0
	}
	m, _ := ce.Details()[0].Value()
	return m.(*chatv1.ErrorDetail).GetReason()
}

func TestGzipIsReadUpToItsLimit(t *testing.T) {
	t.Parallel()
	zip := func(b []byte) []byte {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		_, _ = w.Write(b)
		_ = w.Close()
		return out.Bytes()
	}
	good := zip(make([]byte, 1000))
	g := &boundedGzip{most: 1000}
	for _, c := range []struct {
		name string
		in   []byte
		want chatv1.ErrorReason
		n    int
	}{
		{"at the limit", good, 0, 1000},
		{"above", zip(make([]byte, 1001)), chatv1.ErrorReason_ERROR_REASON_TOO_LARGE, -1},
		{"far above", zip(make([]byte, 8<<20)), chatv1.ErrorReason_ERROR_REASON_TOO_LARGE, -1},
		{"two in one", append(bytes.Clone(good), good...), chatv1.ErrorReason_ERROR_REASON_TOO_LARGE, -1},
		{"no gzip", []byte("plainly not"), chatv1.ErrorReason_ERROR_REASON_INVALID_FIELD, -1},
		{"cut off", good[:len(good)-4], chatv1.ErrorReason_ERROR_REASON_INVALID_FIELD, -1},
		{"damaged", append(bytes.Clone(good[:len(good)-8]), 1, 2, 3, 4, 5, 6, 7, 8), chatv1.ErrorReason_ERROR_REASON_INVALID_FIELD, -1},
		{"after all that", good, 0, 1000},
	} {
		if err := g.Reset(bytes.NewReader(c.in)); err != nil {
			t.Fatal(err)
		}
		out, err := io.ReadAll(g)
		if reasonOf(err) != c.want || (err == nil) != (c.want == 0) || c.n >= 0 && len(out) != c.n || len(out) > 1<<16 {
			t.Errorf("%s: %d bytes, %v", c.name, len(out), err)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestEveryMethodOfTheSchemaIsServed(t *testing.T) {
	t.Parallel()
	v, err := newValidator()
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{config: Config{Auth: NewAuthHandler(nil)}, limits: DefaultLimits(), validator: v}
	served := make(map[string]bool)
	for _, p := range append(s.chatProcedures(), s.authProcedures()...) {
		if served[p.path] {
			t.Errorf("%s is served twice", p.path)
		}
		served[p.path] = true
	}
	for _, file := range []protoreflect.FileDescriptor{chatv1.File_natterjack_chat_v1_chat_service_proto, authv1.File_natterjack_auth_v1_auth_service_proto} {
		service := file.Services().Get(0)
		for i := range service.Methods().Len() {
			path := "/" + string(service.FullName()) + "/" + string(service.Methods().Get(i).Name())
			if !served[path] {
				t.Errorf("%s is not served", path)
			}
		}
	}
}
