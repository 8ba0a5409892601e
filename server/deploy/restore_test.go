package deploy

import (
	"context"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/internal/testservers"
	"github.com/natterjack-chat/natterjack/server/node"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

// database is one kind of database, with the commands that README.md gives for it.
type database struct {
	url             string
	backup, restore func(t *testing.T)
}

func sqliteDatabase(t *testing.T) database {
	dir := t.TempDir()
	file, copied := filepath.Join(dir, "natterjack.db"), filepath.Join(dir, "backup.db")
	return database{
		url:    "sqlite:" + file,
		backup: func(t *testing.T) { command(t, "sqlite3", file, "VACUUM INTO '"+copied+"'") },
		restore: func(t *testing.T) {
			for _, old := range []string{file, file + "-wal", file + "-shm"} {
				if err := os.Remove(old); err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
			}
			if err := os.Rename(copied, file); err != nil {
				t.Fatal(err)
			}
		},
	}
}

func postgresDatabase(t *testing.T) database {
	dump := filepath.Join(t.TempDir(), "natterjack.dump")
	where := testservers.Postgres(t)
	return database{
		url:    where,
		backup: func(t *testing.T) { command(t, "pg_dump", "--format=custom", "--file="+dump, where) },
		restore: func(t *testing.T) {
			u := must(url.Parse(where))(t)
			name := strings.TrimPrefix(u.Path, "/")
			u.Path = "/postgres"
			command(t, "psql", "--command=DROP DATABASE "+name, u.String())
			command(t, "psql", "--command=CREATE DATABASE "+name, u.String())
			command(t, "pg_restore", "--no-owner", "--exit-on-error", "--dbname="+where, dump)
		},
	}
}

func command(t *testing.T, name string, arguments ...string) {
	t.Helper()
	if out, err := exec.CommandContext(within(t), name, arguments...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// TestRestoredDatabaseGetsBackWhatClientsHave takes a backup while people chat, loses what came after it, and gives the restored database a new epoch:
// clients that stayed there start afresh, and what they had sent themselves is stored again, once.
func TestRestoredDatabaseGetsBackWhatClientsHave(t *testing.T) {
	for kind, prepare := range map[string]func(*testing.T) database{"SQLite": sqliteDatabase, "PostgreSQL": postgresDatabase} {
		t.Run(kind, func(t *testing.T) {
			d, port := prepare(t), strconv.Itoa(testservers.FreePort())
			// Clients go on dialling it while the server is away, so it is none of those that the system gives to them.
			address := nodetest.Config(func(c *node.Config) { c.Listen = net.JoinHostPort("127.0.0.1", port) })
			server := startOn(t, d.url, address)
			ada, bob := server.SignUp("ada"), server.SignUp("bob")
			a, b := connectAs(t, server, ada), connectAs(t, server, bob)
			made := must(a.CreateDirect(within(t), bob.ID))(t)
			room := made.GetConversation().GetId()
			say(t, a, room, "before")
			d.backup(t)
			say(t, a, room, "after")
			awaitNews(t, b, "after")

			server.Stop()
			d.restore(t)
			must(node.NewEpoch(t.Context(), d.url))(t)
			startOn(t, d.url, address)

			for _, c := range []*client.Client{a, b} {
				await(t, c, "a reset", func(e client.Event) bool {
					_, ok := e.Body.(*client.Reset)
					return ok
				})
			}
			awaitNews(t, b, "after")
			say(t, b, room, "goes on")
			page := must(b.Messages(within(t), room, client.Page{Limit: 50}))(t)
			var contents []string
			for _, m := range page.GetMessages() {
				contents = append(contents, m.GetContent())
			}
			if !slices.Equal(contents, []string{"before", "after", "goes on"}) {
				t.Errorf("the conversation has %q", contents)
			}
		})
	}
}

// TestNewEpochReachesClientsOfARunningNode is for PostgreSQL, where nodes needn't be stopped for it.
func TestNewEpochReachesClientsOfARunningNode(t *testing.T) {
	where := testservers.Postgres(t)
	server := startOn(t, where, nodetest.AllowErrors("the log is not the one that this node has followed"))
	ada, bob := server.SignUp("ada"), server.SignUp("bob")
	a, b := connectAs(t, server, ada), connectAs(t, server, bob)
	room := must(a.CreateDirect(within(t), bob.ID))(t).GetConversation().GetId()
	say(t, a, room, "once")
	awaitNews(t, b, "once")
	must(node.NewEpoch(t.Context(), where))(t)
	await(t, b, "a reset", func(e client.Event) bool {
		_, ok := e.Body.(*client.Reset)
		return ok
	})
	say(t, a, room, "twice")
	awaitNews(t, b, "twice")
	page := must(b.Messages(within(t), room, client.Page{Limit: 50}))(t)
	if got := len(page.GetMessages()); got != 2 {
		t.Errorf("the conversation has %d messages: what ada had sent was stored again", got)
	}
}

func startOn(t *testing.T, databaseURL string, more ...nodetest.Option) *nodetest.Server {
	t.Helper()
	return nodetest.Start(t, append(more, nodetest.Config(func(c *node.Config) {
		c.DatabaseURL, c.Drain.Spread = databaseURL, 0
	}))...)
}

// connectAs runs a user's client until the end of the test.
func connectAs(t *testing.T, s *nodetest.Server, u *nodetest.User) *client.Client {
	t.Helper()
	c := must(client.New(client.Options{
		ServerURL: s.URL, Backoff: client.Backoff{Base: 5 * time.Millisecond, Cap: 50 * time.Millisecond},
		Session: client.MemorySession(&client.Session{
			UserID: u.ID, SessionID: u.Session.GetId(), AccessToken: u.Session.GetAccessToken(), RefreshToken: u.Session.GetRefreshToken(),
			AccessTokenExpire: u.Session.GetAccessTokenExpireTime().AsTime(), RefreshTokenExpire: u.Session.GetRefreshTokenExpireTime().AsTime(),
		}),
	}))(t)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	c.Start()
	await(t, c, "live", func(e client.Event) bool {
		_, ok := e.Body.(client.Live)
		return ok
	})
	return c
}

// await takes events until one is what the test waits for.
func await(t *testing.T, c *client.Client, what string, is func(client.Event) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		e, err := c.Next(ctx)
		if err != nil {
			t.Fatalf("waiting for %s: %v", what, err)
		}
		if is(e) {
			return
		}
	}
}

// awaitNews waits until a client has heard of a message. Where the message was stored before the client heard of its conversation, as a new one or because it
// starts afresh, it learns of it by the summary of a conversation that begins there for it.
func awaitNews(t *testing.T, c *client.Client, content string) {
	t.Helper()
	await(t, c, "news of "+content, func(e client.Event) bool {
		switch body := e.Body.(type) {
		case *chatv1.Message:
			return body.GetContent() == content
		case *chatv1.ConversationSummary:
			return body.GetLastMessage().GetContent() == content
		default:
			return false
		}
	})
}

func say(t *testing.T, c *client.Client, room, content string) {
	t.Helper()
	sending := must(c.Send(room, content, client.SendOptions{}))(t)
	must(sending.Wait(within(t)))(t)
}
