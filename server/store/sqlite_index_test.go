package store

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// indexed is a closed store with messages in it, and who can search them.
type indexed struct {
	path  string
	user  chat.UserID
	words int // how many messages hold "words"
}

func newIndexed(t *testing.T, path string) indexed {
	t.Helper()
	x := indexed{path: path, words: 5}
	s, err := Open(t.Context(), Options{URL: "sqlite:" + path})
	if err != nil {
		t.Fatal(err)
	}
	service := chat.New(chat.Config{Store: s, Publisher: nobody{}, Presence: nobody{}})
	id, members := newGroup(t, s, service, 2)
	x.user = members[1].User
	for range x.words {
		if _, err := service.Send(t.Context(), members[0], chat.SendRequest{Conversation: id, ClientID: newUUID(), Content: "some words"}); err != nil {
			t.Fatal(err)
		}
	}
	service.Close()
	if err := errors.Join(s.WaitIndexed(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
	return x
}

// search opens the store, searches, and closes it.
func (x indexed) search(t *testing.T) int {
	t.Helper()
	s, err := Open(t.Context(), Options{URL: "sqlite:" + x.path})
	if err != nil {
		t.Fatal(err)
	}
	found, err := s.SearchMessages(t.Context(), chat.SearchQuery{User: x.user, Words: []string{"words"}, Limit: 100})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	return len(found)
}

func TestAnIndexThatDoesNotFitIsBuiltAnew(t *testing.T) {
	copyFile := func(t *testing.T, from, to string) {
		t.Helper()
		b, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, spoil := range map[string]func(t *testing.T, x indexed){
		"nothing is wrong": func(*testing.T, indexed) {},
		"it is gone": func(t *testing.T, x indexed) {
			if err := os.Remove(x.path + ".search"); err != nil {
				t.Fatal(err)
			}
		},
		"it is empty": func(t *testing.T, x indexed) {
			if err := os.WriteFile(x.path+".search", nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"it is garbage": func(t *testing.T, x indexed) {
			if err := os.WriteFile(x.path+".search", []byte(strings.Repeat("garbage ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"it is of another version": func(t *testing.T, x indexed) {
			db, err := sql.Open("sqlite", x.path+".search")
			if err == nil {
				_, err = db.Exec(`PRAGMA user_version = 12345`)
			}
			if err := errors.Join(err, db.Close()); err != nil {
				t.Fatal(err)
			}
		},
		"it is another database's": func(t *testing.T, x indexed) {
			other := newIndexed(t, t.TempDir()+"/other.db")
			copyFile(t, other.path+".search", x.path+".search")
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := newIndexed(t, t.TempDir()+"/test.db")
			spoil(t, x)
			if got := x.search(t); got != x.words {
				t.Errorf("%d messages found, want %d", got, x.words)
			}
		})
	}
	t.Run("the database is an older copy", func(t *testing.T) {
		dir := t.TempDir()
		x := newIndexed(t, dir+"/test.db")
		copyFile(t, x.path, dir+"/backup.db")
		s, err := Open(t.Context(), Options{URL: "sqlite:" + x.path})
		if err != nil {
			t.Fatal(err)
		}
		service := chat.New(chat.Config{Store: s, Publisher: nobody{}, Presence: nobody{}})
		_, _ = newGroup(t, s, service, 1)
		service.Close()
		if err := errors.Join(s.WaitIndexed(t.Context()), s.Close()); err != nil {
			t.Fatal(err)
		}
		copyFile(t, dir+"/backup.db", x.path)
		if got := x.search(t); got != x.words {
			t.Errorf("%d messages found, want %d", got, x.words)
		}
	})
}

func TestSearchSaysThatItsIndexFails(t *testing.T) {
	x := newIndexed(t, t.TempDir()+"/test.db")
	s := open(t, "sqlite:"+x.path)
	index := s.engine.(*sqliteEngine).index
	if _, err := index.write.ExecContext(t.Context(), `ALTER TABLE progress RENAME TO gone`); err != nil {
		t.Fatal(err)
	}
	service := serve(t, s)
	_, members := newGroup(t, s, service, 1)
	search := func() error {
		_, err := s.SearchMessages(t.Context(), chat.SearchQuery{User: members[0].User, Words: []string{"words"}, Limit: 1})
		return err
	}
	if err := search(); !chat.IsReason(err, chat.ReasonUnavailable) {
		t.Errorf("searching: %v, want unavailable", err)
	}
	if _, err := index.write.ExecContext(t.Context(), `ALTER TABLE gone RENAME TO progress`); err != nil {
		t.Fatal(err)
	}
	until(t, "the index recovers", func() bool { return search() == nil })
}

func TestWaitingForAClosedIndexEnds(t *testing.T) {
	x := newIndexed(t, t.TempDir()+"/test.db")
	s, err := Open(t.Context(), Options{URL: "sqlite:" + x.path})
	if err != nil {
		t.Fatal(err)
	}
	index := s.engine.(*sqliteEngine).index
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := index.wait(ctx, 1<<60); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting without patience: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := index.wait(t.Context(), 1<<60); !errors.Is(err, errIndexClosed) {
		t.Errorf("waiting for a closed index: %v", err)
	}
}
