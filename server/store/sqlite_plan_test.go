package store

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// recorder keeps the statements that GORM runs.
type recorder struct {
	logger.Interface
	mu         sync.Mutex
	statements []string
}

func (r *recorder) Trace(_ context.Context, _ time.Time, statement func() (string, int64), _ error) {
	sql, _ := statement()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.statements = append(r.statements, sql)
}

// take returns the statements since the last call, without those that only frame a transaction.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := slices.DeleteFunc(r.statements, func(s string) bool { return !strings.Contains(s, " ") })
	r.statements = nil
	return taken
}

// scan is what SQLite's plan says of a table that is read from one end to the other. What it makes up itself has no name of ours.
var scan = regexp.MustCompile(`SCAN (e|m|h|c|u|w|o|mine|theirs|events|members|conversations|conversation_heads|users|user_words|commit_log)\b`)

func TestNoReadScansATable(t *testing.T) {
	s := open(t, "sqlite:"+t.TempDir()+"/test.db")
	service := serve(t, s)
	id, members := newGroup(t, s, service, 3)
	for range 3 {
		if _, err := service.Send(t.Context(), members[0], chat.SendRequest{Conversation: id, ClientID: newUUID(), Content: "some words"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := service.React(t.Context(), members[1], id, 4, "👍", true); err != nil {
		t.Fatal(err)
	}
	if err := s.WaitIndexed(t.Context()); err != nil {
		t.Fatal(err)
	}
	e := s.engine.(*sqliteEngine)
	seen := &recorder{Interface: logger.Discard}
	e.reads.Logger = seen
	user := members[0].User
	reads := readsOf(t.Context(), s, id, user, members[1].User)
	reads["the index"] = func() error { _, _, err := readChanges(s.db(t.Context()), 1, 10); return err }
	reads["a view"] = func() error {
		_, err := readView(s.db(t.Context()), everyRead(id, user))
		return err
	}
	for name, read := range reads {
		t.Run(name, func(t *testing.T) {
			seen.take()
			if err := read(); err != nil {
				t.Fatal(err)
			}
			statements := seen.take()
			if len(statements) == 0 {
				t.Fatal("no statement was recorded")
			}
			if len(statements) > 12 {
				t.Errorf("%d statements", len(statements))
			}
			for _, statement := range statements {
				if plan := explain(t, e.reads, statement); scan.MatchString(plan) {
					t.Errorf("%s\nis planned as\n%s", statement, plan)
				}
			}
		})
	}
}

// readsOf are all kinds of reads by which a member of a conversation comes to know it.
func readsOf(ctx context.Context, s *Store, id chat.ConversationID, user, other chat.UserID) map[string]func() error {
	since := make([]int64, s.Shards())
	for i := range since {
		since[i] = 1
	}
	return map[string]func() error{
		"Member":            func() error { _, _, err := s.Member(ctx, chat.MemberKey{Conversation: id, User: user}); return err },
		"ConversationState": func() error { _, _, err := s.ConversationState(ctx, id); return err },
		"ReadByOthers":      func() error { _, err := s.ReadByOthers(ctx, id, user); return err },
		"history, newest":   func() error { _, err := s.Messages(ctx, id, chat.MessagePage{Limit: 2}); return err },
		"history, before":   func() error { _, err := s.Messages(ctx, id, chat.MessagePage{Limit: 2, Before: 5}); return err },
		"history, after":    func() error { _, err := s.Messages(ctx, id, chat.MessagePage{Limit: 2, After: 2}); return err },
		"history, around":   func() error { _, err := s.Messages(ctx, id, chat.MessagePage{Limit: 2, Around: 4}); return err },
		"Events": func() error {
			_, _, err := s.Events(ctx, []chat.EventPosition{{Conversation: id}}, 10, 1000)
			return err
		},
		"Members":           func() error { _, err := s.Members(ctx, id, 0, 10); return err },
		"Memberships":       func() error { _, err := s.Memberships(ctx, user); return err },
		"Summaries":         func() error { _, err := s.Summaries(ctx, user, []chat.ConversationID{id}); return err },
		"all summaries":     func() error { _, err := s.ChangedSummaries(ctx, user, nil, 0, 10); return err },
		"changed summaries": func() error { _, err := s.ChangedSummaries(ctx, user, since, 0, 10); return err },
		"recent summaries": func() error {
			_, err := s.RecentSummaries(ctx, user, chat.RecentCursor{UpdateTime: time.Now().Add(time.Hour), Conversation: 1}, 10)
			return err
		},
		"Shared":      func() error { _, err := s.Shared(ctx, user, []chat.UserID{other, 99}); return err },
		"Users":       func() error { _, err := s.Users(ctx, []chat.UserID{user}); return err },
		"SearchUsers": func() error { _, err := s.SearchUsers(ctx, "user na", 10); return err },
		"SearchMessages": func() error {
			_, err := s.SearchMessages(ctx, chat.SearchQuery{User: user, Words: []string{"some"}, Limit: 1})
			return err
		},
		"the search's next page": func() error {
			_, err := s.SearchMessages(ctx, chat.SearchQuery{User: user, Words: []string{"some"}, Limit: 1, Before: chat.SearchCursor{Conversation: id, Seq: 5}})
			return err
		},
		"LastSeen": func() error { _, _, err := s.LastSeen(ctx, []chat.UserID{user}); return err },
		"Batches":  func() error { _, err := s.Batches(ctx, 0, 1, 10); return err },
		"Tops":     func() error { _, err := s.Tops(ctx); return err },
		"BatchIDs": func() error { _, err := s.BatchIDs(ctx, []int64{2}); return err },
	}
}

// everyRead has a transaction see one thing of every kind.
func everyRead(id chat.ConversationID, user chat.UserID) *chat.Reads {
	return &chat.Reads{
		Conversations: []chat.ConversationID{id}, CreateKeys: []chat.CreateKey{{Conversation: id, Key: "key"}},
		Members: []chat.MemberKey{{Conversation: id, User: user}}, Messages: []chat.MessageKey{{Conversation: id, Seq: 3}},
		ClientIDs: []chat.ClientKey{{Conversation: id, Sender: user}}, Users: []chat.UserID{user},
		Ordinals: []chat.MessageKey{{Conversation: id, Seq: 3}},
	}
}

func explain(t *testing.T, db *gorm.DB, statement string) string {
	t.Helper()
	var steps []struct{ Detail string }
	quiet := db.Session(&gorm.Session{Logger: logger.Discard})
	if err := quiet.Raw("EXPLAIN QUERY PLAN " + statement).Scan(&steps).Error; err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	var plan strings.Builder
	for _, step := range steps {
		fmt.Fprintln(&plan, step.Detail)
	}
	return plan.String()
}

// Summaries of many conversations take as many statements as those of one.
func TestSummariesTakeAConstantNumberOfStatements(t *testing.T) {
	s := open(t, "sqlite:"+t.TempDir()+"/test.db")
	service := serve(t, s)
	_, members := newGroup(t, s, service, 3)
	seen := &recorder{Interface: logger.Discard}
	count := func() int {
		t.Helper()
		s.engine.(*sqliteEngine).reads.Logger = seen
		seen.take()
		if _, err := s.ChangedSummaries(t.Context(), members[0].User, nil, 0, 200); err != nil {
			t.Fatal(err)
		}
		return len(seen.take())
	}
	one := count()
	for range 30 {
		_, _, err := service.CreateConversation(t.Context(), members[0], chat.CreateRequest{
			Kind: chat.Group, Title: "more", Members: []chat.UserID{members[1].User, members[2].User},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if many := count(); many != one {
		t.Errorf("%d statements for 31 conversations, %d for one", many, one)
	}
}
