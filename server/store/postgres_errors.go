package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// SQLSTATE codes by which errors are told apart; see appendix A of PostgreSQL's manual.
const (
	stateReadOnly        = "25006"
	stateIdleTransaction = "25P03"
	stateSerialization   = "40001"
	stateDeadlock        = "40P01"
	stateDiskFull        = "53100"
	stateLockTimeout     = "55P03"
	stateUnique          = "23505"
	statePlanChanged     = "0A000" // of a prepared statement: a migration changed its result
	stateNoStatement     = "26000" // someone between us and the server dropped a prepared statement
)

// postgresState returns the SQLSTATE of an error that the server sent, "" for every other error.
func postgresState(err error) string {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return ""
	}
	return e.Code
}

// constraint returns the name of what a unique index or another constraint refused.
func constraint(err error) string {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return ""
	}
	return e.ConstraintName
}

// isLost reports whether an error says that the connection is gone or can't be had.
func isLost(err error) bool {
	if errors.Is(err, driver.ErrBadConn) {
		return true
	}
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		var refused *pgconn.ConnectError
		var network net.Error
		return errors.As(err, &refused) || errors.As(err, &network) || errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, net.ErrClosed) ||
			errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	}
	switch {
	case strings.HasPrefix(e.Code, "57P"), strings.HasPrefix(e.Code, "08"), e.Code == stateIdleTransaction:
		return true
	}
	return e.SeverityUnlocalized == "FATAL" || e.SeverityUnlocalized == "PANIC"
}

// isRepeatable reports whether a transaction that failed before its commit may succeed if it is run again at once.
func isRepeatable(err error) bool {
	if _, said := chat.AsError(err); said {
		return false
	}
	switch postgresState(err) {
	case stateSerialization, stateDeadlock, statePlanChanged, stateNoStatement:
		return true
	}
	return isLost(err)
}

// translatePostgres turns an error of a transaction that has stored nothing into what [chat.Log] promises. Errors of other kinds, which
// say that the data was refused, are left alone.
func translatePostgres(err error) error {
	if _, ok := chat.AsError(err); ok || err == nil {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || isRepeatable(err) {
		return chat.Unavailable(err)
	}
	code := postgresState(err)
	switch {
	case code == stateDiskFull, code == stateReadOnly:
		return chat.StoreFull(err)
	case code == stateLockTimeout, strings.HasPrefix(code, "53"), strings.HasPrefix(code, "57"), strings.HasPrefix(code, "58"):
		// No lock, no memory, no connection, cancelled, no file.
		return chat.Unavailable(err)
	}
	return err
}

// isUnanswered reports whether the failure of a commit leaves open whether it was stored. What the server refuses isn't; of what it did not
// answer, or broke off, nobody knows.
func isUnanswered(err error) bool { return postgresState(err) == "" || isLost(err) }
