package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/natterjack-chat/natterjack/server/client"
)

// Exit codes of `natterjack chat`, beside 0 for success.
const (
	exitFailed      = 1   // the server could not be reached, or a message was refused
	exitUsage       = 2   // wrong flags
	exitNotSignedIn = 3   // no session, wrong credentials, or the session has ended
	exitNotFound    = 4   // no such user or conversation
	exitInterrupted = 130 // by SIGINT, as shells have it
)

// Values of --transport.
const (
	http2Transport     = "http2"
	webSocketTransport = "websocket"
)

// chatOptions are the flags of `natterjack chat`.
type chatOptions struct {
	server       string
	as           string
	with         listFlag
	conversation string
	group        string
	profile      string
	passwordFile string
	signUp       bool
	json         bool
	plain        bool
	follow       bool
	transport    string
	history      int
}

// listFlag is a flag that may be repeated, or hold several values with commas between.
type listFlag []string

func (l *listFlag) String() string { return strings.Join(*l, ",") }

func (l *listFlag) Set(s string) error {
	for v := range strings.SplitSeq(s, ",") {
		if v = strings.TrimSpace(v); v != "" {
			*l = append(*l, v)
		}
	}
	return nil
}

const chatUsage = `Usage: natterjack chat [flags]

Chats in the terminal. The first time it asks for a username and a password, and makes an account if there is none;
from then on it remembers the session for the server and user.

When input or output is not a terminal, each line of input is sent as a message and messages that come are printed as lines; it
ends with the input, once all is acknowledged (with --follow, it goes on until it is interrupted).

  natterjack chat --as ada --with bob
  natterjack chat --as ada --group "Night shift" --with bob,carol
  dmesg | tail -1 | natterjack chat --as monitor --with ada
  natterjack chat --as bot --conversation c2x4… --json --follow </dev/null

Flags:
`

const chatUsageEnd = `
Exit codes: 0 all was sent; 1 something was refused or the server is out of reach; 2 wrong flags; 3 not signed in; 4 no such user or conversation;
130 interrupted.
`

// runChat is `natterjack chat`; it returns the exit code.
func runChat(args []string, stdin, stdout, stderr *os.File) int {
	o, code, ok := parseChatFlags(args, stdout, stderr)
	if !ok {
		return code
	}
	home, err := os.UserConfigDir()
	if err != nil {
		fmt.Fprintln(stderr, "natterjack chat: there is no folder for settings:", err)
		return exitFailed
	}
	l := &login{o: o, dir: profileDir(home, o.profile, o.server), stdin: stdin, stderr: stderr}
	device, err := l.open(context.Background()) // an interrupt ends it, and the program, as usual
	if err != nil {
		return report(err, o, stderr)
	}
	interactive := !o.plain && !o.json && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(stdin.Fd())) && term.IsTerminal(int(stdout.Fd()))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if !interactive {
		signal.Ignore(syscall.SIGPIPE) // a reader that has enough ends us in order, by an error of Write
	}
	code = report(chat(ctx, o, device, interactive, stdin, stdout, stderr), o, stderr)
	if ctx.Err() != nil && !interactive {
		return exitInterrupted
	}
	return code
}

// report says what went wrong, if anything, and returns the exit code.
func report(err error, o chatOptions, stderr io.Writer) int {
	if err != nil && !errors.Is(err, errQuiet) {
		fmt.Fprintln(stderr, "natterjack chat:", explain(err, o))
	}
	return exitCode(err)
}

func parseChatFlags(args []string, stdout, stderr io.Writer) (o chatOptions, code int, ok bool) {
	f := flag.NewFlagSet("chat", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.server, "server", envOr("NATTERJACK_SERVER", defaultServer), "URL of the server (NATTERJACK_SERVER)")
	f.StringVar(&o.as, "as", "", "username to sign in with; without it the last one on this server")
	f.Var(&o.with, "with", "username to chat with; with --group, the members of a new group (may be repeated)")
	f.StringVar(&o.conversation, "conversation", "", "id of the conversation")
	f.StringVar(&o.group, "group", "", "title of the group; made with the users of --with if there is none")
	f.StringVar(&o.profile, "profile", "default", "keeps sessions apart: two profiles on one machine are two devices")
	f.StringVar(&o.passwordFile, "password-file", "", "file with the password, for scripts (or NATTERJACK_PASSWORD)")
	f.BoolVar(&o.signUp, "sign-up", false, "make the account if there is none, without asking")
	f.BoolVar(&o.json, "json", false, "print one JSON object per event")
	f.BoolVar(&o.plain, "plain", false, "lines instead of the full screen, also in a terminal")
	f.StringVar(&o.transport, "transport", http2Transport, "what the stream goes over: "+http2Transport+", or "+webSocketTransport+" where a proxy lets no HTTP/2 through")
	f.BoolVar(&o.follow, "follow", false, "go on after the end of the input")
	f.IntVar(&o.history, "history", -1, "messages to show first; default 50 on the full screen, else 0")
	f.Usage = func() {
		fmt.Fprint(f.Output(), chatUsage)
		f.PrintDefaults()
		fmt.Fprint(f.Output(), chatUsageEnd)
	}
	for _, a := range args {
		if a == "-h" || a == "-help" || a == "--help" {
			f.SetOutput(stdout)
		}
	}
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return o, 0, false
	case err != nil:
		return o, exitUsage, false
	}
	if problem := o.problem(f.Args()); problem != "" {
		fmt.Fprintf(stderr, "natterjack chat: %s (--help shows all flags)\n", problem)
		return o, exitUsage, false
	}
	return o, 0, true
}

// problem returns what is wrong with the flags, in one line.
func (o *chatOptions) problem(rest []string) string {
	switch {
	case len(rest) > 0:
		return fmt.Sprintf("unexpected argument %q", rest[0])
	case !strings.HasPrefix(o.server, "http://") && !strings.HasPrefix(o.server, "https://"):
		return fmt.Sprintf("--server %q is not an http or https URL", o.server)
	case o.conversation != "" && (o.group != "" || len(o.with) > 0):
		return "--conversation stands alone: leave out --with and --group"
	case len(o.with) > 1 && o.group == "":
		return "more than one --with makes a group: give it a title by --group"
	case o.as != "" && !validUsername(o.as):
		return fmt.Sprintf("--as %q is not a username: 3 to 32 of a-z, A-Z, 0-9, \".\", \"_\" and \"-\"", o.as)
	case !validProfile(o.profile):
		return fmt.Sprintf("--profile %q: use letters, digits, \".\", \"_\" and \"-\"", o.profile)
	case o.transport != http2Transport && o.transport != webSocketTransport:
		return fmt.Sprintf("--transport %q: it has to be %s or %s", o.transport, http2Transport, webSocketTransport)
	case o.history > 200:
		return "--history shows 200 messages at most"
	default:
		return ""
	}
}

func envOr(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// chat finds the conversation, and runs the full screen or the lines.
func chat(ctx context.Context, o chatOptions, device *device, interactive bool, stdin, stdout, stderr *os.File) error {
	options := client.Options{
		ServerURL: o.server, Session: device.session, DeviceID: device.id, Outbox: device.outbox, Backoff: client.Backoff{Cap: 10 * time.Second},
	}
	if o.transport == webSocketTransport {
		options.Transport = client.NewWebSocketTransport(nil, o.server)
	}
	c, err := client.New(options)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	start, err := findConversation(ctx, c, o)
	if err != nil {
		return err
	}
	if interactive {
		return runScreen(ctx, c, o, start)
	}
	if start == nil {
		return usageError("say with whom: --with, --group or --conversation")
	}
	return runLines(ctx, c, o, start, stdin, stdout, stderr)
}
