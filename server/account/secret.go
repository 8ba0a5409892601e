package account

import (
	"fmt"
	"log/slog"
)

const redacted = "[secret]"

// Secret is a password or a token. However it is printed, logged or encoded, only [Secret.Reveal] shows what it is: the pointer keeps it from
// package fmt even inside of unexported fields, where fmt calls no methods. The zero value is the empty secret.
type Secret struct{ value *string }

var (
	_ fmt.Formatter  = Secret{}
	_ slog.LogValuer = Secret{}
)

// NewSecret returns s as a Secret.
func NewSecret(s string) Secret { return Secret{&s} }

// Reveal returns what the secret is.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// Format prints a placeholder, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, redacted) }

// String returns a placeholder.
func (Secret) String() string { return redacted }

// LogValue returns a placeholder.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns a placeholder.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
