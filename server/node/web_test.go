package node_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

func TestBrowsersGetTheWebClientAndProgramsTheRest(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t)
	for _, c := range []struct {
		path, accept string
		web          bool
	}{
		{"/", "text/html,*/*;q=0.8", true},
		{"/c/anything", "text/html,*/*;q=0.8", true},
		{"/", "*/*", false},
		{"/readyz", "text/html,*/*;q=0.8", false},
		{"/nonsense", "text/html,*/*;q=0.8", false},
	} {
		r, err := http.NewRequestWithContext(within(t), http.MethodGet, s.URL+c.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", c.accept)
		res, err := s.HTTP(true).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		// With or without the app in this binary, its package answers under its policy.
		if web := strings.Contains(res.Header.Get("Content-Security-Policy"), "default-src 'none'"); web != c.web {
			t.Errorf("%s for %q: by the web client: %t, want %t\n%d %s", c.path, c.accept, web, c.web, res.StatusCode, body)
		}
	}
}
