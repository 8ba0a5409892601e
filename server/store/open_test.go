package store

import (
	"context"
	"testing"

	"github.com/natterjack-chat/natterjack/server/internal/testservers"
)

// databases are the kinds that everything is tested on; each returns the URL of a new one.
var databases = map[string]func(t testing.TB) string{
	"SQLite":     func(t testing.TB) string { return "sqlite:" + t.TempDir() + "/test.db" },
	"PostgreSQL": testservers.Postgres,
}

// onEach runs a test on each kind of database.
func onEach(t *testing.T, test func(t *testing.T, newURL func(t testing.TB) string)) {
	t.Helper()
	for name, newURL := range databases {
		t.Run(name, func(t *testing.T) { test(t, newURL) })
	}
}

// open opens a store for the length of a test.
func open(t testing.TB, url string) *Store {
	t.Helper()
	s, err := Open(context.Background(), Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
