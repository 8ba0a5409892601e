package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"gorm.io/gorm"

	"github.com/natterjack-chat/natterjack/server/chat"
)

func TestSQLiteIsCreatedWithItsFolder(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct{ url, path string }{
		{"sqlite:" + dir + "/deep/er/a.db", dir + "/deep/er/a.db"},
		{"sqlite://" + dir + "/b.db", dir + "/b.db"},
		{"sqlite:///" + dir + "/c.db", dir + "/c.db"},
		{"sqlite:" + dir + "/with space & 100%.db", dir + "/with space & 100%.db"},
	} {
		s := open(t, test.url)
		info, err := os.Stat(test.path)
		if err != nil {
			t.Fatalf("%s: %v", test.url, err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s can be read by others: %v", test.path, info.Mode())
		}
		if s.Shards() != 1 {
			t.Errorf("%d shards", s.Shards())
		}
	}
}

func TestSQLitePathIsRelativeToTheWorkingFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	open(t, "sqlite:data/natterjack.db")
	if _, err := os.Stat("data/natterjack.db"); err != nil {
		t.Fatal(err)
	}
}

func TestAWrongURLIsOneClearLine(t *testing.T) {
	folder := t.TempDir()
	notADatabase := folder + "/text.db"
	if err := os.WriteFile(notADatabase, []byte(strings.Repeat("this is text. ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for url, says := range map[string]string{
		"":                               "isn't supported",
		"data/natterjack.db":             "isn't supported",
		"mysql://root:secret@host/db":    "isn't supported",
		"sqlite:":                        "names no file",
		"sqlite:///":                     "names no file",
		"sqlite::memory:":                "names no file",
		"sqlite:a.db?mode=memory":        "?",
		"sqlite:" + folder:               "directory",
		"sqlite:/dev/null/natterjack.db": "folder",
		"sqlite:" + notADatabase:         "not a database",
	} {
		s, err := Open(t.Context(), Options{URL: url})
		if err == nil {
			t.Errorf("%q was opened", url)
			_ = s.Close()
			continue
		}
		if text := err.Error(); !strings.Contains(text, says) || strings.Contains(text, "\n") || strings.Contains(text, "secret") {
			t.Errorf("%q: the error is %q, want one line with %q", url, text, says)
		}
	}
}

func TestTwoServersCannotShareAFile(t *testing.T) {
	url := "sqlite:" + t.TempDir() + "/test.db"
	s, err := Open(t.Context(), Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	_, second := Open(t.Context(), Options{URL: url})
	_, migrating := Migrate(t.Context(), Options{URL: url}, Up)
	for what, err := range map[string]error{"opening": second, "migrating": migrating} {
		if err == nil || !strings.Contains(err.Error(), "is open in another process") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s an open database: %v", what, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, url)
}

func TestCloseLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	folder := t.TempDir()
	s, err := Open(t.Context(), Options{URL: "sqlite:" + folder + "/test.db"})
	if err != nil {
		t.Fatal(err)
	}
	service := chat.New(chat.Config{Store: s, Publisher: nobody{}, Presence: nobody{}})
	id, members := newGroup(t, s, service, 2)
	if _, err := service.Send(t.Context(), members[0], chat.SendRequest{Conversation: id, ClientID: newUUID(), Content: "hello"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Messages(t.Context(), id, chat.MessagePage{Limit: 1}); err != nil {
		t.Fatal(err)
	}
	service.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.write(t.Context(), func(*gorm.DB) error { return nil }); !chat.IsReason(err, chat.ReasonUnavailable) {
		t.Errorf("writing to a closed store: %v", err)
	}
	left, err := filepath.Glob(folder + "/*-*")
	if err != nil || len(left) > 0 {
		t.Errorf("files left behind: %v, %v", left, err)
	}
}

// What a newer program says that older ones can use is another test's.
func TestANewerDatabaseIsNotTouched(t *testing.T) {
	url := "sqlite:" + t.TempDir() + "/test.db"
	s, err := Open(t.Context(), Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(s.write(t.Context(), func(tx *gorm.DB) error {
		if err := tx.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`).Error; err != nil {
			return err
		}
		return tx.Exec(`UPDATE store_meta SET value = 9999 WHERE key = 'compatible_from'`).Error
	}), s.Close())
	if err != nil {
		t.Fatal(err)
	}
	for what, open := range map[string]func() error{
		"opening":   func() error { _, err := Open(t.Context(), Options{URL: url}); return err },
		"migrating": func() error { _, err := Migrate(t.Context(), Options{URL: url}, Up); return err },
	} {
		err := open()
		if err == nil || !strings.Contains(err.Error(), "use a newer one") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s a database of a newer version: %v", what, err)
		}
	}
}

func TestMigrateGoesUpAndDown(t *testing.T) {
	onEach(t, func(t *testing.T, newURL func(testing.TB) string) {
		o := Options{URL: newURL(t)}
		migrate := func(d Direction) (applied int, of int) {
			t.Helper()
			list, err := Migrate(t.Context(), o, d)
			if err != nil {
				t.Fatal(err)
			}
			for i, m := range list {
				if m.Version != int64(i+1) || m.Name == "" {
					t.Errorf("step %d is %+v", i, m)
				}
				if m.Applied {
					applied++
				}
			}
			return applied, len(list)
		}
		if applied, _ := migrate(Status); applied != 0 {
			t.Fatalf("%d steps are applied to an empty database", applied)
		}
		applied, all := migrate(Up)
		if applied != all || all == 0 {
			t.Fatalf("%d of %d steps after migrating up", applied, all)
		}
		for n := all - 1; n >= 0; n-- {
			if applied, _ := migrate(Down); applied != n {
				t.Fatalf("%d steps after migrating down to %d", applied, n)
			}
		}
		if _, err := Migrate(t.Context(), o, Down); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("migrating down from nothing: %v", err)
		}
		if _, err := Migrate(t.Context(), o, "sideways"); err == nil {
			t.Error("migrated sideways")
		}
		open(t, o.URL)
	})
}

func TestADatabaseWithOtherShardsIsRefused(t *testing.T) {
	url := "sqlite:" + t.TempDir() + "/test.db"
	s, err := Open(t.Context(), Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(s.write(t.Context(), func(tx *gorm.DB) error {
		return tx.Exec(`UPDATE store_meta SET value = 4 WHERE key = 'shards'`).Error
	}), s.Close())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{URL: url}); err == nil || !strings.Contains(err.Error(), "4 log shards") {
		t.Fatalf("opening it: %v", err)
	}
}
