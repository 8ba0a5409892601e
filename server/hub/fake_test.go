package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/natterjack-chat/natterjack/server/chat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// conv is the n-th conversation of a shard, where shards is fakeShards.
func conv(shard, n int) chat.ConversationID {
	return chat.ConversationID(int64(shard)<<61 | int64(n)) // an id has 63 bits, of which the uppermost tell the shard
}

const fakeShards = 4

// textEncoder writes pieces that a test can read: "kind conversation seq …\n".
type textEncoder struct{}

func (textEncoder) Event(e chat.Event) []byte {
	return fmt.Appendf(nil, "event %d %d\n", e.Conversation, e.Seq)
}

func (textEncoder) Receipt(r chat.Receipt) []byte {
	return fmt.Appendf(nil, "receipt %d %d %d\n", r.Conversation, r.ReadSeq, r.User)
}

func (textEncoder) Typing(c chat.ConversationID, u chat.UserID, typing bool) []byte {
	return fmt.Appendf(nil, "typing %d %d %v\n", c, u, typing)
}

func (textEncoder) Presence(i chat.PresenceInfo) []byte {
	return fmt.Appendf(nil, "presence %d %d\n", i.User, i.State)
}

func (textEncoder) Resync(c chat.ConversationID, head chat.Seq) []byte {
	return fmt.Appendf(nil, "resync %d %d\n", c, head)
}

func (textEncoder) Goodbye(r GoodbyeReason, delay time.Duration) []byte {
	return fmt.Appendf(nil, "goodbye %d %d\n", r, delay)
}

func (textEncoder) JSON(piece []byte) []byte { return fmt.Appendf(nil, "%q", piece) }

// said is a frame as the test reads it.
type said struct {
	kind string
	conv chat.ConversationID
	seq  chat.Seq
	rest string
}

func read(f *Frame) said {
	if id, ok := f.SummaryOf(); ok {
		return said{kind: "summary", conv: id}
	}
	words := strings.Fields(string(f.Binary()))
	s := said{kind: words[0]}
	switch s.kind {
	case "event", "old", "resync", "receipt":
		c, _ := strconv.ParseInt(words[1], 10, 64)
		q, _ := strconv.ParseInt(words[2], 10, 64)
		s.conv, s.seq = chat.ConversationID(c), chat.Seq(q)
		s.rest = strings.Join(words[3:], " ")
	default:
		s.rest = strings.Join(words[1:], " ")
	}
	return s
}

// short renders frames with conversations of shard 0 as small numbers.
func short(frames []*Frame) string {
	var out []string
	for _, f := range frames {
		if id, ok := f.SummaryOf(); ok {
			out = append(out, fmt.Sprintf("summary %d", id))
			continue
		}
		out = append(out, strings.TrimSuffix(string(f.Binary()), "\n"))
	}
	return strings.Join(out, ", ")
}

// memoryLog is a chat.Log whose batches the test makes.
type memoryLog struct {
	mu      sync.Mutex
	epoch   int64
	nextID  uint64
	shards  [][]chat.Batch
	trimmed []int64       // per shard: batches up to this number are gone
	fail    error         // returned by all reads
	reads   int           // calls of Batches
	gate    chan struct{} // not nil: answers of Batches wait for it to be closed
	heads   map[chat.ConversationID]chat.Seq
	members map[chat.MemberKey]chat.Member
	stays   map[chat.MemberKey][]stay
}

// stay is a membership from its first event to its last one, 0 while it goes on.
type stay struct{ from, to chat.Seq }

func newMemoryLog() *memoryLog {
	return &memoryLog{
		epoch: 1, shards: make([][]chat.Batch, fakeShards), trimmed: make([]int64, fakeShards),
		heads: map[chat.ConversationID]chat.Seq{}, members: map[chat.MemberKey]chat.Member{},
		stays: map[chat.MemberKey][]stay{},
	}
}

// change is one event to be committed; the log gives it its seq.
type change struct {
	conv        chat.ConversationID
	join, leave chat.UserID
}

func message(id chat.ConversationID) change                { return change{conv: id} }
func joining(id chat.ConversationID, u chat.UserID) change { return change{conv: id, join: u} }
func leaving(id chat.ConversationID, u chat.UserID) change { return change{conv: id, leave: u} }

// commit stores changes of conversations of one shard as one batch and returns it.
func (l *memoryLog) commit(changes ...change) chat.Batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	shard := changes[0].conv.Shard(fakeShards)
	b := l.next(shard)
	for _, c := range changes {
		l.heads[c.conv]++
		e := chat.Event{Conversation: c.conv, Seq: l.heads[c.conv], Kind: chat.EventMessage}
		if user := c.join + c.leave; user != 0 {
			e.Kind = chat.EventMembers
			key := chat.MemberKey{Conversation: c.conv, User: user}
			m := l.members[key]
			m.Conversation, m.User = c.conv, user
			if c.join != 0 {
				m.JoinedSeq, m.LeftSeq = e.Seq, 0
				l.stays[key] = append(l.stays[key], stay{from: e.Seq})
			} else {
				m.LeftSeq = e.Seq
				if n := len(l.stays[key]); n > 0 {
					l.stays[key][n-1].to = e.Seq
				}
			}
			l.members[key] = m
			e.Members = []chat.MemberInfo{{Member: m}}
		}
		b.Events = append(b.Events, e)
	}
	l.shards[shard] = append(l.shards[shard], b)
	return b
}

func (l *memoryLog) commitReceipts(receipts ...chat.Receipt) chat.Batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	shard := receipts[0].Conversation.Shard(fakeShards)
	b := l.next(shard)
	b.Receipts = receipts
	l.shards[shard] = append(l.shards[shard], b)
	return b
}

func (l *memoryLog) next(shard int) chat.Batch {
	l.nextID++
	b := chat.Batch{Epoch: l.epoch, Shard: shard, No: int64(len(l.shards[shard])) + 1, ID: l.nextID}
	if n := len(l.shards[shard]); n > 0 {
		b.PrevID = l.shards[shard][n-1].ID
	}
	return b
}

// member reports whether the user is a member now.
func (l *memoryLog) member(id chat.ConversationID, u chat.UserID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.members[chat.MemberKey{Conversation: id, User: u}]
	return m.Active()
}

// stayAt returns the user's stay that the event belongs to.
func (l *memoryLog) stayAt(id chat.ConversationID, u chat.UserID, seq chat.Seq) (stay, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.stays[chat.MemberKey{Conversation: id, User: u}] {
		if s.from <= seq && (s.to == 0 || seq <= s.to) {
			return s, true
		}
	}
	return stay{}, false
}

func (l *memoryLog) memberships(u chat.UserID) []chat.ConversationID {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []chat.ConversationID
	for key, m := range l.members {
		if key.User == u && m.Active() {
			ids = append(ids, key.Conversation)
		}
	}
	slices.Sort(ids)
	return ids
}

func (l *memoryLog) head(id chat.ConversationID) chat.Seq {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heads[id]
}

// locked changes the log.
func (l *memoryLog) locked(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

func (l *memoryLog) setFail(err error)        { l.locked(func() { l.fail = err }) }
func (l *memoryLog) bumpEpoch()               { l.locked(func() { l.epoch++ }) }
func (l *memoryLog) trim(shard int, to int64) { l.locked(func() { l.trimmed[shard] = to }) }
func (l *memoryLog) skip(id chat.ConversationID, n chat.Seq) {
	l.locked(func() { l.heads[id] += n }) // a fault of a store
}

func (l *memoryLog) readCount() (n int) {
	l.locked(func() { n = l.reads })
	return n
}

func (l *memoryLog) Shards() int { return fakeShards }

func (l *memoryLog) Commit(context.Context, chat.Reads, func(*chat.View) (*chat.Writes, error)) ([]chat.Batch, error) {
	return nil, errors.New("the hub never commits")
}

func (l *memoryLog) BatchIDs(context.Context, []int64) ([]uint64, error) {
	return nil, errors.New("the hub never asks for ids")
}

// Batches answers as a store does: events show the members as they are now.
func (l *memoryLog) Batches(_ context.Context, shard int, after int64, limit int) ([]chat.Batch, error) {
	var gate chan struct{}
	l.locked(func() { gate = l.gate })
	if gate != nil {
		defer func() { <-gate }()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads++
	switch {
	case l.fail != nil:
		return nil, l.fail
	case after < l.trimmed[shard]:
		return nil, chat.ErrTrimmed
	case after >= int64(len(l.shards[shard])):
		return nil, nil
	}
	var out []chat.Batch
	for _, b := range l.shards[shard][after:min(int(after)+limit, len(l.shards[shard]))] {
		b.Events = slices.Clone(b.Events)
		for i, e := range b.Events {
			e.Members = slices.Clone(e.Members)
			for j, m := range e.Members {
				e.Members[j].Member = l.members[chat.MemberKey{Conversation: e.Conversation, User: m.User}]
			}
			b.Events[i] = e
		}
		out = append(out, b)
	}
	return out, nil
}

func (l *memoryLog) Tops(context.Context) (chat.Positions, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return chat.Positions{}, l.fail
	}
	p := chat.Positions{Epoch: l.epoch, Nos: make([]int64, fakeShards), IDs: make([]uint64, fakeShards)}
	for i, batches := range l.shards {
		if n := len(batches); n > 0 {
			p.Nos[i], p.IDs[i] = int64(n), batches[n-1].ID
		}
	}
	return p, nil
}

// rewind makes the log a copy restored from before the last n batches of a shard.
func (l *memoryLog) rewind(shard, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := len(l.shards[shard]) - n
	for _, b := range l.shards[shard][kept:] {
		for _, e := range b.Events {
			l.heads[e.Conversation]--
		}
	}
	l.shards[shard] = l.shards[shard][:kept]
}

type tb interface {
	Helper()
	Cleanup(func())
	Fatalf(string, ...any)
}

// startHub runs a hub on a log until the test ends. In a synctest bubble, it is ready on return.
func startHub(t tb, log *memoryLog, change func(*Config)) *Hub {
	t.Helper()
	c := Config{Encoder: textEncoder{}, Log: log, Logger: slog.New(slog.DiscardHandler), Limits: DefaultLimits()}
	if change != nil {
		change(&c)
	}
	h := New(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Fatalf("Run: %v", err)
		}
	})
	return h
}

func limited(change func(*Limits)) func(*Config) {
	return func(c *Config) { change(&c.Limits) }
}

// woken has a channel for each stream of open, which holds an element while there may be something to take.
var woken sync.Map

// open opens a stream that is closed at the end of the test. Unless o says what wakes its writer, next can wait for it.
func open(t tb, h *Hub, o Options) *Stream {
	t.Helper()
	wake := make(chan struct{}, 1)
	if o.Wake == nil {
		o.Wake = func() {
			select {
			case wake <- struct{}{}:
			default:
			}
		}
	}
	s, err := h.Open(o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	woken.Store(s, wake)
	t.Cleanup(func() {
		woken.Delete(s)
		s.Close()
	})
	return s
}

// live opens a stream that is live in conversations at once.
func live(t tb, h *Hub, user chat.UserID, ids ...chat.ConversationID) *Stream {
	t.Helper()
	s := open(t, h, Options{Caller: caller(user), Device: "device " + strconv.Itoa(int(nextDevice()))})
	s.Attach(ids)
	s.Live(nil)
	return s
}

func caller(user chat.UserID) chat.Caller {
	return chat.Caller{User: user, Session: chat.SessionID(user) * 1000}
}

var nextDevice = func() func() int64 {
	var mu sync.Mutex
	var n int64
	return func() int64 {
		mu.Lock()
		defer mu.Unlock()
		n++
		return n
	}
}()

// taken returns what waits for the stream now.
func taken(s *Stream) []*Frame {
	frames, _ := s.take(nil)
	return frames
}

// wantTaken fails unless exactly that waits for the stream, once the hub has come to rest.
func wantTaken(t *testing.T, s *Stream, want string) {
	t.Helper()
	synctest.Wait()
	if got := short(taken(s)); got != want {
		t.Fatalf("stream got %q, want %q", got, want)
	}
}

// next waits until something is queued for a stream of open, and takes it.
func next(s *Stream, buf []*Frame) ([]*Frame, error) {
	for {
		if got, err := s.Take(buf); len(got) > 0 || err != nil {
			return got, err
		}
		wake, _ := woken.Load(s)
		<-wake.(chan struct{})
	}
}

// wantNext fails unless exactly that comes next, however long it takes.
func wantNext(t *testing.T, s *Stream, want string) {
	t.Helper()
	got, err := next(s, nil)
	synctest.Wait()
	got = append(got, taken(s)...)
	if err != nil || short(got) != want {
		t.Fatalf("next is %q, %v, want %q", short(got), err, want)
	}
}

func mustEmit(t *testing.T, s *Stream, pieces ...string) {
	t.Helper()
	for _, p := range pieces {
		if err := s.Emit(t.Context(), NewFrame(textEncoder{}, []byte(p+"\n"))); err != nil {
			t.Fatalf("Emit: %v", err)
		}
	}
}
