package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/internal/testservers"
)

// patience is how long tests wait for what has to happen in the end.
const patience = time.Minute

// TestNothingAcknowledgedIsLost breaks the database under writers, who send what failed again under its id. What they are told in between has to be that it
// can be repeated.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	for name, fault := range map[string]func(t *testing.T, server *testservers.Server){
		"when the server crashes": func(t *testing.T, server *testservers.Server) {
			server.Kill(t)
			server.Start(t)
		},
		"when all connections are cut": func(t *testing.T, server *testservers.Server) {
			execute(t, server.URL, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		},
		"when the server stands still": func(t *testing.T, server *testservers.Server) {
			server.Pause(t)
			<-time.After(1500 * time.Millisecond)
			server.Resume(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := testservers.StartPostgres(t)
			s := open(t, server.URL)
			service := serve(t, s)
			const writers, faults, between = 8, 4, 40
			id, members := newGroup(t, s, service, writers)
			ctx, cancel := context.WithTimeout(t.Context(), (faults+1)*patience) // of all that is waited for
			defer cancel()

			var stored atomic.Int64
			var broken atomic.Bool // the last fault is over
			lists := make([][]sent, writers)
			var wait sync.WaitGroup
			for w := range writers {
				wait.Go(func() {
					for i := 0; !broken.Load() || i == 0; i++ {
						x, err := sendUntilStored(ctx, service, members[w], id, fmt.Sprintf("message %d of %d", i, w), func(err error) {
							if !isTemporary(err) {
								t.Errorf("told: %v", err)
							}
						})
						if err != nil {
							t.Errorf("not stored in the end: %v", err)
							return
						}
						lists[w] = append(lists[w], x)
						stored.Add(1)
					}
				})
			}
			for range faults {
				until(t, "writers go on", func() bool { return stored.Load() >= between || ctx.Err() != nil })
				fault(t, server)
				stored.Store(0)
			}
			until(t, "writers go on", func() bool { return stored.Load() >= between || ctx.Err() != nil })
			broken.Store(true)
			wait.Wait()
			var all []sent
			for _, list := range lists {
				all = append(all, list...)
			}
			checkStored(t, s, id, all)
		})
	}
}

func TestStandingServerHoldsNobodyUp(t *testing.T) {
	server := testservers.StartPostgres(t)
	s := open(t, server.URL)
	service := serve(t, s)
	id, members := newGroup(t, s, service, 2)
	server.Pause(t)
	if _, err := service.Send(t.Context(), members[0], chat.SendRequest{Conversation: id, ClientID: newUUID(), Content: "x"}); !isTemporary(err) {
		t.Errorf("sending: %v", err)
	}
	if _, err := s.Messages(t.Context(), id, chat.MessagePage{Limit: 1}); !chat.IsReason(err, chat.ReasonUnavailable) {
		t.Errorf("reading: %v", err)
	}
	if err := s.SetLastSeen(t.Context(), map[chat.UserID]time.Time{members[0].User: time.Now()}); !isTemporary(err) {
		t.Errorf("writing: %v", err)
	}
	server.Resume(t)
	if _, err := sendUntilStored(t.Context(), service, members[0], id, "y", func(error) {}); err != nil {
		t.Errorf("after it goes on: %v", err)
	}
}

func isTemporary(err error) bool {
	return chat.IsReason(err, chat.ReasonUnavailable) || chat.IsReason(err, chat.ReasonOutcomeUnknown)
}

func TestExhaustedPoolIsUnavailable(t *testing.T) {
	s := open(t, withParameter(testservers.Postgres(t), "pool_max_conns=2"))
	service := serve(t, s)
	id, members := newGroup(t, s, service, 2)
	pool := s.engine.(*postgresEngine).pool
	for range 2 {
		c, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Release()
	}
	if _, err := service.Send(t.Context(), members[0], chat.SendRequest{Conversation: id, ClientID: newUUID(), Content: "x"}); !chat.IsReason(err, chat.ReasonUnavailable) {
		t.Errorf("sending: %v", err)
	}
	if _, err := s.Messages(t.Context(), id, chat.MessagePage{Limit: 1}); !chat.IsReason(err, chat.ReasonUnavailable) {
		t.Errorf("reading: %v", err)
	}
}

// TestServersErrors has the server refuse the first insert of an event, or its commit, with each kind of error, and lets the second one pass.
func TestServersErrors(t *testing.T) {
	for state, want := range map[string]chat.Reason{
		stateDeadlock: storedAtLength, stateSerialization: storedAtLength,
		stateDiskFull: chat.ReasonStoreFull, stateReadOnly: chat.ReasonStoreFull,
		"53200": chat.ReasonUnavailable, stateLockTimeout: chat.ReasonUnavailable, "57014": chat.ReasonUnavailable, "58030": chat.ReasonUnavailable,
		"22021": refusedData, "23514": refusedData,
	} {
		for when, trigger := range map[string]string{
			"at the insert": `CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()`,
			"at the commit": `CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`,
		} {
			t.Run(state+" "+when, func(t *testing.T) { testServersError(t, state, trigger, want) })
		}
	}
}

// What testServersError expects beside a reason.
const (
	refusedData    = chat.Reason(0)  // an error that isn't typed
	storedAtLength = chat.Reason(-1) // no error
)

func testServersError(t *testing.T, state, trigger string, want chat.Reason) {
	url := testservers.Postgres(t)
	s := open(t, url)
	service := serve(t, s)
	id, members := newGroup(t, s, service, 2)
	execute(t, url, `CREATE SEQUENCE refused`)
	execute(t, url, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF nextval('refused') = 1 THEN RAISE EXCEPTION 'refused for the test' USING ERRCODE = '`+state+`'; END IF; RETURN NEW; END $$`)
	execute(t, url, trigger)
	x := chat.SendRequest{Conversation: id, ClientID: newUUID(), Content: "x"}
	_, err := service.Send(t.Context(), members[0], x)
	e, typed := chat.AsError(err)
	switch want {
	case storedAtLength:
		if err != nil {
			t.Fatal(err)
		}
	case refusedData:
		if err == nil || typed {
			t.Fatal(err)
		}
	default:
		if !typed || e.Reason != want {
			t.Fatal(err)
		}
	}
	if again, err := service.Send(t.Context(), members[0], x); err != nil || again.Duplicate != (want == storedAtLength) {
		t.Errorf("again: %+v, %v", again, err)
	}
	if events := allEvents(t, s, id); len(events) != 3 {
		t.Errorf("%d events", len(events))
	}
}

// TestLockOfAnotherNodeIsWaitedForAndGivenUp holds a shard's lock as a node that has stopped would.
func TestLockOfAnotherNodeIsWaitedForAndGivenUp(t *testing.T) {
	url := testservers.Postgres(t)
	s := open(t, url)
	service := serve(t, s)
	id, members := newGroup(t, s, service, 2)
	other, err := s.engine.(*postgresEngine).pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(t.Context(), `SELECT set_config('idle_in_transaction_session_timeout', '0', true), pg_advisory_xact_lock($1, $2)`,
		lockSpace, id.Shard(postgresShards)); err != nil {
		t.Fatal(err)
	}
	x := chat.SendRequest{Conversation: id, ClientID: newUUID(), Content: "x"}
	if _, err := service.Send(t.Context(), members[0], x); !chat.IsReason(err, chat.ReasonUnavailable) {
		t.Errorf("while it is held: %v", err)
	}
	if err := other.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if sent, err := service.Send(t.Context(), members[0], x); err != nil || sent.Duplicate {
		t.Errorf("when it is free: %+v, %v", sent, err)
	}
}

// TestStoppedNodeLosesItsLocks stops a node in the middle of a transaction, where it holds a shard's lock.
func TestStoppedNodeLosesItsLocks(t *testing.T) {
	url := testservers.Postgres(t)
	stopped, going := open(t, url), open(t, url)
	service := serve(t, going)
	id, members := newGroup(t, going, service, 2)
	inside, goOn := make(chan struct{}), make(chan struct{})
	result := make(chan error, 1)
	calls := 0
	go func() {
		_, err := stopped.Commit(context.Background(), chat.Reads{Conversations: []chat.ConversationID{id}}, func(v *chat.View) (*chat.Writes, error) {
			if calls++; calls == 1 {
				close(inside)
				<-goOn
			}
			c := v.Conversations[id]
			c.LastSeq++
			return &chat.Writes{Heads: []*chat.ConversationState{c}, Events: []chat.Event{{Conversation: id, Seq: c.LastSeq, Kind: chat.EventConversation}}}, nil
		})
		result <- err
	}()
	select {
	case <-inside:
	case err := <-result:
		t.Fatalf("the transaction never began: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := sendUntilStored(ctx, service, members[0], id, "x", func(error) {})
	close(goOn)
	if err != nil {
		t.Errorf("nobody could send while it was stopped: %v", err)
	}
	if err := <-result; err == nil {
		t.Error("the stopped node's transaction was committed")
	} else if !chat.IsReason(err, chat.ReasonUnavailable) {
		t.Error(err)
	}
	if events := allEvents(t, going, id); len(events) != 3 || events[2].Kind != chat.EventMessage {
		t.Errorf("%d events", len(events))
	}
}

// TestUnreplicatedCommitIsNotAcknowledged has the server wait for a standby that isn't there.
func TestUnreplicatedCommitIsNotAcknowledged(t *testing.T) {
	server := testservers.StartPostgres(t)
	s := open(t, server.URL)
	service := serve(t, s)
	id, members := newGroup(t, s, service, 2)
	set := func(standbys string) {
		execute(t, server.URL, `ALTER SYSTEM SET synchronous_standby_names = '`+standbys+`'`)
		execute(t, server.URL, `SELECT pg_reload_conf()`)
		until(t, "the setting is in force", func() bool { return value(t, server.URL, `SHOW synchronous_standby_names`) == standbys })
	}
	set("nowhere")
	result := make(chan error, 1)
	go func() { result <- commitEvent(s, id) }()
	const waiting = `FROM pg_stat_activity WHERE wait_event = 'SyncRep'`
	until(t, "the commit waits", func() bool { return value(t, server.URL, `SELECT count(*)::text `+waiting) == "1" })
	if err := <-result; !chat.IsReason(err, chat.ReasonOutcomeUnknown) || !errors.Is(err, errSlow) {
		t.Errorf("while it waits: %v", err)
	}
	// The wait goes on, and nobody sees what isn't replicated.
	if got := value(t, server.URL, `SELECT count(*)::text `+waiting); got != "1" {
		t.Errorf("%s commits wait", got)
	}
	if events := allEvents(t, s, id); len(events) != 2 {
		t.Errorf("%d events are seen", len(events))
	}
	set("")
	until(t, "the commit is through", func() bool { return len(allEvents(t, s, id)) == 3 })

	set("nowhere")
	var err error
	until(t, "the wait is ended before the store gives it up", func() bool {
		go func() { result <- commitEvent(s, id) }()
		execute(t, server.URL, `DO $$ BEGIN FOR look IN 1..2000 LOOP
				PERFORM pg_stat_clear_snapshot();
				PERFORM pg_cancel_backend(pid) `+waiting+`;
				EXIT WHEN FOUND;
				PERFORM pg_sleep(0.001);
			END LOOP; END $$`)
		err = <-result
		return !errors.Is(err, errSlow)
	})
	if !chat.IsReason(err, chat.ReasonOutcomeUnknown) || !strings.Contains(err.Error(), "warning") {
		t.Errorf("when the wait is ended: %v", err)
	}
	set("")
	if _, err := sendUntilStored(t.Context(), service, members[0], id, "x", func(error) {}); err != nil {
		t.Error(err)
	}
}

// TestUnansweredCommitIsOfUnknownOutcome breaks commits off while the server carries them out.
func TestUnansweredCommitIsOfUnknownOutcome(t *testing.T) {
	const committing = `FROM pg_stat_activity WHERE wait_event = 'PgSleep'`
	for name, fault := range map[string]func(t *testing.T, server *testservers.Server){
		"by an administrator": func(t *testing.T, server *testservers.Server) {
			execute(t, server.URL, `SELECT pg_terminate_backend(pid) `+committing)
		},
		"by a crash": func(t *testing.T, server *testservers.Server) {
			server.Kill(t)
			server.Start(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := testservers.StartPostgres(t)
			s := open(t, server.URL)
			id, _ := newGroup(t, s, serve(t, s), 2)
			execute(t, server.URL, `CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$`)
			execute(t, server.URL, `CREATE CONSTRAINT TRIGGER linger AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED
				FOR EACH ROW EXECUTE FUNCTION linger()`)
			result := make(chan error, 1)
			go func() { result <- commitEvent(s, id) }()
			until(t, "the commit is under way", func() bool { return value(t, server.URL, `SELECT count(*)::text `+committing) == "1" })
			fault(t, server)
			if err := <-result; !chat.IsReason(err, chat.ReasonOutcomeUnknown) {
				t.Error(err)
			}
			until(t, "it can be read again", func() bool { _, err := s.Tops(t.Context()); return err == nil })
			if events := allEvents(t, s, id); len(events) != 2 {
				t.Errorf("%d events", len(events))
			}
		})
	}
}

// commitEvent commits one event without content.
func commitEvent(s *Store, id chat.ConversationID) error {
	_, err := s.Commit(context.Background(), chat.Reads{Conversations: []chat.ConversationID{id}}, func(v *chat.View) (*chat.Writes, error) {
		c := v.Conversations[id]
		c.LastSeq++
		return &chat.Writes{Heads: []*chat.ConversationState{c}, Events: []chat.Event{{Conversation: id, Seq: c.LastSeq, Kind: chat.EventConversation}}}, nil
	})
	return err
}

func TestCommitsAreDurableWhateverTheDatabaseSays(t *testing.T) {
	url := testservers.Postgres(t)
	name := value(t, url, `SELECT current_database()`)
	for setting, want := range map[string]string{"off": "on", "local": "on", "remote_apply": "remote_apply"} {
		execute(t, url, `ALTER DATABASE `+name+` SET synchronous_commit = `+setting)
		s := open(t, url)
		var got string
		if err := s.engine.(*postgresEngine).pool.QueryRow(t.Context(), `SHOW synchronous_commit`).Scan(&got); err != nil || got != want {
			t.Errorf("%s became %s, %v", setting, got, err)
		}
	}
}

// TestTwoNodesKeepOneOrder has 64 writers on two nodes write to the same conversations, and readers look at what can be seen meanwhile.
func TestTwoNodesKeepOneOrder(t *testing.T) {
	url := testservers.Postgres(t)
	stores := []*Store{open(t, url), open(t, url)}
	services := []*chat.Service{serve(t, stores[0]), serve(t, stores[1])}
	const writers, each, conversations = 64, 10, 3
	ids := make([]chat.ConversationID, conversations)
	members := make([][]chat.Caller, conversations)
	for i := range ids {
		ids[i], members[i] = newGroup(t, stores[0], services[0], writers)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	lists := make([][]sent, writers)
	var writing, reading sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				c := (w + i) % conversations
				x, err := sendUntilStored(ctx, services[w%2], members[c][w], ids[c], fmt.Sprintf("%d of %d", i, w), func(err error) {
					if !isTemporary(err) {
						t.Errorf("told: %v", err)
					}
				})
				if err != nil {
					t.Errorf("not stored: %v", err)
					return
				}
				lists[w] = append(lists[w], x)
			}
		})
	}
	done := make(chan struct{})
	for r := range 4 {
		reading.Go(func() { watchPrefix(t, stores[r%2], ids, done) })
	}
	writing.Wait()
	close(done)
	reading.Wait()
	for c, id := range ids {
		var of []sent
		for w, list := range lists {
			for i, x := range list {
				if (w+i)%conversations == c {
					of = append(of, x)
				}
			}
		}
		checkStored(t, stores[0], id, of)
	}
	checkLog(t, stores[1])
}

// watchPrefix looks again and again at conversations and at the log: what is seen has to be all up to some number.
func watchPrefix(t *testing.T, s *Store, ids []chat.ConversationID, done <-chan struct{}) {
	pool := s.engine.(*postgresEngine).pool
	for {
		select {
		case <-done:
			return
		default:
		}
		for _, id := range ids {
			var count, last, head int64
			err := pool.QueryRow(t.Context(), `SELECT count(*), COALESCE(max(seq), 0), (SELECT last_seq FROM conversation_heads WHERE conversation_id = $1)
				FROM events WHERE conversation_id = $1`, int64(id)).Scan(&count, &last, &head)
			if err != nil || count != last || last != head {
				t.Errorf("%d events up to %d, and the head is at %d: %v", count, last, head, err)
				return
			}
		}
		var count, last int64
		err := pool.QueryRow(t.Context(), `SELECT count(*), COALESCE(sum(top), 0) FROM (SELECT count(*) AS n, max(no) AS top FROM commit_log GROUP BY shard) AS s
			WHERE n <> top`).Scan(&count, &last)
		if err != nil || count != 0 {
			t.Errorf("%d shards have holes in their log: %v", count, err)
			return
		}
	}
}

// checkLog follows the chain of every shard's batches from the beginning.
func checkLog(t *testing.T, s *Store) {
	t.Helper()
	tops, err := s.Tops(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for shard := range tops.Nos {
		at, id := int64(0), uint64(0)
		for {
			batches, err := s.Batches(t.Context(), shard, at, 50)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range batches {
				if b.No != at+1 || b.PrevID != id || b.Epoch != tops.Epoch {
					t.Fatalf("shard %d: batch %d after %d, %d after %d", shard, b.No, at, b.PrevID, id)
				}
				at, id = b.No, b.ID
			}
			if len(batches) == 0 {
				break
			}
		}
		if at != tops.Nos[shard] || id != tops.IDs[shard] {
			t.Errorf("shard %d ends at %d, %d, and not at its top", shard, at, id)
		}
	}
}
