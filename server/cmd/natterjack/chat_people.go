package main

import (
	"context"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
)

// people knows the names behind user ids. It belongs to one goroutine.
type people struct {
	users map[string]*chatv1.User
	asked map[string]bool // ids that were looked up, found or not
}

func newPeople() *people {
	return &people{users: map[string]*chatv1.User{}, asked: map[string]bool{}}
}

func (p *people) add(users ...*chatv1.User) {
	for _, u := range users {
		if u.GetId() != "" {
			p.users[u.GetId()] = u
		}
	}
}

// name returns the name to show for a user, on one line.
func (p *people) name(id string) string {
	u := p.users[id]
	if name := cleanLine(u.GetDisplayName()); name != "" {
		return name
	}
	if name := cleanLine(u.GetUsername()); name != "" {
		return name
	}
	return id
}

// unknown returns those of the ids whose names have not been looked up, and notes that they are now.
func (p *people) unknown(ids ...string) []string {
	var unknown []string
	for _, id := range ids {
		if id != "" && p.users[id] == nil && !p.asked[id] {
			p.asked[id] = true
			unknown = append(unknown, id)
		}
	}
	return unknown
}

// mentioned returns the user ids in the body of an event.
func mentioned(body any) []string {
	var ids []string
	switch b := body.(type) {
	case *chatv1.Message:
		ids = append(ids, b.GetSenderId())
		for _, r := range b.GetReactions() {
			ids = append(ids, r.GetUserIds()...)
		}
	case *chatv1.MembersChanged:
		ids = append(ids, b.GetActorId())
	case *chatv1.Typing:
		ids = append(ids, b.GetUserId())
	case *chatv1.ConversationSummary:
		ids = append(ids, b.GetLastMessage().GetSenderId())
	}
	return ids
}

// told takes the users that an event brings along.
func (p *people) told(body any) {
	switch b := body.(type) {
	case *chatv1.MembersChanged:
		for _, m := range b.GetMembers() {
			p.add(m.GetUser())
		}
	case *chatv1.ConversationSummary:
		p.add(b.GetPeer(), b.GetSelf().GetUser())
	}
}

// lookUp asks for names; at most 200 at a time.
func (p *people) lookUp(ctx context.Context, c *client.Client, ids []string) {
	for len(ids) > 0 {
		n := min(200, len(ids))
		if users, err := c.Users(ctx, ids[:n]...); err == nil {
			p.add(users...)
		}
		ids = ids[n:]
	}
}

// conversationName returns what a conversation is called for this user, on one line.
func (p *people) conversationName(s *chatv1.ConversationSummary) string {
	if title := cleanLine(s.GetConversation().GetTitle()); title != "" {
		return title
	}
	if s.GetPeer() != nil {
		p.add(s.GetPeer())
		return p.name(s.GetPeer().GetId())
	}
	return s.GetConversation().GetId()
}
