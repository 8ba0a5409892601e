package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/e2e/history"
)

// Password is that of all users.
const Password = "correct horse battery staple"

// Fleet is the users and devices of one run. Its fields are set in New, or before the first user.
type Fleet struct {
	URL      string
	Recorder *history.Recorder
	Backoff  client.Backoff
	Logger   *slog.Logger

	http *http.Client // for fetching and signing up
	made atomic.Int64 // devices for which what carries their stream doesn't matter

	mu      sync.Mutex // guards what follows
	users   []*User
	devices []*Device
	rooms   []string
}

// New returns an empty fleet for the server at url. Its devices come back quickly after a cut: tests have no time for a polite wait.
func New(url string) *Fleet {
	return &Fleet{
		URL: url, Recorder: history.NewRecorder(), Logger: slog.New(slog.DiscardHandler),
		Backoff: client.Backoff{Base: 10 * time.Millisecond, Cap: 100 * time.Millisecond}, http: client.NewHTTPClient(),
	}
}

// User is an account with a session that its devices share.
type User struct {
	ID, Name string

	fleet   *Fleet
	session client.SessionStore
	// observer makes calls for the fleet, unrecorded.
	observer *client.Client
}

// SignUp makes an account.
func (f *Fleet) SignUp(ctx context.Context, name string) (*User, error) {
	s, err := client.SignUp(ctx, client.Options{ServerURL: f.URL, HTTPClient: f.http}, client.Credentials{Username: name, Password: Password}, "")
	if err != nil {
		return nil, fmt.Errorf("sign up %s: %w", name, err)
	}
	u := &User{ID: s.UserID, Name: name, fleet: f, session: client.MemorySession(s)}
	if u.observer, err = client.New(client.Options{ServerURL: f.URL, HTTPClient: f.http, Session: u.session}); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.users = append(f.users, u)
	return u, nil
}

// Observer returns a client of the user that isn't recorded and has no stream.
func (u *User) Observer() *client.Client { return u.observer }

// Group makes a group that its creator owns.
func (u *User) Group(ctx context.Context, title string, others ...*User) (string, error) {
	ids := make([]string, len(others))
	for i, o := range others {
		ids[i] = o.ID
	}
	s, err := u.observer.CreateGroup(ctx, title, ids...)
	if err != nil {
		return "", fmt.Errorf("make group %s: %w", title, err)
	}
	return u.fleet.keep(s.GetConversation().GetId()), nil
}

// Direct makes a direct conversation.
func (u *User) Direct(ctx context.Context, other *User) (string, error) {
	s, err := u.observer.CreateDirect(ctx, other.ID)
	if err != nil {
		return "", fmt.Errorf("make a direct conversation: %w", err)
	}
	return u.fleet.keep(s.GetConversation().GetId()), nil
}

func (f *Fleet) keep(conversation string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rooms = append(f.rooms, conversation)
	return conversation
}

// Users returns the users in the order of their signing up.
func (f *Fleet) Users() []*User {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*User(nil), f.users...)
}

// Rooms returns the conversations in the order in which they were made; the first one of a populated fleet is that of all.
func (f *Fleet) Rooms() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.rooms...)
}

// Devices returns the devices that take part.
func (f *Fleet) Devices() []*Device {
	f.mu.Lock()
	defer f.mu.Unlock()
	var open []*Device
	for _, d := range f.devices {
		if d.open() {
			open = append(open, d)
		}
	}
	return open
}

// AwaitLive waits until every device is connected, misses nothing and has a conversation.
func (f *Fleet) AwaitLive(ctx context.Context) error {
	for _, d := range f.Devices() {
		for !d.Mirror.Live() || len(d.Mirror.conversations()) == 0 {
			select {
			case <-time.After(5 * time.Millisecond):
			case <-ctx.Done():
				return fmt.Errorf("%s is not live but %#v: %w", d.Name, d.Client.State(), ctx.Err())
			}
		}
	}
	return nil
}

// Close ends all devices and connections.
func (f *Fleet) Close() error {
	f.mu.Lock()
	devices, users := f.devices, f.users
	f.mu.Unlock()
	errs := make([]error, len(devices), len(devices)+len(users))
	var closing sync.WaitGroup
	for i, d := range devices {
		closing.Go(func() { errs[i] = d.Close() })
	}
	closing.Wait()
	for _, u := range users {
		errs = append(errs, u.observer.Close())
	}
	f.http.CloseIdleConnections()
	return errors.Join(errs...)
}
