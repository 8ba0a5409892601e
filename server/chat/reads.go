package chat

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/natterjack-chat/natterjack/server/internal/planted"
)

// pageLimit clamps a page size: 0 means the usual, more than most is lowered (AIP-158).
func pageLimit(size, usual, most int) int {
	if size <= 0 {
		return usual
	}
	return min(size, most)
}

// member reads the caller's membership and holds it against the access table.
func (s *Service) member(ctx context.Context, caller Caller, id ConversationID, a action) (*Member, error) {
	m, ok, err := s.store.Member(ctx, MemberKey{id, caller.User})
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, allow(nil, a)
	}
	return &m, allow(&m, a)
}

// ListMessages reads a page of history, at most 200 messages, 50 where page.Limit is 0.
func (s *Service) ListMessages(ctx context.Context, caller Caller, id ConversationID, page MessagePage) (MessageList, error) {
	if _, err := s.member(ctx, caller, id, readConversation); err != nil {
		return MessageList{}, err
	}
	page.Limit = pageLimit(page.Limit, 50, 200)
	if planted.Bug(planted.PageOffByOne) && page.Before > 1 {
		page.Before--
	}
	list, err := s.store.Messages(ctx, id, page)
	if err != nil {
		return MessageList{}, err
	}
	// Whoever is a member after the read was one when the newest message of the page was sent.
	m, err := s.member(ctx, caller, id, readConversation)
	if err != nil {
		return MessageList{}, err
	}
	return list, s.markMessagesRead(ctx, *m, list.Messages)
}

// markMessagesRead computes Read of messages of one conversation for one member.
func (s *Service) markMessagesRead(ctx context.Context, m Member, messages []Message) error {
	var others Seq
	if slices.ContainsFunc(messages, func(x Message) bool { return x.Sender == m.User }) {
		var err error
		if others, err = s.store.ReadByOthers(ctx, m.Conversation, m.User); err != nil {
			return err
		}
	}
	for i := range messages {
		x := &messages[i]
		if x.Sender == m.User {
			x.Read = x.Seq <= others
		} else {
			x.Read = x.Seq <= m.ReadSeq
		}
	}
	return nil
}

// GetConversation reads one of the caller's conversations.
func (s *Service) GetConversation(ctx context.Context, caller Caller, id ConversationID) (Summary, error) {
	summary, ok, err := s.Summary(ctx, caller, id)
	if err != nil {
		return Summary{}, err
	}
	if !ok || !summary.Self.Active() {
		return Summary{}, NotFound("conversation")
	}
	return summary, nil
}

// Summary reads the caller's summary of a conversation, also of one that they have left; ok is false where they never were a member.
func (s *Service) Summary(ctx context.Context, caller Caller, id ConversationID) (summary Summary, ok bool, err error) {
	summaries, err := s.store.Summaries(ctx, caller.User, []ConversationID{id})
	if err != nil || len(summaries) == 0 {
		return Summary{}, false, err
	}
	markRead(&summaries[0])
	return summaries[0], true, nil
}

// ListConversations reads the caller's conversations by newest event, in pages of 1 to 200, 50 where pageSize is 0.
func (s *Service) ListConversations(ctx context.Context, caller Caller, pageSize int, pageTok string) ([]Summary, string, error) {
	var at, id int64
	if err := parsePageToken(pageTok, recentPage, &at, &id); err != nil {
		return nil, "", err
	}
	var before RecentCursor
	if pageTok != "" {
		before = RecentCursor{time.UnixMilli(at), ConversationID(id)}
	}
	size := pageLimit(pageSize, 50, 200)
	summaries, err := s.store.RecentSummaries(ctx, caller.User, before, size)
	if err != nil {
		return nil, "", err
	}
	for i := range summaries {
		markRead(&summaries[i])
	}
	if len(summaries) < size {
		return summaries, "", nil
	}
	last := summaries[size-1]
	return summaries, pageToken(recentPage, last.Head.UpdateTime.UnixMilli(), int64(last.Conversation.ID)), nil
}

// Memberships reads the conversations of which the caller is a member.
func (s *Service) Memberships(ctx context.Context, caller Caller) ([]ConversationID, error) {
	return s.store.Memberships(ctx, caller.User)
}

// ListMembers reads the members of a conversation in the order of their ids, in pages of 1 to 500, 100 where pageSize is 0.
func (s *Service) ListMembers(ctx context.Context, caller Caller, id ConversationID, pageSize int, pageTok string) ([]MemberInfo, string, error) {
	var of, after int64
	if err := parsePageToken(pageTok, memberPage, &of, &after); err != nil {
		return nil, "", err
	}
	if pageTok != "" && of != int64(id) {
		return nil, "", InvalidToken("page_token")
	}
	if _, err := s.member(ctx, caller, id, readConversation); err != nil {
		return nil, "", err
	}
	size := pageLimit(pageSize, 100, 500)
	members, err := s.store.Members(ctx, id, UserID(after), size)
	if err != nil || len(members) < size {
		return members, "", err
	}
	return members, pageToken(memberPage, int64(id), int64(members[size-1].User)), nil
}

// Users reads public profiles, in the order asked for; those that don't exist are left out.
func (s *Service) Users(ctx context.Context, _ Caller, ids []UserID) ([]User, error) {
	found, err := s.store.Users(ctx, ids)
	if err != nil {
		return nil, err
	}
	users := make([]User, 0, len(ids))
	for _, id := range ids {
		if u, ok := found[id]; ok {
			users = append(users, u)
		}
	}
	return users, nil
}

// SearchUsers finds users by the beginning of a name, at most 50, 20 where limit is 0.
func (s *Service) SearchUsers(ctx context.Context, _ Caller, prefix string, limit int) ([]User, error) {
	prefix = strings.TrimSpace(prefix)
	if prefix == "" {
		return nil, Invalid("query", "query needs a letter or digit")
	}
	return s.store.SearchUsers(ctx, prefix, pageLimit(limit, 20, 50))
}

// SharedUsers returns those of the users with whom the caller shares a conversation, in their order.
func (s *Service) SharedUsers(ctx context.Context, caller Caller, users []UserID) ([]UserID, error) {
	shared, err := s.store.Shared(ctx, caller.User, users)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(users), func(u UserID) bool { return !shared[u] }), nil
}

// Presence reads the presence of users, one for each, in their order.
func (s *Service) Presence(ctx context.Context, caller Caller, users []UserID) ([]PresenceInfo, error) {
	shared, err := s.SharedUsers(ctx, caller, users)
	if err != nil {
		return nil, err
	}
	known := make(map[UserID]PresenceInfo, len(shared))
	for _, p := range s.presence.Presence(ctx, shared) {
		known[p.User] = p
	}
	infos := make([]PresenceInfo, len(users))
	for i, u := range users {
		p, ok := known[u]
		if !ok {
			p = PresenceInfo{User: u, State: PresenceUnknown}
		}
		infos[i] = p
	}
	return infos, nil
}

// SearchRequest asks for messages by words.
type SearchRequest struct {
	Query        string
	Conversation ConversationID // 0: all of the caller's
	PageSize     int            // 1 to 100; 20 where it is 0
	PageToken    string
}

// SearchMessages finds messages in the caller's conversations, newest first.
func (s *Service) SearchMessages(ctx context.Context, caller Caller, r SearchRequest) ([]Message, string, error) {
	words := searchWords(r.Query)
	if len(words) == 0 {
		return nil, "", Invalid("query", "query needs at least one letter or digit")
	}
	var at, id, seq int64
	if err := parsePageToken(r.PageToken, searchPage, &at, &id, &seq); err != nil {
		return nil, "", err
	}
	q := SearchQuery{
		User: caller.User, Conversation: r.Conversation, Words: words, Limit: pageLimit(r.PageSize, 20, 100),
	}
	if r.PageToken != "" {
		q.Before = SearchCursor{time.UnixMilli(at), ConversationID(id), Seq(seq)}
	}
	if r.Conversation != 0 {
		if _, err := s.member(ctx, caller, r.Conversation, readConversation); err != nil {
			return nil, "", err
		}
	}
	messages, err := s.store.SearchMessages(ctx, q)
	if err != nil {
		return nil, "", err
	}
	if err := s.markFoundRead(ctx, caller, messages); err != nil {
		return nil, "", err
	}
	if len(messages) < q.Limit {
		return messages, "", nil
	}
	last := messages[len(messages)-1]
	return messages, pageToken(searchPage, last.Time.UnixMilli(), int64(last.Conversation), int64(last.Seq)), nil
}

// markFoundRead computes Read of messages of several conversations. Found ones are few.
func (s *Service) markFoundRead(ctx context.Context, caller Caller, messages []Message) error {
	done := make(map[ConversationID]bool)
	for i := range messages {
		id := messages[i].Conversation
		if done[id] {
			continue
		}
		done[id] = true
		m, ok, err := s.store.Member(ctx, MemberKey{id, caller.User})
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		var at []int
		var of []Message
		for j := i; j < len(messages); j++ {
			if messages[j].Conversation == id {
				at, of = append(at, j), append(of, messages[j])
			}
		}
		if err := s.markMessagesRead(ctx, m, of); err != nil {
			return err
		}
		for k, j := range at {
			messages[j] = of[k]
		}
	}
	return nil
}

// maxSearchWords bounds the work of one search.
const maxSearchWords = 16

// searchWords splits a query into words of letters, digits and marks; a "*" right after a word makes it a beginning.
func searchWords(query string) []string {
	var words []string
	var word strings.Builder
	flush := func(suffix string) {
		if word.Len() > 0 && len(words) < maxSearchWords {
			words = append(words, word.String()+suffix)
		}
		word.Reset()
	}
	for _, r := range query {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) && word.Len() > 0:
			word.WriteRune(r)
		case r == '*':
			flush("*")
		default:
			flush("")
		}
	}
	flush("")
	return words
}
