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

// runServe is `natterjack serve`; it returns the exit code. The first SIGTERM or SIGINT drains, the second one kills.
func runServe(args []string, stdout, stderr io.Writer) int {
	cfg, err := node.Load(args, os.Environ(), stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "natterjack serve: %v\n", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // from now on signals do what they do by default
	n, err := node.New(ctx, cfg, node.NewLogger(stderr, cfg), nil)
	if err != nil {
		fmt.Fprintf(stderr, "natterjack serve: %v\n", err)
		return exitUsage
	}
	if err := n.Run(ctx); err != nil {
		fmt.Fprintf(stderr, "natterjack serve: %v\n", err)
		return exitFailed
	}
	return 0
}
