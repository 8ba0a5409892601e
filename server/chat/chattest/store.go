package chattest

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// Harness is a store under test, empty at first, with what the tests need besides.
type Harness struct {
	Store chat.Store
	// AddUser creates an account.
	AddUser func(chat.User) error
	// Hide makes a user's presence hidden.
	Hide func(chat.UserID) error
	// Reopen closes the store and opens it again, as a restarted process does.
	Reopen func() (chat.Store, error)
	// Close ends the store that is open.
	Close func() error
}

// T is what *testing.T and *rapid.T have in common.
type T interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// TestStore runs the whole contract. open returns a store of its own each time it is called; what it leaves behind goes with t's cleanup.
func TestStore(t *testing.T, open func(testing.TB) *Harness) {
	for _, test := range []struct {
		name string
		run  func(*world)
	}{
		{"a commit stores what it says and returns its place in the log", testCommit},
		{"a commit of nothing leaves no trace", testCommitNothing},
		{"a failed decision stores nothing and comes back as it was", testDecisionFails},
		{"a view belongs to its decision", testViewIsOwn},
		{"a client id is taken once", testClientIDTaken},
		{"a create key is taken once", testCreateKeyTaken},
		{"a seq is taken once", testSeqTaken},
		{"a write to what was not read is refused", testUnread},
		{"concurrent commits get one order without gaps", testConcurrentCommits},
		{"a commit outlives its caller", testCallerGone},
		{"an ended context ends waiting and reading", testContextEnded},
		{"batches tell again what was committed", testBatches},
		{"positions tell where each shard stands", testPositions},
		{"history is whole at every page boundary", testHistory},
		{"history skips what is no message", testHistoryAmongEvents},
		{"events are bounded by number and bytes", testEvents},
		{"the highest mark of the others is theirs", testReadByOthers},
		{"members come in pages by id", testMembers},
		{"marks move their conversation in the lists of small ones", testMarksMoveSmall},
		{"marks do not move large conversations", testMarksLarge},
		{"recent conversations come in pages, none twice", testRecent},
		{"changed conversations are told from any position", testChanged},
		{"a conversation that was left is told once, without its content", testLeft},
		{"sharing a conversation ends with it", testShared},
		{"users are found by the beginnings of their names", testSearchUsers},
		{"the last time seen only grows, and hides", testLastSeen},
		{"messages are found by words", testSearch},
		{"search follows edits and deletions", testSearchFollows},
		{"search shows members only, and pages", testSearchPages},
		{"any text can be stored, and searched for", testAnyText},
		{"a restart loses nothing", testReopen},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, open(t))
			defer func() {
				if err := w.Close(); err != nil {
					t.Error(err)
				}
			}()
			test.run(w)
		})
	}
	t.Run("the store agrees with the model", func(t *testing.T) { testModel(t, open) })
}

// world is a store with the model of what it should hold.
type world struct {
	T
	*Harness
	*model
	ctx   context.Context
	now   time.Time
	clock func() time.Time // gives each commit its own time
}

// start is the time of the tests.
var start = time.Date(2026, 5, 17, 12, 0, 0, 0, time.UTC)

func newWorld(t T, h *Harness) *world {
	w := &world{T: t, Harness: h, model: newModel(h.Store.Shards()), ctx: context.Background(), now: start}
	w.clock = func() time.Time {
		w.now = w.now.Add(time.Millisecond)
		return w.now
	}
	for i, name := range []string{"Ada", "Ben", "Cleo", "Dov", "Eva", "Finn"} {
		w.addUser(chat.User{ID: chat.UserID(i + 1), Username: name, DisplayName: name + " Example", AvatarURL: "https://example.org/" + name})
	}
	return w
}

// The users of every world.
const (
	ada chat.UserID = iota + 1
	ben
	cleo
	dov
	eva
	finn
)

func (w *world) addUser(u chat.User) {
	w.Helper()
	if err := w.AddUser(u); err != nil {
		w.Fatal(err)
	}
	w.users[u.ID] = u
}

// ok ends the test if err is one.
func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// WantError ends the test if err is not a [chat.Error] for that reason.
func WantError(t T, err error, reason chat.Reason) {
	t.Helper()
	if !chat.IsReason(err, reason) {
		t.Fatalf("got error %v, want reason %d", err, reason)
	}
}

// pages counts the pages of a list, and ends the test where they have no end.
func (w *world) pages() func() {
	n := 0
	return func() {
		w.Helper()
		if n++; n > 500 {
			w.Fatal("the pages have no end")
		}
	}
}

// same ends the test if two values differ, empty and missing lists being the same.
func same(t T, what string, got, want any) {
	t.Helper()
	a, b := text(t, got), text(t, want)
	if a == b {
		return
	}
	linesA, linesB := strings.Split(a, "\n"), strings.Split(b, "\n")
	i := 0
	for i < min(len(linesA), len(linesB)) && linesA[i] == linesB[i] {
		i++
	}
	around := func(lines []string) string { return strings.Join(lines[max(0, i-6):min(len(lines), i+6)], "\n") }
	t.Fatalf("%s: the store says (line %d of %d)\n%s\nand the model (of %d)\n%s", what, i+1, len(linesA), around(linesA), len(linesB), around(linesB))
}

func text(t T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if string(b) == "null" {
		return "[]"
	}
	return strings.ReplaceAll(string(b), ": null", ": []")
}
