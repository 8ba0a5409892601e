package node

import (
	"context"
	"fmt"
	"slices"

	"github.com/natterjack-chat/natterjack/server/store"
)

// Step is one step between versions of a database's tables.
type Step struct {
	Name    string
	Applied bool
}

// Migrate moves the tables of a database "up" to the newest version, one step "down", or tells their "status". Errors are one line each.
func Migrate(ctx context.Context, databaseURL, direction string) ([]Step, error) {
	d := store.Direction(direction)
	if !slices.Contains([]store.Direction{store.Up, store.Down, store.Status}, d) {
		return nil, fmt.Errorf("%q is no direction: say up, down or status", direction)
	}
	list, err := store.Migrate(ctx, store.Options{URL: databaseURL}, d)
	if err != nil {
		return nil, err
	}
	steps := make([]Step, len(list))
	for i, m := range list {
		steps[i] = Step{m.Name, m.Applied}
	}
	return steps, nil
}

// NewEpoch tells all clients of a database, when they next speak with a node, to start afresh and send their own recent messages again. That is for a
// database that was restored and lost what they saw. A file of SQLite must not be open; nodes on PostgreSQL may run. Errors are one line each.
func NewEpoch(ctx context.Context, databaseURL string) (int64, error) {
	return store.NewEpoch(ctx, store.Options{URL: databaseURL})
}
