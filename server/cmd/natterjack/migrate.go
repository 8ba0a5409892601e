package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/natterjack-chat/natterjack/server/node"
)

const migrateUsage = `Usage: natterjack migrate [flags] up|down|status

Brings the tables of a database up to date, which a server does by itself when it starts; takes the last step back; or only tells where
they stand. No server may have a file of SQLite open; servers on PostgreSQL go on, and going back is for after the last newer one has ended.

Flags:
`

// databaseFlag is the flag by which commands that work on a database are told where it is.
func databaseFlag(f *flag.FlagSet) *string {
	return f.String("database-url", envOr("NATTERJACK_DATABASE_URL", node.DefaultConfig().DatabaseURL), "`url` of the database (NATTERJACK_DATABASE_URL)")
}

// runMigrate is `natterjack migrate`; it returns the exit code.
func runMigrate(args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("migrate", flag.ContinueOnError)
	f.SetOutput(stderr)
	database := databaseFlag(f)
	f.Usage = func() {
		fmt.Fprint(f.Output(), migrateUsage)
		f.PrintDefaults()
	}
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return exitUsage
	case f.NArg() != 1:
		fmt.Fprintln(stderr, "natterjack migrate: say what to do: up, down or status (--help tells more)")
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	steps, err := node.Migrate(ctx, *database, f.Arg(0))
	if err != nil {
		fmt.Fprintf(stderr, "natterjack migrate: %v\n", err)
		return exitFailed
	}
	for _, s := range steps {
		state := "pending"
		if s.Applied {
			state = "applied"
		}
		fmt.Fprintf(stdout, "%-8s %s\n", state, s.Name)
	}
	return 0
}
