package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"
)

// Migrations are SQL, numbered from 1 without gaps, and never changed once released. There is no other way by which tables change.
//
//go:embed migrations
var migrations embed.FS

// Direction says which way to migrate.
type Direction string

// The directions of [Migrate].
const (
	Up     Direction = "up"     // to the newest version
	Down   Direction = "down"   // one version back
	Status Direction = "status" // nowhere
)

// Migration is one step between versions of the tables.
type Migration struct {
	Version int64
	Name    string // of its file
	Applied bool
}

// Migrate brings a database's tables up to date, takes the last step back, or changes nothing, and returns where each step stands then.
// No other process may have a file of SQLite open; with PostgreSQL, other nodes wait, or go on as they are. Errors say in one line what is wrong.
func Migrate(ctx context.Context, o Options, d Direction) ([]Migration, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if isPostgres(o.URL) {
		return migratePostgres(ctx, o.URL, d, o.Logger)
	}
	path, err := sqlitePath(o.URL)
	if err != nil {
		return nil, err
	}
	return migrateSQLite(ctx, path, d, o.Logger)
}

// runMigrations does the work of [Migrate] on a connection that nobody else uses.
func runMigrations(ctx context.Context, dialect goose.Dialect, folder string, db *sql.DB, d Direction, logger *slog.Logger) ([]Migration, error) {
	files, err := fs.Sub(migrations, "migrations/"+folder)
	if err != nil {
		return nil, err
	}
	p, err := goose.NewProvider(dialect, db, files, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return nil, err
	}
	current, newest, err := p.GetVersions(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the version of the tables: %w", err)
	}
	if current > newest {
		if err := checkCompatible(ctx, db, current, newest, d); err != nil {
			return nil, err
		}
		return migrationStatus(ctx, p)
	}
	var steps []*goose.MigrationResult
	switch d {
	case Up:
		steps, err = p.Up(ctx)
	case Down:
		var step *goose.MigrationResult
		if step, err = p.Down(ctx); step != nil {
			steps = append(steps, step)
		}
	case Status:
	default:
		err = fmt.Errorf("no direction %q: it has to be up, down or status", d)
	}
	if err != nil {
		return nil, fmt.Errorf("migrating %s: %w", d, err)
	}
	for _, step := range steps {
		logger.Info("migrated the database", "direction", step.Direction, "step", step.Source.Path, "duration", step.Duration)
	}
	return migrationStatus(ctx, p)
}

// checkCompatible says whether a program can use tables that are newer than it: as a node can during a rolling upgrade, when newer ones have begun to
// start. Migrations that older programs could not live with set compatible_from in store_meta to the oldest version that can.
func checkCompatible(ctx context.Context, db *sql.DB, current, newest int64, d Direction) error {
	var from int64
	err := db.QueryRowContext(ctx, `SELECT value FROM store_meta WHERE key = 'compatible_from'`).Scan(&from)
	if err != nil || from > newest || d == Down {
		return fmt.Errorf("the tables are of version %d, and this program knows versions up to %d: use a newer one", current, newest)
	}
	return nil
}

func migrationStatus(ctx context.Context, p *goose.Provider) ([]Migration, error) {
	all, err := p.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the state of the tables: %w", err)
	}
	list := make([]Migration, len(all))
	for i, m := range all {
		list[i] = Migration{m.Source.Version, m.Source.Path, m.State == goose.StateApplied}
	}
	return list, nil
}
