package main

import (
	"fmt"
	"hash/fnv"
	"image/color"
	"slices"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
)

// The styles use the terminal's own 16 colours, so that they fit light and dark ones. With NO_COLOR only bold, faint and the like are left: nothing
// is told by colour alone.
var (
	faint     = lipgloss.NewStyle().Faint(true)
	bold      = lipgloss.NewStyle().Bold(true)
	italic    = lipgloss.NewStyle().Italic(true).Faint(true)
	accent    = lipgloss.NewStyle().Foreground(lipgloss.Color("6"))
	warning   = lipgloss.NewStyle().Foreground(lipgloss.Color("3"))
	failure   = lipgloss.NewStyle().Foreground(lipgloss.Color("1"))
	good      = lipgloss.NewStyle().Foreground(lipgloss.Color("2"))
	nameInks  = []color.Color{lipgloss.Color("6"), lipgloss.Color("5"), lipgloss.Color("2"), lipgloss.Color("3"), lipgloss.Color("4"), lipgloss.Color("1")}
	selection = lipgloss.NewStyle().Reverse(true)
)

const (
	// groupWithin is how close in time messages of one sender stand together under one name.
	groupWithin = 5 * time.Minute
	// sideWidth is the width of the list beside the conversation, and sideFrom the width of the terminal from which on it is shown.
	sideWidth = 26
	sideFrom  = 100
	// textWidth bounds the lines of messages: longer ones are hard to read.
	textWidth = 100
)

// nameStyle gives each user a colour that stays the same.
func nameStyle(id, me string) lipgloss.Style {
	if id == me {
		return bold
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return bold.Foreground(nameInks[h.Sum32()%uint32(len(nameInks))])
}

// timeline renders a room into lines of at most width cells.
type timeline struct {
	r        *room
	p        *people
	width    int
	selected int64 // seq; 0: none
	now      time.Time

	lines []string
	// at is the index of the first line of each message, by seq.
	at   map[int64]int
	last *chatv1.Message // the message above, if the next one may stand under its name
	day  string
}

func (t *timeline) render() []string {
	t.at = map[int64]int{}
	if t.r.older {
		t.middle("older messages: PgUp")
	}
	lastOwn := t.r.last(func(m *chatv1.Message) bool { return m.GetSenderId() == t.r.me })
	divided := t.r.divider == 0
	for _, it := range t.r.items {
		if it.msg == nil {
			t.last = nil
			t.middle(it.note)
			continue
		}
		t.newDay(it.msg.GetTimestamp().AsTime().Local())
		if !divided && it.seq > t.r.divider && it.msg.GetSenderId() != t.r.me {
			divided = true
			t.rule(" new ", warning)
			t.last = nil
		}
		t.at[it.seq] = len(t.lines)
		t.message(it.msg, it.msg == lastOwn)
	}
	for _, o := range t.r.sending {
		t.outgoing(o)
	}
	return t.lines
}

func (t *timeline) add(line string) { t.lines = append(t.lines, line) }

// middle adds a faint line in the middle.
func (t *timeline) middle(text string) {
	text = clip(text, t.width-2)
	t.add(faint.Render(strings.Repeat(" ", max(0, (t.width-ansi.StringWidth(text))/2)) + text))
}

// rule adds a line across with a text in it.
func (t *timeline) rule(text string, s lipgloss.Style) {
	n := max(0, t.width-ansi.StringWidth(text)-2)
	t.add(s.Render(" " + strings.Repeat("─", n/2) + text + strings.Repeat("─", n-n/2)))
}

func (t *timeline) newDay(at time.Time) {
	if day := at.Format(time.DateOnly); day != t.day {
		t.day, t.last = day, nil
		t.rule(" "+dayName(at, t.now)+" ", faint)
	}
}

func dayName(at, now time.Time) string {
	switch at.Format(time.DateOnly) {
	case now.Format(time.DateOnly):
		return "Today"
	case now.AddDate(0, 0, -1).Format(time.DateOnly):
		return "Yesterday"
	}
	if at.Year() == now.Year() {
		return at.Format("Monday 2 January")
	}
	return at.Format("Monday 2 January 2006")
}

// message adds a message: its sender and time where they are new, what it answers, its text, its reactions.
func (t *timeline) message(m *chatv1.Message, lastOwn bool) {
	at := m.GetTimestamp().AsTime().Local()
	if t.last == nil || t.last.GetSenderId() != m.GetSenderId() || at.Sub(t.last.GetTimestamp().AsTime()) > groupWithin {
		t.sender(m.GetSenderId(), at.Format("15:04"))
	}
	t.last = m
	gutter := "  "
	if m.GetSeq() == t.selected {
		gutter = selection.Render(">") + " "
	}
	if m.GetReplyToSeq() > 0 {
		t.add(gutter + faint.Render(clip("↳ "+t.quote(m.GetReplyToSeq()), t.width-2)))
	}
	if m.GetDeleteTime() != nil {
		t.add(gutter + italic.Render("message deleted"))
		return
	}
	text := clean(m.GetContent())
	if m.GetEditTime() != nil {
		text += " (edited)"
	}
	t.text(gutter, text, m.GetEditTime() != nil)
	if line := reactionsLine(m, t.r.me); line != "" {
		t.add(gutter + clip(line, t.width-2))
	}
	if lastOwn {
		t.mark(m)
	}
}

func (t *timeline) sender(id, at string) {
	name := t.p.name(id)
	if id == t.r.me {
		name = "you"
	}
	name = clip(name, t.width-8)
	t.add(nameStyle(id, t.r.me).Render(name) + " " + faint.Render(at))
}

// text adds the lines of a message; faintEnd makes its trailing " (edited)" faint where it wasn't broken.
func (t *timeline) text(gutter, text string, faintEnd bool) {
	lines := wrapText(text, min(t.width-2, textWidth))
	for i, line := range lines {
		if rest, ok := strings.CutSuffix(line, "(edited)"); ok && faintEnd && i == len(lines)-1 {
			line = rest + faint.Render("(edited)")
		}
		t.add(gutter + line)
	}
}

// quote is the beginning of the message that another one answers.
func (t *timeline) quote(seq int64) string {
	it := t.r.find(seq)
	switch {
	case it == nil || it.msg == nil:
		return "an earlier message"
	case it.msg.GetDeleteTime() != nil:
		return "a deleted message"
	}
	who := t.p.name(it.msg.GetSenderId())
	if it.msg.GetSenderId() == t.r.me {
		who = "you"
	}
	return who + ": " + cleanLine(it.msg.GetContent())
}

func reactionsLine(m *chatv1.Message, me string) string {
	var parts []string
	for _, r := range m.GetReactions() {
		part := fmt.Sprintf("%s %d", cleanLine(r.GetEmoji()), len(r.GetUserIds()))
		if slices.Contains(r.GetUserIds(), me) {
			part = bold.Render(part)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "  ")
}

// mark adds how far one's newest message has come.
func (t *timeline) mark(m *chatv1.Message) {
	switch t.r.markOf(m) {
	case markSent:
		t.add("  " + faint.Render("✓ sent"))
	case markDelivered:
		t.add("  " + faint.Render("✓✓ delivered"))
	case markRead:
		t.add("  " + accent.Render("✓✓ read"))
	case markNone:
	}
}

// outgoing adds a message of one's own that is on its way, or was refused.
func (t *timeline) outgoing(o *outgoing) {
	if t.last == nil || t.last.GetSenderId() != t.r.me {
		t.sender(t.r.me, "")
		t.last = &chatv1.Message{SenderId: t.r.me}
	}
	for _, line := range wrapText(clean(o.content), min(t.width-2, textWidth)) {
		t.add("  " + faint.Render(line))
	}
	if o.err == nil {
		t.add("  " + faint.Render("… on its way"))
		return
	}
	t.add("  " + failure.Render(clip("✗ not sent: "+cleanLine(explain(o.err, chatOptions{})), t.width-2)))
}

// stateText says how the connection is.
func stateText(s client.State, now time.Time) (string, lipgloss.Style) {
	switch s := s.(type) {
	case client.Connecting:
		return "◌ connecting…", warning
	case client.CatchingUp:
		return "◌ catching up…", warning
	case client.Live:
		return "● live", good
	case client.Offline:
		if s.Retry.IsZero() {
			return "○ offline", failure
		}
		return fmt.Sprintf("○ offline, retry in %ds", max(0, int(s.Retry.Sub(now).Round(time.Second).Seconds()))), failure
	}
	return "", faint
}

// presenceText says whether somebody can be reached.
func presenceText(p *chatv1.Presence, now time.Time) (string, lipgloss.Style) {
	switch p.GetState() {
	case chatv1.PresenceState_PRESENCE_STATE_ONLINE:
		return "● online", good
	case chatv1.PresenceState_PRESENCE_STATE_AWAY:
		return "◐ away", warning
	case chatv1.PresenceState_PRESENCE_STATE_OFFLINE:
		if p.GetLastSeenTime() != nil {
			return "○ last seen " + ago(p.GetLastSeenTime().AsTime(), now), faint
		}
		return "○ offline", faint
	default: // it isn't known
		return "", faint
	}
}

// ago says how long ago something was.
func ago(at, now time.Time) string {
	switch d := now.Sub(at); {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return at.Local().Format("on 2 Jan 2006")
}
