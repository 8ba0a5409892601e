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
	"github.com/natterjack-chat/natterjack/server/node"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
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

// onNodes runs a test on one node, and on two of one installation, over which the users are spread.
func onNodes(t *testing.T, test func(*testing.T, *world), change ...nodetest.Option) {
	change = append(change, patient)
	t.Run("one node", func(t *testing.T) { test(t, newWorld(t, nodetest.Start(t, change...).URL)) })
	t.Run("two nodes", func(t *testing.T) {
		nodes := nodetest.StartCluster(t, 2, change...)
		test(t, newWorld(t, nodes[0].URL, nodes[1].URL))
	})
}

// patient lifts the limits that hold quick users back.
var patient = nodetest.Config(func(c *node.Config) { c.RPC.UserRate, c.RPC.UserBurst = 1_000_000, 1_000_000 })

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
	ann, bob, eve                *fleet.User
	annPhone, bobPhone, evePhone *fleet.Device
	room                         string

	urls []string // of the nodes
}

// newWorld makes a world on the nodes at one or more URLs.
func newWorld(t *testing.T, urls ...string) *world {
	t.Helper()
	w := &world{Fleet: fleet.New(urls[0]), urls: urls}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx := limit(t)
	w.ann, w.bob, w.eve = must(w.SignUp(ctx, "ann"))(t), must(w.SignUp(ctx, "bob"))(t), must(w.SignUp(ctx, "eve"))(t)
	w.room = must(w.ann.Group(ctx, "Us", w.bob, w.eve))(t)
	w.annPhone = must(w.ann.Device("phone", fleet.DeviceOptions{URL: w.at(w.ann)}))(t)
	w.bobPhone = must(w.bob.Device("phone", fleet.DeviceOptions{URL: w.at(w.bob)}))(t)
	w.evePhone = must(w.eve.Device("phone", fleet.DeviceOptions{URL: w.at(w.eve)}))(t)
	if err := w.AwaitLive(ctx); err != nil {
		t.Fatal(err)
	}
	return w
}

// at returns the URL of a user's node: bob's is the second one, where there are two.
func (w *world) at(u *fleet.User) string {
	if u == w.bob {
		return w.urls[len(w.urls)-1]
	}
	return w.urls[0]
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

// raw returns a device of a user, at their node, that speaks a protocol without the Go client.
func (w *world) raw(t *testing.T, u *fleet.User, p fleet.Protocol) *fleet.Raw {
	t.Helper()
	r := must(u.Raw(limit(t), string(p), p, w.at(u)))(t)
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
