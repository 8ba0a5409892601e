// Package server has no code of its own: only its rooms, and this test of who may import whom.
package server

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is the path of the Go module.
const module = "github.com/natterjack-chat/natterjack/"

// room is one folder with Go code, and what it may import of ours: rooms, or gen/go for all generated types.
type room struct {
	path  string
	code  []string // what its code may import
	tests []string // what its tests may import besides, and besides the room itself
	why   string
}

// everything is the list of those that see all the rooms.
var everything = []string{"*"}

// rooms is the law. A package below server that is not in it fails the test, and so does a row whose package is gone.
var rooms = []room{
	{"chat", []string{"internal/planted"}, []string{"chat/chattest"}, "what the product means does not depend on how it is stored, sent or wired"},
	{"chat/chattest", []string{"chat"}, nil, "a contract is about its interface, not about one implementation"},
	{"account", []string{"chat"}, []string{"account/accounttest"}, "who somebody is, for which ids and errors are enough"},
	{"account/accounttest", []string{"account", "chat"}, nil, "a contract is about its interface, not about one implementation"},
	{"hub", []string{"chat", "internal/planted"}, []string{"chat/chattest", "cluster"}, "order on a node; encoder and bus are interfaces of its own"},
	{"store", []string{"chat", "account"}, []string{"chat/chattest", "account/accounttest", "internal/testservers"}, "rows and transactions, without streams"},
	{"cluster", []string{"chat", "account"}, []string{"chat/chattest", "internal/testservers"}, "rings other nodes; knows no conversation"},
	{"rpc", []string{"chat", "hub", "account", "gen/go", "internal/envelope"}, []string{"chat/chattest", "client", "node", "node/nodetest"}, "the wire; what is behind it comes as values from node"},
	{"client", []string{"gen/go", "internal/envelope"}, []string{"node", "node/nodetest"}, "other backends import it, and none of the server with it"},
	{"load", []string{"client", "gen/go"}, []string{"node", "node/nodetest"}, "measures what a client sees; messages are generated types there"},
	{"web", nil, nil, "files for browsers, whatever serves the rest"},
	{"node", []string{"chat", "account", "hub", "store", "cluster", "rpc", "web"}, everything, "the only place where parts meet"},
	{"node/nodetest", []string{"node", "account", "store", "cluster", "client", "gen/go", "internal/testservers"}, nil, "starts whole nodes for tests of others, with clients over every protocol"},
	{"cmd/natterjack", []string{"node", "client", "load", "gen/go"}, []string{"node/nodetest", "internal/testservers"}, "flags and a terminal; a part it could reach would be wired twice"},
	{"internal/envelope", nil, nil, "one format, for the two ends of a WebSocket"},
	{"internal/testservers", nil, nil, "starts programs, whatever is tested with them"},
	{"internal/planted", nil, nil, "known faults, absent without a build tag; knows nothing of where they are"},
	{"deploy", nil, everything, "files for operators; their tests run them around whole nodes"},
	{"e2e", everything, everything, "holds whole nodes to the promises, and may look anywhere for it"},
	{"e2e/faults", []string{"internal/testservers"}, []string{"client", "e2e/fleet", "e2e/history", "gen/go", "internal/planted"}, "a server seen from outside, as a process"},
	{"e2e/figures", nil, everything, "measures real processes from outside, beside bare ones"},
	{"e2e/fleet", []string{"client", "e2e/history", "gen/go"}, everything, "plays users, who see what a client sees"},
	{"e2e/history", []string{"client", "gen/go"}, everything, "judges what was recorded; the server's own rules would be no witness"},
}

// outsider is a package of others, with all below it, and the rooms that may know of it, in code and in tests. Below e2e
// all may be known: whoever breaks a server on purpose has to get at it.
type outsider struct {
	imports []string
	rooms   []string
	why     string
}

var outsiders = []outsider{
	{
		[]string{"database/sql", "gorm.io", "github.com/pressly/goose", "github.com/libtnb/sqlite", "modernc.org/sqlite", "github.com/jackc/pgx"},
		[]string{"store", "internal/testservers"},
		"SQL, and the errors of drivers, end in the store",
	},
	{
		[]string{"github.com/redis/rueidis"},
		[]string{"cluster", "internal/testservers"},
		"Redis is one way to ring other nodes, and holds nothing that is not elsewhere",
	},
	{
		[]string{"golang.org/x/crypto"},
		[]string{"account"},
		"one place hashes passwords, behind its bounded queue",
	},
	{
		[]string{"connectrpc.com", "google.golang.org/protobuf"},
		[]string{"rpc", "client", "load", "cmd/natterjack", "node", "node/nodetest"},
		"generated types stop at the transport and in clients; node mounts handlers",
	},
	{
		[]string{"buf.build"},
		[]string{"rpc"},
		"the schema's rules are part of decoding",
	},
	{
		[]string{"github.com/gobwas/ws"},
		[]string{"internal/envelope", "rpc"},
		"one place knows frames of WebSocket, one more its handshake",
	},
	{
		[]string{"net/http"},
		[]string{"rpc", "client", "load", "cmd/natterjack", "node", "node/nodetest", "deploy", "web"},
		"the rest of the server knows no requests",
	},
	{
		[]string{"github.com/prometheus"},
		[]string{"node"},
		"rooms count in plain numbers; one place names metrics",
	},
	{
		[]string{"go.opentelemetry.io"},
		[]string{"node"},
		"rooms hand over contexts and plain numbers; one place makes spans of them",
	},
	{
		[]string{"github.com/HdrHistogram"},
		[]string{"load"},
		"measuring from outside needs precision that the server does not",
	},
}

func TestEachRoomImportsOnlyWhatItsRowAllows(t *testing.T) {
	found := readImports(t)
	rows := make(map[string]room)
	for _, r := range rooms {
		rows[r.path] = r
		if _, ok := found[r.path]; !ok {
			t.Errorf("%s is gone: take its row out", r.path)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(found)) {
		r, ok := rows[dir]
		if !ok {
			t.Errorf("%s has no row: say what it may import, and why", dir)
		}
		for _, i := range found[dir] {
			ours, ok := strings.CutPrefix(i.path, module)
			if !ok || r.mayImport(roomOf(ours), i.test) {
				continue
			}
			t.Errorf("%s imports %s; %s may not: %s", i.file, ours, dir, r.why)
		}
	}
}

func TestOutsidersStayInTheirRooms(t *testing.T) {
	for dir, imports := range readImports(t) {
		for _, i := range imports {
			for _, o := range outsiders {
				if o.matches(i.path) && !o.mayBeIn(dir) {
					t.Errorf("%s imports %s, which belongs to %s only: %s", i.file, i.path, strings.Join(o.rooms, ", "), o.why)
				}
			}
		}
	}
}

func TestTestsSleepInFakeTimeOnly(t *testing.T) {
	for _, file := range goFiles(t) {
		if path.Dir(file) == "internal/testservers" {
			continue // it waits for processes, which live in real time
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sleeps := strings.Contains(string(text), "time"+".Sleep(")
		if isTest(file) && sleeps && !strings.Contains(string(text), `"testing/synctest"`) {
			t.Errorf("%s sleeps in real time: wait for a condition, or let testing/synctest pass the time", file)
		}
	}
}

// mayImport says whether the room's code, or its tests, may import ours, a room or gen/go.
func (r room) mayImport(ours string, test bool) bool {
	allowed := r.code
	if test {
		allowed = slices.Concat(r.code, r.tests, []string{r.path})
	}
	return slices.Contains(allowed, ours) || slices.Equal(r.code, everything) || test && slices.Equal(r.tests, everything)
}

func (o outsider) matches(imported string) bool {
	return slices.ContainsFunc(o.imports, func(p string) bool { return imported == p || strings.HasPrefix(imported, p+"/") })
}

func (o outsider) mayBeIn(dir string) bool {
	return slices.Contains(o.rooms, dir) || dir == "e2e" || strings.HasPrefix(dir, "e2e/")
}

// imported is one line of one file's imports.
type imported struct {
	path, file string
	test       bool
}

// readImports reads what is imported in each folder below server. It reads files rather than asks the go command, which
// would see only those that this system builds: a file behind a build tag has to obey too.
func readImports(t *testing.T) map[string][]imported {
	t.Helper()
	found := make(map[string][]imported)
	for _, file := range goFiles(t) {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		dir := path.Dir(file)
		if dir == "." {
			continue // this file
		}
		list := found[dir]
		for _, spec := range parsed.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, imported{path: p, file: file, test: isTest(file)})
		}
		found[dir] = list
	}
	return found
}

// goFiles are the paths of all Go files below server, with slashes.
func goFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules"):
			return filepath.SkipDir
		case filepath.Ext(p) == ".go":
			files = append(files, filepath.ToSlash(p))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func isTest(file string) bool { return strings.HasSuffix(file, "_test.go") }

// roomOf is the room that a path inside the module belongs to, or gen/go.
func roomOf(ours string) string {
	if strings.HasPrefix(ours, "gen/go/") {
		return "gen/go"
	}
	return strings.TrimPrefix(ours, "server/")
}
