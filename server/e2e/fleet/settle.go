package fleet

import (
	"context"
	"fmt"
	"time"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/e2e/history"
)

// settleEvery is the time between two looks at whether all has come to rest.
const settleEvery = 100 * time.Millisecond

// Settle waits until no message is under way and every device has what a fresh client gets, or until patience is over, fetches everything and returns the run
// for the checker. That something never came to rest is for the checker to say: the error is only about fetching.
func (f *Fleet) Settle(ctx context.Context, patience time.Duration) (history.Run, error) {
	deadline := time.Now().Add(patience)
	for {
		rest, err := f.atRest(ctx)
		if err != nil && ctx.Err() != nil {
			return history.Run{}, err
		}
		if over := time.Now().After(deadline); rest || over {
			run, err := f.collect(ctx)
			if over || err == nil && converged(&run) {
				return run, err
			}
		}
		select {
		case <-time.After(settleEvery):
		case <-ctx.Done():
			return history.Run{}, ctx.Err()
		}
	}
}

// converged reports whether nothing has happened while the run was collected, such as a mark that a client had held back.
func converged(run *history.Run) bool {
	for d, mirror := range run.Mirrors {
		if len(history.Diff(mirror, run.Fresh[d.User])) > 0 {
			return false
		}
	}
	return true
}

// atRest compares all but the messages.
func (f *Fleet) atRest(ctx context.Context) (bool, error) {
	for _, d := range f.Devices() {
		if !d.Mirror.Live() || len(d.Client.Pending()) > 0 {
			return false, nil
		}
	}
	fresh := map[*User]map[string]*history.View{}
	for _, d := range f.Devices() {
		if fresh[d.User] == nil {
			views, err := d.User.Fetch(ctx, false)
			if err != nil {
				return false, err
			}
			fresh[d.User] = views
		}
		if len(history.Diff(d.Mirror.Views(false), fresh[d.User])) > 0 {
			return false, nil
		}
	}
	for _, p := range f.presence() {
		if p.Online != p.Should {
			return false, nil
		}
	}
	return true, nil
}

// collect fetches what is stored and joins it with what was recorded.
func (f *Fleet) collect(ctx context.Context) (history.Run, error) {
	run := history.Run{
		History: f.Recorder.History(), // first, so that what was recorded is stored by the time of the fetch
		Logs:    map[string]*history.Log{}, Mirrors: map[*history.Device]map[string]*history.View{}, Fresh: map[string]map[string]*history.View{},
		Presence: f.presence(),
	}
	for _, u := range f.Users() {
		views, err := u.Fetch(ctx, true)
		if err != nil {
			return run, err
		}
		run.Fresh[u.ID] = views
		for id := range views {
			if run.Logs[id] == nil {
				if run.Logs[id], err = u.Log(ctx, id); err != nil {
					return run, err
				}
			}
		}
	}
	for _, d := range f.Devices() {
		run.Mirrors[d.Record] = d.Mirror.Views(true)
	}
	return run, nil
}

// Fetch returns the user's conversations as a fresh client gets them, with or without the messages.
func (u *User) Fetch(ctx context.Context, messages bool) (map[string]*history.View, error) {
	summaries, err := u.observer.Conversations(ctx)
	if err != nil {
		return nil, fmt.Errorf("fetch conversations of %s: %w", u.Name, err)
	}
	views := make(map[string]*history.View, len(summaries))
	for _, s := range summaries {
		v, err := u.fetchView(ctx, s, messages)
		if err != nil {
			return nil, fmt.Errorf("fetch a conversation of %s: %w", u.Name, err)
		}
		views[s.GetConversation().GetId()] = v
	}
	return views, nil
}

func (u *User) fetchView(ctx context.Context, s *chatv1.ConversationSummary, messages bool) (*history.View, error) {
	id := s.GetConversation().GetId()
	v := &history.View{
		Title: s.GetConversation().GetTitle(), Head: s.GetLastSeq(), Unread: s.GetUnreadCount(),
		Members: map[string]history.Member{}, Marks: map[string]history.Marks{},
	}
	members, receipts, err := u.observer.Members(ctx, id)
	if err != nil {
		return nil, err
	}
	for i, m := range members {
		member, marks := toMember(m), toMarks(receipts[i])
		marks.User = member.User
		v.Members[member.User], v.Marks[member.User] = member, marks
	}
	if !messages {
		return v, nil
	}
	v.Messages = map[int64]history.Message{}
	for before := int64(0); ; {
		page, err := u.observer.Messages(ctx, id, client.Page{Before: before, Limit: 200})
		if err != nil {
			return nil, err
		}
		for _, m := range page.GetMessages() {
			v.Messages[m.GetSeq()] = *toMessage(m)
		}
		if len(page.GetMessages()) == 0 || !page.GetHasMore() {
			return v, nil
		}
		before = page.GetMessages()[0].GetSeq()
	}
}

// Log reads a conversation's log from its beginning.
func (u *User) Log(ctx context.Context, id string) (*history.Log, error) {
	l := &history.Log{Conversation: id}
	for after := int64(0); ; {
		page, err := u.observer.Chat().ListEvents(ctx, &chatv1.ListEventsRequest{
			Positions: []*chatv1.Position{{ConversationId: id, Seq: after}}, Limit: 500,
		})
		if err != nil {
			return nil, fmt.Errorf("read the log of %s: %w", id, err)
		}
		for _, e := range page.GetEvents() {
			if event, ok := toEvent(e); ok {
				l.Events = append(l.Events, event)
			}
			after = e.GetSeq()
		}
		if len(page.GetEvents()) == 0 || !page.GetHasMore() {
			break
		}
	}
	s, err := u.observer.Conversation(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read the head of %s: %w", id, err)
	}
	l.Head = s.GetLastSeq()
	return l, nil
}

// WatchAll makes every device watch the presence of all users.
func (f *Fleet) WatchAll() error {
	for _, d := range f.Devices() {
		if err := d.Client.WatchPresence(f.ids()...); err != nil {
			return err
		}
		d.mu.Lock()
		d.watching = true
		d.mu.Unlock()
	}
	return nil
}

// ids are those of all users.
func (f *Fleet) ids() []string {
	var ids []string
	for _, u := range f.Users() {
		ids = append(ids, u.ID)
	}
	return ids
}

// presence returns what the watching devices think of those with whom their users share a conversation.
func (f *Fleet) presence() []history.Presence {
	devices := f.Devices()
	online := map[string]bool{}
	for _, d := range devices {
		online[d.User.ID] = true
	}
	var out []history.Presence
	for _, d := range devices {
		if !d.watches() {
			continue
		}
		for user := range d.Mirror.peers() {
			out = append(out, history.Presence{Watcher: d.Name, User: user, Online: d.Mirror.Online(user), Should: online[user]})
		}
	}
	return out
}
