package chat

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// syncStore is a store whose logs are a few numbers: heads per conversation, tops per shard.
type syncStore struct {
	Store
	tops    Positions
	ids     map[int64]uint64 // of shard 0
	heads   map[ConversationID]Seq
	changed []Summary
	grown   Seq // how many events each conversation has got between the read of its head and that of its events
}

func (s *syncStore) Shards() int { return len(s.tops.Nos) }

func (s *syncStore) Tops(context.Context) (Positions, error) { return s.tops, nil }

func (s *syncStore) BatchIDs(_ context.Context, nos []int64) ([]uint64, error) {
	ids := make([]uint64, len(nos))
	for i, no := range nos {
		ids[i] = s.ids[no]
	}
	return ids, nil
}

func (s *syncStore) Summaries(_ context.Context, user UserID, ids []ConversationID) (out []Summary, _ error) {
	for _, id := range ids {
		if head, ok := s.heads[id]; ok {
			out = append(out, Summary{
				Conversation: Conversation{ID: id}, Head: Head{LastSeq: head}, Self: MemberInfo{Member: Member{Conversation: id, User: user, JoinedSeq: 1}},
			})
		}
	}
	return out, nil
}

func (s *syncStore) ChangedSummaries(_ context.Context, _ UserID, _ []int64, after ConversationID, limit int) ([]Summary, error) {
	i := slices.IndexFunc(s.changed, func(x Summary) bool { return x.Conversation.ID > after })
	if i < 0 {
		return nil, nil
	}
	return s.changed[i:min(len(s.changed), i+limit)], nil
}

func (s *syncStore) Events(_ context.Context, positions []EventPosition, limit, _ int) (events []Event, more bool, _ error) {
	for _, p := range positions {
		for seq := p.After + 1; seq <= s.heads[p.Conversation]+s.grown; seq++ {
			if len(events) == limit {
				return events, true, nil
			}
			events = append(events, Event{Conversation: p.Conversation, Seq: seq})
		}
	}
	return events, false, nil
}

// recorder is a sink that keeps what it is told.
type recorder struct {
	kind      ResumeKind
	summaries []ConversationID
	events    map[ConversationID][]Seq
	resyncs   map[ConversationID]Seq
	fail      int // the call that fails, counted from 1; 0: none
	calls     int
}

var errSink = errors.New("the stream is gone")

func (r *recorder) step() error {
	if r.calls++; r.calls == r.fail {
		return errSink
	}
	return nil
}

func (r *recorder) Ready(k ResumeKind) error { r.kind = k; return r.step() }

func (r *recorder) Summary(s Summary) error {
	r.summaries = append(r.summaries, s.Conversation.ID)
	return r.step()
}

func (r *recorder) Event(e Event) error {
	if r.events == nil {
		r.events = map[ConversationID][]Seq{}
	}
	r.events[e.Conversation] = append(r.events[e.Conversation], e.Seq)
	return r.step()
}

func (r *recorder) Resync(id ConversationID, head Seq) error {
	if r.resyncs == nil {
		r.resyncs = map[ConversationID]Seq{}
	}
	r.resyncs[id] = head
	return r.step()
}

func positions(epoch, no int64) Positions {
	return Positions{Epoch: epoch, Nos: []int64{no}, IDs: []uint64{uint64(no) * 1000}}
}

func TestResumeKinds(t *testing.T) {
	store := &syncStore{tops: positions(1, 10), ids: map[int64]uint64{7: 7000, 8: 8000, 10: 10000}}
	s := &Service{store: store}
	other := positions(1, 7)
	other.IDs[0] = 1234
	otherEnd := positions(1, 10)
	otherEnd.IDs[0] = 1234
	two := Positions{Epoch: 1, Nos: []int64{1, 2}, IDs: []uint64{1, 2}}
	for _, c := range []struct {
		name  string
		token []byte
		at    Positions
		want  ResumeKind
	}{
		{"no token", nil, positions(1, 8), Full},
		{"at the end of the log", Token(positions(1, 10)), positions(1, 10), Resumed},
		{"at the same place, and the log is further", Token(positions(1, 8)), positions(1, 8), Delta},
		{"behind", Token(positions(1, 7)), positions(1, 8), Delta},
		{"behind what the log still has", Token(positions(1, 3)), positions(1, 8), Delta},
		{"ahead of this node, not of the log", Token(positions(1, 9)), positions(1, 8), Delta},
		{"ahead of this node, at the end of the log", Token(positions(1, 10)), positions(1, 8), Resumed},
		{"ahead of the log", Token(positions(1, 11)), positions(1, 8), Reset},
		{"of another epoch", Token(positions(2, 7)), positions(1, 8), Reset},
		{"of another history", Token(other), positions(1, 8), Reset},
		{"of another history, at the end of the log", Token(otherEnd), positions(1, 10), Reset},
		{"of another number of shards", Token(two), positions(1, 8), Reset},
		{"from the very beginning", Token(positions(1, 0)), positions(1, 0), Delta},
	} {
		kind, _, err := s.resumeKind(t.Context(), c.token, c.at)
		if err != nil || kind != c.want {
			t.Errorf("%s: %d, %v; want %d", c.name, kind, err, c.want)
		}
	}
	if _, _, err := s.resumeKind(t.Context(), []byte("junk"), positions(1, 8)); !IsReason(err, ReasonInvalidToken) {
		t.Errorf("junk: %v", err)
	}
}

func TestResumeSendsExactlyTheSuffix(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		store := &syncStore{tops: positions(1, 10), heads: map[ConversationID]Seq{}}
		var at []EventPosition
		for id := ConversationID(1); id <= ConversationID(rapid.IntRange(0, 6).Draw(rt, "conversations")); id++ {
			if rapid.IntRange(0, 5).Draw(rt, "member") > 0 {
				store.heads[id] = Seq(rapid.Int64Range(2, 1400).Draw(rt, "head"))
			}
			at = append(at, EventPosition{id, Seq(rapid.Int64Range(0, 1500).Draw(rt, "after"))})
		}
		s, r := &Service{store: store}, new(recorder)
		if err := s.Resume(context.Background(), alice, ResumeRequest{Positions: at, At: positions(1, 10)}, r); err != nil {
			rt.Fatal(err)
		}
		for _, p := range at {
			head, member := store.heads[p.Conversation]
			got, resync := r.resyncs[p.Conversation]
			switch {
			case !member:
				if !resync || got != 0 {
					rt.Fatalf("no member: resync %v to %d", resync, got)
				}
			case p.After > head || head-p.After > maxCatchUp:
				if !resync || got != head || len(r.events[p.Conversation]) > 0 {
					rt.Fatalf("from %d to head %d: resync %v to %d, %d events", p.After, head, resync, got, len(r.events[p.Conversation]))
				}
			default:
				var want []Seq
				for seq := p.After + 1; seq <= head; seq++ {
					want = append(want, seq)
				}
				if resync || !slices.Equal(r.events[p.Conversation], want) {
					rt.Fatalf("from %d to %d: got %v", p.After, head, r.events[p.Conversation])
				}
			}
		}
	})
}

// TestNothingIsReadPastTheMembership: what came after the head was read may have come after a removal, too.
func TestNothingIsReadPastTheMembership(t *testing.T) {
	s := &Service{store: &syncStore{tops: positions(1, 10), heads: map[ConversationID]Seq{1: 5, 2: 7}, grown: 3}}
	at := []EventPosition{{1, 2}, {2, 6}}
	want := map[ConversationID][]Seq{1: {3, 4, 5}, 2: {7}}
	r := new(recorder)
	if err := s.Resume(t.Context(), alice, ResumeRequest{Positions: at, At: positions(1, 10)}, r); err != nil || !reflect.DeepEqual(r.events, want) {
		t.Errorf("resume: %v, %v", r.events, err)
	}
	list, err := s.ListEvents(t.Context(), alice, at, 0)
	if err != nil || len(list.Events) != 4 {
		t.Errorf("list: %v, %v", list.Events, err)
	}
}

func TestResumeEndsWithItsStream(t *testing.T) {
	store := &syncStore{tops: positions(1, 10), heads: map[ConversationID]Seq{1: 5, 2: 2000}}
	store.changed, _ = store.Summaries(t.Context(), 1, []ConversationID{1, 2})
	for n := 1; n <= 9; n++ { // ready, 2 summaries, 1 resync, 5 events
		r := &recorder{fail: n}
		err := (&Service{store: store}).Resume(t.Context(), alice, ResumeRequest{
			Positions: []EventPosition{{1, 0}, {2, 0}}, At: positions(1, 10),
		}, r)
		if !errors.Is(err, errSink) || r.calls != n {
			t.Errorf("failing at call %d: %v after %d calls", n, err, r.calls)
		}
	}
}

func TestSyncPagesCoverEverythingOnceAndEndWithTheFirstPagesToken(t *testing.T) {
	store := &syncStore{tops: positions(1, 10), heads: map[ConversationID]Seq{}}
	var ids []ConversationID
	for id := ConversationID(1); id <= 25; id++ {
		store.heads[id] = 1
		ids = append(ids, id)
	}
	store.changed, _ = store.Summaries(t.Context(), 1, ids)
	s := &Service{store: store}
	var got []ConversationID
	var page SyncPage
	for next := ""; ; next = page.NextPageToken {
		var err error
		if page, err = s.Sync(t.Context(), alice, nil, 10, next); err != nil {
			t.Fatal(err)
		}
		for _, x := range page.Summaries {
			got = append(got, x.Conversation.ID)
		}
		store.tops = positions(1, store.tops.Nos[0]+1) // something happens between the pages
		if page.NextPageToken == "" {
			break
		}
	}
	if !slices.Equal(got, ids) || page.Kind != Full {
		t.Errorf("got %v", got)
	}
	if !slices.Equal(page.Token, Token(positions(1, 10))) {
		t.Error("the token doesn't stand for the first page's read")
	}
	again, err := s.Sync(t.Context(), alice, Token(store.tops), 10, "")
	if err != nil || again.Kind != Resumed || len(again.Summaries) != 0 || len(again.Token) == 0 {
		t.Errorf("current token: %+v, %v", again, err)
	}
	if _, err := s.Sync(t.Context(), alice, []byte("junk"), 10, ""); !IsReason(err, ReasonInvalidToken) {
		t.Errorf("junk token: %v", err)
	}
	if _, err := s.Sync(t.Context(), alice, nil, 10, "junk"); !IsReason(err, ReasonInvalidToken) {
		t.Errorf("junk page token: %v", err)
	}
}

func TestListEvents(t *testing.T) {
	s := &Service{store: &syncStore{tops: positions(1, 1), heads: map[ConversationID]Seq{1: 3, 2: 300}}}
	list, err := s.ListEvents(t.Context(), alice, []EventPosition{{1, 1}, {3, 0}, {2, 0}}, 0)
	if err != nil || len(list.Events) != 200 || !list.HasMore || !reflect.DeepEqual(list.NotFound, []ConversationID{3}) {
		t.Errorf("%d events, more %v, not found %v, %v", len(list.Events), list.HasMore, list.NotFound, err)
	}
	if list.Events[0].Seq != 2 || list.Events[2].Conversation != 2 {
		t.Errorf("begins with %+v", list.Events[:3])
	}
	if _, err := s.ListEvents(t.Context(), alice, []EventPosition{{1, 1}, {1, 2}}, 0); !IsReason(err, ReasonInvalidField) {
		t.Errorf("one conversation twice: %v", err)
	}
}

func TestSearchWords(t *testing.T) {
	for query, want := range map[string][]string{
		"hello world": {"hello", "world"}, "hel*": {"hel*"}, `"a" OR b; --`: {"a", "OR", "b"}, "": nil, "* %_'": nil,
		"naïve café": {"naïve", "café"}, "日本 語": {"日本", "語"}, "a*b": {"a*", "b"},
	} {
		if got := searchWords(query); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", query, got, want)
		}
	}
	long := ""
	for range 100 {
		long += "w "
	}
	if got := searchWords(long); len(got) != maxSearchWords {
		t.Errorf("%d words", len(got))
	}
}
