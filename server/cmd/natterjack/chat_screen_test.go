package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
)

// fakeBackend notes what the screen says, and answers calls with what a test has put there.
type fakeBackend struct {
	backend
	said    []string
	page    *chatv1.ListMessagesResponse
	sendErr error
	callErr error
	users   []*chatv1.User
}

func (f *fakeBackend) note(format string, args ...any) {
	f.said = append(f.said, fmt.Sprintf(format, args...))
}

func (f *fakeBackend) User() string { return "u-me" }
func (f *fakeBackend) SetTyping(id string, on bool) {
	f.note("typing %s %v", id, on)
}
func (f *fakeBackend) SetAway(away bool)                { f.note("away %v", away) }
func (f *fakeBackend) MarkRead(id string, seq int64)    { f.note("read %s %d", id, seq) }
func (f *fakeBackend) MarkDelivered(id string, s int64) { f.note("delivered %s %d", id, s) }
func (f *fakeBackend) WatchPresence(users ...string) error {
	f.note("watch %v", users)
	return f.callErr
}
func (f *fakeBackend) Track(id string)   { f.note("track %s", id) }
func (f *fakeBackend) Untrack(id string) { f.note("untrack %s", id) }

func (f *fakeBackend) Send(id, text string, o client.SendOptions) (*client.Sending, error) {
	f.note("send %s %q reply %d", id, text, o.ReplyTo)
	return nil, f.sendErr
}

func (f *fakeBackend) Messages(_ context.Context, id string, p client.Page) (*chatv1.ListMessagesResponse, error) {
	f.note("messages %s before %d limit %d", id, p.Before, p.Limit)
	return f.page, f.callErr
}

func (f *fakeBackend) Members(context.Context, string) ([]*chatv1.Member, []*chatv1.Receipt, error) {
	return []*chatv1.Member{
		{User: user("me"), Role: chatv1.MemberRole_MEMBER_ROLE_OWNER}, {User: user("bob"), Role: chatv1.MemberRole_MEMBER_ROLE_MEMBER},
	}, []*chatv1.Receipt{{UserId: "u-me", ReadSeq: 99}, {UserId: "u-bob", ReadSeq: 4}}, f.callErr
}

func (f *fakeBackend) Users(_ context.Context, ids ...string) ([]*chatv1.User, error) {
	f.note("users %v", ids)
	return f.users, f.callErr
}

func (f *fakeBackend) SearchUsers(_ context.Context, q string, _ int32) ([]*chatv1.User, error) {
	return []*chatv1.User{user(q)}, f.callErr
}

func (f *fakeBackend) SearchMessages(_ context.Context, q, _ string, _ int32) ([]*chatv1.Message, error) {
	return []*chatv1.Message{said(3, "u-bob", "found "+q)}, f.callErr
}

func (f *fakeBackend) Edit(_ context.Context, id string, seq int64, text string) (*chatv1.Message, error) {
	m := said(seq, "u-me", text)
	m.ConversationId, m.ChangedSeq, m.EditTime = id, 100, timestamppb.New(noon)
	return m, f.callErr
}

func (f *fakeBackend) Delete(_ context.Context, id string, seq int64) (*chatv1.Message, error) {
	m := said(seq, "u-me", "")
	m.ConversationId, m.ChangedSeq, m.DeleteTime = id, 101, timestamppb.New(noon)
	return m, f.callErr
}

func (f *fakeBackend) React(_ context.Context, id string, seq int64, emoji string) (*chatv1.Message, error) {
	m := said(seq, "u-bob", "hello")
	m.ConversationId, m.ChangedSeq, m.Reactions = id, 102, []*chatv1.Reaction{{Emoji: emoji, UserIds: []string{"u-me"}}}
	return m, f.callErr
}

func (f *fakeBackend) Unreact(_ context.Context, id string, seq int64, _ string) (*chatv1.Message, error) {
	m := said(seq, "u-bob", "hello")
	m.ConversationId, m.ChangedSeq = id, 103
	return m, f.callErr
}

func (f *fakeBackend) CreateDirect(_ context.Context, u string) (*chatv1.ConversationSummary, error) {
	return direct("c-"+u, "dave", 0), f.callErr
}

func (f *fakeBackend) CreateGroup(_ context.Context, title string, members ...string) (*chatv1.ConversationSummary, error) {
	f.note("group %s %v", title, members)
	return group("c-new", title), f.callErr
}

func (f *fakeBackend) Conversation(_ context.Context, id string) (*chatv1.ConversationSummary, error) {
	return direct(id, "bob", 0), f.callErr
}

func (f *fakeBackend) Rename(_ context.Context, id, title string) (*chatv1.Conversation, error) {
	f.note("rename %s %s", id, title)
	return nil, f.callErr
}

func (f *fakeBackend) AddMembers(_ context.Context, id string, _ chatv1.MemberRole, users ...string) ([]*chatv1.Member, error) {
	f.note("add %s %v", id, users)
	return nil, f.callErr
}

func (f *fakeBackend) RemoveMember(_ context.Context, id, u string) error {
	f.note("remove %s %s", id, u)
	return f.callErr
}

// noon is a time for messages, the same in the zone of any machine as its text says.
var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.Local)

func user(name string) *chatv1.User {
	return &chatv1.User{Id: "u-" + name, Username: name, DisplayName: strings.ToUpper(name[:1]) + name[1:]}
}

// said is a message of the conversation c1, one minute after the one before.
func said(seq int64, sender, text string) *chatv1.Message {
	return &chatv1.Message{
		ConversationId: "c1", Seq: seq, ChangedSeq: seq, SenderId: sender, Content: text, ClientMessageId: fmt.Sprint("client-", seq),
		Timestamp: timestamppb.New(noon.Add(time.Duration(seq) * time.Minute)),
	}
}

func direct(id, peer string, unread int64) *chatv1.ConversationSummary {
	return &chatv1.ConversationSummary{
		Conversation: &chatv1.Conversation{Id: id, Kind: chatv1.ConversationKind_CONVERSATION_KIND_DIRECT}, Peer: user(peer), UnreadCount: unread,
		Self: &chatv1.Member{User: user("me")}, Receipt: &chatv1.Receipt{ReadSeq: 2}, MemberCount: 2, UpdateTime: timestamppb.New(noon),
	}
}

func group(id, title string) *chatv1.ConversationSummary {
	s := direct(id, "x", 0)
	s.Peer, s.Conversation.Title = nil, title
	return s
}

// stage is a screen with a fake backend, without a terminal.
type stage struct {
	*screen
	t *testing.T
	f *fakeBackend
}

// newStage shows the conversation c1 with bob, in which these messages were said.
func newStage(t *testing.T, width, height int, messages ...*chatv1.Message) *stage {
	t.Helper()
	f := &fakeBackend{page: &chatv1.ListMessagesResponse{Messages: messages}}
	s := &stage{newScreen(t.Context(), f, 50), t, f}
	s.now = noon.Add(time.Hour)
	s.state = client.Live{}
	s.Update(tea.WindowSizeMsg{Width: width, Height: height})
	c := direct("c1", "bob", 0)
	if len(messages) > 0 {
		c.LastMessage = messages[len(messages)-1]
	}
	s.take(c)
	s.run(s.enter(c))
	s.f.said = nil
	return s
}

// run carries out a command, and what follows from it, but for waiting.
func (s *stage) run(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	switch msg := cmd().(type) {
	case tea.BatchMsg:
		for _, c := range msg {
			s.run(c)
		}
	case tea.QuitMsg:
		s.f.note("quit")
	case nil:
	default:
		_, next := s.Update(msg)
		s.run(next)
	}
}

func (s *stage) events(events ...client.Event) {
	s.anchored(func() {
		for _, e := range events {
			s.run(s.event(e))
		}
	})
	s.markRead()
}

func (s *stage) messageEvent(m *chatv1.Message) {
	s.events(client.Event{Conversation: m.GetConversationId(), Seq: m.GetChangedSeq(), Body: m})
}

func (s *stage) press(keys ...string) {
	for _, k := range keys {
		msg := tea.KeyPressMsg{Text: k, Code: []rune(k)[0]}
		if code, ok := map[string]rune{
			"enter": tea.KeyEnter, "esc": tea.KeyEscape, "up": tea.KeyUp, "down": tea.KeyDown, "pgup": tea.KeyPgUp, "pgdown": tea.KeyPgDown,
		}[k]; ok {
			msg = tea.KeyPressMsg{Code: code}
		}
		if letter, ok := strings.CutPrefix(k, "ctrl+"); ok {
			msg = tea.KeyPressMsg{Code: []rune(letter)[0], Mod: tea.ModCtrl}
		}
		_, cmd := s.Update(msg)
		if _, isWait := map[string]bool{"enter": true, "pgup": true, "up": true, "ctrl+n": true, "ctrl+p": true, "ctrl+c": true}[k]; isWait {
			s.run(cmd)
		}
	}
}

func (s *stage) enterText(text string) {
	s.t.Helper()
	s.input.SetValue(text)
	s.press("enter")
}

// shown returns the screen as text, without colours and blank ends.
func (s *stage) shown() string {
	s.t.Helper()
	checkLayout(s.t, s.screen)
	var lines []string
	for line := range strings.SplitSeq(ansi.Strip(s.View().Content), "\n") {
		lines = append(lines, strings.TrimRight(line, " "))
	}
	return strings.Join(lines, "\n")
}

func (s *stage) wants(parts ...string) {
	s.t.Helper()
	shown := s.shown()
	rest := shown
	for _, part := range parts {
		_, after, ok := strings.Cut(rest, part)
		if !ok {
			s.t.Fatalf("the screen has no %q (in its place):\n%s", part, shown)
		}
		rest = after
	}
}

func (s *stage) wantsNot(part string) {
	s.t.Helper()
	if shown := s.shown(); strings.Contains(shown, part) {
		s.t.Fatalf("the screen has %q:\n%s", part, shown)
	}
}

func (s *stage) wantsSaid(want ...string) {
	s.t.Helper()
	if fmt.Sprintf("%q", s.f.said) != fmt.Sprintf("%q", want) {
		s.t.Fatalf("said %q\nwant %q", s.f.said, want)
	}
	s.f.said = nil
}

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkLayout holds the screen to its size: each line exactly as wide, all of them as many, and nothing in it that moves the cursor.
func checkLayout(t failer, s *screen) {
	t.Helper()
	content := s.View().Content
	lines := strings.Split(content, "\n")
	if len(lines) != s.height {
		t.Fatalf("%d lines on a screen of %d:\n%s", len(lines), s.height, content)
	}
	for i, line := range lines {
		if w := ansi.StringWidth(line); w > s.width || w < s.width && i < s.height-s.input.Height() {
			t.Fatalf("line %d is %d wide on a screen of %d: %q", i, w, s.width, line)
		}
		for _, r := range ansi.Strip(line) {
			if unicode.IsControl(r) || bidiControl(r) {
				t.Fatalf("line %d has the control character %q: %q", i, r, line)
			}
		}
	}
}

func TestMessagesStandUnderTheirSender(t *testing.T) {
	late := said(9, "u-bob", "much later")
	s := newStage(t, 60, 24, said(1, "u-bob", "hello"), said(2, "u-bob", "are you there?"), said(3, "u-me", "yes"), late)
	s.wants("Bob", "● live", "Today", "Bob 12:01", "  hello", "  are you there?", "you 12:03", "  yes", "✓", "Bob 12:09", "  much later")
	s.wantsNot("12:02")
	s.messageEvent(said(10, "u-bob", "and more"))
	s.wants("Bob 12:09", "much later", "and more")
	s.wantsSaid("delivered c1 10", "read c1 10")
}

func TestMarksShowHowFarAMessageHasCome(t *testing.T) {
	s := newStage(t, 60, 24, said(5, "u-me", "psst"))
	s.wants("psst", "✓ sent")
	receipt := &chatv1.Receipt{ConversationId: "c1", UserId: "u-bob", DeliveredSeq: 5, ReadSeq: 4}
	s.events(client.Event{Conversation: "c1", Body: receipt})
	s.wants("psst", "✓✓ delivered")
	s.events(client.Event{Conversation: "c1", Body: &chatv1.Receipt{ConversationId: "c1", UserId: "u-bob", DeliveredSeq: 5, ReadSeq: 5}})
	s.wants("psst", "✓✓ read")
}

func TestChangesAreShown(t *testing.T) {
	s := newStage(t, 60, 24, said(1, "u-bob", "helo"), said(2, "u-me", "hi"))
	edited := said(1, "u-bob", "hello")
	edited.ChangedSeq, edited.EditTime = 3, timestamppb.New(noon)
	edited.Reactions = []*chatv1.Reaction{{Emoji: "🐸", UserIds: []string{"u-me", "u-bob"}}}
	reply := said(4, "u-bob", "an answer")
	reply.ReplyToSeq = 2
	deleted := said(2, "u-me", "")
	deleted.ChangedSeq, deleted.DeleteTime = 5, timestamppb.New(noon)
	s.messageEvent(edited)
	s.messageEvent(said(1, "u-bob", "helo")) // an older state changes nothing
	s.messageEvent(reply)
	s.wants("hello (edited)", "🐸 2", "↳ you: hi", "an answer")
	s.messageEvent(deleted)
	s.wants("message deleted", "↳ a deleted message")
	s.messageEvent(&chatv1.Message{ConversationId: "c1", Seq: 6, ChangedSeq: 6, SenderId: "u-bob", Content: "x", ReplyToSeq: 77, Timestamp: edited.GetTimestamp()})
	s.wants("↳ an earlier message")
}

func TestMembersAndTitleAreNoted(t *testing.T) {
	s := newStage(t, 70, 24, said(1, "u-bob", "hello"))
	s.events(
		client.Event{Conversation: "c1", Seq: 2, Body: &chatv1.MembersChanged{ActorId: "u-bob", Members: []*chatv1.Member{{User: user("carol"), JoinedSeq: 2}}}},
		client.Event{Conversation: "c1", Seq: 3, Body: &chatv1.MembersChanged{ActorId: "u-bob", Members: []*chatv1.Member{{User: user("carol"), JoinedSeq: 2, Role: chatv1.MemberRole_MEMBER_ROLE_ADMIN}}}},
		client.Event{Conversation: "c1", Seq: 4, Body: &chatv1.MembersChanged{ActorId: "u-bob", Members: []*chatv1.Member{{User: user("carol"), JoinedSeq: 2, LeftSeq: 4}}}},
		client.Event{Conversation: "c1", Seq: 5, Body: &chatv1.MembersChanged{ActorId: "u-dave", Members: []*chatv1.Member{{User: user("dave"), LeftSeq: 5}}}},
		client.Event{Conversation: "c1", Seq: 6, Body: &chatv1.Conversation{Id: "c1", Title: "Toads"}},
	)
	s.wants("Toads", "(Bob added Carol)", "(Bob made Carol admin)", "(Bob removed Carol)", "(Dave left)", "called Toads from now on")
}

func TestTypingEndsByItself(t *testing.T) {
	s := newStage(t, 60, 24, said(1, "u-bob", "hello"))
	typing := func(u string, on bool) client.Event {
		return client.Event{Conversation: "c1", Body: &chatv1.Typing{ConversationId: "c1", UserId: u, Typing: on}}
	}
	s.people.add(user("carol"), user("dave"))
	s.events(typing("u-bob", true))
	s.wants("Bob is typing…")
	s.events(typing("u-carol", true))
	s.wants("Bob and Carol are typing…")
	s.events(typing("u-dave", true), typing("u-me", true))
	s.wants("3 people are typing…")
	s.events(typing("u-dave", false))
	s.messageEvent(said(2, "u-carol", "done"))
	s.wants("Bob is typing…")
	s.Update(tickMsg(s.now.Add(typingLasts)))
	s.wantsNot("typing")
}

func TestConnectionStateIsVisible(t *testing.T) {
	s := newStage(t, 60, 24)
	s.events(client.Event{Body: &chatv1.Presence{UserId: "u-bob", State: chatv1.PresenceState_PRESENCE_STATE_ONLINE}})
	s.wants("Bob  ● online", "● live")
	s.events(client.Event{Body: client.Offline{Err: errors.New("gone"), Retry: s.now.Add(7 * time.Second)}})
	s.wants("○ offline, retry in 7s")
	s.wantsNot("online") // nobody knows
	s.events(client.Event{Body: client.Connecting{}})
	s.wants("connecting…")
	s.events(client.Event{Body: client.CatchingUp{}})
	s.wants("catching up…")
	s.events(client.Event{Body: client.Offline{}})
	s.wants("○ offline")
	for state, text := range map[chatv1.PresenceState]string{
		chatv1.PresenceState_PRESENCE_STATE_AWAY: "◐ away", chatv1.PresenceState_PRESENCE_STATE_OFFLINE: "○ last seen 5 min ago",
	} {
		s.events(client.Event{Body: client.Live{}}, client.Event{Body: &chatv1.Presence{
			UserId: "u-bob", State: state, LastSeenTime: timestamppb.New(s.now.Add(-5 * time.Minute)),
		}})
		s.wants(text)
	}
}

func TestUnreadMessagesStandBelowALine(t *testing.T) {
	f := &fakeBackend{page: &chatv1.ListMessagesResponse{HasOlder: true}}
	for i := int64(1); i <= 40; i++ {
		f.page.Messages = append(f.page.Messages, said(i, "u-bob", fmt.Sprintf("line %d.", i)))
	}
	s := &stage{newScreen(t.Context(), f, 50), t, f}
	s.now = noon.Add(time.Hour)
	s.Update(tea.WindowSizeMsg{Width: 60, Height: 14})
	c := direct("c1", "bob", 30)
	c.Receipt.ReadSeq = 10
	s.take(c)
	s.run(s.enter(c))
	s.wants("line 10.", " new ", "line 11.", "Esc: newest")
	for _, said := range f.said {
		if strings.HasPrefix(said, "read") {
			t.Fatalf("marked as read before it was in sight: %v", f.said)
		}
	}
	s.press("pgdown", "pgdown", "pgdown", "pgdown")
	s.wants("line 40.")
	if last := f.said[len(f.said)-1]; last != "read c1 40" {
		t.Fatalf("said %v", f.said)
	}
}

func TestWhatIsInSightStaysWhenMessagesCome(t *testing.T) {
	var messages []*chatv1.Message
	for i := int64(100); i < 140; i++ {
		messages = append(messages, said(i, "u-bob", fmt.Sprintf("line %d.", i)))
	}
	s := newStage(t, 60, 14, messages...)
	s.room.older = true
	s.wants("line 139.")
	s.f.said = nil
	s.press("pgup", "pgup")
	before := strings.Split(s.shown(), "\n")[2:11]
	s.messageEvent(said(140, "u-bob", "new one"))
	s.messageEvent(said(141, "u-bob", "new two"))
	if after := strings.Split(s.shown(), "\n")[2:11]; strings.Join(after, "\n") != strings.Join(before, "\n") {
		t.Fatalf("before:\n%s\nafter:\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	s.wants("↓ 2 new")
	s.f.page = &chatv1.ListMessagesResponse{Messages: []*chatv1.Message{said(98, "u-bob", "line 98."), said(99, "u-bob", "line 99.")}}
	s.press("pgup", "pgup", "pgup", "pgup")
	s.wants("line 98.")
	s.press("esc")
	s.wants("new one", "new two")
}

func TestSendingShowsAtOnceAndThenWhatCameOfIt(t *testing.T) {
	s := newStage(t, 60, 24, said(1, "u-bob", "hello"))
	s.room.sending = []*outgoing{{id: "client-2", content: "on my way"}, {id: "client-x", content: "never"}}
	s.touch()
	s.wants("you", "on my way", "… on its way", "never")
	s.messageEvent(said(2, "u-me", "on my way"))
	s.Update(sentMsg{"c1", "client-x", &client.Error{Reason: chatv1.ErrorReason_ERROR_REASON_RATE_LIMITED, RetryAfter: time.Second}})
	s.wants("on my way", "✓✓ read", "never", "✗ not sent: too many requests")
	if n := strings.Count(s.shown(), "on my way"); n != 1 {
		t.Fatalf("shown %d times:\n%s", n, s.shown())
	}
	s.f.sendErr = client.ErrOutboxFull
	s.enterText("too many")
	s.wants("the outbox is full", "too many")
	s.wantsSaid(`send c1 "too many" reply 0`)
}

func TestTypingIsToldAndCommandsAreNot(t *testing.T) {
	s := newStage(t, 60, 24)
	s.press("h", "i")
	s.wantsSaid("typing c1 true", "typing c1 true")
	s.input.Reset()
	s.press("/", "l")
	s.wantsSaid("typing c1 false", "typing c1 false")
}

func TestSelectionAndCommands(t *testing.T) {
	s := newStage(t, 70, 26, said(1, "u-bob", "hello"), said(2, "u-me", "first of mine"), said(3, "u-bob", "hello"), said(4, "u-me", "mine"))
	s.press("up", "up")
	s.wants("> hello", "#3  Enter: reply")
	s.press("down", "down")
	s.wantsNot("Enter: reply")
	s.press("up", "up", "enter")
	s.wants("↳ Bob: hello")
	s.f.sendErr = errors.New("not now")
	s.enterText("my answer")
	s.wantsSaid(`send c1 "my answer" reply 3`)
	s.press("esc")
	s.enterText("/reply #1 yes")
	s.wantsSaid(`send c1 "yes" reply 1`)
	s.press("esc", "esc")

	s.enterText("/edit")
	s.wants("editing your message", "mine")
	s.enterText("mine, but better")
	s.wants("mine, but better (edited)")
	s.enterText("/edit #2 the first")
	s.wants("the first (edited)")
	s.enterText("/delete #2")
	s.wants("message deleted")
	s.enterText("/react 👍")
	s.wants("👍 1")
	s.enterText("/unreact 👍")
	s.wantsNot("👍")
	s.enterText("/react")
	s.wants("say with which emoji")
	s.enterText("/delete #77")
	s.wants("#77 isn't on the screen")
	s.enterText("/nonsense")
	s.wants("there is no /nonsense")
	s.enterText("//not a command")
	s.wantsSaid(`send c1 "/not a command" reply 0`)
	s.f.callErr = &client.Error{Message: "only its sender can edit a message"}
	s.enterText("/edit #1 x")
	s.wants("only its sender can edit a message")
	s.f.callErr = nil

	s.enterText("/add carol")
	s.enterText("/rename Toads")
	s.enterText("/remove bob")
	s.enterText("/remove nobody")
	s.wants("nobody isn't here")
	s.enterText("/leave")
	s.enterText("/new dave")
	s.enterText("/new Night shift: bob, carol")
	s.wantsSaid("add c1 [u-carol]", "rename c1 Toads", "remove c1 u-bob", "remove c1 u-me",
		"untrack c1", "track c-u-dave", "messages c-u-dave before 0 limit 50", "read c-u-dave 4",
		"group Night shift [u-bob u-carol]", "untrack c-u-dave", "track c-new", "messages c-new before 0 limit 50", "read c-new 4")
	s.enterText("/new")
	s.wants("say with whom")
	s.enterText("/open 1")
	s.enterText("/open night SHIFT")
	s.wants("Night shift")
	s.enterText("/open")
	s.wants("Conversations", " 1  ")
	s.press("esc")
	s.enterText("/search frogs")
	s.wants("1 message with “frogs”", "found frogs")
	s.enterText("/search")
	s.wants("say what to search for")
	s.enterText("/members")
	s.wants("2 members", "Me (you)", "owner", "Bob", "read to #4")
	s.enterText("/help")
	s.wants("/list", "/leave", "PgDn: more")
	s.press("pgdown", "pgdown")
	s.wants("/quit", "Esc: back")
	s.f.said = nil
	s.enterText("/quit")
	s.press("ctrl+c")
	s.wantsSaid("quit", "quit")
}

func TestListOfConversations(t *testing.T) {
	s := newStage(t, 110, 20, said(1, "u-bob", "hello"))
	for i, name := range []string{"carol", "dave"} {
		c := direct("c-"+name, name, int64(i))
		c.UpdateTime = timestamppb.New(noon.Add(time.Duration(i) * time.Minute))
		s.events(client.Event{Conversation: "c-" + name, Body: c})
	}
	fromCarol := said(7, "u-carol", "ribbit")
	fromCarol.ConversationId = "c-carol"
	s.messageEvent(fromCarol)
	s.wants("Carol", "1 │") // in the list at the side, on top
	if !strings.HasPrefix(s.View().WindowTitle, "(2) Bob") {
		t.Fatalf("title %q", s.View().WindowTitle)
	}
	s.enterText("/list")
	s.wants("1  Carol  1 new", "ribbit", "2  Dave  1 new", "3  Bob")
	s.press("esc", "ctrl+n")
	s.wants("▸")
	s.events(client.Event{Conversation: "c-dave", Body: &chatv1.Receipt{ConversationId: "c-dave", UserId: "u-me", ReadSeq: 50}})
	s.events(client.Event{Conversation: "c-carol", Body: &client.Gone{}})
	left := direct("c-dave", "dave", 0)
	left.Self.LeftSeq = 5
	s.events(client.Event{Conversation: "c-dave", Body: left})
	s.enterText("/list")
	s.wantsNot("Carol")
	s.wantsNot("Dave")
}

func TestLeavingTheOpenConversationShowsTheList(t *testing.T) {
	s := newStage(t, 60, 20, said(1, "u-bob", "hello"))
	s.events(client.Event{Conversation: "c1", Body: &client.Gone{}})
	s.wants("Conversations", "You have no conversations yet.", "you are no longer a member")
	s.enterText("to nobody")
	s.wants("no conversation is open")
	s.enterText("/edit x")
	s.wants("no conversation is open")
}

func TestGapsAndResetsFetchThePageAnew(t *testing.T) {
	s := newStage(t, 60, 20, said(1, "u-bob", "old"))
	s.f.page = &chatv1.ListMessagesResponse{Messages: []*chatv1.Message{said(90, "u-bob", "newest")}, HasOlder: true}
	s.events(client.Event{Conversation: "c1", Body: &client.Gap{After: 1, Head: 90}})
	s.wants("older messages", "newest")
	s.wantsNot("old.")
	s.f.page = &chatv1.ListMessagesResponse{Messages: []*chatv1.Message{said(3, "u-bob", "restored")}}
	s.events(client.Event{Body: &client.Reset{}})
	s.wants("restored")
	s.wantsNot("newest")
	s.f.callErr = context.DeadlineExceeded
	s.events(client.Event{Conversation: "c1", Body: &client.Gap{After: 3, Head: 90}})
	s.wants("doesn't answer")
}

func TestAwayFromTheKeyboard(t *testing.T) {
	s := newStage(t, 60, 20)
	s.lastKey = s.now
	s.Update(tickMsg(s.now.Add(idleAfter + time.Second)))
	s.messageEvent(said(3, "u-bob", "hello?")) // not read by anybody
	s.press("x")
	s.wantsSaid("away true", "delivered c1 3", "away false", "typing c1 true", "read c1 3")
}

func TestUnfocusedTerminalReadsNothing(t *testing.T) {
	s := newStage(t, 60, 20)
	s.Update(tea.BlurMsg{})
	s.messageEvent(said(3, "u-bob", "hello?"))
	s.Update(tea.FocusMsg{})
	s.wantsSaid("delivered c1 3", "read c1 3")
}

func TestUnknownNamesAreLookedUpOnce(t *testing.T) {
	s := newStage(t, 60, 20)
	s.f.users = []*chatv1.User{user("zoe")}
	page := &chatv1.ListMessagesResponse{Messages: []*chatv1.Message{said(1, "u-zoe", "hi"), said(2, "u-zoe", "hi")}}
	s.run(s.screen.page(pageMsg{room: "c1", page: page}))
	s.run(s.screen.page(pageMsg{room: "c1", page: page}))
	s.wants("Zoe")
	s.wantsSaid("users [u-zoe]")
}

func TestEndOfTheClientEndsTheScreen(t *testing.T) {
	s := newStage(t, 60, 20)
	_, cmd := s.Update(eventsMsg{err: client.ErrSessionEnded})
	s.run(cmd)
	s.wantsSaid("quit")
	if !errors.Is(s.ended, client.ErrSessionEnded) {
		t.Fatalf("ended with %v", s.ended)
	}
}

func TestPastedTextIsCleaned(t *testing.T) {
	s := newStage(t, 60, 20)
	s.Update(tea.PasteMsg{Content: "one\r\ntwo\x1b[31m\x07"})
	if got := s.input.Value(); got != "one\ntwo[31m" {
		t.Fatalf("input %q", got)
	}
}

// Whatever others send and however small the terminal is: every line keeps its width, and nothing reaches the terminal that it would obey.
func TestNoTextBreaksTheLayout(t *testing.T) {
	nasty := rapid.OneOf(
		rapid.String(),
		rapid.StringOf(rapid.SampledFrom([]rune("a \t\n\r\x00\x07\x1b[31m\x7f\u0085\u009b\u202e\u202c\u2066\u200d\u200b\ufeff\u0301\u0489é你🐸👩👧🇩🇪שע\ufe0f\U000e0067"))),
		rapid.SampledFrom([]string{
			"\x1b]0;title\x07", "\x1b[2J\x1b[H", strings.Repeat("z\u0301\u0301\u0301\u0301", 50), strings.Repeat("a\u0301", 10_000), strings.Repeat("你好", 200),
			"👩‍👩‍👧‍👦👩🏽‍🚀🏴󠁧󠁢󠁥󠁮󠁧󠁿🇩🇪", "שלום עולם مرحبا بالعالم", strings.Repeat("long", 300), "\u202eevil\u202c", "﷽﷽﷽", "\n\n\n\n",
		}),
	)
	rapid.Check(t, func(rt *rapid.T) {
		var messages []*chatv1.Message
		for i := range int64(rapid.IntRange(0, 6).Draw(rt, "messages")) {
			m := said(i+1, rapid.SampledFrom([]string{"u-me", "u-bob", "u-eve"}).Draw(rt, "sender"), nasty.Draw(rt, "text"))
			m.ReplyToSeq = int64(rapid.IntRange(0, 3).Draw(rt, "reply"))
			if rapid.Bool().Draw(rt, "reactions") {
				m.Reactions = []*chatv1.Reaction{{Emoji: nasty.Draw(rt, "emoji"), UserIds: []string{"u-me"}}}
			}
			messages = append(messages, m)
		}
		s := newStage(t, rapid.IntRange(1, 140).Draw(rt, "width"), rapid.IntRange(1, 40).Draw(rt, "height"), messages...)
		bob := user("bob")
		bob.DisplayName = nasty.Draw(rt, "name")
		s.people.add(bob, &chatv1.User{Id: "u-eve", Username: "eve", DisplayName: nasty.Draw(rt, "name")})
		s.room.summary.Conversation.Title = nasty.Draw(rt, "title")
		s.room.sending = []*outgoing{{content: nasty.Draw(rt, "sending"), err: errors.New(nasty.Draw(rt, "error"))}}
		s.events(client.Event{Conversation: "c1", Body: &chatv1.Typing{UserId: "u-bob", Typing: true}})
		s.touch()
		checkLayout(rt, s.screen)
		s.press("up", "enter")
		checkLayout(rt, s.screen)
		s.enterText(rapid.SampledFrom([]string{"/help", "/list", "/members", "/search " + nasty.Draw(rt, "query"), "/" + nasty.Draw(rt, "command")}).Draw(rt, "command"))
		checkLayout(rt, s.screen)
		s.press("pgdown", "pgup", "esc", "pgup")
		checkLayout(rt, s.screen)
	})
}
