package main

import (
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/google/uuid"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
)

// key takes a key.
func (s *screen) key(k tea.KeyPressMsg) tea.Cmd {
	s.lastKey = s.now
	s.idle()
	switch k.String() {
	case "ctrl+c":
		return tea.Quit
	case "esc":
		s.escape()
	case "enter":
		return s.enterKey()
	case "pgup":
		return s.scrollBy(max(1, s.bodyHeight()-2))
	case "pgdown":
		return s.scrollBy(-max(1, s.bodyHeight()-2))
	case "ctrl+end":
		return s.scrollBy(-s.scroll)
	case "up", "down":
		if s.overlay != nil {
			s.overlay.top = max(0, s.overlay.top+map[string]int{"up": -1, "down": 1}[k.String()])
			return nil
		}
		if s.input.Value() == "" && s.room != nil {
			return s.selectNext(k.String() == "up")
		}
		return s.edit(k)
	case "ctrl+n", "ctrl+p":
		return s.neighbour(k.String() == "ctrl+n")
	default:
		return s.edit(k)
	}
	return nil
}

// escape steps back: from a page, from a reply or edit, from a selection, from scrolling.
func (s *screen) escape() {
	switch {
	case s.overlay != nil && s.room != nil:
		s.overlay = nil
	case s.editing != 0:
		s.editing = 0
		s.input.Reset()
	case s.replying != 0:
		s.replying = 0
	case s.selected != 0:
		s.selected = 0
		s.touch()
	default:
		s.scroll, s.below = 0, 0
	}
}

// enterKey sends the input, carries out a command, or answers the selected message.
func (s *screen) enterKey() tea.Cmd {
	s.notice = notice{}
	text := strings.TrimSpace(s.input.Value())
	if text == "" {
		s.input.Reset()
		if s.selected != 0 && s.overlay == nil {
			s.replying, s.selected = s.selected, 0
			s.touch()
		}
		return nil
	}
	if strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//") {
		s.input.Reset()
		return s.command(text)
	}
	if s.room == nil {
		s.say("no conversation is open: /open one, or /new with somebody")
		return nil
	}
	text = strings.TrimPrefix(text, "/")
	if len(text) > maxContent {
		s.notice = notice{text: "too long: a message has at most 16,384 bytes", bad: true, until: s.now.Add(noticeLasts)}
		return nil
	}
	s.input.Reset()
	if seq := s.editing; seq != 0 {
		s.editing = 0
		return s.editMessage(seq, text)
	}
	return s.send(text)
}

// send sends a message of the open conversation and shows it at once.
func (s *screen) send(text string) tea.Cmd {
	id := uuid.NewString()
	sending, err := s.c.Send(s.room.id, text, client.SendOptions{ClientID: id, ReplyTo: s.replying})
	if err != nil {
		s.fail(err)
		s.input.SetValue(text)
		return nil
	}
	s.room.sending = append(s.room.sending, &outgoing{id: id, content: text})
	s.room.divider, s.replying, s.scroll, s.below, s.overlay = 0, 0, 0, 0, nil
	s.touch()
	room := s.room.id
	return func() tea.Msg {
		_, err := sending.Wait(s.ctx)
		return sentMsg{room, id, err}
	}
}

// scrollBy moves the window up, or down where n is negative; at the top it fetches older messages.
func (s *screen) scrollBy(n int) tea.Cmd {
	if s.overlay != nil {
		s.overlay.top = max(0, s.overlay.top-n)
		return nil
	}
	if s.room == nil {
		return nil
	}
	most := max(0, len(s.timeline())-s.bodyHeight())
	s.scroll = min(max(0, s.scroll+n), most)
	if s.scroll == 0 {
		s.below = 0
	}
	if s.scroll == most && n > 0 {
		return s.fetchOlder()
	}
	return nil
}

// anchored changes the timeline so that what is in sight stays in its place, unless that is the end.
func (s *screen) anchored(change func()) {
	if s.scroll == 0 || s.room == nil {
		change()
		s.touch()
		return
	}
	top := len(s.timeline()) - s.scroll - s.bodyHeight()
	anchor, row := int64(0), 0
	for seq, line := range s.at {
		if line >= top && (anchor == 0 || line-top < row) {
			anchor, row = seq, line-top
		}
	}
	change()
	s.touch()
	if s.room == nil {
		return
	}
	lines := s.timeline()
	if line, ok := s.at[anchor]; ok {
		s.scroll = max(0, len(lines)-s.bodyHeight()-(line-row))
	}
}

// selectNext moves the selection to the message above or below.
func (s *screen) selectNext(up bool) tea.Cmd {
	var seqs []int64
	for _, it := range s.room.items {
		if it.msg != nil {
			seqs = append(seqs, it.seq)
		}
	}
	if len(seqs) == 0 {
		return nil
	}
	i := slices.Index(seqs, s.selected)
	switch {
	case i < 0 && up:
		i = len(seqs) - 1
	case i < 0:
		return nil
	case up && i == 0:
		return s.fetchOlder()
	case up:
		i--
	case i == len(seqs)-1: // below the last one: none
		s.selected = 0
		s.touch()
		return nil
	default:
		i++
	}
	s.selected = seqs[i]
	s.touch()
	s.reveal(s.selected)
	return nil
}

// fetchOlder asks for the messages before those that are there.
func (s *screen) fetchOlder() tea.Cmd {
	if !s.room.older {
		return nil
	}
	return s.fetch(client.Page{Before: s.room.firstSeq(), Limit: historyPage}, s.room.firstSeq() == 0)
}

// reveal scrolls so that a message is in the window.
func (s *screen) reveal(seq int64) {
	lines := s.timeline()
	line, ok := s.at[seq]
	if !ok {
		return
	}
	fromEnd, height := len(lines)-line, s.bodyHeight()
	switch {
	case fromEnd > s.scroll+height: // above the window
		s.scroll = fromEnd - height
	case fromEnd <= s.scroll: // below it
		s.scroll = max(0, fromEnd-min(height, 3))
	}
}

// neighbour opens the conversation after or before this one in the list.
func (s *screen) neighbour(next bool) tea.Cmd {
	all := s.sorted()
	if len(all) == 0 {
		return nil
	}
	i := 0
	if s.room != nil {
		i = slices.IndexFunc(all, func(c *chatv1.ConversationSummary) bool { return c.GetConversation().GetId() == s.room.id })
		if next {
			i++
		} else {
			i--
		}
	}
	return s.enter(all[(i+len(all))%len(all)])
}
