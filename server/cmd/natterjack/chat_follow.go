package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
)

// This file is how the screen follows the events and pages of the client.

// events applies what happened.
func (s *screen) events(msg eventsMsg) tea.Cmd {
	if msg.err != nil {
		if !errors.Is(msg.err, context.Canceled) {
			s.ended = msg.err
		}
		return tea.Quit
	}
	var cmds []tea.Cmd
	var ids []string
	s.anchored(func() {
		for _, e := range msg.events {
			cmds = append(cmds, s.event(e))
			ids = append(ids, mentioned(e.Body)...)
		}
	})
	s.watch()
	cmds = append(cmds, s.lookUp(ids...), s.nextEvents())
	return tea.Batch(cmds...)
}

func (s *screen) event(e client.Event) tea.Cmd {
	s.people.told(e.Body)
	here := s.room != nil && e.Conversation == s.room.id
	if here && s.room.apply(e, s.people, s.now) && s.scroll > 0 {
		s.below++
	}
	switch b := e.Body.(type) {
	case client.State:
		s.state = b
	case *chatv1.Presence:
		s.presence[b.GetUserId()] = b
	case *client.Gone:
		s.leave(e.Conversation)
	case *client.Reset:
		return s.reset(e.Conversation)
	case *client.Gap:
		if here {
			return s.fetch(client.Page{Limit: historyPage}, true)
		}
	case *chatv1.ConversationSummary:
		if b.GetSelf().GetLeftSeq() > 0 {
			s.leave(e.Conversation)
			return nil
		}
		s.take(b)
	default:
		s.note(e)
	}
	return nil
}

// note keeps the list of conversations current.
func (s *screen) note(e client.Event) {
	c := s.convs[e.Conversation]
	if c == nil {
		return
	}
	c.LastSeq = max(c.GetLastSeq(), e.Seq)
	switch b := e.Body.(type) {
	case *chatv1.Message:
		if b.GetSeq() != e.Seq {
			return
		}
		c.LastMessage, c.UpdateTime = b, b.GetTimestamp()
		if b.GetSenderId() == s.me {
			c.UnreadCount = 0
			return
		}
		c.UnreadCount++
		s.c.MarkDelivered(e.Conversation, e.Seq)
	case *chatv1.Conversation:
		c.Conversation = b
	case *chatv1.Receipt:
		if b.GetUserId() == s.me && b.GetReadSeq() >= c.GetLastMessage().GetSeq() {
			c.UnreadCount = 0
		}
	}
}

// take keeps a conversation's summary.
func (s *screen) take(c *chatv1.ConversationSummary) {
	s.people.told(c)
	s.convs[c.GetConversation().GetId()] = c
	if m := c.GetLastMessage(); m != nil && m.GetSenderId() != s.me && m.GetSeq() > c.GetReceipt().GetDeliveredSeq() {
		s.c.MarkDelivered(c.GetConversation().GetId(), m.GetSeq())
	}
}

// leave takes a conversation off the screen that the user is no longer a member of.
func (s *screen) leave(id string) {
	delete(s.convs, id)
	if s.room != nil && s.room.id == id {
		s.close()
		s.say("you are no longer a member of that conversation")
		s.showList()
	}
}

func (s *screen) close() {
	if s.room != nil {
		s.c.Untrack(s.room.id)
	}
	s.room, s.selected, s.replying, s.editing, s.scroll, s.below = nil, 0, 0, 0, 0, 0
	s.touch()
}

// reset begins anew where the server's store is another one.
func (s *screen) reset(conversation string) tea.Cmd {
	if conversation == "" {
		clear(s.convs)
	}
	if s.room == nil || conversation != "" && conversation != s.room.id {
		return nil
	}
	return s.open(s.room.id)
}

// enter shows a conversation.
func (s *screen) enter(c *chatv1.ConversationSummary) tea.Cmd {
	s.close()
	s.room = newRoom(s.me, c)
	s.overlay = nil
	s.c.Track(s.room.id)
	id := s.room.id
	members := func() tea.Msg {
		ctx, cancel := context.WithTimeout(s.ctx, callTimeout)
		defer cancel()
		members, receipts, err := s.c.Members(ctx, id)
		return membersMsg{id, members, receipts, err}
	}
	return tea.Batch(s.fetch(client.Page{Limit: int32(max(s.history, 1))}, true), members)
}

// open asks for a conversation and shows it.
func (s *screen) open(id string) tea.Cmd {
	return s.call(func(ctx context.Context) tea.Msg {
		c, err := s.c.Conversation(ctx, id)
		return openMsg{c, err}
	})
}

// call runs a call beside the keys.
func (s *screen) call(f func(context.Context) tea.Msg) tea.Cmd {
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(s.ctx, callTimeout)
		defer cancel()
		return f(ctx)
	}
}

// fetch asks for a page of the open conversation.
func (s *screen) fetch(p client.Page, newest bool) tea.Cmd {
	if s.room == nil || s.room.loading && !newest {
		return nil
	}
	s.room.loading = true
	id := s.room.id
	return s.call(func(ctx context.Context) tea.Msg {
		page, err := s.c.Messages(ctx, id, p)
		return pageMsg{id, page, newest, err}
	})
}

func (s *screen) page(msg pageMsg) tea.Cmd {
	if s.room == nil || s.room.id != msg.room {
		return nil
	}
	if msg.err != nil {
		s.room.loading = false
		s.fail(msg.err)
		return nil
	}
	first := len(s.room.items) == 0
	s.anchored(func() { s.room.page(msg.page, msg.newest) })
	if first {
		s.showDivider()
	}
	var ids []string
	for _, m := range msg.page.GetMessages() {
		ids = append(ids, mentioned(m)...)
	}
	return s.lookUp(ids...)
}

// showDivider scrolls to the first unread message, if it is further up than the window reaches.
func (s *screen) showDivider() {
	for _, it := range s.room.items {
		if s.room.divider > 0 && it.seq > s.room.divider && it.msg != nil && it.msg.GetSenderId() != s.me {
			lines := s.timeline()
			s.scroll = max(0, len(lines)-max(0, s.at[it.seq]-3)-s.bodyHeight())
			return
		}
	}
}

func (s *screen) membersOf(msg membersMsg) {
	if s.room == nil || s.room.id != msg.room {
		return
	}
	if msg.err != nil {
		s.fail(msg.err)
		return
	}
	s.room.members = msg.members
	for _, m := range msg.members {
		s.people.add(m.GetUser())
	}
	for _, r := range msg.receipts {
		s.room.receipt(r)
	}
	s.touch()
}

func (s *screen) lookUp(ids ...string) tea.Cmd {
	unknown := s.people.unknown(ids...)
	if len(unknown) == 0 {
		return nil
	}
	return s.call(func(ctx context.Context) tea.Msg {
		var users []*chatv1.User
		for chunk := range slices.Chunk(unknown, 200) {
			found, err := s.c.Users(ctx, chunk...)
			if err != nil {
				break
			}
			users = append(users, found...)
		}
		return usersMsg{users}
	})
}

// watch asks for the presence of those on the screen: the open conversation's members and the people of the list.
func (s *screen) watch() {
	var ids []string
	add := func(id string) {
		if id != "" && id != s.me && len(ids) < maxWatched && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if s.room != nil {
		add(s.room.summary.GetPeer().GetId())
		for _, m := range s.room.members {
			add(m.GetUser().GetId())
		}
	}
	for _, c := range s.sorted() {
		add(c.GetPeer().GetId())
	}
	slices.Sort(ids)
	if slices.Equal(ids, s.watched) {
		return
	}
	s.watched = ids
	if err := s.c.WatchPresence(ids...); err != nil {
		s.fail(err)
	}
}

// sorted returns the conversations, the one with the newest event first.
func (s *screen) sorted() []*chatv1.ConversationSummary {
	all := make([]*chatv1.ConversationSummary, 0, len(s.convs))
	for _, c := range s.convs {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *chatv1.ConversationSummary) int {
		if n := b.GetUpdateTime().AsTime().Compare(a.GetUpdateTime().AsTime()); n != 0 {
			return n
		}
		return strings.Compare(a.GetConversation().GetId(), b.GetConversation().GetId())
	})
	return all
}

// markRead says that what the user has before their eyes is read.
func (s *screen) markRead() {
	if s.room == nil || !s.focused || s.scroll > 0 || s.overlay != nil || s.away {
		return
	}
	if seq := s.room.lastSeq(); seq > s.room.marked {
		s.room.marked = seq
		s.c.MarkRead(s.room.id, seq)
		if c := s.convs[s.room.id]; c != nil {
			c.UnreadCount = 0
		}
	}
}
