package history

import (
	"slices"
	"strings"
	"testing"
)

const room = "room"

// fixture is a small run in which all goes well: ann (two devices, one of which resumes), bob, and eve, who is removed by seq 6.
//
//	1 created · 2 all joined · 3 ann's message · 4 bob's · 5 the edit of 3 · 6 eve removed · 7 ann's · 8 bob's
type fixture struct {
	run                        Run
	recorder                   *Recorder
	ann, ann2, bob, eve        *Device
	live, before, after, peer  *Stream // ann's, ann2's two, bob's
	removed                    *Stream // eve's
	sends                      map[int64]*Call
	edit, mark, newest, middle *Call
}

func text(seq int64) Digest { return DigestOf("text", string(rune('a'+seq))) }

func message(seq, ordinal int64, sender string) *Message {
	return &Message{
		Seq: seq, ChangedSeq: seq, Ordinal: ordinal, ID: "m" + string(rune('0'+seq)), Sender: sender,
		ClientID: "client" + string(rune('0'+seq)), Content: text(seq), Time: 1000 + seq,
	}
}

// first is message 3 before its edit, edited after it.
func first() *Message { return message(3, 1, "ann") }

func edited() *Message {
	m := first()
	m.Content, m.Edited, m.ChangedSeq = DigestOf("new"), true, 5
	return m
}

func members(seq int64) *Members {
	if seq == 2 {
		return &Members{"ann", []Member{{"ann", 4, 2, 0}, {"bob", 2, 2, 0}, {"eve", 2, 2, 0}}}
	}
	return &Members{"ann", []Member{{"eve", 2, 2, 6}}}
}

// durable is an event of the room, as it comes live (as 1) or as it is read afterwards (as 2).
func durable(seq int64, live bool) Event {
	var body Body
	switch seq {
	case 1:
		body = &Conversation{"Room", 1}
	case 2, 6:
		body = members(seq)
	case 3:
		body = edited()
		if live {
			body = first()
		}
	case 4:
		body = message(4, 2, "bob")
	case 5:
		body = edited()
	case 7:
		body = message(7, 3, "ann")
	case 8:
		body = message(8, 4, "bob")
	}
	return Event{Conversation: room, Seq: seq, Body: body}
}

func summaryAt(user string, head, unread, read int64) Event {
	return Event{Conversation: room, Body: &Summary{
		Self: Member{user, 2, 2, 0}, LastSeq: head, Unread: unread, Own: Marks{user, read, read},
	}}
}

func (f *fixture) send(d *Device, seq int64) {
	id := "client" + string(rune('0'+seq))
	p := d.Begin(Call{Kind: Send, Conversation: room, ClientID: id, Content: text(seq)})
	p.Done(func(c *Call) { c.Seq, c.MessageID = seq, "m"+string(rune('0'+seq)) })
	f.sends[seq] = p.call
}

func (f *fixture) call(d *Device, c Call, fill func(*Call)) *Call {
	p := d.Begin(c)
	p.Done(fill)
	return p.call
}

func newFixture() *fixture {
	r := NewRecorder()
	f := &fixture{
		recorder: r, ann: r.Device("ann", "ann/1"), ann2: r.Device("ann", "ann/2"), bob: r.Device("bob", "bob/1"), eve: r.Device("eve", "eve/1"),
		sends: map[int64]*Call{},
	}
	open := func(d *Device, user string) *Stream {
		s := d.Open(false, nil)
		s.Saw(Event{Body: Ready{Anew: true}})
		s.Saw(summaryAt(user, 2, 0, 0))
		s.Saw(Event{Body: CaughtUp{}})
		return s
	}
	f.live, f.before, f.peer, f.removed = open(f.ann, "ann"), open(f.ann2, "ann"), open(f.bob, "bob"), open(f.eve, "eve")
	all := []*Stream{f.live, f.before, f.peer, f.removed}
	deliver := func(seq int64, to ...*Stream) {
		for _, s := range to {
			s.Saw(durable(seq, true))
		}
	}
	f.send(f.ann, 3)
	deliver(3, all...)
	f.send(f.bob, 4)
	deliver(4, all...)
	f.before.Close()
	f.edit = f.call(f.ann, Call{Kind: Edit, Conversation: room, Target: 3, Content: DigestOf("new")}, func(c *Call) { c.Seq = 5 })
	deliver(5, f.live, f.peer, f.removed)
	f.call(f.ann, Call{Kind: RemoveMember, Conversation: room, User: "eve"}, nil)
	deliver(6, f.live, f.peer, f.removed)
	f.send(f.ann, 7)
	deliver(7, f.live, f.peer)
	f.resume()
	f.send(f.bob, 8)
	deliver(8, f.live, f.peer, f.after)
	f.mark = f.call(f.bob, Call{Kind: MarkRead, Conversation: room, Target: 8}, func(c *Call) { c.Seq = 8 })
	f.live.Saw(Event{Conversation: room, Body: Marks{"bob", 8, 8}})
	f.read()
	f.finish()
	return f
}

// resume is ann2's second stream, from seq 4.
func (f *fixture) resume() {
	f.after = f.ann2.Open(true, map[string]int64{room: 4})
	f.after.Saw(Event{Body: Ready{}})
	f.after.Saw(summaryAt("ann", 7, 0, 7))
	for seq := int64(5); seq <= 7; seq++ {
		f.after.Saw(durable(seq, false))
	}
	f.after.Saw(Event{Body: CaughtUp{}})
}

func (f *fixture) read() {
	messages := []Message{*edited(), *message(4, 2, "bob"), *message(7, 3, "ann"), *message(8, 4, "bob")}
	f.newest = f.call(f.ann, Call{Kind: ReadPage, Conversation: room, Page: &Page{Limit: 2, Messages: messages[2:], HasOlder: true}}, nil)
	f.middle = f.call(f.ann, Call{Kind: ReadPage, Conversation: room, Page: &Page{
		After: 3, Limit: 2, Messages: messages[1:3], HasOlder: true, HasNewer: true,
	}}, nil)
}

func (f *fixture) view(user string) *View {
	v := &View{
		Title: "Room", Head: 8,
		Members:  map[string]Member{"ann": {"ann", 4, 2, 0}, "bob": {"bob", 2, 2, 0}},
		Marks:    map[string]Marks{"ann": {"ann", 7, 7}, "bob": {"bob", 8, 8}},
		Messages: map[int64]Message{3: *edited(), 4: *message(4, 2, "bob"), 7: *message(7, 3, "ann"), 8: *message(8, 4, "bob")},
	}
	if user == "ann" {
		v.Unread = 1
	}
	return v
}

func (f *fixture) finish() {
	defer f.point()
	f.run = Run{
		History: f.recorder.History(),
		Logs:    map[string]*Log{room: {Conversation: room, Head: 8}},
		Mirrors: map[*Device]map[string]*View{},
		Fresh:   map[string]map[string]*View{"eve": {}},
		Presence: []Presence{
			{"ann", "bob", true, true},
		},
	}
	for seq := int64(1); seq <= 8; seq++ {
		f.run.Logs[room].Events = append(f.run.Logs[room].Events, durable(seq, false))
	}
	for _, d := range []*Device{f.ann, f.ann2, f.bob} {
		f.run.Mirrors[d] = map[string]*View{room: f.view(d.User)}
		f.run.Fresh[d.User] = map[string]*View{room: f.view(d.User)}
	}
	f.run.Mirrors[f.eve] = map[string]*View{}
}

// point makes the fixture's fields point into the run, where tests change things, instead of into the recorder.
func (f *fixture) point() {
	i := map[any]any{}
	var calls []*Call
	var streams []*Stream
	for _, d := range f.run.Devices {
		calls, streams = append(calls, d.calls...), append(streams, d.streams...)
	}
	for n, c := range calls {
		i[c] = f.run.Calls[n]
	}
	for n, s := range streams {
		i[s] = f.run.Streams[n]
	}
	for seq, c := range f.sends {
		f.sends[seq] = i[c].(*Call)
	}
	for _, c := range []**Call{&f.edit, &f.mark, &f.newest, &f.middle} {
		*c = i[*c].(*Call)
	}
	for _, s := range []**Stream{&f.live, &f.before, &f.after, &f.peer, &f.removed} {
		*s = i[*s].(*Stream)
	}
}

// drop takes the event with a seq out of a stream.
func drop(s *Stream, seq int64) {
	s.Events = slices.DeleteFunc(s.Events, func(e Event) bool { return e.Seq == seq })
}

// at returns the index of the event with a seq.
func at(s *Stream, seq int64) int {
	return slices.IndexFunc(s.Events, func(e Event) bool { return e.Seq == seq })
}

func TestGoodRunIsClean(t *testing.T) {
	if r := Check(newFixture().run); !r.Clean() {
		t.Fatal(r)
	}
}

// TestEachFaultIsNamed breaks the good run in one place and expects the invariant that speaks of it, among those broken.
func TestEachFaultIsNamed(t *testing.T) {
	tests := []struct {
		name  string
		want  Invariant
		spoil func(*fixture)
	}{
		{"an acknowledged message is missing", AckedStored, func(f *fixture) { f.log().Events[6].Body = &Conversation{"Room", 7} }},
		{"a crash lost an acknowledged message", SurvivesKill, func(f *fixture) {
			f.log().Events, f.log().Head = f.log().Events[:7], 7
			f.run.Crashes = []Stamp{f.sends[8].End + 1}
		}},
		{"a refused message is stored", AckedStored, func(f *fixture) { f.sends[7].Outcome = Refused }},
		{"a message that nobody sent is stored", AckedStored, func(f *fixture) { f.log().Events[6].Body.(*Message).ClientID = "other" }},
		{"an acknowledged edit is not stored", AckedStored, func(f *fixture) { f.log().Events[2].Body = first() }},
		{"an acknowledged deletion is not stored", AckedStored, func(f *fixture) { f.edit.Kind = Delete }},
		{"a message is stored twice", Once, func(f *fixture) {
			m := message(8, 4, "ann")
			m.ClientID = "client7"
			f.log().Events[7].Body = m
		}},
		{"a repetition got another seq", Once, func(f *fixture) { f.again(7, 8, true) }},
		{"a repetition was called new", Once, func(f *fixture) { f.again(7, 7, false) }},
		{"the log has a hole", InOrder, func(f *fixture) { f.log().Events = slices.Delete(f.log().Events, 4, 5) }},
		{"the log is shorter than its head", InOrder, func(f *fixture) { f.log().Head = 9 }},
		{"a later send got a lower seq", InOrder, func(f *fixture) { f.sends[3].Seq, f.sends[4].Seq = 4, 3 }},
		{"a stream leaves an event out", InOrder, func(f *fixture) { drop(f.live, 5) }},
		{"a stream delivers twice", InOrder, func(f *fixture) {
			i := at(f.live, 5)
			f.live.Events = slices.Insert(f.live.Events, i, f.live.Events[i])
		}},
		{"a stream delivers out of order", InOrder, func(f *fixture) {
			i := at(f.live, 4)
			f.live.Events[i], f.live.Events[i+1] = f.live.Events[i+1], f.live.Events[i]
		}},
		{"a stream falls silent", InOrder, func(f *fixture) { drop(f.live, 8) }},
		{"a stream tells of an unknown conversation", InOrder, func(f *fixture) {
			f.live.Events = slices.DeleteFunc(f.live.Events, func(e Event) bool { _, ok := e.Body.(*Summary); return ok })
		}},
		{"a resync goes beyond the head", InOrder, func(f *fixture) {
			f.live.Events = append(f.live.Events, Event{Conversation: room, Body: Resync{Head: 9}})
		}},
		{"a resync goes back", InOrder, func(f *fixture) {
			f.live.Events = append(f.live.Events, Event{Conversation: room, Body: Resync{Head: 5}})
		}},
		{"delivered otherwise than stored", AsStored, func(f *fixture) { f.live.Events[at(f.live, 4)].Body.(*Message).Content++ }},
		{"stored otherwise than sent", AsStored, func(f *fixture) { f.sends[4].Content++ }},
		{"edited otherwise than asked", AsStored, func(f *fixture) { f.edit.Content++ }},
		{"another kind of event than stored", AsStored, func(f *fixture) { f.live.Events[at(f.live, 4)].Body = &Conversation{"Room", 4} }},
		{"a state that is newer than the stored one", AsStored, func(f *fixture) {
			m := *edited()
			m.ChangedSeq = 8
			f.live.Events[at(f.live, 5)].Body = &m
		}},
		{"an event that is not stored", AsStored, func(f *fixture) {
			f.live.Saw(Event{Conversation: room, Seq: 9, Body: message(9, 5, "ann")})
		}},
		{"a fresh client reads another message", AsStored, func(f *fixture) { delete(f.run.Fresh["bob"][room].Messages, 4) }},
		{"a page skips a message", WholePages, func(f *fixture) {
			f.newest.Page.Messages = []Message{*message(4, 2, "bob"), *message(8, 4, "bob")}
		}},
		{"the newest page is old", WholePages, func(f *fixture) {
			f.newest.Page.Messages, f.newest.Page.HasNewer = f.newest.Page.Messages[:1], true
		}},
		{"a page before a seq skips its neighbour", WholePages, func(f *fixture) {
			f.newest.Page = &Page{Before: 7, Limit: 2, Messages: []Message{*edited()}, HasNewer: true}
		}},
		{"a page after a seq skips its neighbour", WholePages, func(f *fixture) { f.middle.Page.After = 2 }},
		{"an empty page where there is more", WholePages, func(f *fixture) { f.middle.Page.Messages = nil }},
		{"a page says that there is nothing older", WholePages, func(f *fixture) { f.newest.Page.HasOlder = false }},
		{"a page says that there is nothing newer", WholePages, func(f *fixture) { f.middle.Page.HasNewer = false }},
		{"a page is larger than asked for", WholePages, func(f *fixture) { f.middle.Page.Limit = 1 }},
		{"a resume begins one too late", ExactResume, func(f *fixture) { drop(f.after, 5) }},
		{"a resume begins one too early", InOrder, func(f *fixture) {
			f.after.Events = slices.Insert(f.after.Events, 2, durable(4, false))
		}},
		{"a resume ends too early", ExactResume, func(f *fixture) { drop(f.after, 7) }},
		{"a resume without the conversation", ExactResume, func(f *fixture) {
			f.after.Positions = nil
			f.after.Events = []Event{{Body: Ready{}}, {Body: CaughtUp{}}}
		}},
		{"a device ends with another state", Converged, func(f *fixture) { f.run.Mirrors[f.ann2][room].Messages[3] = *first() }},
		{"a device ends without a member", Converged, func(f *fixture) { delete(f.run.Mirrors[f.ann2][room].Members, "bob") }},
		{"a device keeps a conversation that it left", Converged, func(f *fixture) {
			f.run.Mirrors[f.eve] = map[string]*View{room: f.view("eve")}
		}},
		{"a device lacks a conversation", Converged, func(f *fixture) { delete(f.run.Mirrors[f.bob], room) }},
		{"the removed gets an event", RemovedHears, func(f *fixture) { f.removed.Saw(durable(7, true)) }},
		{"the removed sends", RemovedHears, func(f *fixture) {
			f.log().Events[7].Body.(*Message).Sender = "eve"
			f.sends[8].device = f.eve
		}},
		{"the removed adds members", RemovedHears, func(f *fixture) { f.log().Events[7].Body = &Members{Actor: "eve"} }},
		{"the removed reads", RemovedHears, func(f *fixture) { f.newest.device = f.eve }},
		{"a member is told that they are none", RemovedHears, func(f *fixture) {
			f.live.Saw(Event{Conversation: room, Body: Resync{}})
		}},
		{"an event of a conversation joined anew, without its summary", InOrder, func(f *fixture) {
			f.rejoin()
			f.removed.Events = slices.DeleteFunc(f.removed.Events, func(e Event) bool {
				s, ok := e.Body.(*Summary)
				return ok && s.Self.Joined == 9
			})
		}},
		{"a mark goes back on a stream", MarksGrow, func(f *fixture) {
			f.live.Saw(Event{Conversation: room, Body: Marks{"bob", 7, 8}})
		}},
		{"an answered mark is below the one asked for", MarksGrow, func(f *fixture) { f.mark.Seq = 7 }},
		{"an answered mark is below an earlier one", MarksGrow, func(f *fixture) {
			f.call(f.bob, Call{Kind: MarkRead, Conversation: room, Target: 7}, func(c *Call) { c.Seq = 7 })
			f.run.History = f.recorder.History()
		}},
		{"an answered mark is lost", MarksGrow, func(f *fixture) {
			f.run.Fresh["ann"][room].Marks["bob"] = Marks{"bob", 7, 8}
		}},
		{"a sender has not read the own message", MarksGrow, func(f *fixture) {
			f.run.Fresh["ann"][room].Marks["ann"] = Marks{"ann", 4, 7}
		}},
		{"a mark passes the head", MarksGrow, func(f *fixture) {
			f.live.Saw(Event{Conversation: room, Body: Marks{"bob", 8, 9}})
		}},
		{"read passes delivered", MarksGrow, func(f *fixture) {
			f.live.Saw(Event{Conversation: room, Body: Marks{"ann", 8, 7}})
		}},
		{"a summary counts wrong", UnreadExact, func(f *fixture) {
			s := summaryAt("ann", 8, 0, 7)
			f.live.Saw(s)
		}},
		{"a fresh client counts wrong", UnreadExact, func(f *fixture) { f.run.Fresh["ann"][room].Unread = 2 }},
		{"an ordinal is wrong", UnreadExact, func(f *fixture) { f.log().Events[7].Body.(*Message).Ordinal = 5 }},
		{"an absent user is seen online", PresenceTrue, func(f *fixture) { f.run.Presence[0].Should = false }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture()
			tt.spoil(f)
			r := Check(f.run)
			if r.Count(tt.want) == 0 {
				t.Fatalf("want %s, got %v", tt.want, r)
			}
			if !strings.Contains(r.String(), string(tt.want)+": ") {
				t.Fatalf("the report doesn't name %s:\n%s", tt.want, r)
			}
		})
	}
}

func (f *fixture) log() *Log { return f.run.Logs[room] }

// again adds a repetition of a send of ann's to the calls.
func (f *fixture) again(seq, answered int64, duplicate bool) {
	first := f.sends[seq]
	call := *first
	call.Start, call.End, call.Seq, call.Duplicate = f.run.End+1, f.run.End+2, answered, duplicate
	f.run.Calls = append(f.run.Calls, &call)
}

// TestAllowed holds that the checker doesn't take for faults what the protocol allows.
func TestAllowed(t *testing.T) {
	tests := []struct {
		name string
		do   func(*fixture)
	}{
		{"a resync in the place of events", func(f *fixture) {
			i := at(f.live, 5)
			f.live.Events = slices.Replace(f.live.Events, i, i+2, Event{Conversation: room, Body: Resync{Head: 6}})
		}},
		{"a repetition that says that it is one", func(f *fixture) { f.again(7, 7, true) }},
		{"a send without an answer that was stored", func(f *fixture) { f.sends[8].Outcome, f.sends[8].End = Unknown, 0 }},
		{"a resume without positions", func(f *fixture) {
			f.after.Positions = nil
			drop(f.after, 5)
			drop(f.after, 6)
			drop(f.after, 7)
		}},
		{"what a summary told comes again", func(f *fixture) {
			f.after.Positions = nil
			drop(f.after, 5)
			drop(f.after, 6)
		}},
		{"a resume at which nothing had changed", func(f *fixture) {
			s := f.ann.Open(true, nil)
			s.Saw(Event{Body: Ready{}})
			s.Saw(Event{Body: CaughtUp{}})
			f.run.History = f.recorder.History()
		}},
		{"a receipt that is older than a summary", func(f *fixture) {
			f.live.Saw(Event{Conversation: room, Body: &Summary{
				Self: Member{"ann", 4, 2, 0}, LastSeq: 8, Unread: 1, Own: Marks{"ann", 7, 7}, Peers: []Marks{{"bob", 8, 8}},
			}})
			f.peer.Saw(Event{Conversation: room, Body: Marks{"ann", 3, 7}})
		}},
		{"a stream that ended early", func(f *fixture) {
			drop(f.live, 8)
			f.live.Close()
		}},
		{"a stream that never got an answer", func(f *fixture) {
			f.ann.Open(true, map[string]int64{room: 1})
			f.run.History = f.recorder.History()
		}},
		{"a conversation left and joined again", func(f *fixture) { f.rejoin() }},
		{"the removal after the resync that tells of it", func(f *fixture) {
			i := at(f.removed, 6)
			f.removed.Events = slices.Insert(f.removed.Events, i, Event{Conversation: room, Body: Resync{}})
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture()
			tt.do(f)
			if r := Check(f.run); !r.Clean() {
				t.Fatal(r)
			}
		})
	}
}

// rejoin lets eve in again by seq 9.
func (f *fixture) rejoin() {
	e := Event{Conversation: room, Seq: 9, Body: &Members{"ann", []Member{{"eve", 2, 9, 0}}}}
	f.removed.Saw(Event{Conversation: room, Body: &Summary{Self: Member{"eve", 2, 2, 6}}})
	f.removed.Saw(Event{Conversation: room, Body: &Summary{Self: Member{"eve", 2, 9, 0}, LastSeq: 9, Unread: 4, Own: Marks{User: "eve"}}})
	for _, s := range []*Stream{f.live, f.peer, f.after, f.removed} {
		s.Saw(e)
	}
	f.log().Events, f.log().Head = append(f.log().Events, e), 9
	f.run.Mirrors[f.eve] = map[string]*View{room: f.view("eve")}
	f.run.Fresh["eve"] = map[string]*View{room: f.view("eve")}
	views := []*View{f.run.Mirrors[f.eve][room], f.run.Fresh["eve"][room]}
	for _, d := range []*Device{f.ann, f.ann2, f.bob} {
		views = append(views, f.run.Mirrors[d][room])
	}
	views = append(views, f.run.Fresh["ann"][room], f.run.Fresh["bob"][room])
	for _, v := range views {
		v.Head = 9
		v.Members["eve"] = Member{"eve", 2, 9, 0}
		v.Marks["eve"] = Marks{User: "eve"}
	}
	for _, v := range views[:2] {
		v.Unread = 4
	}
}

func TestEventsWhileAwayAreAFaultAfterARejoin(t *testing.T) {
	f := newFixture()
	i := len(f.removed.Events)
	f.rejoin()
	f.removed.Events = slices.Insert(f.removed.Events, i, durable(7, true))
	if r := Check(f.run); r.Count(RemovedHears) == 0 {
		t.Fatal("not found:", r)
	}
}

func TestRecorderCountsEachAcknowledgedMessageOnce(t *testing.T) {
	f := newFixture()
	if got := f.recorder.Acknowledged(); got != 4 {
		t.Fatal(got)
	}
	f.send(f.ann, 7)
	f.ann.Begin(Call{Kind: Send, Conversation: room, ClientID: "open"})
	f.ann.Begin(Call{Kind: Send, Conversation: room, ClientID: "failed"}).Refused("STORE_FULL")
	f.ann.Begin(Call{Kind: Send, Conversation: room, ClientID: "cut"}).Unknown("cut")
	if got := f.recorder.Acknowledged(); got != 4 {
		t.Fatal(got)
	}
	f.recorder.Crashed()
	if h := f.recorder.History(); len(h.Crashes) != 1 || h.End <= h.Crashes[0] {
		t.Fatal(h.Crashes, h.End)
	}
}
