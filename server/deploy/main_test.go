// Package deploy has no code: it holds files for operators, and tests that run them.
package deploy

import (
	"bytes"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

func TestMain(m *testing.M) { nodetest.VerifyMain(m) }

// decode reads YAML strictly: a field that into doesn't have is an error.
func decode(t *testing.T, text []byte, into any) {
	t.Helper()
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatal(err)
	}
}
