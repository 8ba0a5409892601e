package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
)

// command is one of the slash commands.
type command struct {
	name, args, help string
	room             bool // needs an open conversation
	run              func(s *screen, args string) tea.Cmd
}

// commands are all commands, in the order of the help.
func commands() []command {
	return []command{
		{"list", "", "your conversations", false, func(s *screen, _ string) tea.Cmd { s.showList(); return nil }},
		{"open", "NUMBER or NAME", "go to one of them (also Ctrl-N, Ctrl-P)", false, (*screen).openNamed},
		{"new", "USER or TITLE: USER, USER …", "begin a conversation, or a group", false, (*screen).newConversation},
		{"reply", "[#N] TEXT", "answer a message: that one, or the selected, or the newest", true, (*screen).reply},
		{"edit", "[#N] [TEXT]", "change a message of yours", true, (*screen).editCommand},
		{"delete", "[#N]", "delete a message", true, (*screen).deleteCommand},
		{"react", "[#N] EMOJI", "react to a message", true, func(s *screen, a string) tea.Cmd { return s.react(a, true) }},
		{"unreact", "[#N] EMOJI", "take a reaction back", true, func(s *screen, a string) tea.Cmd { return s.react(a, false) }},
		{"search", "WORDS", "find messages in all your conversations", false, (*screen).search},
		{"members", "", "who is here, and how far they have read", true, func(s *screen, _ string) tea.Cmd { s.showMembers(); return nil }},
		{"add", "USER", "add somebody to the group", true, (*screen).addMember},
		{"remove", "USER", "remove somebody from the group", true, (*screen).removeMember},
		{"rename", "TITLE", "give the group another title", true, (*screen).rename},
		{"leave", "", "leave the group", true, func(s *screen, _ string) tea.Cmd { return s.remove(s.me, "you left") }},
		{"help", "", "this page", false, func(s *screen, _ string) tea.Cmd { s.showHelp(); return nil }},
		{"quit", "", "leave the program (also Ctrl-C)", false, func(*screen, string) tea.Cmd { return tea.Quit }},
	}
}

// command carries out a line that begins with a slash.
func (s *screen) command(line string) tea.Cmd {
	name, args, _ := strings.Cut(strings.TrimPrefix(line, "/"), " ")
	for _, c := range commands() {
		if c.name != strings.ToLower(name) {
			continue
		}
		if c.room && s.room == nil {
			s.say("no conversation is open: /open one, or /new with somebody")
			return nil
		}
		return c.run(s, strings.TrimSpace(args))
	}
	s.fail(fmt.Errorf("there is no /%s; /help shows what there is (begin with // to send a slash)", cleanLine(name)))
	return nil
}

// target takes "#12 rest" apart. Without a number it is the selected message, or the newest that fits; nil, with a notice, where there is none.
func (s *screen) target(args string, fits func(*chatv1.Message) bool) (m *chatv1.Message, rest string) {
	if number, rest, _ := strings.Cut(args, " "); strings.HasPrefix(number, "#") {
		if seq, err := strconv.ParseInt(number[1:], 10, 64); err == nil {
			if it := s.room.find(seq); it != nil && it.msg != nil {
				return it.msg, strings.TrimSpace(rest)
			}
			s.fail(fmt.Errorf("message #%d isn't on the screen", seq))
			return nil, ""
		}
	}
	if it := s.room.find(s.selected); s.selected != 0 && it != nil {
		return it.msg, args
	}
	if m = s.room.last(fits); m == nil {
		s.fail(errors.New("there is no message for that"))
	}
	return m, args
}

func (s *screen) own(m *chatv1.Message) bool    { return m.GetSenderId() == s.me }
func (s *screen) others(m *chatv1.Message) bool { return m.GetSenderId() != s.me }

func (s *screen) reply(args string) tea.Cmd {
	m, text := s.target(args, s.others)
	if m == nil {
		return nil
	}
	s.replying, s.selected = m.GetSeq(), 0
	s.touch()
	if text == "" {
		return nil
	}
	return s.send(text)
}

func (s *screen) editCommand(args string) tea.Cmd {
	m, text := s.target(args, s.own)
	if m == nil {
		return nil
	}
	if text != "" {
		return s.editMessage(m.GetSeq(), text)
	}
	s.editing, s.selected, s.replying = m.GetSeq(), 0, 0
	s.input.SetValue(clean(m.GetContent()))
	s.touch()
	return nil
}

func (s *screen) editMessage(seq int64, text string) tea.Cmd {
	id := s.room.id
	return s.call(func(ctx context.Context) tea.Msg {
		m, err := s.c.Edit(ctx, id, seq, text)
		return messageMsg{m, err}
	})
}

func (s *screen) deleteCommand(args string) tea.Cmd {
	m, _ := s.target(args, s.own)
	if m == nil {
		return nil
	}
	id, seq := s.room.id, m.GetSeq()
	s.selected = 0
	return s.call(func(ctx context.Context) tea.Msg {
		m, err := s.c.Delete(ctx, id, seq)
		return messageMsg{m, err}
	})
}

func (s *screen) react(args string, add bool) tea.Cmd {
	m, emoji := s.target(args, s.others)
	if m == nil {
		return nil
	}
	if emoji == "" || strings.ContainsAny(emoji, " \t") {
		s.fail(errors.New("say with which emoji"))
		return nil
	}
	id, seq := s.room.id, m.GetSeq()
	return s.call(func(ctx context.Context) tea.Msg {
		do := s.c.React
		if !add {
			do = s.c.Unreact
		}
		m, err := do(ctx, id, seq, emoji)
		return messageMsg{m, err}
	})
}

// openNamed opens a conversation by its number in the list, by its name, or, where it is the name of nobody in the list, by the username.
func (s *screen) openNamed(name string) tea.Cmd {
	if name == "" {
		s.showList()
		return nil
	}
	all := s.sorted()
	if n, err := strconv.Atoi(name); err == nil && n >= 1 && n <= len(all) {
		return s.enter(all[n-1])
	}
	for _, c := range all {
		if strings.EqualFold(s.people.conversationName(c), name) || strings.EqualFold(c.GetPeer().GetUsername(), name) {
			return s.enter(c)
		}
	}
	return s.newConversation(name)
}

// newConversation begins a direct conversation with "user", or a group by "title: user, user".
func (s *screen) newConversation(args string) tea.Cmd {
	title, users, group := strings.Cut(args, ":")
	names := strings.FieldsFunc(users, func(r rune) bool { return r == ',' || r == ' ' })
	if !group {
		names = []string{strings.TrimSpace(args)}
	}
	if args == "" || group && strings.TrimSpace(title) == "" {
		s.fail(errors.New("say with whom: /new bob, or /new Night shift: bob, carol"))
		return nil
	}
	return s.call(func(ctx context.Context) tea.Msg {
		ids, err := userIDs(ctx, s.c, names)
		if err != nil {
			return openMsg{err: err}
		}
		if group {
			c, err := s.c.CreateGroup(ctx, strings.TrimSpace(title), ids...)
			return openMsg{c, err}
		}
		c, err := s.c.CreateDirect(ctx, ids[0])
		return openMsg{c, err}
	})
}

func (s *screen) addMember(name string) tea.Cmd {
	id := s.room.id
	return s.call(func(ctx context.Context) tea.Msg {
		ids, err := userIDs(ctx, s.c, []string{name})
		if err == nil {
			_, err = s.c.AddMembers(ctx, id, chatv1.MemberRole_MEMBER_ROLE_UNSPECIFIED, ids...)
		}
		return doneMsg{err: err}
	})
}

func (s *screen) removeMember(name string) tea.Cmd {
	for _, m := range s.room.members {
		if strings.EqualFold(m.GetUser().GetUsername(), name) {
			return s.remove(m.GetUser().GetId(), "")
		}
	}
	s.fail(fmt.Errorf("%s isn't here", cleanLine(name)))
	return nil
}

func (s *screen) remove(user, done string) tea.Cmd {
	id := s.room.id
	return s.call(func(ctx context.Context) tea.Msg { return doneMsg{done, s.c.RemoveMember(ctx, id, user)} })
}

func (s *screen) rename(title string) tea.Cmd {
	id := s.room.id
	return s.call(func(ctx context.Context) tea.Msg {
		_, err := s.c.Rename(ctx, id, title)
		return doneMsg{err: err}
	})
}

func (s *screen) search(query string) tea.Cmd {
	if query == "" {
		s.fail(errors.New("say what to search for"))
		return nil
	}
	return s.call(func(ctx context.Context) tea.Msg {
		messages, err := s.c.SearchMessages(ctx, query, "", 50)
		return foundMsg{query, messages, err}
	})
}

func (s *screen) found(msg foundMsg) {
	if msg.err != nil {
		s.fail(msg.err)
		return
	}
	o := &overlay{title: fmt.Sprintf("%s with “%s”", count(len(msg.messages), "message"), cleanLine(msg.query))}
	for _, m := range msg.messages {
		where := ""
		if c := s.convs[m.GetConversationId()]; c != nil {
			where = " · " + s.people.conversationName(c)
		}
		at := m.GetTimestamp().AsTime().Local().Format("2 Jan 15:04")
		o.lines = append(o.lines,
			bold.Render(s.people.name(m.GetSenderId()))+faint.Render(fmt.Sprintf(" %s%s #%d", at, where, m.GetSeq())),
			"  "+cleanLine(m.GetContent()))
	}
	s.overlay = o
}

func (s *screen) showHelp() {
	o := &overlay{title: "Commands"}
	column := 0
	for _, c := range commands() {
		column = max(column, ansi.StringWidth(c.name+" "+c.args)+4)
	}
	for _, c := range commands() {
		left := "/" + strings.TrimSpace(c.name+" "+c.args)
		room := s.mainWidth() - column - 2
		if room < 30 { // narrow: the explanation goes below
			o.lines = append(o.lines, accent.Render(left))
			for _, line := range wrapText(c.help, s.mainWidth()-4) {
				o.lines = append(o.lines, "  "+line)
			}
			continue
		}
		for _, line := range wrapText(c.help, room) {
			o.lines = append(o.lines, accent.Render(left)+strings.Repeat(" ", column-ansi.StringWidth(left))+line)
			left = ""
		}
	}
	o.lines = append(append(o.lines, ""), wrapText("Enter sends; Alt-Enter begins a new line. ↑ and ↓ select a message: then Enter answers it, "+
		"and /edit, /delete and /react are about it. PgUp shows older messages; Esc goes back.", s.mainWidth()-2)...)
	s.overlay = o
}

// showList shows the conversations.
func (s *screen) showList() { s.overlay = &overlay{title: "Conversations", list: true} }

func (s *screen) showMembers() {
	o := &overlay{title: count(len(s.room.members), "member")}
	for _, m := range s.room.members {
		id := m.GetUser().GetId()
		name := s.people.name(id)
		if id == s.me {
			name += " (you)"
		}
		line := bold.Render(name) + faint.Render(" @"+cleanLine(m.GetUser().GetUsername())+" · "+roleText(m.GetRole()))
		if text, style := s.presenceOf(id); text != "" {
			line += "  " + style.Render(text)
		}
		if r := s.room.receipts[id]; r.GetReadSeq() > 0 {
			line += faint.Render(fmt.Sprintf("  read to #%d", r.GetReadSeq()))
		}
		o.lines = append(o.lines, line)
	}
	s.overlay = o
}

// userFinder is what looking a user up needs.
type userFinder interface {
	SearchUsers(ctx context.Context, query string, limit int32) ([]*chatv1.User, error)
}

// userIDs returns the ids of users by their usernames.
func userIDs(ctx context.Context, c userFinder, names []string) ([]string, error) {
	var ids []string
	for _, name := range names {
		u, err := findUser(ctx, c, name)
		if err != nil {
			return nil, err
		}
		ids = append(ids, u.GetId())
	}
	return ids, nil
}

var _ backend = (*client.Client)(nil)
