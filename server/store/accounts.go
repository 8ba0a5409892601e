package store

import (
	"context"
	"database/sql"
	"time"

	"gorm.io/gorm"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/chat"
)

var _ account.Store = (*Store)(nil)

const accountColumns = `u.id, u.username, u.display_name, u.avatar_url, u.created_at, u.presence_hidden`

// scanAccount reads the columns above, and more after them.
func scanAccount(row *sql.Rows, more ...any) (a account.Account, err error) {
	var created int64
	err = row.Scan(append([]any{&a.ID, &a.Username, &a.DisplayName, &a.AvatarURL, &created, &a.PresenceHidden}, more...)...)
	a.CreateTime = fromMillis(created)
	return a, err
}

// first runs a query and calls fn for its first row; ok is false where there is none. (GORM's Row panics where the query can't be prepared.)
func first(db *gorm.DB, query string, args []any, fn func(*sql.Rows) error) (ok bool, err error) {
	err = each(db, query, args, func(rows *sql.Rows) error {
		if ok {
			return nil
		}
		ok = true
		return fn(rows)
	})
	return ok, err
}

// CreateAccount is that of [account.Store].
func (s *Store) CreateAccount(ctx context.Context, a account.Account, usernameKey, passwordHash string, session account.NewSession) error {
	return s.write(ctx, func(tx *gorm.DB) error {
		// Waits where another transaction has taken the name and not yet ended.
		insert := tx.Exec(`INSERT INTO users (id, username, username_key, display_name, avatar_url, presence_hidden, created_at)
			VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (username_key) DO NOTHING`,
			a.ID, a.Username, usernameKey, a.DisplayName, a.AvatarURL, a.PresenceHidden, millis(a.CreateTime))
		if insert.Error != nil {
			return insert.Error
		}
		if insert.RowsAffected == 0 {
			return account.ErrUsernameTaken
		}
		if err := indexName(tx, a.ID, a.DisplayName); err != nil {
			return err
		}
		err := tx.Exec(`INSERT INTO credentials (user_id, password_hash, version) VALUES (?, ?, 1)`, a.ID, passwordHash).Error
		if err != nil {
			return err
		}
		return insertSession(tx, session)
	})
}

// CredentialsByName is that of [account.Store].
func (s *Store) CredentialsByName(ctx context.Context, usernameKey string) (a account.Account, c account.Credentials, ok bool, err error) {
	query := `SELECT ` + accountColumns + `, c.password_hash, c.version
		FROM users u JOIN credentials c ON c.user_id = u.id WHERE u.username_key = ?`
	ok, err = first(s.db(ctx), query, []any{usernameKey}, func(row *sql.Rows) (err error) {
		a, err = scanAccount(row, &c.PasswordHash, &c.Version)
		return err
	})
	return a, c, ok, translateRead(ctx, err)
}

// CredentialsByUser is that of [account.Store].
func (s *Store) CredentialsByUser(ctx context.Context, user chat.UserID) (c account.Credentials, ok bool, err error) {
	query := `SELECT password_hash, version FROM credentials WHERE user_id = ?`
	ok, err = first(s.db(ctx), query, []any{user}, func(row *sql.Rows) error { return row.Scan(&c.PasswordHash, &c.Version) })
	return c, ok, translateRead(ctx, err)
}

// Account is that of [account.Store].
func (s *Store) Account(ctx context.Context, user chat.UserID) (account.Account, bool, error) {
	a, ok, err := readAccount(s.db(ctx), user)
	return a, ok, translateRead(ctx, err)
}

func readAccount(db *gorm.DB, user chat.UserID) (a account.Account, ok bool, err error) {
	ok, err = first(db, `SELECT `+accountColumns+` FROM users u WHERE u.id = ?`, []any{user}, func(row *sql.Rows) (err error) {
		a, err = scanAccount(row)
		return err
	})
	return a, ok, err
}

// UpdateProfile is that of [account.Store].
func (s *Store) UpdateProfile(ctx context.Context, user chat.UserID, change account.ProfileChange) (a account.Account, ok bool, err error) {
	err = s.write(ctx, func(tx *gorm.DB) (err error) {
		err = tx.Exec(`UPDATE users SET display_name = COALESCE(?, display_name), avatar_url = COALESCE(?, avatar_url),
			presence_hidden = COALESCE(?, presence_hidden) WHERE id = ?`,
			change.DisplayName, change.AvatarURL, change.PresenceHidden, user).Error
		if err != nil {
			return err
		}
		a, ok, err = readAccount(tx, user)
		if err == nil && ok && change.DisplayName != nil {
			err = indexName(tx, user, a.DisplayName)
		}
		return err
	})
	return a, ok, err
}

// SetPassword is that of [account.Store].
func (s *Store) SetPassword(
	ctx context.Context, user chat.UserID, version int64, passwordHash string, keep chat.SessionID,
) (ended []chat.SessionID, err error) {
	err = s.write(ctx, func(tx *gorm.DB) (err error) {
		update := tx.Exec(`UPDATE credentials SET password_hash = ?, version = version + 1 WHERE user_id = ? AND version = ?`,
			passwordHash, user, version)
		if err := changedOne(update); err != nil {
			return err
		}
		ended, err = endSessions(tx, `user_id = ? AND id <> ?`, user, keep)
		return err
	})
	return ended, err
}

// changedOne returns the error of an update of credentials of a version, which is [account.ErrStale] where they are of another one.
func changedOne(update *gorm.DB) error {
	if update.Error == nil && update.RowsAffected == 0 {
		return account.ErrStale
	}
	return update.Error
}

// AccessToken is that of [account.Store].
func (s *Store) AccessToken(ctx context.Context, h account.Hash) (t account.AccessToken, ok bool, err error) {
	var expires int64
	query := `SELECT session_id, user_id, expires_at FROM access_tokens WHERE hash = ?`
	ok, err = first(s.db(ctx), query, []any{hashColumn(h)}, func(row *sql.Rows) error { return row.Scan(&t.Session, &t.User, &expires) })
	t.Hash, t.ExpireTime = h, fromMillis(expires)
	return t, ok, translateRead(ctx, err)
}

// DeleteExpired is that of [account.Store].
func (s *Store) DeleteExpired(
	ctx context.Context, sessionsBefore, tokensBefore time.Time, limit int,
) (ended []chat.SessionID, more bool, err error) {
	err = s.write(ctx, func(tx *gorm.DB) (err error) {
		ended, err = endSessions(tx, `id IN (SELECT id FROM sessions WHERE expires_at < ? ORDER BY expires_at LIMIT ?)`,
			millis(sessionsBefore), limit)
		if err != nil {
			return err
		}
		tokens := tx.Exec(`DELETE FROM access_tokens WHERE hash IN
			(SELECT hash FROM access_tokens WHERE expires_at < ? ORDER BY expires_at LIMIT ?)`, millis(tokensBefore), limit)
		more = len(ended) == limit || tokens.RowsAffected == int64(limit)
		return tokens.Error
	})
	return ended, more, err
}
