package store

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// crashWriter is set, to the URL of a database, in the process that TestWhatWasAcknowledgedOutlivesAKill kills.
const crashWriter = "NATTERJACK_STORE_CRASH_WRITER"

func TestMain(m *testing.M) {
	if url := os.Getenv(crashWriter); url != "" {
		writeUntilKilled(url)
		return
	}
	os.Exit(m.Run())
}

// writeUntilKilled sends messages from many goroutines, and prints the client id and seq of each once it is acknowledged.
func writeUntilKilled(url string) {
	s, err := Open(context.Background(), Options{URL: url})
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(1)
	}
	service := chat.New(chat.Config{Store: s, Publisher: nobody{}, Presence: nobody{}})
	const members = 8
	var printing sync.Mutex
	var writing sync.WaitGroup
	for n := range members {
		writing.Go(func() {
			caller := chat.Caller{User: chat.UserID(n + 1)}
			for i := 0; ; i++ {
				id := newUUID()
				sent, err := service.Send(context.Background(), caller, chat.SendRequest{
					Conversation: crashGroup, ClientID: id, Content: fmt.Sprintf("%x", id[:]),
				})
				if err != nil {
					fmt.Println("send:", err)
					os.Exit(1)
				}
				printing.Lock()
				fmt.Printf("stored %x %d\n", id[:], sent.Message.Seq)
				printing.Unlock()
			}
		})
	}
	writing.Wait()
}

// crashGroup is the conversation that the killed process writes to.
const crashGroup chat.ConversationID = 77

func TestWhatWasAcknowledgedOutlivesAKill(t *testing.T) {
	url := "sqlite:" + t.TempDir() + "/test.db"
	prepareCrashGroup(t, url)
	var acknowledged []sent
	for round := range 6 {
		acknowledged = append(acknowledged, killWhileWriting(t, url, 20+rand.IntN(300))...)
		s, err := Open(t.Context(), Options{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		checkAfterCrash(t, s, acknowledged)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
}

func prepareCrashGroup(t *testing.T, url string) {
	t.Helper()
	s, err := Open(t.Context(), Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c := &chat.ConversationState{Conversation: chat.Conversation{ID: crashGroup, Kind: chat.Group, CreateTime: now, ChangedSeq: 1}}
	c.LastSeq, c.MemberCount, c.UpdateTime = 1, 8, now
	w := &chat.Writes{
		Created: []*chat.ConversationState{c},
		Events:  []chat.Event{{Conversation: crashGroup, Seq: 1, Kind: chat.EventConversation, Time: now}},
	}
	for n := range 8 {
		w.Members = append(w.Members, &chat.Member{Conversation: crashGroup, User: chat.UserID(n + 1), Role: chat.Regular, JoinedSeq: 1})
	}
	_, err = s.Commit(t.Context(), chat.Reads{Conversations: []chat.ConversationID{crashGroup}}, func(*chat.View) (*chat.Writes, error) { return w, nil })
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
}

// killWhileWriting runs a writer, kills it after so many acknowledgements, and returns all that it printed.
func killWhileWriting(t *testing.T, url string, after int) []sent {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), crashWriter+"="+url)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var list []sent
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var id []byte
		var x sent
		if _, err := fmt.Sscanf(lines.Text(), "stored %x %d", &id, &x.seq); err != nil {
			t.Errorf("the writer says: %s", lines.Text())
			continue
		}
		copy(x.id[:], id)
		x.content = fmt.Sprintf("%x", id)
		if list = append(list, x); len(list) == after {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = child.Wait() // killed
	if len(list) < after {
		t.Fatalf("the writer ended after %d messages", len(list))
	}
	return list
}

func checkAfterCrash(t *testing.T, s *Store, acknowledged []sent) {
	t.Helper()
	events := allEvents(t, s, crashGroup)
	at := make(map[chat.Seq]*chat.Message, len(events))
	for i, e := range events {
		if e.Seq != chat.Seq(i+1) {
			t.Fatalf("event %d has seq %d", i+1, e.Seq)
		}
		at[e.Seq] = e.Message
	}
	for _, x := range acknowledged {
		if m := at[x.seq]; m == nil || m.ClientID != x.id || m.Content != x.content {
			t.Errorf("acknowledged at %d as %s and stored as %+v", x.seq, x.content, m)
		}
	}
	var last chat.Batch
	for {
		batches, err := s.Batches(t.Context(), 0, last.No, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range batches {
			if b.No != last.No+1 || b.PrevID != last.ID {
				t.Fatalf("batch %d follows batch %d", b.No, last.No)
			}
			last = b
		}
		if len(batches) == 0 {
			break
		}
	}
	for _, x := range acknowledged[max(0, len(acknowledged)-20):] {
		found, err := s.SearchMessages(t.Context(), chat.SearchQuery{User: 1, Words: []string{x.content}, Limit: 5})
		if err != nil || len(found) != 1 || found[0].Seq != x.seq {
			t.Errorf("searching for a message from before the crash: %v, %v", found, err)
		}
	}
}

func TestAFullDatabaseTakesNoWritesAndIsRead(t *testing.T) {
	path := t.TempDir() + "/test.db"
	s := open(t, "sqlite:"+path)
	w := s.engine.(*sqliteEngine).writer
	limit := func(pages int) {
		w.turn <- struct{}{}
		defer func() { <-w.turn }()
		w.abandon()
		err := w.db.Close()
		if err != nil {
			t.Fatal(err)
		}
		if w.db, err = sql.Open("sqlite", writerDSN(path)+"&"+pragma("max_page_count", pages)); err != nil {
			t.Fatal(err)
		}
	}
	// Less than there are means: no more than there are.
	fullAndBack(t, s, func() { limit(1) }, func() { limit(1 << 20) })
}

// fullAndBack fills the disk under a store and makes room again: meanwhile nothing is stored, said to be stored, or lost, and reading goes on.
func fullAndBack(t *testing.T, s *Store, fill, empty func()) {
	t.Helper()
	service := serve(t, s)
	id, members := newGroup(t, s, service, 2)
	send := func(content string) (chat.Sent, error) {
		return service.Send(t.Context(), members[0], chat.SendRequest{Conversation: id, ClientID: newUUID(), Content: content})
	}
	var acknowledged []sent
	keep := func(x chat.Sent) {
		acknowledged = append(acknowledged, sent{x.Message.ClientID, x.Message.Content, x.Message.Seq})
	}
	for range 2 {
		x, err := send("before")
		if err != nil {
			t.Fatal(err)
		}
		keep(x)
		fill()
		full := 0
		for i := range 60 {
			x, err := send(strings.Repeat("full ", 400))
			if err == nil {
				keep(x) // there was some room left
				continue
			}
			if !chat.IsReason(err, chat.ReasonStoreFull) {
				t.Fatalf("send %d: %v", i, err)
			}
			full++
			if _, err := s.Messages(t.Context(), id, chat.MessagePage{Limit: 10}); err != nil {
				t.Fatalf("reading from a full store: %v", err)
			}
			if _, err := s.RecentSummaries(t.Context(), members[1].User, chat.RecentCursor{}, 10); err != nil {
				t.Fatalf("reading from a full store: %v", err)
			}
		}
		if full < 10 {
			t.Fatalf("only %d of 60 writes found the store full", full)
		}
		empty()
		x, err = send("after")
		if err != nil {
			t.Fatalf("there is room again: %v", err)
		}
		keep(x)
		checkStored(t, s, id, acknowledged)
	}
	var found []chat.Message
	until(t, "the index goes on", func() bool { // its last attempt may have begun when there was no room
		var err error
		found, err = s.SearchMessages(t.Context(), chat.SearchQuery{User: members[1].User, Words: []string{"after"}, Limit: 5})
		return err == nil
	})
	if len(found) != 2 {
		t.Errorf("searching afterwards: %d messages", len(found))
	}
}
