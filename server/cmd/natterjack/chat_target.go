package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"connectrpc.com/connect"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
)

// findConversation returns the conversation that the flags name; nil where they name none.
func findConversation(ctx context.Context, c *client.Client, o chatOptions) (*chatv1.ConversationSummary, error) {
	switch {
	case o.conversation != "":
		s, err := c.Conversation(ctx, o.conversation)
		return s, asNotFound(err, "conversation", o.conversation)
	case o.group != "":
		return findGroup(ctx, c, o.group, o.with)
	case len(o.with) == 1:
		return findDirect(ctx, c, o.with[0])
	default:
		return nil, nil //nolint:nilnil // none is not an error
	}
}

// asNotFound makes an answer that something doesn't exist say what.
func asNotFound(err error, what, name string) error {
	var e *client.Error
	if errors.As(err, &e) && (e.Code == connect.CodeNotFound || e.Reason == chatv1.ErrorReason_ERROR_REASON_INVALID_ID) {
		return notFoundError(fmt.Sprintf("there is no %s %s", what, clean(name)))
	}
	return err
}

// findUser returns the user with exactly that username, in any case.
func findUser(ctx context.Context, c userFinder, username string) (*chatv1.User, error) {
	if !validUsername(username) {
		return nil, notFoundError(fmt.Sprintf("%s is not a username", clean(username)))
	}
	users, err := c.SearchUsers(ctx, username, 50)
	if err != nil {
		return nil, err
	}
	for _, u := range users {
		if strings.EqualFold(u.GetUsername(), username) {
			return u, nil
		}
	}
	return nil, notFoundError(fmt.Sprintf("there is no user %s", username))
}

func findDirect(ctx context.Context, c *client.Client, username string) (*chatv1.ConversationSummary, error) {
	u, err := findUser(ctx, c, username)
	if err != nil {
		return nil, err
	}
	return c.CreateDirect(ctx, u.GetId())
}

// findGroup returns the newest of the user's groups with that title; where there is none, and members are named, a new one.
func findGroup(ctx context.Context, c *client.Client, title string, with []string) (*chatv1.ConversationSummary, error) {
	all, err := c.Conversations(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if strings.EqualFold(s.GetConversation().GetTitle(), title) {
			return s, nil
		}
	}
	if len(with) == 0 {
		return nil, notFoundError(fmt.Sprintf("there is no group %q; name its members by --with to make it", clean(title)))
	}
	return newGroup(ctx, c, title, with)
}

func newGroup(ctx context.Context, c *client.Client, title string, with []string) (*chatv1.ConversationSummary, error) {
	ids, err := userIDs(ctx, c, with)
	if err != nil {
		return nil, err
	}
	return c.CreateGroup(ctx, title, ids...)
}
