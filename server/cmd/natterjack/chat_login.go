package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/google/uuid"
	"golang.org/x/term"

	authv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1"
	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
)

var (
	usernamePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{2,31}$`) // as in SignUpRequest
	profilePattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
)

func validUsername(s string) bool { return usernamePattern.MatchString(s) }
func validProfile(s string) bool  { return profilePattern.MatchString(s) }

// profileDir returns the folder of a profile on a server; below it each user has one.
func profileDir(home, profile, server string) string {
	host := server
	if u, err := url.Parse(server); err == nil {
		host = u.Scheme + "_" + u.Host + strings.TrimRight(u.Path, "/")
	}
	safe := strings.Map(func(r rune) rune {
		if r < 128 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_') {
			return r
		}
		return '_'
	}, host)
	return filepath.Join(home, "natterjack", profile, safe)
}

// device is what a signed-in user has on this machine.
type device struct {
	session client.SessionStore
	id      string
	outbox  client.OutboxStore
}

// login gets a session: the remembered one, or by asking.
type login struct {
	o      chatOptions
	dir    string
	stdin  *os.File
	stderr io.Writer
	lines  *bufio.Reader // of stdin, for questions
}

// open returns the device of the user, signed in. Nothing is asked where a session is remembered.
func (l *login) open(ctx context.Context) (*device, error) {
	username := l.o.as
	if username == "" {
		username = l.lastUser()
	}
	if username != "" {
		store := client.FileSession(l.path(username, "session.json"))
		s, err := store.Load(ctx)
		if err != nil {
			return nil, err
		}
		if s != nil && !l.o.signUp {
			if err := l.check(ctx, store); err == nil {
				return l.device(store, username)
			} else if !errors.Is(err, client.ErrSessionEnded) {
				return nil, err
			}
			fmt.Fprintf(l.stderr, "The session of %s has ended.\n", username)
		}
	}
	s, err := l.signIn(ctx, username)
	if err != nil {
		return nil, err
	}
	store := client.FileSession(l.path(s.Username, "session.json"))
	if err := store.Update(ctx, func(*client.Session) (*client.Session, error) { return s, nil }); err != nil {
		return nil, err
	}
	return l.device(store, s.Username)
}

// check asks the server whether a session is good, so that one that has ended is noticed before anything else.
func (l *login) check(ctx context.Context, store client.SessionStore) error {
	c, err := client.New(client.Options{ServerURL: l.o.server, Session: store})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_, err = c.Auth().GetAccount(ctx, &authv1.GetAccountRequest{})
	return client.AsError(err)
}

func (l *login) path(username, file string) string {
	return filepath.Join(l.dir, strings.ToLower(username), file)
}

// lastUser returns who signed in last here, or "".
func (l *login) lastUser() string {
	b, err := os.ReadFile(filepath.Join(l.dir, "last-user"))
	if name := strings.TrimSpace(string(b)); err == nil && validUsername(name) {
		return name
	}
	return ""
}

// device opens what belongs to a user on this machine, and remembers who it was. A second program of the same user gets a device of its own,
// whose outbox is in memory.
func (l *login) device(store client.SessionStore, username string) (*device, error) {
	if err := os.WriteFile(filepath.Join(l.dir, "last-user"), []byte(username+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("remember the user: %w", err)
	}
	outbox, err := client.FileOutbox(l.path(username, "outbox.journal"))
	if errors.Is(err, client.ErrOutboxLocked) {
		return &device{session: store, id: uuid.NewString()}, nil
	}
	if err != nil {
		return nil, err
	}
	id, err := deviceID(l.path(username, "device"))
	if err != nil {
		return nil, err
	}
	return &device{session: store, id: id, outbox: outbox}, nil
}

// deviceID returns the id kept in a file, made the first time.
func deviceID(path string) (string, error) {
	b, err := os.ReadFile(path)
	if id := strings.TrimSpace(string(b)); err == nil && uuid.Validate(id) == nil {
		return id, nil
	}
	id := uuid.NewString()
	if err := os.WriteFile(path, []byte(id+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("remember the device: %w", err)
	}
	return id, nil
}

// maxTries is how many passwords are asked for.
const maxTries = 3

// signIn asks for what is missing, and signs in or up.
func (l *login) signIn(ctx context.Context, username string) (*client.Session, error) {
	given, err := l.givenPassword()
	if err != nil {
		return nil, err
	}
	asks := term.IsTerminal(int(l.stdin.Fd()))
	if username == "" {
		if !asks {
			return nil, notSignedIn("nobody is signed in: say who by --as")
		}
		if username, err = l.askUsername(); err != nil {
			return nil, err
		}
	}
	if given != "" {
		return l.try(ctx, username, given, l.o.signUp)
	}
	if !asks {
		return nil, notSignedIn(fmt.Sprintf("no session for %s: give the password by NATTERJACK_PASSWORD or --password-file", username))
	}
	for range maxTries {
		s, err := l.askAndTry(ctx, username)
		if client.ReasonOf(err) != chatv1.ErrorReason_ERROR_REASON_WRONG_CREDENTIALS {
			return s, err
		}
	}
	return nil, notSignedIn("wrong username or password")
}

// askAndTry asks for a password, and signs in with it or makes the account.
func (l *login) askAndTry(ctx context.Context, username string) (*client.Session, error) {
	password, err := l.askPassword(username)
	if err != nil {
		return nil, err
	}
	s, wrong := l.try(ctx, username, password, l.o.signUp)
	if client.ReasonOf(wrong) != chatv1.ErrorReason_ERROR_REASON_WRONG_CREDENTIALS || l.o.signUp {
		return s, wrong
	}
	yes, err := l.confirm(fmt.Sprintf("Wrong password, or there is no %s yet. Make this account? [y/N] ", username))
	if err != nil {
		return nil, err
	}
	if !yes {
		return nil, wrong
	}
	again, err := l.askPassword(username + ", again")
	if err != nil {
		return nil, err
	}
	if again != password {
		fmt.Fprintln(l.stderr, "The two are not the same.")
		return nil, wrong
	}
	s, err = l.try(ctx, username, password, true)
	if client.ReasonOf(err) == chatv1.ErrorReason_ERROR_REASON_WRONG_CREDENTIALS {
		fmt.Fprintf(l.stderr, "%s exists: that was the wrong password.\n", username)
	}
	return s, err
}

// try signs in; with signUp it makes the account first if there is none.
func (l *login) try(ctx context.Context, username, password string, signUp bool) (*client.Session, error) {
	o := client.Options{ServerURL: l.o.server}
	cred := client.Credentials{Username: username, Password: password, DeviceName: deviceName()}
	if signUp {
		s, err := client.SignUp(ctx, o, cred, "")
		if client.ReasonOf(err) != chatv1.ErrorReason_ERROR_REASON_USERNAME_TAKEN {
			return s, err
		}
	}
	return client.SignIn(ctx, o, cred)
}

// deviceName is what the list of sessions shows.
func deviceName() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		return "terminal"
	}
	return clip("terminal on "+clean(host), 64)
}

// givenPassword returns the password that needs no asking, or "".
func (l *login) givenPassword() (string, error) {
	if l.o.passwordFile == "" {
		return os.Getenv("NATTERJACK_PASSWORD"), nil
	}
	b, err := os.ReadFile(l.o.passwordFile)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	password := strings.TrimRight(string(b), "\r\n")
	if password == "" {
		return "", usageError(l.o.passwordFile + " is empty")
	}
	return password, nil
}

func (l *login) askUsername() (string, error) {
	for {
		name, err := l.ask("Username: ")
		if err != nil {
			return "", err
		}
		if validUsername(name) {
			return name, nil
		}
		fmt.Fprintln(l.stderr, "3 to 32 letters, digits, dots, underscores and hyphens; a letter or digit first.")
	}
}

func (l *login) confirm(question string) (bool, error) {
	answer, err := l.ask(question)
	return strings.EqualFold(answer, "y") || strings.EqualFold(answer, "yes"), err
}

func (l *login) ask(question string) (string, error) {
	fmt.Fprint(l.stderr, question)
	if l.lines == nil {
		l.lines = bufio.NewReader(l.stdin)
	}
	line, err := l.lines.ReadString('\n')
	if err != nil {
		return "", notSignedIn("interrupted")
	}
	return strings.TrimSpace(line), nil
}

// askPassword reads a password without showing it. An interrupt leaves the terminal as it was.
func (l *login) askPassword(username string) (string, error) {
	fd := int(l.stdin.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	answered := make(chan struct{})
	defer func() { signal.Stop(interrupts); close(answered) }()
	go func() {
		select {
		case <-interrupts:
			_ = term.Restore(fd, before)
			fmt.Fprintln(l.stderr)
			os.Exit(exitInterrupted)
		case <-answered:
		}
	}()
	fmt.Fprintf(l.stderr, "Password for %s: ", username)
	b, err := term.ReadPassword(fd)
	fmt.Fprintln(l.stderr)
	if err != nil || len(b) == 0 {
		return "", notSignedIn("no password was given")
	}
	return string(b), nil
}
