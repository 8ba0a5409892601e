package client

import (
	"fmt"
	"testing"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
)

func ev(conversation string, seq int64) *chatv1.Event {
	return &chatv1.Event{ConversationId: conversation, Seq: seq, Event: &chatv1.Event_Message{
		Message: &chatv1.Message{ConversationId: conversation, Seq: seq, ChangedSeq: seq},
	}}
}

func summaryEvent(conversation string, head, left int64) *chatv1.Event {
	return &chatv1.Event{Event: &chatv1.Event_Summary{Summary: &chatv1.ConversationSummary{
		Conversation: &chatv1.Conversation{Id: conversation}, Self: &chatv1.Member{LeftSeq: left}, LastSeq: head,
	}}}
}

func resyncEvent(conversation string, head int64) *chatv1.Event {
	return &chatv1.Event{Event: &chatv1.Event_Resync{Resync: &chatv1.Resync{ConversationId: conversation, LastSeq: head}}}
}

func caughtUpEvent(token string) *chatv1.Event {
	return &chatv1.Event{Event: &chatv1.Event_CaughtUp{CaughtUp: &chatv1.CaughtUp{Token: []byte(token)}}}
}

// told returns what an inbox hands over, in short: "c1#3" for a durable event, "c1:gap 2-9", "c1:reset", "caughtup x" …
func told(in *inbox) []string {
	var all []string
	for {
		e, ok, _ := in.pop()
		if !ok {
			return all
		}
		switch b := e.Body.(type) {
		case *Gap:
			all = append(all, fmt.Sprintf("%s:gap %d-%d", e.Conversation, b.After, b.Head))
		case *Reset:
			all = append(all, e.Conversation+":reset")
		case *Gone:
			all = append(all, e.Conversation+":gone")
		case *CaughtUp:
			all = append(all, "caughtup "+string(b.Token))
		case *chatv1.ConversationSummary:
			if b.GetSelf().GetLeftSeq() > 0 {
				all = append(all, e.Conversation+":left")
			} else {
				all = append(all, fmt.Sprintf("%s:summary %d", e.Conversation, b.GetLastSeq()))
			}
		case *chatv1.Receipt:
			all = append(all, fmt.Sprintf("%s:receipt %s %d", e.Conversation, b.GetUserId(), b.GetReadSeq()))
		case *chatv1.Typing:
			all = append(all, e.Conversation+":typing")
		case State:
			all = append(all, fmt.Sprintf("%T", b))
		default:
			all = append(all, fmt.Sprintf("%s#%d", e.Conversation, e.Seq))
		}
	}
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("got  %v\nwant %v", got, want)
	}
}

// live returns an inbox that has caught up with conversations c1, at seq 5, and c2, at seq 9.
func live(full bool, limit int) *inbox {
	in := newInbox(full, limit, Checkpoint{Token: []byte("t0"), Seqs: map[string]int64{"c1": 5, "c2": 9}})
	in.hello()
	in.ready(chatv1.ResumeKind_RESUME_KIND_RESUMED)
	in.apply(caughtUpEvent("t1"))
	told(in)
	return in
}

func TestEventsAreAppliedBySeq(t *testing.T) {
	for name, test := range map[string]struct {
		come []int64
		want []string
		hole bool
	}{
		"in order":         {[]int64{6, 7}, []string{"c1#6", "c1#7"}, false},
		"again":            {[]int64{5, 6, 6, 5, 7}, []string{"c1#6", "c1#7"}, false},
		"beyond a hole":    {[]int64{6, 8, 9}, []string{"c1#6"}, true},
		"late":             {[]int64{7, 8, 6, 9}, []string{"c1#6", "c1#7", "c1#8", "c1#9"}, false},
		"held twice":       {[]int64{7, 7, 8, 7, 6}, []string{"c1#6", "c1#7", "c1#8"}, false},
		"two holes":        {[]int64{7, 10, 6}, []string{"c1#6"}, true},
		"hole in the held": {[]int64{8, 7, 6, 7}, []string{"c1#6", "c1#7", "c1#8"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			in := live(true, 100)
			for _, seq := range test.come {
				in.apply(ev("c1", seq))
			}
			want(t, told(in), test.want...)
			if in.canFetch() != test.hole {
				t.Fatalf("canFetch %v, want %v", in.canFetch(), test.hole)
			}
		})
	}
}

func TestHoleIsFetchedAndWhatWaitedFollows(t *testing.T) {
	in := live(false, 100) // a hole in the live stream is repaired in Window mode too
	in.apply(ev("c1", 8))
	in.apply(ev("c1", 9))
	positions := in.missing()
	if len(positions) != 1 || positions[0].GetConversationId() != "c1" || positions[0].GetSeq() != 5 {
		t.Fatalf("missing %v, want c1 after 5", positions)
	}
	in.apply(caughtUpEvent("t2"))
	want(t, told(in)) // the token waits for the hole
	if in.fetched(&chatv1.ListEventsResponse{Events: []*chatv1.Event{ev("c1", 9)}}) {
		t.Fatal("a page with a hole counts as progress")
	}
	if !in.fetched(&chatv1.ListEventsResponse{Events: []*chatv1.Event{ev("c1", 6), ev("c1", 7), ev("c1", 8)}}) {
		t.Fatal("no progress")
	}
	want(t, told(in), "c1#6", "c1#7", "c1#8", "c1#9", "caughtup t2")
	if in.canFetch() {
		t.Fatal("still behind")
	}
}

func TestHeldEventsAreBounded(t *testing.T) {
	in := live(true, 10_000)
	for seq := int64(7); seq < 7+3*maxHeld; seq++ {
		in.apply(ev("c1", seq))
	}
	if n := len(in.convs["c1"].held); n > maxHeld {
		t.Fatalf("%d events held, at most %d wanted", n, maxHeld)
	}
	for in.canFetch() {
		after := in.missing()[0].GetSeq()
		in.fetched(&chatv1.ListEventsResponse{Events: []*chatv1.Event{ev("c1", after+1), ev("c1", after+2)}})
	}
	if got := told(in); len(got) != 1+3*maxHeld {
		t.Fatalf("%d events, want %d", len(got), 1+3*maxHeld)
	}
}

func TestWindowModeAnnouncesWhatItLeavesOut(t *testing.T) {
	in := newInbox(false, 100, Checkpoint{})
	in.hello()
	in.ready(chatv1.ResumeKind_RESUME_KIND_FULL)
	in.apply(summaryEvent("c1", 5, 0))
	in.apply(summaryEvent("c2", 9, 0))
	in.apply(caughtUpEvent("t1"))
	in.apply(ev("c1", 6))
	want(t, told(in), "client.CatchingUp", "c1:summary 5", "c2:summary 9", "caughtup t1", "client.Live", "c1#6")

	in.tracked["c2"] = true
	_, positions := in.hello()
	if len(positions) != 1 || positions[0].GetConversationId() != "c2" || positions[0].GetSeq() != 9 {
		t.Fatalf("positions %v, want only the tracked conversation", positions)
	}
	in.ready(chatv1.ResumeKind_RESUME_KIND_DELTA)
	in.apply(summaryEvent("c1", 20, 0))
	in.apply(summaryEvent("c2", 11, 0))
	in.apply(ev("c2", 10))
	in.apply(ev("c2", 11))
	in.apply(caughtUpEvent("t2"))
	in.apply(ev("c1", 21))
	want(t, told(in), "client.CatchingUp", "c1:gap 6-20", "c1:summary 20", "c2:summary 11", "c2#10", "c2#11", "caughtup t2", "client.Live", "c1#21")
}

func TestResync(t *testing.T) {
	for name, test := range map[string]struct {
		full   bool
		come   []*chatv1.Event
		want   []string
		behind bool
	}{
		"window":              {false, []*chatv1.Event{resyncEvent("c1", 50), ev("c1", 51)}, []string{"c1:gap 5-50", "c1#51"}, false},
		"window, known":       {false, []*chatv1.Event{resyncEvent("c1", 5), ev("c1", 6)}, []string{"c1#6"}, false},
		"window, over a hole": {false, []*chatv1.Event{ev("c1", 7), ev("c1", 8), resyncEvent("c1", 7)}, []string{"c1:gap 5-7"}, true},
		"full":                {true, []*chatv1.Event{resyncEvent("c1", 50), ev("c1", 51)}, nil, true},
		"window, lost end":    {false, []*chatv1.Event{resyncEvent("c1", 3), ev("c1", 4)}, []string{"c1:reset", "c1#4"}, false},
		"full, lost end":      {true, []*chatv1.Event{resyncEvent("c1", 3)}, []string{"c1:reset"}, true},
		"no member":           {true, []*chatv1.Event{resyncEvent("c1", 0)}, []string{"c1:gone"}, false},
		"unknown, window":     {false, []*chatv1.Event{resyncEvent("c3", 7), ev("c3", 8)}, []string{"c3#8"}, false},
		"unknown, full":       {true, []*chatv1.Event{resyncEvent("c3", 7)}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			in := live(test.full, 100)
			for _, e := range test.come {
				in.apply(e)
			}
			want(t, told(in), test.want...)
			if (len(in.behind) > 0) != test.behind {
				t.Fatalf("behind: %v, want %v", in.behind, test.behind)
			}
		})
	}
}

func TestFullModeFetchesARewoundConversationFromItsBeginning(t *testing.T) {
	in := live(true, 100)
	in.apply(resyncEvent("c1", 3))
	if p := in.missing(); len(p) != 1 || p[0].GetSeq() != 0 {
		t.Fatalf("missing %v, want c1 from its beginning", p)
	}
	in.fetched(&chatv1.ListEventsResponse{Events: []*chatv1.Event{ev("c1", 1), ev("c1", 2), ev("c1", 3)}})
	want(t, told(in), "c1:reset", "c1#1", "c1#2", "c1#3")
	if cp := in.checkpoint(); cp.Seqs["c1"] != 3 {
		t.Fatalf("checkpoint %v", cp.Seqs)
	}
}

func TestLeavingAndJoiningBeginsAnew(t *testing.T) {
	in := live(true, 100)
	in.apply(ev("c1", 6))
	in.apply(summaryEvent("c1", 0, 6))
	in.apply(summaryEvent("c1", 9, 0))
	in.apply(ev("c1", 9))
	want(t, told(in), "c1#6", "c1:left", "c1:summary 9")
	if p := in.missing(); len(p) != 1 || p[0].GetSeq() != 0 {
		t.Fatalf("missing %v, want c1 from its beginning", p)
	}
}

func TestConversationThatVanishedIsGone(t *testing.T) {
	in := live(true, 100)
	in.apply(ev("c1", 8))
	if !in.fetched(&chatv1.ListEventsResponse{NotFoundConversationIds: []string{"c1", "never known"}}) {
		t.Fatal("no progress")
	}
	want(t, told(in), "c1:gone")
	if in.canFetch() {
		t.Fatal("still asked for")
	}
}

func TestResetForgetsAllButTheToken(t *testing.T) {
	in := live(true, 100)
	in.apply(ev("c1", 6))
	in.apply(ev("c2", 12)) // beyond a hole
	token, _ := in.hello()
	if string(token) != "t1" {
		t.Fatalf("token %s", token)
	}
	in.ready(chatv1.ResumeKind_RESUME_KIND_RESET)
	if token, positions := in.hello(); string(token) != "t1" || len(positions) != 0 {
		t.Fatalf("token %s, positions %v; want the old token until there is a new one, and nothing else", token, positions)
	}
	in.apply(summaryEvent("c1", 2, 0))
	in.apply(caughtUpEvent("t2"))
	want(t, told(in), ":reset", "client.CatchingUp", "c1:summary 2")
	in.fetched(&chatv1.ListEventsResponse{Events: []*chatv1.Event{ev("c1", 1), ev("c1", 2)}})
	want(t, told(in), "c1#1", "c1#2", "caughtup t2", "client.Live")
}

func TestCheckpointHoldsWhatTheConsumerHasFinished(t *testing.T) {
	in := live(true, 100)
	in.apply(ev("c1", 6))
	in.apply(ev("c1", 7))
	in.apply(caughtUpEvent("t2"))
	in.pop()
	if cp := in.checkpoint(); cp.Seqs["c1"] != 5 || string(cp.Token) != "t1" {
		t.Fatalf("checkpoint %v %s while 6 is being dealt with", cp.Seqs, cp.Token)
	}
	in.pop()
	if cp := in.checkpoint(); cp.Seqs["c1"] != 6 || string(cp.Token) != "t1" {
		t.Fatalf("checkpoint %v %s while 7 is being dealt with", cp.Seqs, cp.Token)
	}
	in.pop()
	in.pop()
	if cp := in.checkpoint(); cp.Seqs["c1"] != 7 || cp.Seqs["c2"] != 9 || string(cp.Token) != "t2" {
		t.Fatalf("checkpoint %v %s at the end", cp.Seqs, cp.Token)
	}
}

func TestPositionsAreThoseUsedLast(t *testing.T) {
	seqs := map[string]int64{}
	for i := range 250 {
		seqs[fmt.Sprintf("c%03d", i)] = 1
	}
	in := newInbox(true, 1000, Checkpoint{Seqs: seqs})
	for i := 200; i < 250; i++ {
		in.apply(ev(fmt.Sprintf("c%03d", i), 2))
	}
	_, positions := in.hello()
	got := map[string]bool{}
	for _, p := range positions {
		got[p.GetConversationId()] = true
	}
	if len(positions) != maxPositions {
		t.Fatalf("%d positions", len(positions))
	}
	for i := 200; i < 250; i++ {
		if !got[fmt.Sprintf("c%03d", i)] {
			t.Fatalf("c%03d is not among them", i)
		}
	}
}

// Past its limit the queue takes no events, and forgets none: durable ones are fetched later, of the rest the newest state is kept.
func TestFullQueueLosesNothingDurable(t *testing.T) {
	in := live(true, 16)
	for seq := int64(6); seq < 26; seq++ {
		in.apply(ev("c1", seq))
	}
	for seq := range int64(10) {
		in.apply(&chatv1.Event{Event: &chatv1.Event_Receipt{Receipt: &chatv1.Receipt{ConversationId: "c1", UserId: "u", ReadSeq: seq}}})
		in.apply(&chatv1.Event{Event: &chatv1.Event_Typing{Typing: &chatv1.Typing{ConversationId: "c1"}}})
		in.apply(&chatv1.Event{Event: &chatv1.Event_Presence{Presence: &chatv1.Presence{UserId: "u"}}})
		in.setState(Connecting{})
		in.apply(summaryEvent("c2", 9, 0))
	}
	in.setState(Live{})
	in.apply(caughtUpEvent("t2"))
	if in.canFetch() {
		t.Fatal("fetches though there is no room")
	}
	var got []string
	for range 8 {
		e, _, _ := in.pop()
		got = append(got, fmt.Sprint(e.Seq))
	}
	want(t, got, "6", "7", "8", "9", "10", "11", "12", "13")
	if !in.rewatch {
		t.Fatal("the presence that was dropped is not asked for again")
	}
	for !in.canFetch() {
		e, _, _ := in.pop()
		got = append(got, fmt.Sprint(e.Seq))
	}
	in.fetched(&chatv1.ListEventsResponse{Events: []*chatv1.Event{ev("c1", 22), ev("c1", 23), ev("c1", 24), ev("c1", 25)}})
	want(t, append(got, told(in)...), "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
		"c1#17", "c1#18", "c1#19", "c1#20", "c1#21", "c2:summary 9", "c1:receipt u 9", "client.Live", "c1#22", "c1#23", "c1#24", "c1#25", "caughtup t2")
}

func TestLagKeepsTheOrderOfLeavingAndJoining(t *testing.T) {
	in := live(false, 16)
	in.apply(summaryEvent("c5", 9, 0))
	told(in)
	for seq := int64(6); seq < 30; seq++ {
		in.apply(ev("c1", seq))
	}
	in.apply(summaryEvent("c2", 12, 0))
	in.apply(resyncEvent("c2", 0))
	in.apply(summaryEvent("c2", 15, 0))
	in.apply(resyncEvent("c2", 20))
	in.apply(resyncEvent("c2", 30))
	in.apply(resyncEvent("c3", 7))
	in.apply(resyncEvent("c3", 8))
	in.apply(resyncEvent("c3", 0)) // what was to be told of it before doesn't matter any more
	in.apply(summaryEvent("c3", 9, 0))
	in.apply(summaryEvent("c4", 3, 2))
	in.apply(resyncEvent("c5", 20))
	in.apply(resyncEvent("c5", 30))
	in.apply(summaryEvent("c5", 30, 0))
	all := told(in)
	var got []string
	for _, s := range all {
		if s[:2] != "c1" {
			got = append(got, s)
		}
	}
	if cp := in.convs["c2"]; cp.done != 30 {
		t.Fatalf("c2 is finished up to %d", cp.done)
	}
	want(t, got, "c2:gone", "c2:summary 15", "c3:gone", "c3:summary 9", "c4:left", "c5:gap 9-30", "c5:summary 30")
}

func TestAConsumerThatNeverLooksCostsLittle(t *testing.T) {
	in := live(true, 16)
	for i := range 100_000 {
		in.setState(Offline{})
		in.setState(Connecting{})
		in.apply(ev("c1", int64(i)))
		in.apply(caughtUpEvent(fmt.Sprint(i)))
	}
	if in.queue.n > 32 || len(in.convs["c1"].held) > maxHeld {
		t.Fatalf("%d events queued, %d held", in.queue.n, len(in.convs["c1"].held))
	}
}

func TestUnknownKindsKeepTheirSeq(t *testing.T) {
	in := live(true, 100)
	in.apply(&chatv1.Event{ConversationId: "c1", Seq: 6})
	in.apply(ev("c1", 7))
	in.apply(&chatv1.Event{}) // neither durable nor known: nothing
	e, ok, _ := in.pop()
	if !ok || e.Body != nil || e.Seq != 6 {
		t.Fatalf("got %+v", e)
	}
	want(t, told(in), "c1#7")
}

func BenchmarkInboxApplyAndPop(b *testing.B) {
	in := live(true, 1024)
	e := ev("c1", 0)
	b.ReportAllocs()
	seq := int64(5)
	for b.Loop() {
		seq++
		e.Seq = seq
		in.apply(e)
		in.pop()
	}
}
