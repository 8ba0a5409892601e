package store

import (
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"gorm.io/gorm"

	"github.com/natterjack-chat/natterjack/server/chat"
)

func TestTheLogOfWritesStaysShort(t *testing.T) {
	path := t.TempDir() + "/test.db"
	s := open(t, "sqlite:"+path)
	fill := func() {
		for range 8 {
			err := s.write(t.Context(), func(tx *gorm.DB) error {
				return tx.Exec(`INSERT INTO commit_log (shard, no, id, prev_id, at, touched)
					SELECT 9, (SELECT COALESCE(max(no), 0) FROM commit_log WHERE shard = 9) + 1, 1, 1, 0, zeroblob(?)`, 1<<20).Error
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	var most int64
	for range 5 {
		fill()
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, info.Size())
	}
	// 40 MiB were written.
	if most > 2*walPages*4096 {
		t.Errorf("the log grew to %d MiB", most>>20)
	}
}

func TestAPanicInATransactionLeavesNothingBehind(t *testing.T) {
	s := open(t, "sqlite:"+t.TempDir()+"/test.db")
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = s.write(t.Context(), func(tx *gorm.DB) error {
			if err := tx.Exec(`INSERT INTO store_meta (key, value) VALUES ('half', 1)`).Error; err != nil {
				t.Error(err)
			}
			panic("in the middle")
		})
	}()
	var n int
	err := s.write(t.Context(), func(tx *gorm.DB) error {
		return tx.Raw(`SELECT count(*) FROM store_meta WHERE key = 'half'`).Scan(&n).Error
	})
	if err != nil || n != 0 {
		t.Errorf("half a transaction is stored: %d, %v", n, err)
	}
}

func TestALockedDatabaseIsUnavailable(t *testing.T) {
	path := t.TempDir() + "/test.db"
	s := open(t, "sqlite:"+path)
	w := s.engine.(*sqliteEngine).writer
	// Another program, such as a backup, holds the lock for longer than a commit waits.
	other, err := sql.Open("sqlite", path+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	tx, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	impatient := func() { // for this test
		w.turn <- struct{}{}
		defer func() { <-w.turn }()
		if err := w.open(); err != nil {
			t.Fatal(err)
		}
		if err := w.exec(`PRAGMA busy_timeout = 1`); err != nil {
			t.Fatal(err)
		}
	}
	impatient()
	err = s.write(t.Context(), func(*gorm.DB) error { return nil })
	if !chat.IsReason(err, chat.ReasonUnavailable) {
		t.Errorf("writing to a locked database: %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := s.write(t.Context(), func(*gorm.DB) error { return nil }); err != nil {
		t.Errorf("writing to it afterwards: %v", err)
	}
}

func TestAReadOnlyDatabaseTakesNoWrites(t *testing.T) {
	s := open(t, "sqlite:"+t.TempDir()+"/test.db")
	service := serve(t, s)
	id, members := newGroup(t, s, service, 1)
	w := s.engine.(*sqliteEngine).writer
	readOnly := func(on bool) {
		w.turn <- struct{}{}
		defer func() { <-w.turn }()
		if err := w.open(); err != nil {
			t.Fatal(err)
		}
		if err := w.exec(fmt.Sprintf(`PRAGMA query_only = %v`, on)); err != nil {
			t.Fatal(err)
		}
	}
	send := func() error {
		_, err := service.Send(t.Context(), members[0], chat.SendRequest{Conversation: id, ClientID: newUUID(), Content: "hello"})
		return err
	}
	readOnly(true)
	if err := send(); !chat.IsReason(err, chat.ReasonStoreFull) {
		t.Errorf("sending: %v, want store full", err)
	}
	readOnly(false)
	if err := send(); err != nil {
		t.Error(err)
	}
}

func TestStatementsAreBounded(t *testing.T) {
	s := open(t, "sqlite:"+t.TempDir()+"/test.db")
	for n := range 2*maxStatements + 10 {
		err := s.write(t.Context(), func(tx *gorm.DB) error {
			var got int
			err := tx.Raw(fmt.Sprintf(`SELECT %d`, n)).Scan(&got).Error
			if got != n {
				t.Errorf("statement %d answers %d", n, got)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	err := s.engine.(*sqliteEngine).writer.conn.Raw(func(c any) error {
		if n := len(c.(*preparingConn).idle); n > maxStatements || n == 0 {
			t.Errorf("%d statements are prepared", n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAStatementCanBeRunWhileItsRowsAreRead(t *testing.T) {
	s := open(t, "sqlite:"+t.TempDir()+"/test.db")
	err := s.write(t.Context(), func(tx *gorm.DB) error {
		var read func(depth int) error
		read = func(depth int) error {
			n := 0
			err := each(tx, `WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 4) SELECT n FROM n`, nil, func(rows *sql.Rows) error {
				n++
				var got int
				if err := rows.Scan(&got); err != nil || got != n {
					t.Errorf("row %d is %d, %v", n, got, err)
				}
				if depth == 0 {
					return nil
				}
				return read(depth - 1)
			})
			if n != 4 {
				t.Errorf("%d rows", n)
			}
			return err
		}
		return read(3)
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAWrongStatementIsAnError(t *testing.T) {
	s := open(t, "sqlite:"+t.TempDir()+"/test.db")
	err := s.write(t.Context(), func(tx *gorm.DB) error {
		var n int
		if err := tx.Raw(`SELECT nothing FROM nowhere`).Row().Scan(&n); err == nil {
			t.Error("a wrong query for one row has no error")
		}
		if err := tx.Raw(`SELECT nothing FROM nowhere`).Scan(&n).Error; err == nil {
			t.Error("a wrong query has no error")
		}
		return tx.Exec(`UPDATE nowhere SET nothing = 1`).Error
	})
	if _, typed := chat.AsError(err); err == nil || typed {
		t.Errorf("a wrong statement: %v, want an error of no kind", err)
	}
}

func TestNothingIsLoggedOfMessages(t *testing.T) {
	var log strings.Builder
	s, err := Open(t.Context(), Options{URL: "sqlite:" + t.TempDir() + "/test.db", Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	service := chat.New(chat.Config{Store: s, Publisher: nobody{}, Presence: nobody{}, Logger: slog.New(slog.DiscardHandler)})
	id, members := newGroup(t, s, service, 1)
	_, err = service.Send(t.Context(), members[0], chat.SendRequest{Conversation: id, ClientID: newUUID(), Content: "secret words"})
	service.Close()
	if err := errors.Join(err, s.WaitIndexed(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), "secret") {
		t.Errorf("the log says\n%s", &log)
	}
	if !strings.Contains(log.String(), "migrated") {
		t.Errorf("the log doesn't tell of migrations:\n%s", &log)
	}
}
