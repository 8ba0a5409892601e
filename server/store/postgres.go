package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/natterjack-chat/natterjack/server/chat"
)

const (
	// postgresShards is how many transactions can be under way at once over all nodes. See chat.ConversationID.Shard.
	postgresShards = 16
	// oldestPostgres is the oldest version that the statements work on, as in server_version_num.
	oldestPostgres = 130000

	// readPatience is how long a read may take.
	readPatience = 2 * time.Second
	// lockPatience is how long a commit waits for the locks of its shards, and everything else for other locks. Whoever
	// holds a shard's lock for longer has stopped, and idlePatience will end it.
	lockPatience = 800 * time.Millisecond
	// idlePatience is after what time the server ends a transaction whose node has stopped in the middle of it.
	idlePatience = 2 * time.Second
	// statementPatience is where the server itself ends a statement, should the node that asked for it be gone. It does not apply to commits.
	statementPatience = 5 * time.Second
)

// Advisory locks have two keys: lockSpace, and the shard or one of these.
const (
	lockSpace   = 0x6e6a636b // "njck"
	migrateLock = -1
	upkeepLock  = -2
)

// postgresEngine is a PostgreSQL database that other nodes may use as well.
type postgresEngine struct {
	pool *pgxpool.Pool
	db   *sql.DB  // on pool, for GORM
	orm  *gorm.DB // on db
	log  *slog.Logger

	ctx    context.Context // ends with the engine
	stop   context.CancelFunc
	late   sync.WaitGroup // commits under way, also those for which nobody waits any more
	upkept sync.WaitGroup // runUpkeep
}

func openPostgres(ctx context.Context, url string, log *slog.Logger) (*Store, error) {
	config, err := postgresConfig(url)
	if err != nil {
		return nil, err
	}
	return startPostgres(ctx, config, log)
}

func startPostgres(ctx context.Context, config *pgxpool.Config, log *slog.Logger) (_ *Store, err error) {
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	e := &postgresEngine{pool: pool, log: log}
	e.ctx, e.stop = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("database: %w", err), e.close())
		}
	}()
	if err = e.inspect(ctx); err != nil {
		return nil, err
	}
	err = locked(ctx, config.ConnConfig, func(db *sql.DB) error {
		if _, err := runMigrations(ctx, goose.DialectPostgres, "postgres", db, Up, log); err != nil {
			return err
		}
		return postgresMeta(ctx, db)
	})
	if err != nil {
		return nil, err
	}
	e.db = stdlib.OpenDBFromPool(pool)
	// Some connections are left for commits, whatever reads want.
	e.db.SetMaxOpenConns(max(1, int(config.MaxConns)*3/4))
	e.orm, err = gorm.Open(postgres.New(postgres.Config{Conn: &steadyPool{e.db, pool}}), &gorm.Config{
		Logger: logger.Discard, SkipDefaultTransaction: true, DisableAutomaticPing: true,
	})
	if err != nil {
		return nil, err
	}
	e.upkept.Go(e.runUpkeep)
	return &Store{engine: e, reads: e.orm, shards: postgresShards, logger: log}, nil
}

// postgresConfig reads a URL, with the parameters of libpq and of pgxpool, and sets what can't be left to whoever wrote it.
func postgresConfig(url string) (*pgxpool.Config, error) {
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("database URL: %w", err) // passwords are blotted out
	}
	if !strings.Contains(url, "pool_max_conns") {
		c.MaxConns = int32(max(16, 8*runtime.GOMAXPROCS(0)))
	}
	c.MaxConnLifetimeJitter = c.MaxConnLifetime / 10
	c.PingTimeout = time.Second
	if c.ConnConfig.ConnectTimeout == 0 {
		c.ConnConfig.ConnectTimeout = readPatience
	}
	// A peer that is gone without a word is noticed after 20 s: whoever waits for a commit has no other limit.
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 3}}
	c.ConnConfig.DialFunc = dialer.DialContext
	c.ConnConfig.OnNotice = noteWarning
	for name, value := range map[string]string{
		"application_name":                    "natterjack",
		"lock_timeout":                        setting(lockPatience),
		"idle_in_transaction_session_timeout": setting(idlePatience),
		"statement_timeout":                   setting(statementPatience),
		// Every path has its index. Statistics of a table that grew a moment ago say that it is empty, and reading all of it looks best.
		"enable_seqscan": "off",
	} {
		if _, set := c.ConnConfig.RuntimeParams[name]; !set || name != "application_name" {
			c.ConnConfig.RuntimeParams[name] = value
		}
	}
	c.AfterConnect = keepPromises
	return c, nil
}

// setting is a duration as PostgreSQL's settings take it.
func setting(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }

// keepPromises sees to it that a commit on this connection is on the disk once it has returned, whatever the database's settings are.
// Stronger ones (remote_apply) are left alone.
func keepPromises(ctx context.Context, c *pgx.Conn) error {
	_, err := c.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')`)
	return err
}

// inspect refuses servers that can't do what is needed, and warns of those that don't keep what they promise.
func (e *postgresEngine) inspect(ctx context.Context) error {
	var version int
	var encoding, fsync, fullPages string
	err := e.pool.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
		current_setting('fsync'), current_setting('full_page_writes')`).Scan(&version, &encoding, &fsync, &fullPages)
	switch {
	case err != nil:
		return err
	case version < oldestPostgres:
		return fmt.Errorf("the server is PostgreSQL %d, and has to be %d or newer", version/10000, oldestPostgres/10000)
	case encoding != "UTF8":
		return fmt.Errorf("the database's encoding is %s, and has to be UTF8", encoding)
	}
	if fsync != "on" || fullPages != "on" {
		e.log.Warn("the database server may lose or damage what it has acknowledged when its machine fails", "fsync", fsync, "full_page_writes", fullPages)
	}
	return nil
}

// locked runs fn on connections without time-outs, while no other node does the same with this database.
func locked(ctx context.Context, config *pgx.ConnConfig, fn func(db *sql.DB) error) (err error) {
	config = config.Copy()
	for _, name := range []string{"lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "enable_seqscan"} {
		delete(config.RuntimeParams, name)
	}
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }() // and with the connection the lock goes
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock($1, $2)`, lockSpace, migrateLock); err != nil {
		return fmt.Errorf("waiting for another node's migration: %w", err)
	}
	return fn(db)
}

func migratePostgres(ctx context.Context, url string, d Direction, log *slog.Logger) (list []Migration, err error) {
	config, err := postgresConfig(url)
	if err != nil {
		return nil, err
	}
	err = locked(ctx, config.ConnConfig, func(db *sql.DB) (err error) {
		list, err = runMigrations(ctx, goose.DialectPostgres, "postgres", db, d, log)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	return list, nil
}

// postgresMeta sets what is fixed for the life of a new database, and holds that of an old one against this program.
func postgresMeta(ctx context.Context, db *sql.DB) error {
	_, err := db.ExecContext(ctx, `INSERT INTO store_meta (key, value) VALUES ('epoch', $1), ('shards', $2) ON CONFLICT DO NOTHING`,
		newEpoch(), postgresShards)
	if err != nil {
		return err
	}
	var shards int
	err = db.QueryRowContext(ctx, `SELECT value FROM store_meta WHERE key = 'shards'`).Scan(&shards)
	if err == nil && shards != postgresShards {
		err = fmt.Errorf("it has %d log shards, and this program uses %d", shards, postgresShards)
	}
	return err
}

// close waits for commits under way, as long as one may take.
func (e *postgresEngine) close() error {
	done := make(chan struct{})
	go func() {
		e.late.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(commitPatience):
	}
	e.stop()
	<-done
	e.upkept.Wait()
	var err error
	if e.db != nil {
		err = e.db.Close()
	}
	e.pool.Close()
	return err
}

func (e *postgresEngine) snapshotOptions() *sql.TxOptions {
	return &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
}

// write is that of engine.
func (e *postgresEngine) write(ctx context.Context, fn func(tx *gorm.DB) error) error {
	if err := ctx.Err(); err != nil {
		return chat.Unavailable(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readPatience)
	defer cancel()
	for attempt := 1; ; attempt++ {
		err := e.writeOnce(ctx, fn)
		if err == nil || attempt == commitAttempts || !isRepeatable(err) || !sleep(ctx, retryPause) {
			return translatePostgres(err)
		}
	}
}

// writeOnce returns errors of the driver where nothing was stored.
func (e *postgresEngine) writeOnce(ctx context.Context, fn func(tx *gorm.DB) error) error {
	tx := e.orm.WithContext(ctx).Begin(&sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if tx.Error != nil {
		return tx.Error
	}
	done := false
	defer func() {
		if !done { // an error or a panic
			tx.Rollback()
		}
	}()
	if err := fn(tx); err != nil {
		return err
	}
	// Ending a commit that waits for a standby would not undo it.
	if err := tx.Exec(`SET LOCAL statement_timeout = 0`).Error; err != nil {
		return err
	}
	done = true
	err := tx.Commit().Error
	if err != nil && isUnanswered(err) {
		return chat.OutcomeUnknown(err)
	}
	return err
}

// steadyPool is where GORM's statements begin. Each has readPatience, a transaction altogether. What fails because its connection was lost, as all are
// when the server starts again, is done once more on a new one; in a transaction that is for its owner to do.
type steadyPool struct {
	*sql.DB
	pool *pgxpool.Pool
}

// QueryContext is that of sql.DB.
func (p *steadyPool) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return steadily(ctx, p.pool, func(ctx context.Context) (*sql.Rows, error) { return p.DB.QueryContext(ctx, query, args...) })
}

// BeginTx is that of sql.DB.
func (p *steadyPool) BeginTx(ctx context.Context, options *sql.TxOptions) (*sql.Tx, error) {
	return steadily(ctx, p.pool, func(ctx context.Context) (*sql.Tx, error) { return p.DB.BeginTx(ctx, options) })
}

func steadily[T any](ctx context.Context, pool *pgxpool.Pool, do func(context.Context) (T, error)) (T, error) {
	limited, cancel := context.WithTimeout(ctx, readPatience)
	done, err := do(limited)
	if err != nil && limited.Err() == nil && isLost(err) {
		forgetConnections(pool, err)
		done, err = do(limited)
	}
	if err != nil {
		cancel()
		return done, err
	}
	_ = cancel // rows and transactions go on until they are closed; the context ends with its time
	return done, nil
}

// forgetConnections drops those that wait in the pool after one was lost: the others will be lost too. Where no connection could be had, those that
// there are may be all that will be.
func forgetConnections(pool *pgxpool.Pool, err error) {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); !ok {
		pool.Reset()
	}
}

// warned is the key of a connection's custom data that says that the server warned of something.
const warned = "warned"

// noteWarning remembers the server's warnings: one during a commit says that it may not be as safe as it should be, such as when the
// wait for a standby was ended.
func noteWarning(c *pgconn.PgConn, n *pgconn.Notice) {
	if n.SeverityUnlocalized == "WARNING" {
		c.CustomData()[warned] = n.Message
	}
}
