package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"

	"gorm.io/gorm"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// sqliteWriter is the one connection that writes. Whoever holds the turn may use the fields below it.
type sqliteWriter struct {
	db *sql.DB
	// turn holds one token while the connection is in use. A channel, so that waiting for it can be given up.
	turn chan struct{}

	closed bool
	conn   *sql.Conn // nil until the first transaction, and after one that left the connection in doubt
	orm    *gorm.DB  // on conn
	top    *logTop   // the end of the commit log; nil: not known
}

// logTop is the newest batch of the log.
type logTop struct {
	no int64
	id int64
}

// The statements of the hot path store one row each: measured against many rows in one VALUES (chunks of 8 to 500) and against json_each, they cost the
// least (12.7 µs of CPU a row; 13.0 to 14.3; 23.1. November 2026).
const (
	insertConversation = `INSERT INTO conversations (id, kind, title, creator_id, created_at, changed_seq, create_key)
		VALUES (?, ?, ?, ?, ?, ?, ?)`
	updateConversation = `UPDATE conversations SET title = ?, changed_seq = ? WHERE id = ?`
	insertHead         = `INSERT INTO conversation_heads (last_seq, last_ordinal, last_message_seq, changed_no, member_count, owner_count,
		updated_at, top_read_seq, top_reader_id, next_read_seq, conversation_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	updateHead = `UPDATE conversation_heads SET last_seq = ?, last_ordinal = ?, last_message_seq = ?, changed_no = ?, member_count = ?,
		owner_count = ?, updated_at = ?, top_read_seq = ?, top_reader_id = ?, next_read_seq = ? WHERE conversation_id = ?`
	insertEvent = `INSERT INTO events (conversation_id, seq, kind, actor_id, at, ordinal, target_seq, client_id, reply_to, changed_seq,
		edited_at, deleted_at, content, reactions, subjects) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	updateMessage = `UPDATE events SET changed_seq = ?, edited_at = ?, deleted_at = ?, content = ?, reactions = ?
		WHERE conversation_id = ? AND seq = ?`
	upsertMember = `INSERT INTO members (user_id, conversation_id, role, joined_seq, left_seq, read_seq, read_ordinal, delivered_seq,
		read_at, delivered_at, changed_no) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (user_id, conversation_id) DO UPDATE SET
		role = excluded.role, joined_seq = excluded.joined_seq, left_seq = excluded.left_seq, read_seq = excluded.read_seq,
		read_ordinal = excluded.read_ordinal, delivered_seq = excluded.delivered_seq, read_at = excluded.read_at,
		delivered_at = excluded.delivered_at, changed_no = excluded.changed_no`
	updateMarks = `UPDATE members SET read_seq = ?, read_ordinal = ?, delivered_seq = ?, read_at = ?, delivered_at = ?, changed_no = ?
		WHERE user_id = ? AND conversation_id = ?`
	insertLog = `INSERT INTO commit_log (shard, no, id, prev_id, at, touched) VALUES (0, ?, ?, ?, ?, ?)`
)

func newSQLiteWriter(dsn string) *sqliteWriter {
	db, err := openSQLiteDB(dsn)
	if err != nil {
		panic(err) // a DSN of ours is wrong
	}
	db.SetMaxOpenConns(1)
	return &sqliteWriter{db: db, turn: make(chan struct{}, 1)}
}

// transaction runs fn in a transaction that is durable once it returns nil; fn says whether there is anything to store. ctx is for
// waiting for the turn; what has begun goes on without it, so that nobody's going away leaves an outcome in doubt.
func (w *sqliteWriter) transaction(ctx context.Context, fn func() (store bool, err error)) error {
	select {
	case w.turn <- struct{}{}:
	case <-ctx.Done():
		return chat.Unavailable(ctx.Err())
	}
	defer func() { <-w.turn }()
	if err := w.open(); err != nil {
		return translateWrite(err)
	}
	if err := w.exec(`BEGIN IMMEDIATE`); err != nil {
		w.abandon()
		return translateWrite(err)
	}
	done := false
	defer func() {
		if !done { // an error or a panic
			w.rollback()
		}
	}()
	store, err := fn()
	if err != nil {
		return translateWrite(err)
	}
	if !store {
		return nil
	}
	if err := w.exec(`COMMIT`); err != nil {
		return translateCommit(err)
	}
	done = true
	return nil
}

// open connects, if there is no connection that can be trusted.
func (w *sqliteWriter) open() error {
	if w.closed {
		return chat.Unavailable(errClosed)
	}
	if w.conn != nil {
		return nil
	}
	conn, err := w.db.Conn(context.Background())
	if err != nil {
		return err
	}
	w.conn = conn
	if w.orm, err = openGORM(conn); err != nil {
		w.abandon()
	}
	return err
}

func (w *sqliteWriter) exec(query string, args ...any) error {
	_, err := w.conn.ExecContext(context.Background(), query, args...)
	return err
}

// rollback ends a transaction that failed. SQLite has ended some by itself then, and refuses; whatever else it refuses for, a new
// connection is the way to be sure.
func (w *sqliteWriter) rollback() {
	w.top = nil
	if err := w.exec(`ROLLBACK`); err != nil {
		w.abandon()
	}
}

// abandon drops the connection, and with it whatever was under way on it.
func (w *sqliteWriter) abandon() {
	if w.conn != nil {
		_ = w.conn.Raw(func(any) error { return driver.ErrBadConn }) // makes database/sql close it instead of keeping it
	}
	w.conn, w.orm, w.top = nil, nil, nil
}

var errClosed = errors.New("the store is closed")

// close waits for the transaction under way. Later ones are refused.
func (w *sqliteWriter) close() error {
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	w.closed = true
	w.abandon()
	return w.db.Close()
}
