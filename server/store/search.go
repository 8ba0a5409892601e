package store

import (
	"context"
	"errors"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// SearchMessages is that of [chat.Store].
func (s *Store) SearchMessages(context.Context, chat.SearchQuery) ([]chat.Message, error) {
	return nil, chat.Unavailable(errors.New("search comes with the next commit"))
}
