package faults

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/natterjack-chat/natterjack/server/internal/testservers"
)

// Installation is several nodes, each a real process, on one PostgreSQL and one Redis of their own. It ends with the test.
type Installation struct {
	Postgres, Redis *testservers.Server
	Nodes           []*Node

	t testing.TB
}

// Node is one of the nodes, with all ways to and from it.
type Node struct {
	*Server
	// Clients leads to this node; Balanced too, or to another one while this one can't be reached or is evaded, as a load balancer does.
	Clients, Balanced *Proxy
	// Database and Redis are its ways to PostgreSQL and to Redis.
	Database, Redis *Proxy
}

// InstallationOptions say how to run an installation. The zero value is two plain nodes.
type InstallationOptions struct {
	// Nodes is how many; 0 means 2.
	Nodes int
	// Binary is what to run; empty: Binary(t, "").
	Binary string
	// Env returns what is added to the environment of a node, counted from 0; nil: nothing.
	Env func(node int) []string
	// Database is added to the parameters of the database's URL.
	Database string
	// Tables, unless empty, is an empty folder of the database server's in which to keep all tables and indexes.
	Tables string
}

// StartInstallation starts an installation and waits until each node is ready and knows of Redis.
func StartInstallation(t testing.TB, o InstallationOptions) *Installation {
	t.Helper()
	if o.Nodes == 0 {
		o.Nodes = 2
	}
	in := &Installation{Postgres: testservers.StartPostgres(t), Redis: testservers.StartRedis(t), t: t}
	if o.Tables != "" {
		in.keepTables(o.Tables)
	}
	var urls []string
	for i := range o.Nodes {
		n := &Node{Database: NewProxy(t, in.Postgres.URL), Redis: NewProxy(t, in.Redis.URL)}
		env := []string{
			"NATTERJACK_DATABASE_URL=" + through(t, n.Database, in.Postgres.URL) + o.Database,
			"NATTERJACK_REDIS_URL=" + through(t, n.Redis, in.Redis.URL),
		}
		if o.Env != nil {
			env = append(env, o.Env(i)...)
		}
		n.Server = Start(t, Options{Binary: o.Binary, Env: env})
		in.Nodes, urls = append(in.Nodes, n), append(urls, n.URL)
	}
	for i, n := range in.Nodes {
		n.Clients, n.Balanced = NewProxy(t, n.URL), NewProxy(t, slices.Concat(urls[i:], urls[:i])...)
	}
	return in
}

// through is a server's URL with a proxy's address.
func through(t testing.TB, p *Proxy, server string) string {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = p.listener.Addr().String()
	return u.String()
}

// Evade has the load balancers send nobody to a node.
func (in *Installation) Evade(node int) {
	for _, n := range in.Nodes {
		n.Balanced.Evade(in.Nodes[node].URL)
	}
}

// Return ends Evade.
func (in *Installation) Return(node int) {
	for _, n := range in.Nodes {
		n.Balanced.Return(in.Nodes[node].URL)
	}
}

// Execute runs a statement in the database, not over a node's way to it.
func (in *Installation) Execute(statement string) {
	in.t.Helper()
	in.session(in.Postgres.URL, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, statement)
		return err
	})
}

// LockAll holds a lock on tables that lets nobody read or write them, for a time.
func (in *Installation) LockAll(d time.Duration, tables string) {
	in.t.Helper()
	in.session(in.Postgres.URL, func(ctx context.Context, c *pgx.Conn) error {
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "LOCK TABLE "+tables); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "SELECT pg_sleep($1)", d.Seconds())
			return err
		})
	})
}

// keepTables makes the database keep its tables in a folder.
func (in *Installation) keepTables(folder string) {
	in.t.Helper()
	u, err := url.Parse(in.Postgres.URL)
	if err != nil {
		in.t.Fatal(err)
	}
	database := u.Path[1:]
	u.Path = "/postgres" // a database can't be moved from within
	in.session(u.String(), func(ctx context.Context, c *pgx.Conn) error {
		if _, err := c.Exec(ctx, "CREATE TABLESPACE small LOCATION '"+folder+"'"); err != nil {
			return err
		}
		_, err := c.Exec(ctx, "ALTER DATABASE "+database+" SET TABLESPACE small")
		return err
	})
}

// session does something over a connection of its own to the database at a URL.
func (in *Installation) session(database string, do func(context.Context, *pgx.Conn) error) {
	in.t.Helper()
	ctx, cancel := context.WithTimeout(in.t.Context(), Patience)
	defer cancel()
	c, err := pgx.Connect(ctx, database)
	if err != nil {
		in.t.Fatal(err)
	}
	defer func() { _ = c.Close(ctx) }()
	if err := do(ctx, c); err != nil {
		in.t.Fatal(err)
	}
}

// TellRedis has Redis carry out a command, not over a node's way to it.
func (in *Installation) TellRedis(command string) {
	in.t.Helper()
	c, err := (&net.Dialer{Timeout: Patience}).DialContext(in.t.Context(), "tcp", in.Redis.Addr)
	if err != nil {
		in.t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(Patience)); err != nil {
		in.t.Fatal(err)
	}
	answer := make([]byte, 1)
	if _, err = fmt.Fprintf(c, "%s\r\n", command); err == nil {
		_, err = c.Read(answer)
	}
	if err != nil || answer[0] == '-' {
		in.t.Fatalf("%s: Redis answers %q: %v", command, answer, err)
	}
}
