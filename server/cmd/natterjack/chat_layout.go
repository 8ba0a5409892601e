package main

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
)

// The screen, from the top: header, rule, body, status, input. Each line is brought to its exact width, so that no text can push
// another out of its place.

// View renders the screen.
func (s *screen) View() tea.View {
	var b strings.Builder
	b.WriteString(s.header() + "\n")
	b.WriteString(faint.Render(strings.Repeat("─", s.width)) + "\n")
	for _, line := range s.body() {
		b.WriteString(line + "\n")
	}
	b.WriteString(s.statusLine() + "\n")
	b.WriteString(s.input.View())
	v := tea.NewView(b.String())
	v.AltScreen, v.ReportFocus, v.WindowTitle = true, true, s.title()
	if c := s.input.Cursor(); c != nil {
		c.Y += s.height - s.input.Height()
		v.Cursor = c
	}
	return v
}

// fit brings a styled line to exactly that width.
func fit(line string, width int) string {
	line = clip(line, width) // what is clipped may be a cell short of it, where a wide character would be cut
	return line + strings.Repeat(" ", max(0, width-ansi.StringWidth(line)))
}

// spread puts two texts at the ends of a line; the left one gives way.
func spread(left, right string, width int) string {
	if right == "" {
		return fit(left, width)
	}
	room := width - ansi.StringWidth(right) - 1
	if room < 8 {
		return fit(left, width)
	}
	return fit(left, room) + " " + right
}

func (s *screen) bodyHeight() int { return max(1, s.height-3-s.input.Height()) }

func (s *screen) sideShown() bool { return s.width >= sideFrom }

// mainWidth is the width of the conversation.
func (s *screen) mainWidth() int {
	if s.sideShown() {
		return s.width - sideWidth - 3
	}
	return s.width
}

func (s *screen) title() string {
	unread := int64(0)
	for _, c := range s.convs {
		unread += c.GetUnreadCount()
	}
	title := "Natterjack"
	if s.room != nil {
		title = s.people.conversationName(s.room.summary) + " – " + title
	}
	if unread > 0 {
		title = fmt.Sprintf("(%d) %s", unread, title)
	}
	return title
}

func (s *screen) header() string {
	left := bold.Render(" Natterjack")
	if s.room != nil {
		left = bold.Render(" " + s.people.conversationName(s.room.summary))
		if peer := s.room.summary.GetPeer(); peer != nil {
			if text, style := s.presenceOf(peer.GetId()); text != "" {
				left += "  " + style.Render(text)
			}
		} else {
			left += "  " + faint.Render(s.groupText())
		}
	}
	text, style := stateText(s.state, s.now)
	return spread(left, style.Render(text)+" ", s.width)
}

// presenceOf says whether somebody can be reached; nothing while that can't be known.
func (s *screen) presenceOf(user string) (string, lipgloss.Style) {
	if _, offline := s.state.(client.Offline); offline {
		return "", faint
	}
	return presenceText(s.presence[user], s.now)
}

// groupText says how many are in the group, and how many of them are there.
func (s *screen) groupText() string {
	online := 0
	for _, m := range s.room.members {
		id := m.GetUser().GetId()
		if id == s.me || s.presence[id].GetState() == chatv1.PresenceState_PRESENCE_STATE_ONLINE {
			online++
		}
	}
	n := max(int(s.room.summary.GetMemberCount()), len(s.room.members))
	if _, offline := s.state.(client.Offline); online > 0 && !offline {
		return fmt.Sprintf("%s, %d online", count(n, "member"), online)
	}
	return count(n, "member")
}

// body returns the lines between header and status: the list where there is room for it, and the conversation or a page over it.
func (s *screen) body() []string {
	height, width := s.bodyHeight(), s.mainWidth()
	var lines []string
	switch {
	case s.overlay != nil:
		lines = s.overlayLines(height, width)
	case s.room != nil:
		lines = s.window(height)
	}
	for len(lines) < height {
		lines = append(lines, "")
	}
	side := s.side(height)
	for i := range lines {
		lines[i] = fit(lines[i], width)
		if side != nil {
			lines[i] = fit(side[i], sideWidth) + faint.Render(" │ ") + lines[i]
		}
	}
	return lines
}

// timeline returns all lines of the conversation.
func (s *screen) timeline() []string {
	if s.lines == nil && s.room != nil {
		t := &timeline{r: s.room, p: s.people, width: s.mainWidth(), selected: s.selected, now: s.now}
		s.lines, s.at = t.render(), t.at
	}
	return s.lines
}

// window returns the lines of the conversation that are in sight; short ones stand at the bottom, next to the input.
func (s *screen) window(height int) []string {
	all := s.timeline()
	s.scroll = min(s.scroll, max(0, len(all)-height))
	end := len(all) - s.scroll
	lines := make([]string, 0, height)
	for range height - end {
		lines = append(lines, "")
	}
	if len(all) == 0 && !s.room.loading {
		lines[len(lines)/2] = faint.Render(strings.Repeat(" ", max(0, s.mainWidth()/2-12)) + "nothing has been said yet")
	}
	return append(lines, all[max(0, end-height):end]...)
}

// overlayLines are a page over the conversation: its title, its lines from the one at its top on, and how to go on.
func (s *screen) overlayLines(height, width int) []string {
	o := s.overlay
	text := o.lines
	if o.list {
		text = s.listLines(width)
	}
	room := max(1, height-3)
	o.top = min(o.top, max(0, len(text)-room))
	end := min(len(text), o.top+room)
	lines := []string{bold.Render(" " + o.title), ""}
	for _, line := range text[o.top:end] {
		lines = append(lines, " "+line)
	}
	switch {
	case end < len(text):
		lines = append(lines, faint.Render(" ↓ PgDn: more"))
	case s.room != nil:
		lines = append(lines, faint.Render(" Esc: back"))
	}
	return lines[:min(len(lines), height)]
}

// count says how many of something there are.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// listLines are the conversations, numbered for /open.
func (s *screen) listLines(width int) []string {
	var lines []string
	for i, c := range s.sorted() {
		left := fmt.Sprintf("%2d  %s", i+1, s.people.conversationName(c))
		if n := c.GetUnreadCount(); n > 0 {
			left = bold.Render(left) + warning.Render(fmt.Sprintf("  %d new", n))
		}
		at := ""
		if c.GetUpdateTime() != nil {
			at = faint.Render(ago(c.GetUpdateTime().AsTime(), s.now))
		}
		lines = append(lines, spread(left, at, width-2))
		if preview := s.preview(c); preview != "" {
			lines = append(lines, faint.Render(clip("    "+preview, width-2)))
		}
	}
	if len(lines) == 0 {
		return []string{"You have no conversations yet.", "", "/new USER begins one."}
	}
	return append(lines, "", faint.Render("/open NUMBER goes to one, /new USER begins one."))
}

// preview is the newest message in one line.
func (s *screen) preview(c *chatv1.ConversationSummary) string {
	m := c.GetLastMessage()
	switch {
	case m == nil:
		return ""
	case m.GetDeleteTime() != nil:
		return "message deleted"
	case m.GetSenderId() == s.me:
		return "you: " + cleanLine(m.GetContent())
	case c.GetPeer() != nil:
		return cleanLine(m.GetContent())
	}
	return s.people.name(m.GetSenderId()) + ": " + cleanLine(m.GetContent())
}

// side is the list beside the conversation; nil where there is no room for it.
func (s *screen) side(height int) []string {
	if !s.sideShown() {
		return nil
	}
	lines := make([]string, 0, height)
	for _, c := range s.sorted() {
		name, style := s.people.conversationName(c), lipgloss.NewStyle()
		switch {
		case s.room != nil && c.GetConversation().GetId() == s.room.id:
			style = accent.Bold(true)
			name = "▸ " + name
		case c.GetUnreadCount() > 0:
			style = bold
			name = "  " + name
		default:
			name = "  " + name
		}
		badge := ""
		if n := c.GetUnreadCount(); n > 0 {
			badge = warning.Render(fmt.Sprint(n))
		} else if c.GetPeer() != nil {
			if text, ink := s.presenceOf(c.GetPeer().GetId()); text != "" {
				badge = ink.Render(string([]rune(text)[:1]))
			}
		}
		lines = append(lines, spread(style.Render(name), badge, sideWidth))
		if len(lines) == height {
			break
		}
	}
	for len(lines) < height {
		lines = append(lines, "")
	}
	return lines
}

// statusLine says what is most worth knowing now.
func (s *screen) statusLine() string {
	if s.notice.text != "" && s.now.Before(s.notice.until) {
		style := accent
		if s.notice.bad {
			style = failure
		}
		return fit(style.Render(" "+cleanLine(s.notice.text)), s.width)
	}
	right := ""
	if s.scroll > 0 {
		right = faint.Render("Esc: newest ")
		if s.below > 0 {
			right = warning.Render(fmt.Sprintf("↓ %d new ", s.below))
		}
	}
	return spread(s.statusText(), right, s.width)
}

func (s *screen) statusText() string {
	switch {
	case s.room == nil || s.overlay != nil:
		return ""
	case s.editing != 0:
		return accent.Render(" editing your message") + faint.Render("  Esc: leave it")
	case s.replying != 0:
		t := &timeline{r: s.room, p: s.people}
		return accent.Render(" ↳ "+clip(t.quote(s.replying), max(8, s.width-20))) + faint.Render("  Esc: don't")
	case s.selected != 0:
		return faint.Render(fmt.Sprintf(" #%d  Enter: reply  /react /edit /delete", s.selected))
	}
	switch ids := s.room.typers(s.now); len(ids) {
	case 0:
		return ""
	case 1:
		return accent.Render(" " + s.people.name(ids[0]) + " is typing…")
	case 2:
		return accent.Render(" " + s.people.name(ids[0]) + " and " + s.people.name(ids[1]) + " are typing…")
	default:
		return accent.Render(fmt.Sprintf(" %d people are typing…", len(ids)))
	}
}
