package web_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/natterjack-chat/natterjack/server/web"
)

// app is a small build.
func app() fstest.MapFS {
	return fstest.MapFS{
		"index.html":             {Data: []byte("<title>Natterjack</title>")},
		"index.html.br":          {Data: []byte("br of index")},
		"index.html.gz":          {Data: []byte("gz of index")},
		"sw.js":                  {Data: []byte("self")},
		"manifest.webmanifest":   {Data: []byte("{}")},
		"icon-192.png":           {Data: []byte("png")},
		"LICENSE":                {Data: []byte("words")},
		"assets/main-1a2b.js":    {Data: []byte("script")},
		"assets/main-1a2b.js.gz": {Data: []byte("gz of script")},
		"assets/main-1a2b.css":   {Data: []byte("style")},
	}
}

// fromAPI is what the rest of the server answers in these tests.
const fromAPI = "from the API"

func newHandler(t *testing.T, files fstest.MapFS) http.Handler {
	t.Helper()
	h, err := web.Handler(files, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, fromAPI)
	}))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// ask sends a request; header lines are "Name: value".
func ask(t *testing.T, h http.Handler, method, target string, lines ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, http.NoBody)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const browser = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

func TestFilesAreServedAsWhatTheyAre(t *testing.T) {
	h := newHandler(t, app())
	for _, c := range []struct{ path, body, mediaType, cache string }{
		{"/assets/main-1a2b.js", "script", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
		{"/assets/main-1a2b.css", "style", "text/css; charset=utf-8", "public, max-age=31536000, immutable"},
		{"/index.html", "<title>Natterjack</title>", "text/html; charset=utf-8", "no-cache"},
		{"/sw.js", "self", "text/javascript; charset=utf-8", "no-cache"},
		{"/manifest.webmanifest", "{}", "application/manifest+json", "no-cache"},
		{"/icon-192.png", "png", "image/png", "no-cache"},
		{"/LICENSE", "words", "application/octet-stream", "no-cache"},
	} {
		w := ask(t, h, http.MethodGet, c.path)
		if w.Code != http.StatusOK || w.Body.String() != c.body {
			t.Errorf("%s: %d %q, want %q", c.path, w.Code, w.Body, c.body)
		}
		if got := w.Header().Get("Content-Type"); got != c.mediaType {
			t.Errorf("%s is %q, want %q", c.path, got, c.mediaType)
		}
		if got := w.Header().Get("Cache-Control"); got != c.cache {
			t.Errorf("%s: Cache-Control %q, want %q", c.path, got, c.cache)
		}
	}
}

func TestTheSmallestFormThatIsUnderstoodIsSent(t *testing.T) {
	h := newHandler(t, app())
	for _, c := range []struct{ path, accepts, encoding, body string }{
		{"/index.html", "gzip, deflate, br, zstd", "br", "br of index"},
		{"/index.html", "gzip;q=1.0, br;q=0", "gzip", "gz of index"},
		{"/index.html", "br;q=0.0, gzip;q=0", "", "<title>Natterjack</title>"},
		{"/index.html", "*", "", "<title>Natterjack</title>"},
		{"/index.html", "brotli", "", "<title>Natterjack</title>"},
		{"/index.html", "br;q=high", "", "<title>Natterjack</title>"},
		{"/assets/main-1a2b.js", "br, gzip", "gzip", "gz of script"},
		{"/assets/main-1a2b.css", "br, gzip", "", "style"},
	} {
		w := ask(t, h, http.MethodGet, c.path, "Accept-Encoding: "+c.accepts)
		if w.Header().Get("Content-Encoding") != c.encoding || w.Body.String() != c.body {
			t.Errorf("%s for %q: %q in %q, want %q in %q", c.path, c.accepts, w.Body, w.Header().Get("Content-Encoding"), c.body, c.encoding)
		}
		if varies := w.Header().Get("Vary") == "Accept-Encoding"; varies != (c.path != "/assets/main-1a2b.css") {
			t.Errorf("%s: Vary is %q", c.path, w.Header().Get("Vary"))
		}
	}
	if w := ask(t, h, http.MethodGet, "/index.html.br"); w.Body.String() != fromAPI {
		t.Errorf("a compressed form is served as a file of its own: %q", w.Body)
	}
}

func TestWhatABrowserHasIsNotSentAgain(t *testing.T) {
	h := newHandler(t, app())
	first := ask(t, h, http.MethodGet, "/index.html", "Accept-Encoding: br")
	etag := first.Header().Get("ETag")
	for _, c := range []struct {
		known, encoding string
		status          int
	}{
		{etag, "br", http.StatusNotModified},
		{`"other", W/` + etag, "br", http.StatusNotModified},
		{"*", "br", http.StatusNotModified},
		{`"other"`, "br", http.StatusOK},
		{etag, "gzip", http.StatusOK}, // another form is another entity
	} {
		w := ask(t, h, http.MethodGet, "/index.html", "Accept-Encoding: "+c.encoding, "If-None-Match: "+c.known)
		if w.Code != c.status || (c.status == http.StatusNotModified) != (w.Body.Len() == 0) {
			t.Errorf("If-None-Match %s for %s: %d with %d bytes, want %d", c.known, c.encoding, w.Code, w.Body.Len(), c.status)
		}
	}
}

func TestHeadSaysWhatGetWouldWithoutABody(t *testing.T) {
	h := newHandler(t, app())
	got, head := ask(t, h, http.MethodGet, "/", browser), ask(t, h, http.MethodHead, "/", browser)
	if head.Code != http.StatusOK || head.Body.Len() != 0 || head.Header().Get("Content-Length") != got.Header().Get("Content-Length") {
		t.Errorf("HEAD: %d, %d bytes, Content-Length %q", head.Code, head.Body.Len(), head.Header().Get("Content-Length"))
	}
}

func TestBrowsersGetThePageAtEachAddressOfTheAppAndOnlyThere(t *testing.T) {
	h := newHandler(t, app())
	for _, c := range []struct {
		method, path, accept string
		page                 bool
	}{
		{http.MethodGet, "/", browser, true},
		{http.MethodGet, "/c/0198f1", browser, true},
		{http.MethodGet, "/c/0198f1/details", browser, true},
		{http.MethodGet, "/c/0198f1?at=7", browser, true},
		{http.MethodGet, "/settings", browser, true},
		{http.MethodGet, "/sign-in", browser, true},
		{http.MethodGet, "/sign-up", browser, true},
		{http.MethodGet, "/readyz", browser, false},
		{http.MethodGet, "/api/messages", browser, false},
		{http.MethodGet, "/natterjack.chat.v1.ChatService/ListConversations?message=x", browser, false},
		{http.MethodGet, "/grpc.health.v1.Health/Check", browser, false},
		{http.MethodGet, "/settings/x", browser, false},
		{http.MethodPost, "/", browser, false},
		{http.MethodPost, "/index.html", browser, false},
		{http.MethodGet, "/", "Accept: */*", false},
		{http.MethodGet, "/", "Accept: application/json", false},
		{http.MethodGet, "/", "Accept: text/html;q=0", false},
	} {
		w := ask(t, h, c.method, c.path, c.accept)
		if page := w.Code == http.StatusOK && strings.Contains(w.Body.String(), "<title>"); page != c.page {
			t.Errorf("%s %s (%s): %d %q", c.method, c.path, c.accept, w.Code, w.Body)
		}
		if api := w.Body.String() == fromAPI; api == c.page {
			t.Errorf("%s %s (%s): answered by the API: %t", c.method, c.path, c.accept, api)
		}
	}
}

func TestAFileOfAnotherVersionIsMissingAndNotKept(t *testing.T) {
	w := ask(t, newHandler(t, app()), http.MethodGet, "/assets/main-old.js", browser)
	if w.Code != http.StatusNotFound || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d, Cache-Control %q", w.Code, w.Header().Get("Cache-Control"))
	}
}

func TestEveryAnswerForbidsWhatTheAppDoesNotDo(t *testing.T) {
	h := newHandler(t, app())
	for _, path := range []string{"/", "/assets/main-1a2b.js", "/assets/none.js"} {
		header := ask(t, h, http.MethodGet, path, browser).Header()
		policy := header.Get("Content-Security-Policy")
		for _, rule := range []string{
			"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "base-uri 'none'", "form-action 'self'",
			"frame-ancestors 'none'", "require-trusted-types-for 'script'", "img-src 'self' https: data:",
		} {
			if !strings.Contains(policy+";", rule+";") {
				t.Errorf("%s: the policy lacks %q", path, rule)
			}
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("%s: %s", path, policy)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
}

func TestWithoutTheAppBrowsersAreToldHowToBuildIt(t *testing.T) {
	h := newHandler(t, fstest.MapFS{})
	w := ask(t, h, http.MethodGet, "/c/x", browser)
	if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "go tool task build") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	if w := ask(t, h, http.MethodGet, "/readyz", browser); w.Body.String() != fromAPI {
		t.Errorf("the rest of the server answers %q", w.Body)
	}
}

// TestWhatIsEmbeddedIsServed holds whether or not the app was built.
func TestWhatIsEmbeddedIsServed(t *testing.T) {
	h, err := web.Handler(web.Built(), http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	w := ask(t, h, http.MethodGet, "/", browser)
	if w.Code != http.StatusOK && !strings.Contains(w.Body.String(), "no web client") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	if w := ask(t, h, http.MethodGet, "/.gitignore", browser); w.Code != http.StatusNotFound {
		t.Errorf("what is beside the app is served: %q", w.Body)
	}
}

func TestServerAndServiceWorkerAgreeOnTheAddresses(t *testing.T) {
	list := func(file, before string) string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(regexp.QuoteMeta(before) + `(\S+)[/` + "`" + `]\)?;?\n`).FindSubmatch(text)
		if found == nil {
			t.Fatalf("%s has no %s", file, before)
		}
		return strings.ReplaceAll(string(found[1]), `\/`, `/`)
	}
	server, worker := list("handler.go", "pages = regexp.MustCompile(`"), list("app/sw.js", "const page = /")
	if server != worker {
		t.Errorf("the server knows %s, the service worker %s", server, worker)
	}
}
