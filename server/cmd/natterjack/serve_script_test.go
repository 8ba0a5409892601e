package main

import (
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/natterjack-chat/natterjack/server/internal/testservers"
)

// Scripts of the commands that need no server.
func TestCommandScripts(t *testing.T) {
	var files []string
	for _, pattern := range []string{"usage.txt", "serve_*.txt"} {
		found, err := filepath.Glob(filepath.Join("testdata", pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("no script %s: %v", pattern, err)
		}
		files = append(files, found...)
	}
	testscript.Run(t, testscript.Params{Files: files})
}

// Scripts of the commands that work on a database, which each kind of database passes. $NEW is the URL of an empty one.
func TestDatabaseScripts(t *testing.T) {
	for kind, url := range map[string]func() string{
		"SQLite":     func() string { return "sqlite:sub/natterjack.db" },
		"PostgreSQL": func() string { return testservers.Postgres(t) },
	} {
		for _, script := range []string{"migrate.txt", "admin.txt"} {
			t.Run(kind+"/"+script, func(t *testing.T) {
				testscript.Run(t, testscript.Params{Files: []string{filepath.Join("testdata", script)}, Setup: func(e *testscript.Env) error {
					e.Setenv("NEW", url())
					return nil
				}})
			})
		}
	}
}
