package store

import (
	"errors"

	"gorm.io/gorm"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// errEnough ends the reading of rows.
var errEnough = errors.New("enough rows")

// resolve completes events with the present state of what they point to. It takes the same number of statements however many there
// are, up to maxChunk of each kind.
func resolve(db *gorm.DB, found []*eventRow) ([]chat.Event, error) {
	var targets []chat.MessageKey
	var changed []chat.ConversationID
	var joined []chat.MemberKey
	var users []chat.UserID
	for _, e := range found {
		switch {
		case e.Target > 0:
			targets = append(targets, chat.MessageKey{Conversation: e.Conversation, Seq: e.Target})
		case e.Kind == chat.EventConversation:
			changed = append(changed, e.Conversation)
		}
		for _, u := range e.subjects {
			joined = append(joined, chat.MemberKey{Conversation: e.Conversation, User: u})
			users = append(users, u)
		}
	}
	messages, err := messagesAt(db, targets)
	if err != nil {
		return nil, err
	}
	states, _, err := statesByID(db, changed)
	if err != nil {
		return nil, err
	}
	members, err := membersByKey(db, joined)
	if err != nil {
		return nil, err
	}
	profiles, err := usersByID(db, users)
	if err != nil {
		return nil, err
	}
	events := make([]chat.Event, len(found))
	for i, e := range found {
		switch {
		case e.Target > 0:
			e.Message = messages[chat.MessageKey{Conversation: e.Conversation, Seq: e.Target}]
		case e.Kind == chat.EventConversation && states[e.Conversation] != nil:
			e.State = &states[e.Conversation].Conversation
		}
		for _, u := range e.subjects {
			if m := members[chat.MemberKey{Conversation: e.Conversation, User: u}]; m != nil {
				e.Members = append(e.Members, chat.MemberInfo{Member: *m, Profile: profiles[u]})
			}
		}
		events[i] = e.Event
	}
	return events, nil
}
