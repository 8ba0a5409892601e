package store

import (
	"database/sql"
	"database/sql/driver"
	"strings"

	"gorm.io/gorm"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// view is what a transaction saw, with what rows hold beyond the types of package chat.
type view struct {
	*chat.View
	heads map[chat.ConversationID]head
}

func newView(r *chat.Reads) *view {
	return &view{
		View: &chat.View{
			Conversations: make(map[chat.ConversationID]*chat.ConversationState, len(r.Conversations)),
			CreateKeys:    make(map[string]chat.ConversationID),
			Members:       make(map[chat.MemberKey]*chat.Member, len(r.Members)),
			Messages:      make(map[chat.MessageKey]*chat.Message),
			ClientIDs:     make(map[chat.ClientKey]*chat.Message),
			Users:         make(map[chat.UserID]chat.User),
			Ordinals:      make(map[chat.MessageKey]int64),
		},
		heads: make(map[chat.ConversationID]head, len(r.Conversations)),
	}
}

// readView reads what a transaction has to see. The locks are held.
func readView(db *gorm.DB, r *chat.Reads) (*view, error) {
	v := newView(r)
	for _, read := range []func(*gorm.DB, *chat.Reads) error{
		v.readConversations, v.readCreateKeys, v.readMembers, v.readMessages, v.readClientIDs, v.readUsers, v.readOrdinals,
	} {
		if err := read(db, r); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (v *view) readConversations(db *gorm.DB, r *chat.Reads) error {
	return inChunks(r.Conversations, func(part []chat.ConversationID) error {
		return v.readStates(db, `c.id IN (`+marks(len(part))+`)`, anys(part)...)
	})
}

func (v *view) readCreateKeys(db *gorm.DB, r *chat.Reads) error {
	return inChunks(r.CreateKeys, func(part []chat.CreateKey) error {
		keys := make([]any, len(part))
		for i, k := range part {
			keys[i] = k.Key
		}
		return v.readStates(db, `c.create_key IN (`+marks(len(part))+`)`, keys...)
	})
}

func (v *view) readStates(db *gorm.DB, where string, args ...any) error {
	return each(db, `SELECT `+stateColumns+` FROM conversations c JOIN conversation_heads h ON h.conversation_id = c.id WHERE `+where, args,
		func(rows *sql.Rows) error { return v.addState(rows) })
}

// addState adds a row of [stateColumns], the first time it comes: nobody may hold a state that another one replaces.
func (v *view) addState(row row) error {
	c, h, err := scanState(row)
	if err != nil {
		return err
	}
	if _, seen := v.Conversations[c.ID]; seen {
		return nil
	}
	v.Conversations[c.ID], v.heads[c.ID] = c, h
	if c.CreateKey != "" {
		v.CreateKeys[c.CreateKey] = c.ID
	}
	return nil
}

func (v *view) readMembers(db *gorm.DB, r *chat.Reads) (err error) {
	v.Members, err = membersByKey(db, r.Members)
	return err
}

// membersByKey reads memberships, also ended ones. Those that never were are missing.
func membersByKey(db *gorm.DB, keys []chat.MemberKey) (map[chat.MemberKey]*chat.Member, error) {
	found := make(map[chat.MemberKey]*chat.Member, len(keys))
	err := inChunks(keys, func(part []chat.MemberKey) error {
		args := make([]any, 0, 2*len(part))
		for _, k := range part {
			args = append(args, k.User, k.Conversation)
		}
		return each(db, `SELECT `+memberColumns+` FROM members m WHERE (m.user_id, m.conversation_id) IN (`+pairs(len(part))+`)`, args,
			func(rows *sql.Rows) error {
				m, err := scanMember(rows)
				if err == nil {
					found[chat.MemberKey{Conversation: m.Conversation, User: m.User}] = m
				}
				return err
			})
	})
	return found, err
}

func (v *view) readMessages(db *gorm.DB, r *chat.Reads) error {
	messages, err := messagesAt(db, r.Messages)
	if err != nil {
		return err
	}
	v.Messages = messages
	return nil
}

// messagesAt reads messages by their places. Places that hold no message are missing.
func messagesAt(db *gorm.DB, keys []chat.MessageKey) (map[chat.MessageKey]*chat.Message, error) {
	found := make(map[chat.MessageKey]*chat.Message, len(keys))
	err := inChunks(keys, func(part []chat.MessageKey) error {
		return each(db, `SELECT `+eventColumns+` FROM events e WHERE e.kind = 1 AND (e.conversation_id, e.seq) IN (`+pairs(len(part))+`)`,
			messageArgs(part), func(rows *sql.Rows) error {
				e, err := scanEvent(rows)
				if err != nil {
					return err
				}
				found[chat.MessageKey{Conversation: e.Conversation, Seq: e.Seq}] = e.Message
				return nil
			})
	})
	return found, err
}

func messageArgs(keys []chat.MessageKey) []any {
	args := make([]any, 0, 2*len(keys))
	for _, k := range keys {
		args = append(args, k.Conversation, k.Seq)
	}
	return args
}

// blob is bytes as one value: of a plain slice right after a parenthesis GORM makes a list of its elements.
type blob []byte

// Value implements [driver.Valuer].
func (b blob) Value() (driver.Value, error) { return []byte(b), nil }

func (v *view) readClientIDs(db *gorm.DB, r *chat.Reads) error {
	return inChunks(r.ClientIDs, func(part []chat.ClientKey) error {
		asked := make(map[chat.ClientKey]bool, len(part))
		ids := make([]any, len(part))
		for i, k := range part {
			asked[k] = true
			ids[i] = blob(k.ClientID[:])
		}
		return each(db, `SELECT `+eventColumns+` FROM events e WHERE e.client_id IN (`+marks(len(part))+`)`, ids,
			func(rows *sql.Rows) error {
				e, err := scanEvent(rows)
				if err != nil {
					return err
				}
				if k := (chat.ClientKey{Conversation: e.Conversation, Sender: e.Actor, ClientID: e.message.ClientID}); asked[k] {
					v.ClientIDs[k] = e.Message
				}
				return nil
			})
	})
}

func (v *view) readUsers(db *gorm.DB, r *chat.Reads) (err error) {
	v.Users, err = usersByID(db, r.Users)
	return err
}

func (v *view) readOrdinals(db *gorm.DB, r *chat.Reads) error {
	return inChunks(r.Ordinals, func(part []chat.MessageKey) error {
		for _, k := range part {
			if c := v.Conversations[k.Conversation]; c != nil && k.Seq >= c.LastSeq {
				v.Ordinals[k] = c.LastOrdinal
			}
		}
		return each(db, `SELECT e.conversation_id, e.seq, e.ordinal FROM events e WHERE (e.conversation_id, e.seq) IN (`+pairs(len(part))+`)`,
			messageArgs(part), func(rows *sql.Rows) error {
				var k chat.MessageKey
				var ordinal int64
				if err := rows.Scan(&k.Conversation, &k.Seq, &ordinal); err != nil {
					return err
				}
				v.Ordinals[k] = ordinal
				return nil
			})
	})
}

// each runs a query and calls fn for every row.
func each(db *gorm.DB, query string, args []any, fn func(*sql.Rows) error) error {
	rows, err := db.Raw(query, args...).Rows()
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err tells what went wrong
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// maxChunk is how many keys one statement looks up.
const maxChunk = 256

// inChunks calls fn for one part of keys after another. Parts are filled up with their last key to a power of two, so that there are
// few different statements to prepare; naming a key twice finds its row once.
func inChunks[K any](keys []K, fn func(part []K) error) error {
	for len(keys) > 0 {
		n := min(len(keys), maxChunk)
		part := make([]K, roundUp(n))
		for i := copy(part, keys[:n]); i < len(part); i++ {
			part[i] = keys[n-1]
		}
		if err := fn(part); err != nil {
			return err
		}
		keys = keys[n:]
	}
	return nil
}

// roundUp returns the next power of two.
func roundUp(n int) int {
	size := 1
	for size < n {
		size *= 2
	}
	return size
}

// marks is "?, ?, …" for n parameters.
func marks(n int) string { return strings.Repeat("?, ", n-1) + "?" }

// pairs is the VALUES of n pairs of integers.
func pairs(n int) string { return tuples(2, n) }

// tuples is the VALUES of n rows of integers. The types of the first row hold for all.
func tuples(width, n int) string {
	first := strings.Repeat("CAST(? AS bigint), ", width-1) + "CAST(? AS bigint)"
	return "VALUES (" + first + ")" + strings.Repeat(", ("+marks(width)+")", n-1)
}

func anys[T any](list []T) []any {
	args := make([]any, len(list))
	for i, x := range list {
		args[i] = x
	}
	return args
}
