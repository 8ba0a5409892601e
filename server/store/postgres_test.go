package store

import (
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"gorm.io/gorm"

	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/chat/chattest"
	"github.com/natterjack-chat/natterjack/server/internal/testservers"
)

func TestPostgresHoldsTheContract(t *testing.T) {
	// A quarter of the random histories: each has a database and its commits, and takes ten times as long as with SQLite.
	const checks = "rapid.checks"
	all := flag.Lookup(checks).Value.String()
	n, err := strconv.Atoi(all)
	if err != nil {
		t.Fatal(err)
	}
	if err := flag.Set(checks, strconv.Itoa((n+3)/4)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = flag.Set(checks, all) })
	chattest.TestStore(t, func(tb testing.TB) *chattest.Harness {
		return newHarness(tb, Options{URL: testservers.Postgres(tb)})
	})
}

func TestPostgresRefusesWhatItCannotUse(t *testing.T) {
	server := testservers.StartPostgres(t)
	execute(t, server.URL, `CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`)
	latin := server.URL[:strings.LastIndexByte(server.URL, '/')] + "/latin"
	for name, test := range map[string]struct{ url, want string }{
		"a malformed URL":           {"postgres://u:secret@host:port/db", "database URL"},
		"a server that isn't there": {"postgres://u:secret@127.0.0.1:1/db", "127.0.0.1"},
		"an encoding":               {latin, "UTF8"},
	} {
		_, err := Open(t.Context(), Options{URL: test.url})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s tells the password: %v", name, err)
		}
	}
}

func TestPostgresURLsParametersAreKept(t *testing.T) {
	for url, want := range map[string]int32{
		"postgres://u@h/d?pool_max_conns=7": 7,
		"postgresql://u@h/d":                16,
	} {
		c, err := postgresConfig(url + "")
		if err != nil || c.MaxConns < want {
			t.Errorf("%s: %d connections, %v", url, c.MaxConns, err)
		}
	}
	c, err := postgresConfig("postgres://u@h/d?application_name=mine&statement_timeout=0&connect_timeout=7")
	if err != nil {
		t.Fatal(err)
	}
	if p := c.ConnConfig.RuntimeParams; p["application_name"] != "mine" || p["statement_timeout"] != "5000" || c.ConnConfig.ConnectTimeout.Seconds() != 7 {
		t.Errorf("%v, %v", p, c.ConnConfig.ConnectTimeout)
	}
}

func TestNodesThatStartTogetherMigrateOnce(t *testing.T) {
	url := testservers.Postgres(t)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			s, err := Open(t.Context(), Options{URL: url})
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
}

func TestMigrationsGoForthAndBack(t *testing.T) {
	onEach(t, func(t *testing.T, newURL func(testing.TB) string) {
		o := Options{URL: newURL(t)}
		at := func(list []Migration) (applied []int64) {
			for _, m := range list {
				if m.Applied {
					applied = append(applied, m.Version)
				}
			}
			return applied
		}
		all, err := Migrate(t.Context(), o, Up)
		if err != nil || len(at(all)) != len(all) {
			t.Fatalf("%v, %v", all, err)
		}
		for n := range slices.Backward(all) {
			list, err := Migrate(t.Context(), o, Down)
			if err != nil || len(at(list)) != n {
				t.Fatalf("back to %d: %v, %v", n, list, err)
			}
			if list, err = Migrate(t.Context(), o, Status); err != nil || len(at(list)) != n {
				t.Errorf("status at %d: %v, %v", n, list, err)
			}
		}
		s := open(t, o.URL) // and forth again
		newGroup(t, s, serve(t, s), 2)
		if _, err := Migrate(t.Context(), o, "sideways"); err == nil {
			t.Error("a direction that isn't one was taken")
		}
	})
}

func TestOlderProgramUsesNewerTables(t *testing.T) {
	onEach(t, func(t *testing.T, newURL func(testing.TB) string) {
		o := Options{URL: newURL(t)}
		later := func(statement string) { // what a newer program's migration does
			s, err := Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			if err := s.write(t.Context(), func(tx *gorm.DB) error { return tx.Exec(statement).Error }); err != nil {
				t.Fatal(err)
			}
		}
		later(`ALTER TABLE users ADD COLUMN mood bigint NOT NULL DEFAULT 0`)
		later(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, true)`)
		t.Run("all goes on", func(t *testing.T) {
			s := open(t, o.URL)
			newGroup(t, s, serve(t, s), 2)
		})
		if _, err := Migrate(t.Context(), o, Down); err == nil {
			t.Error("it took back a migration that it doesn't know")
		}
		later(`UPDATE store_meta SET value = 99 WHERE key = 'compatible_from'`)
		if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "99") {
			t.Errorf("it opened tables that it can't use: %v", err)
		}
	})
}

func TestNewEpochReachesRunningNodes(t *testing.T) {
	url := testservers.Postgres(t)
	s := open(t, url)
	service := serve(t, s)
	id, members := newGroup(t, s, service, 2)
	before, err := s.Tops(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	epoch, err := NewEpoch(t.Context(), Options{URL: url})
	if err != nil || epoch == before.Epoch {
		t.Fatalf("epoch %d after %d, %v", epoch, before.Epoch, err)
	}
	after, err := s.Tops(t.Context())
	if err != nil || after.Epoch != epoch || !slices.Equal(after.Nos, before.Nos) {
		t.Errorf("%+v after %+v, %v", after, before, err)
	}
	batches, err := s.Commit(t.Context(), chat.Reads{Conversations: []chat.ConversationID{id}}, func(v *chat.View) (*chat.Writes, error) {
		return &chat.Writes{Heads: []*chat.ConversationState{v.Conversations[id]}}, nil
	})
	if err != nil || batches[0].Epoch != epoch {
		t.Errorf("%+v, %v", batches, err)
	}
	if list, err := s.Batches(t.Context(), batches[0].Shard, 0, 10); err != nil || list[0].Epoch != epoch {
		t.Errorf("%+v, %v", list, err)
	}
	_ = members
}

func TestSnapshotSeesOneState(t *testing.T) {
	onEach(t, func(t *testing.T, newURL func(testing.TB) string) {
		s := open(t, newURL(t))
		service := serve(t, s)
		id, members := newGroup(t, s, service, 2)
		err := s.snapshot(t.Context(), func(db *gorm.DB) error {
			for range 2 {
				states, _, err := statesByID(db, []chat.ConversationID{id})
				if err != nil || states[id].LastSeq != 2 {
					t.Errorf("the head is at %d, %v", states[id].LastSeq, err)
				}
				if _, err := service.Send(t.Context(), members[0], chat.SendRequest{Conversation: id, ClientID: newUUID(), Content: "x"}); err != nil {
					t.Error(err)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// TestSearchIsTheSameBeforeAndAfterUpkeep also holds the ways of searching against each other: by parts with the newest first, and in one conversation.
func TestSearchIsTheSameBeforeAndAfterUpkeep(t *testing.T) {
	s := open(t, testservers.Postgres(t))
	service := serve(t, s)
	var groups []chat.ConversationID
	var owners, members []chat.Caller
	var want []string
	for i := range 2*searchFanIn + 3 { // more than two parts
		id, of := newGroup(t, s, service, 1)
		groups, owners = append(groups, id), append(owners, of[0])
		if i == 0 {
			members = of
		} else if _, err := service.AddMembers(t.Context(), of[0], id, []chat.UserID{members[0].User}, chat.Regular); err != nil {
			t.Fatal(err)
		}
		content := fmt.Sprintf("Grüße number%d", i)
		if _, err := service.Send(t.Context(), of[0], chat.SendRequest{Conversation: id, ClientID: newUUID(), Content: content}); err != nil {
			t.Fatal(err)
		}
		want = append([]string{content}, want...)
	}
	// Those that were written to last hold the oldest of what is searched.
	for i := range searchFanIn {
		id, of := groups[i], owners[i]
		if _, err := service.Send(t.Context(), of, chat.SendRequest{Conversation: id, ClientID: newUUID(), Content: "other words"}); err != nil {
			t.Fatal(err)
		}
	}
	search := func(page int) (found []string) {
		r := chat.SearchRequest{Query: "GRUSSE num*", PageSize: page}
		for {
			messages, next, err := service.SearchMessages(t.Context(), members[0], r)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range messages {
				found = append(found, m.Content)
			}
			if r.PageToken = next; next == "" {
				return found
			}
		}
	}
	check := func() {
		t.Helper()
		for _, page := range []int{1, 5, 100} {
			if found := search(page); !slices.Equal(found, want) {
				t.Errorf("in pages of %d: %q", page, found)
			}
		}
	}
	check()
	if err := s.engine.(*postgresEngine).upkeep(t.Context()); err != nil {
		t.Fatal(err)
	}
	check()
}

func TestUpkeepIsOneNodesAtATime(t *testing.T) {
	url := testservers.Postgres(t)
	s := open(t, url)
	e := s.engine.(*postgresEngine)
	tx, err := e.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT set_config('idle_in_transaction_session_timeout', '0', true), pg_advisory_xact_lock($1, $2)`,
		lockSpace, upkeepLock); err != nil {
		t.Fatal(err)
	}
	execute(t, url, `DROP INDEX events_by_words`)
	if err := e.upkeep(t.Context()); err != nil {
		t.Errorf("while another node is at it: %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.upkeep(t.Context()); err == nil {
		t.Error("upkeep of an index that isn't there went well")
	}
}
