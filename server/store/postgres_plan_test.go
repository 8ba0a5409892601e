package store

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"maps"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/internal/testservers"
)

// plans keeps how the server carried out the statements of a store: auto_explain tells after each.
type plans struct {
	mu   sync.Mutex
	list []string
}

func (p *plans) note(_ *pgconn.PgConn, n *pgconn.Notice) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, n.Message)
}

func (p *plans) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.list
	p.list = nil
	return taken
}

// explained opens a store that tells its plans, with the settings given on top of its own.
func explained(t *testing.T, url string, settings ...string) (*Store, *plans) {
	t.Helper()
	config, err := postgresConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	seen := &plans{}
	config.ConnConfig.OnNotice = seen.note
	after := config.AfterConnect
	config.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		settings := append([]string{`LOAD 'auto_explain'`, `SET auto_explain.log_level = notice`, `SET auto_explain.log_min_duration = 0`}, settings...)
		if _, err := c.Exec(ctx, strings.Join(settings, "; ")); err != nil {
			return err
		}
		return after(ctx, c)
	}
	s, err := startPostgres(t.Context(), config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, seen
}

const ourTables = `(events|members|conversations|conversation_heads|users|user_words|commit_log|sessions|access_tokens|refresh_tokens)`

var (
	sequential = regexp.MustCompile(`Seq Scan on ` + ourTables + `\b`)
	byIndex    = regexp.MustCompile(`(?m)Index (?:Only )?Scan (?:Backward )?(?:using|on) (\S+).*\n(.*)$`)
)

// wasteful says what is wrong with a plan. An index without a condition on its first column is read from one end to the other.
func wasteful(plan string, leading map[string]string) string {
	if found := sequential.FindString(plan); found != "" {
		return found
	}
	for _, found := range byIndex.FindAllStringSubmatch(plan, -1) {
		condition, column := found[2], leading[found[1]]
		if column == "" || !strings.Contains(condition, "Index Cond") || !strings.Contains(condition, column) {
			return found[0]
		}
	}
	return ""
}

// leadingColumns are the first columns of all indexes.
func leadingColumns(t *testing.T, s *Store) map[string]string {
	t.Helper()
	columns := make(map[string]string)
	err := each(s.db(t.Context()), `SELECT i.indexrelid::regclass::text, a.attname FROM pg_index i
		JOIN pg_attribute a ON a.attrelid = i.indexrelid AND a.attnum = 1`, nil, func(rows *sql.Rows) error {
		var index, column string
		err := rows.Scan(&index, &column)
		columns[index] = column
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return columns
}

// storedVariable has TestNoStatementReadsAWholeTable store about so many messages, instead of what CI has time for.
const storedVariable = "NATTERJACK_TEST_STORED"

func TestNoStatementReadsAWholeTable(t *testing.T) {
	const conversations = 10_000
	each := 30
	if wanted := os.Getenv(storedVariable); wanted != "" {
		messages, err := strconv.Atoi(wanted)
		if err != nil {
			t.Fatalf("%s: %v", storedVariable, err)
		}
		each = max(1, messages/conversations)
	}
	url := testservers.Postgres(t)
	f := fill(t, url, conversations, each)
	for name, settings := range map[string][]string{
		"by its own settings": nil,
		// The planner finds the same ways where nothing keeps it from others. (A disk with a head would have it read small tables through.)
		"by a server's usual settings": {"SET enable_seqscan = on", "SET random_page_cost = 1.1"},
	} {
		t.Run(name, func(t *testing.T) {
			s, seen := explained(t, url, settings...)
			leading := leadingColumns(t, s)
			id := f.conversations[7]
			statements := readsOf(t.Context(), s, id, 1, 2)
			statements["search in one conversation"] = func() error {
				_, err := s.SearchMessages(t.Context(), chat.SearchQuery{User: 1, Conversation: id, Words: []string{"w900"}, Limit: 5})
				return err
			}
			statements["search for a common word in one conversation"] = func() error {
				_, err := s.SearchMessages(t.Context(), chat.SearchQuery{User: 1, Conversation: id, Words: []string{"w0"}, Limit: 5})
				return err
			}
			maps.Copy(statements, writesOf(t.Context(), s))
			statements["a commit"] = func() error { return commitOfEverything(t.Context(), s, id) }
			for name, run := range statements {
				t.Run(name, func(t *testing.T) {
					// Prepared statements get a plan for any values, if it seems as good, after five with the values given.
					for range 7 {
						seen.take()
						err := run()
						for tries := 0; isTemporary(err) && tries < 10; tries++ { // of so many messages none is in memory yet
							seen.take()
							err = run()
						}
						if err != nil {
							t.Fatal(err)
						}
						all := seen.take()
						if len(all) == 0 {
							t.Fatal("no plan was told")
						}
						for _, plan := range all {
							if found := wasteful(plan, leading); found != "" {
								t.Fatalf("%s\nin\n%s", found, plan)
							}
						}
					}
				})
			}
		})
	}
}

// writesOf are the writes that aren't commits, and what is read with accounts.
func writesOf(ctx context.Context, s *Store) map[string]func() error {
	name, at := "Other Name", time.UnixMilli(20)
	var none account.Hash
	return map[string]func() error{
		"UpdateProfile": func() error {
			_, _, err := s.UpdateProfile(ctx, 5, account.ProfileChange{DisplayName: &name})
			return err
		},
		"SetLastSeen":       func() error { return s.SetLastSeen(ctx, map[chat.UserID]time.Time{5: time.Now(), 6: time.Now()}) },
		"Trim":              func() error { _, err := s.Trim(ctx, Retention{Batches: 1e6, Age: 1e6 * time.Hour}); return err },
		"CredentialsByName": func() error { _, _, _, err := s.CredentialsByName(ctx, "user5"); return err },
		"CredentialsByUser": func() error { _, _, err := s.CredentialsByUser(ctx, 5); return err },
		"Account":           func() error { _, _, err := s.Account(ctx, 5); return err },
		"AccessToken":       func() error { _, _, err := s.AccessToken(ctx, none); return err },
		"SessionBySeries":   func() error { _, _, err := s.SessionBySeries(ctx, none); return err },
		"Sessions":          func() error { _, err := s.Sessions(ctx, 5, at); return err },
		"LiveSessions":      func() error { _, err := s.LiveSessions(ctx, []chat.SessionID{7, 8, 9}); return err },
		"EndSession":        func() error { _, err := s.EndSession(ctx, 7, 7); return err },
		"EndSessions":       func() error { _, err := s.EndSessions(ctx, 8, 0); return err },
		"SetPassword": func() error {
			if _, err := s.SetPassword(ctx, 9, 99, "hash", 0); !errors.Is(err, account.ErrStale) {
				return err
			}
			return nil
		},
		"CreateSession": func() error {
			if _, err := s.CreateSession(ctx, account.NewSession{Session: account.Session{User: 9}}, 99, "", 10); !errors.Is(err, account.ErrStale) {
				return err
			}
			return nil
		},
		"DeleteExpired": func() error { _, _, err := s.DeleteExpired(ctx, at, at, 10); return err },
	}
}

// commitOfEverything sees and changes something of every kind.
func commitOfEverything(ctx context.Context, s *Store, id chat.ConversationID) error {
	_, err := s.Commit(ctx, *everyRead(id, 1), func(v *chat.View) (*chat.Writes, error) {
		c := v.Conversations[id]
		m, e := v.Members[chat.MemberKey{Conversation: id, User: 1}], v.Messages[chat.MessageKey{Conversation: id, Seq: 3}]
		c.LastSeq++
		m.ReadSeq++
		return &chat.Writes{
			Changed: []*chat.ConversationState{c}, Heads: []*chat.ConversationState{c}, Messages: []*chat.Message{e},
			Events:  []chat.Event{{Conversation: id, Seq: c.LastSeq, Kind: chat.EventConversation}},
			Members: []*chat.Member{{Conversation: id, User: 9, Role: chat.Regular, JoinedSeq: c.LastSeq}},
			Marks:   []*chat.Member{m},
		}, nil
	})
	return err
}
