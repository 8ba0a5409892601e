// Package e2e holds real servers to the promises of server/DESIGN.md: one file for each.
package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/e2e/faults"
	"github.com/natterjack-chat/natterjack/server/e2e/fleet"
	"github.com/natterjack-chat/natterjack/server/e2e/history"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := faults.RemoveBinaries(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// node starts a server in this process and returns its URL.
func node(t *testing.T) string {
	t.Helper()
	return faults.Start(t, faults.Options{}).URL
}

// limit is a context that ends when a test has taken too long by far.
func limit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// world is a server with three users, ann, bob and eve, each with one device, in one group that ann owns.
type world struct {
	*fleet.Fleet
	ann, bob, eve      *fleet.User
	annPhone, bobPhone *fleet.Device
	evePhone           *fleet.Device
	room               string
}

// newWorld makes a world on the server at a URL.
func newWorld(t *testing.T, url string) *world {
	t.Helper()
	w := &world{Fleet: fleet.New(url)}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx := limit(t)
	for name, user := range map[string]**fleet.User{"ann": &w.ann, "bob": &w.bob, "eve": &w.eve} {
		*user = must(w.SignUp(ctx, name))(t)
	}
	w.room = must(w.ann.Group(ctx, "Us", w.bob, w.eve))(t)
	w.annPhone = must(w.ann.Device("phone", fleet.DeviceOptions{}))(t)
	w.bobPhone = must(w.bob.Device("phone", fleet.DeviceOptions{}))(t)
	w.evePhone = must(w.eve.Device("phone", fleet.DeviceOptions{}))(t)
	if err := w.AwaitLive(ctx); err != nil {
		t.Fatal(err)
	}
	return w
}

// must returns what a call returned, or fails the test by its error.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// raw returns a device of a user that speaks a protocol without the Go client.
func raw(t *testing.T, u *fleet.User, p fleet.Protocol) *fleet.Raw {
	t.Helper()
	r := must(u.Raw(limit(t), string(p), p, ""))(t)
	t.Cleanup(r.Close)
	return r
}

// say sends messages from a device and returns their seqs.
func say(t *testing.T, d *fleet.Device, room string, texts ...string) []int64 {
	t.Helper()
	seqs := make([]int64, len(texts))
	for i, text := range texts {
		seqs[i] = must(d.SendWait(limit(t), room, text))(t)
	}
	return seqs
}

// clean expects that the history of the world breaks no invariant, once it has come to rest.
func (w *world) clean(t *testing.T) {
	t.Helper()
	run := must(w.Settle(limit(t), faults.Patience))(t)
	if r := history.Check(run); !r.Clean() {
		t.Fatal(r)
	}
}

// contents are the messages of a room as a user reads them, oldest first.
func contents(t *testing.T, u *fleet.User, room string) []string {
	t.Helper()
	page := must(u.Observer().Messages(limit(t), room, client.Page{Limit: 200}))(t)
	var texts []string
	for _, m := range page.GetMessages() {
		texts = append(texts, m.GetContent())
	}
	return texts
}

func wantEqual[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}
