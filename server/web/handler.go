package web

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// pages are the addresses of app/src/paths.ts: all begin with the same page, which then reads the address. sw.js has the same list.
var pages = regexp.MustCompile(`^/(c/.*|settings|sign-in|sign-up)?$`)

const (
	indexPath = "/index.html"
	// assetsPrefix begins the files whose name has a hash of what is in them.
	assetsPrefix = "/assets/"

	cacheForever = "public, max-age=31536000, immutable"
	// askFirst lets browsers keep a file, but not use it without asking whether it is still the same.
	askFirst = "no-cache"
)

// policy allows the app what it does, and nothing else: its own files, pictures of users from anywhere by https, and its own server, for
// which 'self' includes WebSockets. The one place that names a script at run time is app/src/offline.ts.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: data:; font-src 'self'; connect-src 'self'; " +
	"manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types natterjack"

// headers go with every answer of this package.
var headers = map[string]string{
	"Content-Security-Policy":      policy,
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy":           "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
	"Referrer-Policy":              "no-referrer",
	"X-Content-Type-Options":       "nosniff",
}

// types are the media types of what a build has. The system's table is not asked, so that a binary says the same everywhere.
var types = map[string]string{
	".css":         "text/css; charset=utf-8",
	".html":        "text/html; charset=utf-8",
	".js":          "text/javascript; charset=utf-8",
	".json":        "application/json",
	".png":         "image/png",
	".svg":         "image/svg+xml",
	".txt":         "text/plain; charset=utf-8",
	".webmanifest": "application/manifest+json",
	".woff2":       "font/woff2",
}

// encodings are those that files may be kept in, the smallest first, with what ends their names.
var encodings = []struct{ name, suffix string }{{"br", ".br"}, {"gzip", ".gz"}}

// file is one file in all its forms. It is never changed.
type file struct {
	mediaType string
	cache     string
	forms     map[string]form // by encoding; "" is the file as it is, and always there
}

// form is a file in one encoding.
type form struct {
	content []byte
	etag    string
}

// handler serves the app. It is safe for concurrent use.
type handler struct {
	files map[string]*file // by path, with a slash before
	api   http.Handler
}

// Handler serves the files of a built app, and its page at each of its addresses where a browser asks for one; everything else goes to
// api. It fails if files cannot be read.
func Handler(files fs.FS, api http.Handler) (http.Handler, error) {
	h := &handler{files: make(map[string]*file), api: api}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && name == "." {
			return nil // not built
		}
		if err != nil || d.IsDir() || encoded(name) {
			return err
		}
		f, err := readFile(files, name)
		h.files["/"+name] = f
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("the files of the web client: %w", err)
	}
	return h, nil
}

func encoded(name string) bool {
	for _, e := range encodings {
		if strings.HasSuffix(name, e.suffix) {
			return true
		}
	}
	return false
}

func readFile(files fs.FS, name string) (*file, error) {
	f := &file{mediaType: types[path.Ext(name)], cache: askFirst, forms: make(map[string]form)}
	if f.mediaType == "" {
		f.mediaType = "application/octet-stream"
	}
	if strings.HasPrefix("/"+name, assetsPrefix) {
		f.cache = cacheForever
	}
	content, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, err
	}
	f.forms[""] = newForm(content)
	for _, e := range encodings {
		content, err := fs.ReadFile(files, name+e.suffix)
		switch {
		case err == nil:
			f.forms[e.name] = newForm(content)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return f, nil
}

func newForm(content []byte) form {
	sum := sha256.Sum256(content)
	return form{content: content, etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
}

// ServeHTTP implements [http.Handler].
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.api.ServeHTTP(w, r)
		return
	}
	if f := h.files[r.URL.Path]; f != nil {
		serve(w, r, f)
		return
	}
	switch {
	case strings.HasPrefix(r.URL.Path, assetsPrefix):
		// Of another version: an answer that could be kept would outlive the mistake.
		answer(w, http.StatusNotFound, "no such file\n")
	case !pages.MatchString(r.URL.Path) || !acceptsHTML(r):
		h.api.ServeHTTP(w, r)
	case h.files[indexPath] == nil:
		answer(w, http.StatusNotFound, notBuilt)
	default:
		serve(w, r, h.files[indexPath])
	}
}

// notBuilt is what browsers get of a binary without the app.
const notBuilt = `Natterjack is running, but this binary has no web client in it.

It was compiled before the web client was built. To build both:

    go tool task build

Or, with Node 20 or newer, the web client and then the binary:

    npm ci --prefix server/web
    npm run build --prefix server/web
    go build -o bin/natterjack ./server/cmd/natterjack

The server itself works: natterjack chat, and every other client, can use it.
`

// answer says something that is no file.
func answer(w http.ResponseWriter, status int, text string) {
	setHeaders(w.Header())
	w.Header().Set("Content-Type", types[".txt"])
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the client has gone, if it fails
}

func setHeaders(h http.Header) {
	for name, value := range headers {
		h.Set(name, value)
	}
}

// serve sends a file in the smallest form that the browser understands, or says that it has it already.
func serve(w http.ResponseWriter, r *http.Request, f *file) {
	h := w.Header()
	setHeaders(h)
	h.Set("Content-Type", f.mediaType)
	h.Set("Cache-Control", f.cache)
	form := f.forms[""]
	if len(f.forms) > 1 {
		h.Set("Vary", "Accept-Encoding")
		for _, e := range encodings {
			if smaller, ok := f.forms[e.name]; ok && accepts(r.Header.Values("Accept-Encoding"), e.name) {
				h.Set("Content-Encoding", e.name)
				form = smaller
				break
			}
		}
	}
	h.Set("ETag", form.etag)
	if matches(r.Header.Values("If-None-Match"), form.etag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(form.content)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(form.content) // the client has gone, if it fails
	}
}

// items are what header lines list, with commas between.
func items(lines []string) []string {
	var all []string
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			all = append(all, strings.TrimSpace(item))
		}
	}
	return all
}

// accepts says whether an Accept or Accept-Encoding header names a value, other than to refuse it (RFC 9110, section 12.4.2). A wildcard
// names nothing: what is sent without being named is the plain form.
func accepts(lines []string, value string) bool {
	for _, item := range items(lines) {
		name, params, err := mime.ParseMediaType(item)
		if err != nil || name != value {
			continue
		}
		weight, err := strconv.ParseFloat(params["q"], 64)
		return params["q"] == "" || err == nil && weight > 0
	}
	return false
}

// acceptsHTML tells a browser that goes somewhere from programs, which ask for data or for anything.
func acceptsHTML(r *http.Request) bool { return accepts(r.Header.Values("Accept"), "text/html") }

// matches says whether an If-None-Match header names an entity tag (RFC 9110, section 13.1.2, which compares weakly).
func matches(lines []string, etag string) bool {
	for _, item := range items(lines) {
		if item == "*" || strings.TrimPrefix(item, "W/") == etag {
			return true
		}
	}
	return false
}
