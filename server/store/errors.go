package store

import (
	"context"
	"errors"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// sqliteCode returns the extended result code of an error of SQLite.
func sqliteCode(err error) (code int, ok bool) {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0, false
	}
	return e.Code(), true
}

// isDuplicate reports whether a unique index refused a row.
func isDuplicate(err error) bool {
	code, _ := sqliteCode(err)
	return code == lib.SQLITE_CONSTRAINT_UNIQUE || code == lib.SQLITE_CONSTRAINT_PRIMARYKEY || code == lib.SQLITE_CONSTRAINT_ROWID
}

// translateWrite turns an error of a transaction that has stored nothing into what [chat.Log] promises. Errors of other kinds, which
// say that the data was refused, are left alone.
func translateWrite(err error) error {
	if _, ok := chat.AsError(err); ok || err == nil {
		return err
	}
	code, ok := sqliteCode(err)
	if !ok {
		return err
	}
	switch code & 0xff {
	case lib.SQLITE_FULL, lib.SQLITE_IOERR, lib.SQLITE_READONLY, lib.SQLITE_CANTOPEN:
		return chat.StoreFull(err)
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_PROTOCOL, lib.SQLITE_INTERRUPT, lib.SQLITE_NOMEM:
		return chat.Unavailable(err)
	}
	return err
}

// translateCommit does the same where it was the commit itself that failed. If the disk failed in it, the end of the log may or may not be
// on the disk, and which of them a crash would bring to light isn't known.
func translateCommit(err error) error {
	code, ok := sqliteCode(err)
	if !ok || code&0xff == lib.SQLITE_IOERR {
		return chat.OutcomeUnknown(err)
	}
	return translateWrite(err)
}

// translateRead makes every failed read [chat.ReasonUnavailable], except where the caller went away.
func translateRead(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, ok := chat.AsError(err); ok {
		return err
	}
	return chat.Unavailable(err)
}
