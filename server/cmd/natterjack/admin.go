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

const adminUsage = `Usage: natterjack admin [flags] new-epoch

  new-epoch   after a restore from a backup: clients start afresh, instead of relying on what the database had when they last asked,
              and send their own messages of the last day again, each of which is stored once. No server may have a file of SQLite open.

Flags:
`

// runAdmin is `natterjack admin`; it returns the exit code.
func runAdmin(args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("admin", flag.ContinueOnError)
	f.SetOutput(stderr)
	database := databaseFlag(f)
	f.Usage = func() {
		fmt.Fprint(f.Output(), adminUsage)
		f.PrintDefaults()
	}
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return exitUsage
	case f.NArg() != 1 || f.Arg(0) != "new-epoch":
		fmt.Fprintln(stderr, "natterjack admin: say what to do: new-epoch (--help tells more)")
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	epoch, err := node.NewEpoch(ctx, *database)
	if err != nil {
		fmt.Fprintf(stderr, "natterjack admin: %v\n", err)
		return exitFailed
	}
	fmt.Fprintf(stdout, "the database has the new epoch %d: clients start afresh\n", epoch)
	return 0
}
