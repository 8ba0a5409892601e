package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/chat"
)

const sessionColumns = `id, user_id, device_name, address, created_at, refreshed_at, expires_at`

// hashColumn is a hash as it is stored. (Of a plain slice GORM would make a list of its bytes.)
type hashColumn account.Hash

// Value implements [driver.Valuer].
func (h hashColumn) Value() (driver.Value, error) { return h[:], nil }

// Scan implements [sql.Scanner].
func (h *hashColumn) Scan(value any) error {
	b, ok := value.([]byte)
	if !ok || copy(h[:], b) != len(h) {
		return fmt.Errorf("a stored hash is %T of %d bytes", value, len(b))
	}
	return nil
}

func scanSession(row *sql.Rows) (s account.Session, err error) {
	var created, refreshed, expires int64
	err = row.Scan(&s.ID, &s.User, &s.DeviceName, &s.Address, &created, &refreshed, &expires)
	s.CreateTime, s.RefreshTime, s.ExpireTime = fromMillis(created), fromMillis(refreshed), fromMillis(expires)
	return s, err
}

func insertSession(tx *gorm.DB, s account.NewSession) error {
	err := tx.Exec(`INSERT INTO sessions (`+sessionColumns+`, series_hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		s.ID, s.User, s.DeviceName, s.Address, millis(s.CreateTime), millis(s.RefreshTime), millis(s.ExpireTime), hashColumn(s.Series)).Error
	if err != nil {
		return err
	}
	if err := insertRefreshToken(tx, s.ID, s.Refresh); err != nil {
		return err
	}
	return insertAccessToken(tx, s.Access)
}

func insertRefreshToken(tx *gorm.DB, id chat.SessionID, t account.RefreshToken) error {
	return tx.Exec(`INSERT INTO refresh_tokens (session_id, secret_hash, generation, spent_at) VALUES (?, ?, ?, ?)`,
		id, hashColumn(t.Secret), t.Generation, millis(t.SpentTime)).Error
}

func insertAccessToken(tx *gorm.DB, t account.AccessToken) error {
	return tx.Exec(`INSERT INTO access_tokens (hash, session_id, user_id, expires_at) VALUES (?, ?, ?, ?)`,
		hashColumn(t.Hash), t.Session, t.User, millis(t.ExpireTime)).Error
}

// endSessions removes the sessions for which a condition holds, with their tokens, and returns their ids. The sessions go first: that waits for a refresh that is
// under way, whose new tokens are seen then.
func endSessions(tx *gorm.DB, where string, args ...any) (ids []chat.SessionID, err error) {
	if err := tx.Raw(`DELETE FROM sessions WHERE `+where+` RETURNING id`, args...).Scan(&ids).Error; err != nil {
		return nil, err
	}
	err = inChunks(ids, func(part []chat.SessionID) error {
		in := ` WHERE session_id IN (` + marks(len(part)) + `)`
		if err := tx.Exec(`DELETE FROM access_tokens`+in, anys(part)...).Error; err != nil {
			return err
		}
		return tx.Exec(`DELETE FROM refresh_tokens`+in, anys(part)...).Error
	})
	return ids, err
}

// CreateSession is that of [account.Store].
func (s *Store) CreateSession(
	ctx context.Context, session account.NewSession, version int64, passwordHash string, maxSessions int,
) (ended []chat.SessionID, err error) {
	err = s.write(ctx, func(tx *gorm.DB) (err error) {
		// Changes nothing where there is no new hash, but locks the row, so that a change of the password waits for the session, or the
		// other way round.
		check := tx.Exec(`UPDATE credentials SET password_hash = COALESCE(NULLIF(?, ''), password_hash) WHERE user_id = ? AND version = ?`,
			passwordHash, session.User, version)
		if err := changedOne(check); err != nil {
			return err
		}
		ended, err = endSessions(tx, `user_id = ? AND id NOT IN
			(SELECT id FROM sessions WHERE user_id = ? ORDER BY refreshed_at DESC, id DESC LIMIT ?)`, session.User, session.User, maxSessions-1)
		if err != nil {
			return err
		}
		return insertSession(tx, session)
	})
	return ended, err
}

// SessionBySeries is that of [account.Store].
func (s *Store) SessionBySeries(ctx context.Context, series account.Hash) (account.Session, bool, error) {
	session, ok, err := sessionBySeries(s.db(ctx), series)
	return session, ok, translateRead(ctx, err)
}

func sessionBySeries(db *gorm.DB, series account.Hash) (s account.Session, ok bool, err error) {
	query := `SELECT ` + sessionColumns + ` FROM sessions WHERE series_hash = ?`
	ok, err = first(db, query, []any{hashColumn(series)}, func(row *sql.Rows) (err error) {
		s, err = scanSession(row)
		return err
	})
	return s, ok, err
}

// RefreshSession is that of [account.Store].
func (s *Store) RefreshSession(
	ctx context.Context, series account.Hash, decide func(account.RefreshState) (account.RefreshChange, error),
) (ok bool, err error) {
	err = s.write(ctx, func(tx *gorm.DB) error {
		// Changes nothing but to lock the row: refreshes, and the end of the session, come one after the other.
		err := tx.Exec(`UPDATE sessions SET refreshed_at = refreshed_at WHERE series_hash = ?`, hashColumn(series)).Error
		if err != nil {
			return err
		}
		var state account.RefreshState
		if state.Session, ok, err = sessionBySeries(tx, series); err != nil || !ok {
			return err
		}
		if state.Tokens, err = readRefreshTokens(tx, state.Session.ID); err != nil {
			return err
		}
		change, err := decide(state)
		if err != nil {
			return err
		}
		if change.End {
			_, err = endSessions(tx, `id = ?`, state.Session.ID)
			return err
		}
		return refreshSession(tx, state.Session.ID, &change)
	})
	return ok, err
}

func readRefreshTokens(tx *gorm.DB, id chat.SessionID) (list []account.RefreshToken, err error) {
	query := `SELECT secret_hash, generation, spent_at FROM refresh_tokens WHERE session_id = ?`
	err = each(tx, query, []any{id}, func(rows *sql.Rows) error {
		var (
			t     account.RefreshToken
			spent int64
		)
		err := rows.Scan((*hashColumn)(&t.Secret), &t.Generation, &spent)
		t.SpentTime = fromMillis(spent)
		list = append(list, t)
		return err
	})
	return list, err
}

func refreshSession(tx *gorm.DB, id chat.SessionID, change *account.RefreshChange) error {
	err := tx.Exec(`UPDATE sessions SET address = ?, refreshed_at = ?, expires_at = ? WHERE id = ?`,
		change.Session.Address, millis(change.Session.RefreshTime), millis(change.Session.ExpireTime), id).Error
	if err != nil {
		return err
	}
	if err := tx.Exec(`DELETE FROM refresh_tokens WHERE session_id = ?`, id).Error; err != nil {
		return err
	}
	for _, t := range change.Tokens {
		if err := insertRefreshToken(tx, id, t); err != nil {
			return err
		}
	}
	err = tx.Exec(`DELETE FROM access_tokens WHERE session_id = ? AND hash NOT IN
		(SELECT hash FROM access_tokens WHERE session_id = ? ORDER BY expires_at DESC LIMIT ?)`, id, id, change.KeepAccess-1).Error
	if err != nil {
		return err
	}
	return insertAccessToken(tx, change.Access)
}

// Sessions is that of [account.Store].
func (s *Store) Sessions(ctx context.Context, user chat.UserID, now time.Time) (list []account.Session, err error) {
	query := `SELECT ` + sessionColumns + ` FROM sessions WHERE user_id = ? AND expires_at > ? ORDER BY refreshed_at DESC, id DESC`
	err = each(s.db(ctx), query, []any{user, millis(now)}, func(rows *sql.Rows) error {
		session, err := scanSession(rows)
		list = append(list, session)
		return err
	})
	return list, translateRead(ctx, err)
}

// LiveSessions is that of [account.Store].
func (s *Store) LiveSessions(ctx context.Context, ids []chat.SessionID) (map[chat.SessionID]bool, error) {
	live := make(map[chat.SessionID]bool)
	err := inChunks(ids, func(part []chat.SessionID) error {
		query := `SELECT id FROM sessions WHERE id IN (` + marks(len(part)) + `)`
		return each(s.db(ctx), query, anys(part), func(row *sql.Rows) error {
			var id chat.SessionID
			err := row.Scan(&id)
			live[id] = true
			return err
		})
	})
	return live, translateRead(ctx, err)
}

// EndSession is that of [account.Store].
func (s *Store) EndSession(ctx context.Context, user chat.UserID, id chat.SessionID) (bool, error) {
	var ended []chat.SessionID
	err := s.write(ctx, func(tx *gorm.DB) (err error) {
		ended, err = endSessions(tx, `user_id = ? AND id = ?`, user, id)
		return err
	})
	return len(ended) == 1, err
}

// EndSessions is that of [account.Store].
func (s *Store) EndSessions(ctx context.Context, user chat.UserID, keep chat.SessionID) (ended []chat.SessionID, err error) {
	err = s.write(ctx, func(tx *gorm.DB) (err error) {
		ended, err = endSessions(tx, `user_id = ? AND id <> ?`, user, keep)
		return err
	})
	return ended, err
}
