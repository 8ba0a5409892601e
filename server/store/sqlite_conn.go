package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
)

// maxStatements bounds the memory of a connection's prepared statements. There are far fewer, unless some are built with their data in the text.
const maxStatements = 500

// preparedConn is a connection that prepares each statement once: the [gorm.ConnPool] of the writer. GORM's own cache leaves the closing of statements to
// goroutines that nobody waits for, and SQLite keeps a connection open for as long as it has statements. Not for concurrent use.
type preparedConn struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

// PrepareContext returns the one statement of a query. It belongs to the connection: don't close it.
func (c *preparedConn) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	if s := c.stmts[query]; s != nil {
		return s, nil
	}
	if len(c.stmts) >= maxStatements {
		c.closeStatements()
	}
	s, err := c.conn.PrepareContext(ctx, query)
	if err == nil {
		c.stmts[query] = s
	}
	return s, err
}

// ExecContext is that of [gorm.ConnPool].
func (c *preparedConn) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

// QueryContext is that of [gorm.ConnPool].
func (c *preparedConn) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

// QueryRowContext is that of [gorm.ConnPool].
func (c *preparedConn) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	s, err := c.PrepareContext(ctx, query)
	if err != nil {
		return c.conn.QueryRowContext(ctx, query, args...) // fails in the same way; only it can make a row of the error
	}
	return s.QueryRowContext(ctx, args...)
}

func (c *preparedConn) closeStatements() {
	for query, s := range c.stmts {
		_ = s.Close() // of SQLite's it repeats the error of the last use
		delete(c.stmts, query)
	}
}

// abandon closes the connection for good.
func (c *preparedConn) abandon() {
	c.closeStatements()
	_ = c.conn.Raw(func(any) error { return driver.ErrBadConn }) // makes database/sql close it instead of keeping it
}
