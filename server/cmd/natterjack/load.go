package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/natterjack-chat/natterjack/server/load"
)

const loadUsage = `Usage: natterjack load [flags]

Puts a running server under load with users of its own making, and reports what came of every message: counted at the receivers,
latency from the time at which a message was meant to be sent. Its exit code is 1 if a message was lost, doubled or out of order, or a
user whose stream was lost did not come back.

Several servers are nodes of one system: users are spread over them in turn, and go on to the next when theirs can't be reached.

The accounts that it makes stay in the server's database. A server holds each user to a number of requests per second
(--limit-user-rate of natterjack serve), which a closed loop with few users will meet.

  natterjack load --users 500 --rate 1000 --duration 10s
  natterjack load --users 50 --rate 0 --window 32 --pid $(pidof natterjack)
  natterjack load --server http://a:8080,http://b:8080 --users 1000 --rate 500 --cut-every 5s
  natterjack load --users 300 --group-size 100 --rate 50 --slow 10 --presence 20
  natterjack load --idle 1000 --pid $(pidof natterjack)

Flags:
`

// runLoad is `natterjack load`; it returns the exit code.
func runLoad(args []string, stdout, stderr *os.File) int {
	cfg := load.Config{}
	var servers listFlag
	asJSON := false
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Var(&servers, "server", "URL of a server; several, with commas between, share the users (default "+defaultServer+")")
	f.IntVar(&cfg.Users, "users", 100, "number of users, each with one stream")
	f.IntVar(&cfg.GroupSize, "group-size", 2, "members of each conversation; 2 makes direct ones")
	f.Float64Var(&cfg.Rate, "rate", 0, "messages per second over all users; 0 sends as fast as --window allows")
	f.IntVar(&cfg.Window, "window", 16, "messages that a user may have unanswered")
	f.DurationVar(&cfg.Duration, "duration", 10*time.Second, "how long to send, or to keep idle streams")
	f.IntVar(&cfg.Listeners, "listeners", 0, "streams that only listen, beside those of the users: further devices of theirs (--limit-streams-per-user of natterjack serve)")
	f.IntVar(&cfg.Slow, "slow", 0, "users who read slowly while messages are sent, and have to get everything in the end")
	f.DurationVar(&cfg.CutEvery, "cut-every", 0, "how often the streams of all users are cut at once; 0: never")
	f.Float64Var(&cfg.Presence, "presence", 0, "changes of presence per second over all users, who watch the other members of their conversation")
	f.DurationVar(&cfg.Late, "late", time.Second, "latency from which a message counts as late")
	f.IntVar(&cfg.Size, "size", 100, "bytes of each message")
	f.IntVar(&cfg.StreamsPerConnection, "streams-per-connection", 1, "streams that share an HTTP/2 connection")
	f.StringVar(&cfg.Transport, "transport", load.HTTP2, "what streams go over: "+load.HTTP2+" or "+load.WebSocket)
	f.IntVar(&cfg.Idle, "idle", 0, "open this many streams that only listen, instead of sending")
	f.IntVar(&cfg.StreamsPerUser, "streams-per-user", 16, "idle streams of each user; a server limits them (--limit-streams-per-user of natterjack serve)")
	f.IntVar(&cfg.PID, "pid", 0, "process of the server, to report its CPU time and memory (Linux)")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	f.Usage = func() {
		fmt.Fprint(f.Output(), loadUsage)
		f.PrintDefaults()
	}
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return exitUsage
	case f.NArg() > 0:
		fmt.Fprintf(stderr, "natterjack load: unexpected argument %q (--help shows all flags)\n", f.Arg(0))
		return exitUsage
	}
	if cfg.Servers = servers; len(servers) == 0 {
		cfg.Servers = []string{defaultServer}
	}
	if err := cfg.Validate(); err != nil {
		fmt.Fprintf(stderr, "natterjack load: %v\n", err)
		return exitUsage
	}
	cfg.Progress = func(s string) { fmt.Fprintf(stderr, "natterjack load: %s\n", s) }
	return makeLoad(cfg, asJSON, stdout, stderr)
}

// defaultServer is where `natterjack serve` listens.
const defaultServer = "http://localhost:8080"

func makeLoad(cfg load.Config, asJSON bool, stdout, stderr *os.File) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	report, err := load.Run(ctx, cfg)
	if report != nil {
		write := report.WriteText
		if asJSON {
			write = report.WriteJSON
		}
		err = errors.Join(err, write(stdout))
	}
	switch {
	case ctx.Err() != nil:
		return exitInterrupted
	case err != nil:
		fmt.Fprintf(stderr, "natterjack load: %v\n", err)
		return exitFailed
	case report.Lost+report.Duplicated+report.OutOfOrder+report.Away > 0:
		return exitFailed
	}
	return 0
}
