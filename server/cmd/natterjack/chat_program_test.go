package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"google.golang.org/protobuf/types/known/timestamppb"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

// seat is a person at a terminal: the whole program but for the terminal itself.
type seat struct {
	t    *testing.T
	c    *client.Client
	p    *tea.Program
	done sync.WaitGroup
}

// lookMsg asks the program for what it shows.
type lookMsg chan string

// seen is the screen, and answers lookMsg.
type seen struct{ *screen }

func (s seen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	if look, ok := msg.(lookMsg); ok {
		look <- ansi.Strip(s.View().Content)
		return s, nil
	}
	_, cmd := s.screen.Update(msg)
	return s, cmd
}

func sit(t *testing.T, s *nodetest.Server, u *nodetest.User, with string) *seat {
	t.Helper()
	c, err := client.New(client.Options{ServerURL: s.URL, Session: client.MemorySession(&client.Session{
		UserID: u.ID, Username: u.Username, AccessToken: u.Session.GetAccessToken(), RefreshToken: u.Session.GetRefreshToken(),
		AccessTokenExpire: u.Session.GetAccessTokenExpireTime().AsTime(),
	}), Backoff: client.Backoff{Base: 10 * time.Millisecond, Cap: 50 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	start, err := findConversation(t.Context(), c, chatOptions{with: listFlag{with}})
	if err != nil {
		t.Fatal(err)
	}
	seat := &seat{t: t, c: c}
	screen := newScreen(t.Context(), c, 50)
	screen.take(start)
	screen.room = newRoom(screen.me, start)
	c.Start()
	seat.p = tea.NewProgram(seen{screen}, tea.WithInput(nil), tea.WithOutput(io.Discard), tea.WithoutSignals(), tea.WithWindowSize(70, 20))
	seat.done.Go(func() { _, _ = seat.p.Run() })
	t.Cleanup(func() {
		seat.p.Quit()
		seat.done.Wait()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return seat
}

// types presses the keys of a line, and Enter.
func (s *seat) types(line string) {
	for _, r := range line {
		s.p.Send(tea.KeyPressMsg{Code: r, Text: string(r)})
	}
	s.p.Send(tea.KeyPressMsg{Code: tea.KeyEnter})
}

// sees waits until the screen has the parts, in their order.
func (s *seat) sees(parts ...string) {
	s.t.Helper()
	deadline := time.After(time.Minute)
	shown := ""
	for tick := time.Tick(5 * time.Millisecond); ; <-tick {
		look := make(lookMsg, 1)
		s.p.Send(look)
		select {
		case shown = <-look:
		case <-deadline: // also where the program has ended, and answers no more
			s.t.Fatalf("the screen never had %q:\n%s", parts, shown)
		}
		if inOrder(shown, parts) {
			return
		}
	}
}

func inOrder(s string, parts []string) bool {
	for _, part := range parts {
		_, after, ok := strings.Cut(s, part)
		if !ok {
			return false
		}
		s = after
	}
	return true
}

func TestTwoPeopleChatOnTheirScreens(t *testing.T) {
	server := nodetest.Start(t)
	ada, bob := server.SignUp("ada"), server.SignUp("bob")
	a := sit(t, server, ada, bob.Username)
	b := sit(t, server, bob, ada.Username)
	a.sees(bob.Username, "● online", "● live")
	b.sees(ada.Username, "● online", "● live")
	for _, r := range "hel" {
		a.p.Send(tea.KeyPressMsg{Code: r, Text: string(r)})
	}
	b.sees(ada.Username + " is typing…")
	a.types("lo bob")
	b.sees(ada.Username, "hello bob")
	a.sees("you", "hello bob", "✓✓ read")
	b.types("/react 🐸")
	a.sees("hello bob", "🐸 1")
	b.types("/reply hello yourself")
	a.sees("↳ you: hello bob", "hello yourself")
	a.types("/edit hello, dear bob")
	b.sees("hello, dear bob (edited)", "↳ "+ada.Username+": hello, dear bob", "hello yourself")
	a.types("/delete")
	b.sees("message deleted", "hello yourself")
	a.types("/new Toads: " + bob.Username)
	a.sees("Toads", "2 members")
	a.types("croak")
	b.types("/list") // the group has to have come before it can be opened
	b.sees("Conversations", "Toads")
	b.types("/open Toads")
	b.sees("Toads", ada.Username, "croak")
	b.types("/quit")
	b.done.Wait()
}

func TestLinesForPeople(t *testing.T) {
	at := func(m *chatv1.Message, change int64, f func(*chatv1.Message)) client.Event {
		m.ChangedSeq = change
		f(m)
		return client.Event{Conversation: "c1", Seq: change, Body: m}
	}
	nothing := func(*chatv1.Message) {}
	for name, test := range map[string]struct {
		e    client.Event
		mine bool
		want string
	}{
		"message": {at(said(1, "u-bob", "two\nlines\n"), 1, nothing), false, "12:01 Bob: two\n      lines\n"},
		"mine":    {at(said(1, "u-me", "x"), 1, nothing), true, ""},
		"edited":  {at(said(1, "u-bob", "new"), 2, func(m *chatv1.Message) { m.EditTime = timestamppb.New(noon) }), false, "12:00 Bob: (message 1 now says) new\n"},
		"deleted": {at(said(1, "u-bob", ""), 2, func(m *chatv1.Message) { m.DeleteTime = timestamppb.New(noon) }), false, "12:00 Bob: (message 1 was deleted)\n"},
		"reaction": {at(said(1, "u-bob", "x"), 2, func(m *chatv1.Message) {
			m.Reactions = []*chatv1.Reaction{{Emoji: "👍", UserIds: []string{"u-me", "u-bob"}}}
		}), false, "Bob: (message 1 has) 👍 2\n"},
		"none left": {at(said(1, "u-bob", "x"), 2, nothing), false, "Bob: (message 1 has) no reactions\n"},
		"title":     {client.Event{Seq: 2, Body: &chatv1.Conversation{Title: "To\nads"}}, false, "(the conversation is now called To ads)\n"},
		"joined": {client.Event{Seq: 2, Body: &chatv1.MembersChanged{ActorId: "u-bob", Members: []*chatv1.Member{
			{User: user("c"), JoinedSeq: 2},
			{User: user("d"), JoinedSeq: 2},
			{User: user("e"), JoinedSeq: 2},
			{User: user("f"), JoinedSeq: 2},
			{User: user("g"), JoinedSeq: 2},
			{User: user("h"), JoinedSeq: 2},
		}}}, false, "(Bob added C, D, E, F, 2 others)\n"},
		"nobody":   {client.Event{Seq: 2, Body: &chatv1.MembersChanged{}}, false, ""},
		"gap":      {client.Event{Body: &client.Gap{After: 1, Head: 900}}, false, "(messages are missing here: too many came while offline)\n"},
		"typing":   {client.Event{Body: &chatv1.Typing{UserId: "u-bob", Typing: true}}, false, ""},
		"presence": {client.Event{Body: &chatv1.Presence{UserId: "u-bob"}}, false, ""},
	} {
		var out bytes.Buffer
		p := newPrinter(&out, false, func() { t.Errorf("%s: broken", name) })
		p.people.add(user("bob"))
		p.event(test.e, test.mine)
		if out.String() != test.want {
			t.Errorf("%s: %q, want %q", name, out.String(), test.want)
		}
	}
}

func TestEveryEventHasItsJSON(t *testing.T) {
	var out bytes.Buffer
	p := newPrinter(&out, true, func() {})
	for _, body := range []any{
		&chatv1.Conversation{}, &chatv1.MembersChanged{}, &chatv1.Receipt{}, &chatv1.Typing{}, &chatv1.Presence{}, &client.Gap{After: 1, Head: 9}, &client.Reset{},
		&client.Gone{}, &client.CaughtUp{},
		client.Connecting{},
		client.CatchingUp{},
		client.Offline{Err: errors.New("why"), Retry: time.Unix(0, 0)},
		nil,
	} {
		p.event(client.Event{Conversation: "c1", Body: body}, false)
	}
	want := `{"type":"conversation","conversationId":"c1","conversation":{}}
{"type":"members","conversationId":"c1","members":{}}
{"type":"receipt","conversationId":"c1","receipt":{}}
{"type":"typing","conversationId":"c1","typing":{}}
{"type":"presence","conversationId":"c1","presence":{}}
{"type":"gap","conversationId":"c1","after":1,"head":9}
{"type":"reset","conversationId":"c1"}
{"type":"gone","conversationId":"c1"}
{"type":"caughtUp","conversationId":"c1"}
{"type":"state","conversationId":"c1","state":"connecting"}
{"type":"state","conversationId":"c1","state":"catching up"}
{"type":"state","conversationId":"c1","state":"offline","error":"why","retry":"1970-01-01T00:00:00Z"}
{"type":"unknown","conversationId":"c1"}
`
	if out.String() != want {
		t.Fatalf("got\n%s", out.String())
	}
}

// fullWriter fails as a pipe does that nobody reads.
type fullWriter struct{}

func (fullWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestBrokenPipeIsToldOnce(t *testing.T) {
	n := 0
	p := newPrinter(fullWriter{}, true, func() { n++ })
	p.event(client.Event{}, false)
	p.sent(1, client.Sent{}, nil)
	if n != 1 {
		t.Fatalf("told %d times", n)
	}
}

func TestTimesForPeople(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "just now", 59 * time.Second: "just now", time.Minute: "1 min ago", 59 * time.Minute: "59 min ago", time.Hour: "1 h ago",
		23 * time.Hour: "23 h ago", 24 * time.Hour: "on 24 Nov 2026",
	} {
		if got := ago(noon.Add(-d), noon); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	for back, want := range map[int]string{0: "Today", 1: "Yesterday", 2: "Monday 23 November", 400: "Tuesday 21 October 2025"} {
		if got := dayName(noon.AddDate(0, 0, -back), noon); got != want {
			t.Errorf("%d days: %s, want %s", back, got, want)
		}
	}
}
