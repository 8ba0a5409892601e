package chat

import (
	"context"
	"slices"

	"github.com/natterjack-chat/natterjack/server/internal/planted"
)

// ResumeKind says how much of a client's state could be built on. Numbers are those of the schema.
type ResumeKind int

// The kinds; the schema explains them.
const (
	Resumed ResumeKind = 1
	Delta   ResumeKind = 2
	Full    ResumeKind = 3
	Reset   ResumeKind = 4
)

const (
	// maxCatchUp is how many events of one conversation a resume sends; a client further behind fetches by itself.
	maxCatchUp = 1000
	// catchUpPage and catchUpBytes bound what a resume, or one page of ListEvents, holds in memory.
	catchUpPage  = 500
	catchUpBytes = 512 << 10
	summaryPage  = 200
)

// ResumeRequest is what a client says of where it stands.
type ResumeRequest struct {
	Token     []byte
	Positions []EventPosition
	// At is where the client's stream joined in: everything applied up to here came before it, everything later it gets live.
	At Positions
}

// ResumeSink takes what a resuming client has to be told, in order. An error ends the resume and is returned from it.
type ResumeSink interface {
	Ready(ResumeKind) error
	Summary(Summary) error
	Event(Event) error
	// Resync says that the client has to fetch a conversation by itself; head 0 that it is no member.
	Resync(id ConversationID, head Seq) error
}

// Resume tells sink everything that a client with this token and these positions doesn't know of the time up to req.At, and maybe
// later things, which then come twice. The caller has joined the client's stream to its conversations before. Errors: ReasonInvalidToken, and those of sink and store.
//
// It is exact because the reads come after the joining: what is committed before the read is read, what is applied after the joining
// comes live, and nothing is neither. ("Read the position first, then the data"; Zulip's register.)
func (s *Service) Resume(ctx context.Context, caller Caller, req ResumeRequest, sink ResumeSink) error {
	kind, since, err := s.resumeKind(ctx, req.Token, req.At)
	if err != nil {
		return err
	}
	if err := sink.Ready(kind); err != nil {
		return err
	}
	if kind != Resumed {
		if err := s.resumeSummaries(ctx, caller, since, sink); err != nil {
			return err
		}
	}
	return s.resumeEvents(ctx, caller, req.Positions, kind == Reset, sink)
}

// resumeKind holds a client's token against the store's positions, and returns the numbers after which to look for changes (nil: all).
func (s *Service) resumeKind(ctx context.Context, token []byte, at Positions) (ResumeKind, []int64, error) {
	if len(token) == 0 {
		return Full, nil, nil
	}
	t, ok := parseSyncToken(token)
	if !ok {
		return 0, nil, InvalidToken("token")
	}
	if t.epoch != at.Epoch || len(t.shards) != len(at.Nos) {
		return Reset, nil, nil
	}
	// The token may come from a node that was ahead of this one; from beyond the end of the log it can't come. And where this node is behind the log, at the
	// token's place, something is missing: a conversation that the caller's memberships have already would come live before anything has told of it.
	kind, ids := Delta, []uint64(nil)
	if ahead(t, at) || t.samePositions(at) {
		tops, err := s.store.Tops(ctx)
		switch {
		case err != nil:
			return 0, nil, err
		case tops.Epoch != t.epoch || ahead(t, tops):
			return Reset, nil, nil
		case t.samePositions(tops):
			kind, ids = Resumed, tops.IDs
		}
	}
	if kind == Delta {
		var err error
		if ids, err = s.store.BatchIDs(ctx, t.nos()); err != nil {
			return 0, nil, err
		}
	}
	for i, p := range t.shards {
		if ids[i] != 0 && uint16(ids[i]) != p.id {
			return Reset, nil, nil // another history than the one this client saw
		}
	}
	return kind, t.nos(), nil
}

func ahead(t syncToken, p Positions) bool {
	for i, s := range t.shards {
		if s.no > p.Nos[i] {
			return true
		}
	}
	return false
}

func (s *Service) resumeSummaries(ctx context.Context, caller Caller, since []int64, sink ResumeSink) error {
	var after ConversationID
	for {
		page, err := s.store.ChangedSummaries(ctx, caller.User, since, after, summaryPage)
		if err != nil {
			return err
		}
		for i := range page {
			markRead(&page[i])
			if err := sink.Summary(page[i]); err != nil {
				return err
			}
		}
		if len(page) < summaryPage {
			return nil
		}
		after = page[len(page)-1].Conversation.ID
	}
}

// resumeEvents sends the missing events of the conversations that the client shows.
func (s *Service) resumeEvents(ctx context.Context, caller Caller, positions []EventPosition, reset bool, sink ResumeSink) error {
	heads, err := s.heads(ctx, caller, positions)
	if err != nil {
		return err
	}
	var missing []EventPosition
	for _, p := range positions {
		head := heads[p.Conversation]
		switch {
		case head == 0 || reset || p.After > head || head-p.After > maxCatchUp:
			if err := sink.Resync(p.Conversation, head); err != nil {
				return err
			}
		case p.After < head:
			if planted.Bug(planted.ResumeFromNext) {
				p.After++
			}
			missing = append(missing, p)
		}
	}
	for more := len(missing) > 0; more; {
		var events []Event
		if events, more, err = s.store.Events(ctx, missing, catchUpPage, catchUpBytes); err != nil {
			return err
		}
		for _, e := range upTo(heads, events) {
			if err := sink.Event(e); err != nil {
				return err
			}
		}
		missing = advance(missing, events)
	}
	return nil
}

// upTo leaves out what came after the heads, which were read together with the memberships: by then the caller may have been removed. A
// stream gets it live, if it still has the right to.
func upTo(heads map[ConversationID]Seq, events []Event) []Event {
	return slices.DeleteFunc(slices.Clone(events), func(e Event) bool { return e.Seq > heads[e.Conversation] })
}

// advance moves positions past the events read. Conversations before the one that the page ended in are complete.
func advance(positions []EventPosition, events []Event) []EventPosition {
	if len(events) == 0 {
		return nil
	}
	last := events[len(events)-1]
	i := slices.IndexFunc(positions, func(p EventPosition) bool { return p.Conversation == last.Conversation })
	rest := slices.Clone(positions[i:])
	rest[0].After = last.Seq
	return rest
}

// heads returns the heads of those conversations of which the caller is a member.
func (s *Service) heads(ctx context.Context, caller Caller, positions []EventPosition) (map[ConversationID]Seq, error) {
	heads := make(map[ConversationID]Seq, len(positions))
	if len(positions) == 0 {
		return heads, nil
	}
	ids := make([]ConversationID, len(positions))
	for i, p := range positions {
		ids[i] = p.Conversation
	}
	summaries, err := s.store.Summaries(ctx, caller.User, ids)
	if err != nil {
		return nil, err
	}
	for _, m := range summaries {
		if m.Self.Active() {
			heads[m.Conversation.ID] = m.Head.LastSeq
		}
	}
	return heads, nil
}

// SyncPage is one page of what changed for a user.
type SyncPage struct {
	Summaries     []Summary
	NextPageToken string // empty on the last page
	Token         []byte // on the last page
	Kind          ResumeKind
}

// Sync reads what changed for the caller since a token, in pages of 1 to 500, 100 where pageSize is 0. The token that the last page gives stands for
// the time of the first page's read, so nothing that changed meanwhile is missed by the next Sync.
func (s *Service) Sync(ctx context.Context, caller Caller, token []byte, pageSize int, pageTok string) (SyncPage, error) {
	size := pageLimit(pageSize, 100, 500)
	start, after, kind, err := s.syncStart(ctx, token, pageTok)
	if err != nil {
		return SyncPage{}, err
	}
	page := SyncPage{Kind: kind}
	if kind == Resumed {
		page.Token = Token(start)
		return page, nil
	}
	var since []int64
	if kind == Delta {
		t, _ := parseSyncToken(token) // syncStart has read it
		since = t.nos()
	}
	if page.Summaries, err = s.store.ChangedSummaries(ctx, caller.User, since, after, size); err != nil {
		return SyncPage{}, err
	}
	for i := range page.Summaries {
		markRead(&page.Summaries[i])
	}
	if len(page.Summaries) < size {
		page.Token = Token(start)
		return page, nil
	}
	fields := []int64{int64(page.Summaries[size-1].Conversation.ID), int64(kind), start.Epoch}
	for i := range start.Nos {
		fields = append(fields, start.Nos[i], int64(start.IDs[i]))
	}
	page.NextPageToken = pageToken(syncPage, fields...)
	return page, nil
}

// syncStart returns the positions that a Sync began at, from the store on the first page and from the page token on later ones.
func (s *Service) syncStart(ctx context.Context, token []byte, pageTok string) (Positions, ConversationID, ResumeKind, error) {
	if pageTok == "" {
		tops, err := s.store.Tops(ctx)
		if err != nil {
			return Positions{}, 0, 0, err
		}
		kind, _, err := s.resumeKind(ctx, token, tops)
		return tops, 0, kind, err
	}
	shards := s.store.Shards()
	p := Positions{Nos: make([]int64, shards), IDs: make([]uint64, shards)}
	ids := make([]int64, shards)
	var after, kind int64
	fields := []*int64{&after, &kind, &p.Epoch}
	for i := range shards {
		fields = append(fields, &p.Nos[i], &ids[i])
	}
	if err := parsePageToken(pageTok, syncPage, fields...); err != nil {
		return Positions{}, 0, 0, err
	}
	for i, id := range ids {
		p.IDs[i] = uint64(id)
	}
	if t, ok := parseSyncToken(token); ResumeKind(kind) == Delta && (!ok || len(t.shards) != shards) {
		return Positions{}, 0, 0, InvalidToken("token")
	}
	return p, ConversationID(after), ResumeKind(kind), nil
}

// EventList is one page of events of several conversations.
type EventList struct {
	Events   []Event
	HasMore  bool
	NotFound []ConversationID
}

// ListEvents reads the logs of several conversations after given places, at most limit events (1 to 500; 200 where it is 0) and about 512 KiB.
func (s *Service) ListEvents(ctx context.Context, caller Caller, positions []EventPosition, limit int) (EventList, error) {
	seen := make(map[ConversationID]bool, len(positions))
	for _, p := range positions {
		if seen[p.Conversation] {
			return EventList{}, Invalid("positions", "positions names the conversation "+p.Conversation.String()+" twice")
		}
		seen[p.Conversation] = true
	}
	heads, err := s.heads(ctx, caller, positions)
	if err != nil {
		return EventList{}, err
	}
	var list EventList
	var wanted []EventPosition
	for _, p := range positions {
		head, ok := heads[p.Conversation]
		switch {
		case !ok:
			list.NotFound = append(list.NotFound, p.Conversation)
		case p.After < head:
			wanted = append(wanted, p)
		}
	}
	if len(wanted) > 0 {
		list.Events, list.HasMore, err = s.store.Events(ctx, wanted, pageLimit(limit, 200, catchUpPage), catchUpBytes)
		list.Events = upTo(heads, list.Events)
	}
	return list, err
}

// markRead computes Read of a summary's last message from the marks that the summary holds.
func markRead(s *Summary) {
	m := s.LastMessage
	if m == nil {
		return
	}
	if m.Sender != s.Self.User {
		m.Read = m.Seq <= s.Self.ReadSeq
		return
	}
	m.Read = slices.ContainsFunc(s.Peers, func(r Receipt) bool { return r.ReadSeq >= m.Seq })
}
