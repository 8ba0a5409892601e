package main

import (
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// Scripts of the commands that need no server.
func TestCommandScripts(t *testing.T) {
	var files []string
	for _, pattern := range []string{"usage.txt", "serve_*.txt", "migrate.txt"} {
		found, err := filepath.Glob(filepath.Join("testdata", pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("no script %s: %v", pattern, err)
		}
		files = append(files, found...)
	}
	testscript.Run(t, testscript.Params{Files: files})
}
