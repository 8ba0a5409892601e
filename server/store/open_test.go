package store

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

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

// execute runs a statement on a connection of its own.
func execute(t testing.TB, url, statement string) {
	t.Helper()
	_ = value(t, url, statement)
}

// value runs a query and returns the first column of its last row as text.
func value(t testing.TB, url, query string) (text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(ctx) }()
	results, err := c.PgConn().Exec(ctx, query).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	for _, row := range results[len(results)-1].Rows {
		text = string(row[0])
	}
	return text
}

// until waits for a condition.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting: %s", what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// withParameter adds a parameter to a URL.
func withParameter(url, parameter string) string {
	if strings.Contains(url, "?") {
		return url + "&" + parameter
	}
	return url + "?" + parameter
}
