package client

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
)

func newTestOutbox(window, laneWindow int) *outbox {
	return &outbox{window: window, laneWindow: laneWindow, keep: 3, lanes: map[string]*lane{}}
}

func sending(conversation, id string) *Sending {
	return &Sending{client: &Client{}, item: OutboxItem{Conversation: conversation, ClientID: id, Content: id, Created: time.Now().UnixMilli()}}
}

// takeAll returns the ids of all that may be sent now.
func takeAll(o *outbox) []string {
	var ids []string
	for s := o.next(); s != nil; s = o.next() {
		ids = append(ids, s.ID())
	}
	return ids
}

func TestWindowsBoundWhatIsUnanswered(t *testing.T) {
	for _, test := range []struct {
		window, laneWindow int
		want               string
	}{
		{64, 1, "[a0 b0 c0]"},
		{2, 1, "[a0 b0]"},
		{64, 2, "[a0 b0 c0 a1 b1 c1]"},
		{4, 64, "[a0 b0 c0 a1]"},
	} {
		o := newTestOutbox(test.window, test.laneWindow)
		for i := range 5 {
			for _, c := range []string{"a", "b", "c"} {
				o.put(sending(c, fmt.Sprint(c, i)))
			}
		}
		if got := fmt.Sprint(takeAll(o)); got != test.want {
			t.Errorf("window %d, in a conversation %d: %s, want %s", test.window, test.laneWindow, got, test.want)
		}
	}
}

func TestARefusedMessageHoldsItsConversationUp(t *testing.T) {
	o := newTestOutbox(64, 1)
	a0, b0 := sending("a", "a0"), sending("b", "b0")
	for _, s := range []*Sending{a0, sending("a", "a1"), b0, sending("b", "b1")} {
		o.put(s)
	}
	takeAll(o)
	now := time.Now()
	o.refused(a0, now, time.Minute)
	o.landed(b0, true)
	want(t, takeAll(o), "b1")
	if at := o.wake(now.Add(59 * time.Second)); !at.Equal(now.Add(time.Minute)) {
		t.Fatalf("wakes at %v, want after the minute", at)
	}
	want(t, takeAll(o))
	o.wake(now.Add(time.Minute))
	want(t, takeAll(o), "a0")
	o.refused(a0, now, 0)
	if at := o.wake(now); !at.After(now) {
		t.Fatal("it is sent again at once where the server names no time")
	}
	o.wake(now.Add(time.Minute))
	want(t, takeAll(o), "a0")
	o.landed(a0, true)
	want(t, takeAll(o), "a1")
}

func TestRefusedInTheMiddleOfAWindowGoesFirst(t *testing.T) {
	o := newTestOutbox(64, 3)
	var all []*Sending
	for i := range 6 {
		all = append(all, sending("a", fmt.Sprint(i)))
		o.put(all[i])
	}
	want(t, takeAll(o), "0", "1", "2")
	o.refused(all[1], time.Now(), time.Second)
	o.landed(all[0], true)
	want(t, takeAll(o)) // 3 must not pass 1
	o.wake(time.Now().Add(time.Hour))
	want(t, takeAll(o), "1", "3")
}

func TestARefusedMessageHoldsUpWhatIsReadyBehindIt(t *testing.T) {
	o := newTestOutbox(2, 3)
	var all []*Sending
	for i := range 4 {
		all = append(all, sending("a", fmt.Sprint(i)))
		o.put(all[i])
	}
	want(t, takeAll(o), "0", "1") // 2 is ready, but for the stream's window
	o.put(sending("b", "b0"))
	o.refused(all[0], time.Now(), time.Second)
	want(t, takeAll(o), "b0")
	o.landed(all[1], true)
	want(t, takeAll(o))
	o.wake(time.Now().Add(time.Hour))
	want(t, takeAll(o), "0")
}

func TestDisconnectingSendsAgainInOrder(t *testing.T) {
	o := newTestOutbox(64, 2)
	var all []*Sending
	for i := range 4 {
		all = append(all, sending("a", fmt.Sprint(i)))
		o.put(all[i])
	}
	takeAll(o)
	o.landed(all[1], true)
	want(t, takeAll(o), "2")
	o.disconnected()
	want(t, takeAll(o), "0", "2")
	o.landed(all[0], true)
	o.landed(all[2], true)
	want(t, takeAll(o), "3")
	o.landed(all[3], true)
	if o.inFlight != 0 || o.pending != 0 || len(o.lanes) != 0 {
		t.Fatalf("left over: %d in flight, %d pending, %d lanes", o.inFlight, o.pending, len(o.lanes))
	}
}

func TestAcknowledgedMessagesAreKeptForADayAndInNumber(t *testing.T) {
	o := newTestOutbox(64, 1)
	now := time.Now()
	item := func(id string, age time.Duration) OutboxItem {
		return OutboxItem{ClientID: id, Conversation: "a", Created: now.Add(-age).UnixMilli()}
	}
	var forgotten []string
	for _, i := range []OutboxItem{item("old", 25*time.Hour), item("1", time.Hour), item("2", time.Hour), item("3", 0), item("4", 0)} {
		for _, f := range o.acknowledged(i, now) {
			forgotten = append(forgotten, f.ClientID)
		}
	}
	want(t, forgotten, "old", "1")
	o.put(sending("a", "new"))
	o.reassert(&Client{}, o.recent(now.Add(23*time.Hour+30*time.Minute))) // "2" is too old by then
	o.laneWindow = 9
	want(t, takeAll(o), "3", "4", "new")

	none := newTestOutbox(64, 1)
	none.keep = -1
	if f := none.acknowledged(item("x", 0), now); len(f) != 1 || len(none.kept) != 0 {
		t.Fatalf("kept %v though nothing is to be kept", none.kept)
	}
}

func TestOutboxSurvivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "outbox")
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		m.create("c1")
		m.onRequest = func(*chatv1.StreamRequest) *chatv1.RequestError {
			return &chatv1.RequestError{Code: int32(connect.CodeUnavailable)}
		}
		store, err := FileOutbox(path)
		if err != nil {
			t.Fatal(err)
		}
		c := m.start(t, Options{Outbox: store})
		var ids []string
		for i := range 3 {
			s, err := c.Send("c1", fmt.Sprint("message ", i), SendOptions{ReplyTo: 1})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, s.ID())
		}
		waiting := c.Pending()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := waiting[0].Wait(t.Context()); !errors.Is(err, ErrClosed) {
			t.Fatalf("Wait: %v, want ErrClosed", err)
		}
		if _, err := c.Send("c1", "late", SendOptions{}); !errors.Is(err, ErrClosed) {
			t.Fatalf("Send: %v, want ErrClosed", err)
		}

		m.onRequest = nil
		store, err = FileOutbox(path)
		if err != nil {
			t.Fatal(err)
		}
		c = m.start(t, Options{Outbox: store})
		defer c.Close()
		for _, s := range c.Pending() {
			if _, err := s.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for _, e := range m.log("c1")[1:] {
			if e.GetMessage().GetReplyToSeq() != 1 {
				t.Fatalf("stored %v", e)
			}
			got = append(got, e.GetMessage().GetClientMessageId())
		}
		want(t, got, ids...)
	})
}

// After a RESET the messages of the last day are sent again, also when the program ends before they are stored.
func TestMessagesThatTheServerLostAreSentAgainAfterARestart(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		m.create("c1")
		open := func() *Client {
			store, err := FileOutbox(filepath.Join(dir, "outbox"))
			if err != nil {
				t.Fatal(err)
			}
			return m.start(t, Options{Outbox: store, Checkpoint: FileCheckpoint(filepath.Join(dir, "checkpoint"))})
		}
		c := open()
		s, _ := c.Send("c1", "dear", SendOptions{})
		if _, err := s.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		drain(t, c)
		m.set(func() {
			m.onRequest = func(*chatv1.StreamRequest) *chatv1.RequestError {
				return &chatv1.RequestError{Code: int32(connect.CodeUnavailable)}
			}
		})
		m.lose(1)
		time.Sleep(time.Second)
		drain(t, c) // the consumer has heard of the reset, and a new token
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		m.onRequest = nil
		c = open()
		defer c.Close()
		time.Sleep(time.Second)
		synctest.Wait()
		if log := m.log("c1"); len(log) != 2 || log[1].GetMessage().GetClientMessageId() != s.ID() {
			t.Fatalf("log %v, want the lost message stored again", log)
		}
	})
}

func TestSendRefusesWhatCantBeSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		c := m.start(t, Options{MaxPending: 2})
		defer c.Close()
		synctest.Wait() // until there is something to cut
		m.cut()
		for _, test := range []struct {
			conversation, content string
			o                     SendOptions
			field                 string
		}{
			{"", "x", SendOptions{}, "conversation_id"},
			{"\xff", "x", SendOptions{}, "conversation_id"},
			{"c", "", SendOptions{}, "content"},
			{"c", "\xff", SendOptions{}, "content"},
			{"c", "x", SendOptions{ReplyTo: -1}, "reply_to_seq"},
			{"c", "x", SendOptions{ClientID: "no uuid"}, "client_message_id"},
		} {
			_, err := c.Send(test.conversation, test.content, test.o)
			var e *Error
			if !errors.As(err, &e) || e.Field != test.field || e.Code != connect.CodeInvalidArgument {
				t.Errorf("%q %q %+v: %v, want %s", test.conversation, test.content, test.o, err, test.field)
			}
		}
		synctest.Wait()
		for range 2 {
			if _, err := c.Send("c", "x", SendOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Send("c", "x", SendOptions{}); !errors.Is(err, ErrOutboxFull) {
			t.Fatalf("error %v, want ErrOutboxFull", err)
		}
	})
}

func openJournal(t testing.TB, path string) *journal {
	t.Helper()
	store, err := FileOutbox(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store.(*journal)
}

func loaded(t testing.TB, j *journal) []string {
	t.Helper()
	items, err := j.Load()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, i := range items {
		s := i.ClientID + "=" + i.Content
		if i.Acknowledged {
			s += "!"
		}
		all = append(all, s)
	}
	return all
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// A journal cut anywhere, as a crash leaves it, holds all but what was being written.
func TestJournalCutAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, filepath.Join(dir, "whole"))
	must(t, j.Put(OutboxItem{ClientID: "a", Content: "line\nbreak \x00 ünïcödé"}), j.Put(OutboxItem{ClientID: "b", Content: "2"}),
		j.Acknowledge("a"), j.Put(OutboxItem{ClientID: "c", Content: "3"}), j.Remove("b"), j.Close())
	whole, err := os.ReadFile(filepath.Join(dir, "whole"))
	must(t, err)
	lines := strings.SplitAfter(string(whole), "\n")
	states := []string{"", "[a=1]", "[a=1 b=2]", "[a=1! b=2]", "[a=1! b=2 c=3]", "[a=1! c=3]"}
	path := filepath.Join(dir, "cut")
	for n := range len(whole) + 1 {
		must(t, os.WriteFile(path, whole[:n], 0o600))
		j := openJournal(t, path)
		ends := 0
		for rest := n; ends < len(lines)-1 && rest >= len(lines[ends]); ends++ {
			rest -= len(lines[ends])
		}
		got := strings.ReplaceAll(fmt.Sprint(loaded(t, j)), "line\nbreak \x00 ünïcödé", "1")
		if want := states[ends]; got != want && (want != "" || got != "[]") {
			t.Fatalf("cut after %d bytes: %s, want %s", n, got, want)
		}
		must(t, j.Put(OutboxItem{ClientID: "z", Content: "after the crash"}), j.Close())
		j = openJournal(t, path)
		if got := loaded(t, j); got[len(got)-1] != "z=after the crash" {
			t.Fatalf("cut after %d bytes: what was put afterwards is lost: %v", n, got)
		}
		must(t, j.Close())
	}
}

func TestJournalDamageIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox")
	j := openJournal(t, path)
	must(t, j.Put(OutboxItem{ClientID: "a", Content: "1"}), j.Put(OutboxItem{ClientID: "b", Content: "2"}), j.Close())
	b, err := os.ReadFile(path)
	must(t, err)
	b[15] ^= 1
	must(t, os.WriteFile(path, b, 0o600))
	if _, err := FileOutbox(path); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Fatalf("error %v, want one that names line 1", err)
	}
	must(t, os.WriteFile(path, append(b[:0], "not a journal\nat all\n"...), 0o600))
	j = openJournal(t, path) // nothing in it was ever good: as if a crash had cut the first line
	want(t, loaded(t, j))
}

func TestJournalIsWrittenAnewWhenMostlyPast(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox")
	j := openJournal(t, path)
	must(t, j.Put(OutboxItem{ClientID: "stays", Content: "x"}), j.Acknowledge("stays"))
	for i := range 200 {
		id := fmt.Sprint("m", i)
		must(t, j.append(record{Put: &OutboxItem{ClientID: id, Content: strings.Repeat("\x01", 1000)}}), j.Acknowledge(id), j.Remove(id))
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Size() > 2*compactAbove || info.Mode().Perm() != 0o600 {
		t.Fatalf("%d bytes, mode %v", info.Size(), info.Mode())
	}
	must(t, j.Put(OutboxItem{ClientID: "last", Content: "y"}), j.Close())
	want(t, loaded(t, openJournal(t, path)), "stays=x!", "last=y")
}

func TestJournalIsForOneProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox")
	j := openJournal(t, path)
	if _, err := FileOutbox(path); !errors.Is(err, ErrOutboxLocked) {
		t.Fatalf("error %v, want ErrOutboxLocked", err)
	}
	must(t, j.Close(), j.Close())
	if err := j.Put(OutboxItem{ClientID: "x"}); !errors.Is(err, ErrClosed) {
		t.Fatalf("Put after Close: %v", err)
	}
	openJournal(t, path)
}

func TestPutAgainMakesAnItemWaitInItsOldPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox")
	j := openJournal(t, path)
	a := OutboxItem{ClientID: "a", Content: "1"}
	must(t, j.Put(a), j.Put(OutboxItem{ClientID: "b", Content: "2"}), j.Acknowledge("a"), j.Put(a), j.Close())
	want(t, loaded(t, openJournal(t, path)), "a=1", "b=2")
}

// Whatever the file holds, opening it either gives items that survive being written again, or an error; it never panics, and never drops a good
// line that comes before the end.
func FuzzJournal(f *testing.F) {
	line := func(r record) string { b, _ := encodeLine(r); return string(b) }
	put := line(record{Put: &OutboxItem{ClientID: "a", Content: "hello"}})
	f.Add([]byte(put + line(record{Ack: "a"}) + line(record{Remove: "a"})))
	f.Add([]byte(put + put[:20]))
	f.Add([]byte(put[:20] + put))
	f.Add([]byte("00000000 {}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		records, good, err := decodeJournal(b)
		if err != nil {
			return
		}
		if good > len(b) || slices.Contains(b[good:], 0) && hasGoodLine(b[good:]) {
			t.Fatalf("%d of %d bytes are good", good, len(b))
		}
		var again []byte
		for _, r := range records {
			line, err := encodeLine(r.record)
			if err != nil {
				t.Fatal(err)
			}
			again = append(again, line...)
		}
		second, n, err := decodeJournal(again)
		if err != nil || n != len(again) || len(second) != len(records) {
			t.Fatalf("%d records of %d after writing them again: %v", len(second), len(records), err)
		}
	})
}
