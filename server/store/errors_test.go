package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// sqliteError makes SQLite fail with a constraint, which says that the data was refused.
func sqliteError(t *testing.T) error {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	_, err = db.Exec(`CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1); INSERT INTO t VALUES (1)`)
	if !isDuplicate(err) {
		t.Fatalf("two rows with one key: %v", err)
	}
	return err
}

func TestErrorsKeepTheirMeaning(t *testing.T) {
	refused := sqliteError(t)
	plain := errors.New("plain")
	typed := chat.NotFound("user")
	for _, test := range []struct {
		name   string
		got    error
		reason chat.Reason // 0: as it was
		was    error
	}{
		{"no error in a write", translateWrite(nil), 0, nil},
		{"a typed error in a write", translateWrite(typed), chat.ReasonNotFound, typed},
		{"refused data in a write", translateWrite(refused), 0, refused},
		{"another error in a write", translateWrite(plain), 0, plain},
		{"refused data in a commit", translateCommit(refused), 0, refused},
		{"a lost connection in a commit", translateCommit(driver.ErrBadConn), chat.ReasonOutcomeUnknown, driver.ErrBadConn},
		{"no error in a read", translateRead(t.Context(), nil), 0, nil},
		{"a typed error in a read", translateRead(t.Context(), typed), chat.ReasonNotFound, typed},
		{"another error in a read", translateRead(t.Context(), plain), chat.ReasonUnavailable, plain},
	} {
		if !errors.Is(test.got, test.was) {
			t.Errorf("%s: %v doesn't hold %v", test.name, test.got, test.was)
		}
		if e, ok := chat.AsError(test.got); ok != (test.reason != 0) || ok && e.Reason != test.reason {
			t.Errorf("%s: %#v, want reason %d", test.name, test.got, test.reason)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := translateRead(gone, plain); !errors.Is(err, context.Canceled) || errors.Is(err, plain) {
		t.Errorf("a read whose caller went away: %v", err)
	}
}
