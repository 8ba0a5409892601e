package client

import (
	"context"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	authv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1"
	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
)

// SetTyping shows that the user types in a conversation, or has stopped. Call it on each key: it is passed on every 3 seconds
// at most, and not at all without a connection. A message sent ends it by itself.
func (c *Client) SetTyping(conversation string, typing bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil && utf8.ValidString(conversation) && c.says.setTyping(conversation, typing, time.Now()) {
		c.kick()
	}
}

// MarkRead says that the user has read everything up to seq. Marks are passed on once a second at most, and again until the
// server has stored them. A mark below an earlier one changes nothing.
func (c *Client) MarkRead(conversation string, seq int64) { c.mark(conversation, seq, 0) }

// MarkDelivered says that everything up to seq has reached this device. Passed on as MarkRead is, which implies it.
func (c *Client) MarkDelivered(conversation string, seq int64) { c.mark(conversation, 0, seq) }

func (c *Client) mark(conversation string, read, delivered int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if conversation != "" && utf8.ValidString(conversation) && c.says.mark(conversation, read, delivered) {
		c.kick()
	}
}

// WatchPresence replaces the users of whose presence the events tell, at most 200: each as it stands now, then on change.
func (c *Client) WatchPresence(users ...string) error {
	if len(users) > maxWatched {
		return invalid("user_ids", "are more than 200")
	}
	for _, u := range users {
		if u == "" || !utf8.ValidString(u) {
			return invalid("user_ids", "hold one that is empty or not UTF-8")
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.says.watch, c.says.watching, c.says.watchAt = append([]string(nil), users...), true, time.Time{}
	c.kick()
	return nil
}

// maxWatched is how many users a stream may watch (a rule of the schema).
const maxWatched = 200

// SetAway tells whether this device is idle. It is kept over reconnects.
func (c *Client) SetAway(away bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.says.setAway(away) {
		c.kick()
	}
}

// Edit replaces the content of one of the user's own messages.
func (c *Client) Edit(ctx context.Context, conversation string, seq int64, content string) (*chatv1.Message, error) {
	r, err := c.chat.EditMessage(ctx, &chatv1.EditMessageRequest{ConversationId: conversation, Seq: seq, Content: content})
	return r.GetMessage(), AsError(err)
}

// Delete turns a message into a tombstone.
func (c *Client) Delete(ctx context.Context, conversation string, seq int64) (*chatv1.Message, error) {
	r, err := c.chat.DeleteMessage(ctx, &chatv1.DeleteMessageRequest{ConversationId: conversation, Seq: seq})
	return r.GetMessage(), AsError(err)
}

// React adds the user's reaction to a message.
func (c *Client) React(ctx context.Context, conversation string, seq int64, emoji string) (*chatv1.Message, error) {
	r, err := c.chat.AddReaction(ctx, &chatv1.AddReactionRequest{ConversationId: conversation, Seq: seq, Emoji: emoji})
	return r.GetMessage(), AsError(err)
}

// Unreact takes the user's reaction back.
func (c *Client) Unreact(ctx context.Context, conversation string, seq int64, emoji string) (*chatv1.Message, error) {
	r, err := c.chat.RemoveReaction(ctx, &chatv1.RemoveReactionRequest{ConversationId: conversation, Seq: seq, Emoji: emoji})
	return r.GetMessage(), AsError(err)
}

// CreateDirect returns the direct conversation with a user, made if there is none.
func (c *Client) CreateDirect(ctx context.Context, user string) (*chatv1.ConversationSummary, error) {
	r, err := c.chat.CreateConversation(ctx, &chatv1.CreateConversationRequest{
		Kind: chatv1.ConversationKind_CONVERSATION_KIND_DIRECT, MemberIds: []string{user},
	})
	return r.GetSummary(), AsError(err)
}

// CreateGroup makes a group of the user and others, at most 500.
func (c *Client) CreateGroup(ctx context.Context, title string, members ...string) (*chatv1.ConversationSummary, error) {
	r, err := c.chat.CreateConversation(ctx, &chatv1.CreateConversationRequest{
		Kind: chatv1.ConversationKind_CONVERSATION_KIND_GROUP, Title: title, MemberIds: members, ClientConversationId: uuid.NewString(),
	})
	return r.GetSummary(), AsError(err)
}

// Rename gives a group another title.
func (c *Client) Rename(ctx context.Context, conversation, title string) (*chatv1.Conversation, error) {
	r, err := c.chat.UpdateConversation(ctx, &chatv1.UpdateConversationRequest{ConversationId: conversation, Title: title})
	return r.GetConversation(), AsError(err)
}

// AddMembers adds users to a group; role may be unspecified, which means MEMBER.
func (c *Client) AddMembers(
	ctx context.Context, conversation string, role chatv1.MemberRole, users ...string,
) ([]*chatv1.Member, error) {
	r, err := c.chat.AddMembers(ctx, &chatv1.AddMembersRequest{ConversationId: conversation, UserIds: users, Role: role})
	return r.GetMembers(), AsError(err)
}

// RemoveMember removes a member from a group; the user's own id leaves it.
func (c *Client) RemoveMember(ctx context.Context, conversation, user string) error {
	_, err := c.chat.RemoveMember(ctx, &chatv1.RemoveMemberRequest{ConversationId: conversation, UserId: user})
	return AsError(err)
}

// UpdateMember gives a member another role.
func (c *Client) UpdateMember(
	ctx context.Context, conversation, user string, role chatv1.MemberRole,
) (*chatv1.Member, error) {
	r, err := c.chat.UpdateMember(ctx, &chatv1.UpdateMemberRequest{ConversationId: conversation, UserId: user, Role: role})
	return r.GetMember(), AsError(err)
}

// Members returns all members of a conversation with their marks, in the same order. It asks for one page after the other.
func (c *Client) Members(ctx context.Context, conversation string) ([]*chatv1.Member, []*chatv1.Receipt, error) {
	var members []*chatv1.Member
	var receipts []*chatv1.Receipt
	for page := ""; ; {
		r, err := c.chat.ListMembers(ctx, &chatv1.ListMembersRequest{ConversationId: conversation, PageToken: page, PageSize: 500})
		if err != nil {
			return nil, nil, AsError(err)
		}
		members, receipts = append(members, r.GetMembers()...), append(receipts, r.GetReceipts()...)
		if page = r.GetNextPageToken(); page == "" {
			return members, receipts, nil
		}
	}
}

// Messages reads a page of history; the zero Page asks for the newest 50 messages.
func (c *Client) Messages(ctx context.Context, conversation string, p Page) (*chatv1.ListMessagesResponse, error) {
	r, err := c.chat.ListMessages(ctx, &chatv1.ListMessagesRequest{
		ConversationId: conversation, Limit: p.Limit, BeforeSeq: p.Before, AfterSeq: p.After, AroundSeq: p.Around,
	})
	return r, AsError(err)
}

// Page is where in a conversation to read; at most one of Before, After and Around is set.
type Page struct {
	Before, After, Around int64 // seqs
	// Limit is the number of messages; 0 means 50, more than 200 is lowered to 200.
	Limit int32
}

// Conversations returns all of the user's conversations, the one with the newest event first. It asks for one page after the other.
func (c *Client) Conversations(ctx context.Context) ([]*chatv1.ConversationSummary, error) {
	var all []*chatv1.ConversationSummary
	for page := ""; ; {
		r, err := c.chat.ListConversations(ctx, &chatv1.ListConversationsRequest{PageToken: page, PageSize: 200})
		if err != nil {
			return nil, AsError(err)
		}
		all = append(all, r.GetSummaries()...)
		if page = r.GetNextPageToken(); page == "" {
			return all, nil
		}
	}
}

// Conversation returns one of the user's conversations.
func (c *Client) Conversation(ctx context.Context, conversation string) (*chatv1.ConversationSummary, error) {
	r, err := c.chat.GetConversation(ctx, &chatv1.GetConversationRequest{ConversationId: conversation})
	return r.GetSummary(), AsError(err)
}

// Sync asks what changed since a token, without a stream: the summaries of all pages, and the token to go on from.
func (c *Client) Sync(ctx context.Context, token []byte) (*chatv1.SyncResponse, error) {
	all := &chatv1.SyncResponse{}
	for page := ""; ; {
		r, err := c.chat.Sync(ctx, &chatv1.SyncRequest{Token: token, PageToken: page, PageSize: 500})
		if err != nil {
			return nil, AsError(err)
		}
		r.Summaries = append(all.GetSummaries(), r.GetSummaries()...)
		if page = r.GetNextPageToken(); page == "" {
			return r, nil
		}
		all = r
	}
}

// SearchMessages finds messages that hold all words of the query, newest first: in one conversation, or in all where it is
// empty; at most limit of them, 0 means 20.
func (c *Client) SearchMessages(ctx context.Context, query, conversation string, limit int32) ([]*chatv1.Message, error) {
	r, err := c.chat.SearchMessages(ctx, &chatv1.SearchMessagesRequest{Query: query, ConversationId: conversation, PageSize: limit})
	return r.GetMessages(), AsError(err)
}

// SearchUsers finds users by the beginning of their username or of a word of their name; at most limit of them, 0 means 20.
func (c *Client) SearchUsers(ctx context.Context, query string, limit int32) ([]*chatv1.User, error) {
	r, err := c.chat.SearchUsers(ctx, &chatv1.SearchUsersRequest{Query: query, Limit: limit})
	return r.GetUsers(), AsError(err)
}

// Users returns the profiles of users, at most 200; those that don't exist are left out.
func (c *Client) Users(ctx context.Context, ids ...string) ([]*chatv1.User, error) {
	r, err := c.chat.GetUsers(ctx, &chatv1.GetUsersRequest{UserIds: ids})
	return r.GetUsers(), AsError(err)
}

// Presence returns the presence of users as it is now, at most 200, in their order.
func (c *Client) Presence(ctx context.Context, users ...string) ([]*chatv1.Presence, error) {
	r, err := c.chat.GetPresence(ctx, &chatv1.GetPresenceRequest{UserIds: users})
	return r.GetPresences(), AsError(err)
}

// Sessions returns the user's sessions, the last used first.
func (c *Client) Sessions(ctx context.Context) ([]*authv1.SessionInfo, error) {
	r, err := c.auth.ListSessions(ctx, &authv1.ListSessionsRequest{})
	return r.GetSessions(), AsError(err)
}

// SignOut ends the session on the server and forgets it; the Client then stops with ErrSessionEnded.
func (c *Client) SignOut(ctx context.Context) error {
	if _, err := c.auth.SignOut(ctx, &authv1.SignOutRequest{}); err != nil {
		return AsError(err)
	}
	return c.tokens.forget(ctx)
}
