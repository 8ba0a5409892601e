package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// benchConversations is how many pairs of users write to each other in turn.
const benchConversations = 500

// sender commits messages as package chat does: it reads the conversation and the sender's membership, and moves the sender's marks along.
type sender struct {
	store   *Store
	pairs   []chat.ConversationID
	content string
	random  *rand.Rand
}

func newSender(tb testing.TB, url string, conversations int) *sender {
	tb.Helper()
	ctx := context.Background()
	s := open(tb, url)
	x := &sender{store: s, content: strings.Repeat("some words of a chat ", 5), random: rand.New(rand.NewPCG(1, 2))}
	for i := range conversations {
		x.pairs = append(x.pairs, chat.ConversationID(x.random.Int64N(1<<62)+1))
		err := s.write(ctx, func(tx *gorm.DB) error {
			for _, u := range x.users(i) {
				name := fmt.Sprint("user", u)
				err := tx.Exec(`INSERT INTO users (id, username, username_key, display_name, created_at) VALUES (?, ?, ?, ?, 0)`, u, name, name, name).Error
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			tb.Fatal(err)
		}
		x.create(tb, i)
	}
	return x
}

func (x *sender) users(pair int) [2]chat.UserID {
	return [2]chat.UserID{chat.UserID(2*pair + 1), chat.UserID(2*pair + 2)}
}

func (x *sender) create(tb testing.TB, pair int) { x.createFor(tb, x.pairs[pair], x.users(pair)) }

func (x *sender) createFor(tb testing.TB, id chat.ConversationID, users [2]chat.UserID) {
	tb.Helper()
	now := time.Now()
	c := &chat.ConversationState{Conversation: chat.Conversation{ID: id, Kind: chat.Direct, CreateTime: now, ChangedSeq: 1}}
	c.LastSeq, c.MemberCount, c.UpdateTime = 2, 2, now
	w := &chat.Writes{Created: []*chat.ConversationState{c}}
	var infos []chat.MemberInfo
	for _, u := range users {
		m := &chat.Member{Conversation: id, User: u, Role: chat.Regular, JoinedSeq: 2}
		w.Members = append(w.Members, m)
		infos = append(infos, chat.MemberInfo{Member: *m})
	}
	w.Events = []chat.Event{
		{Conversation: id, Seq: 1, Kind: chat.EventConversation, Time: now, State: &c.Conversation},
		{Conversation: id, Seq: 2, Kind: chat.EventMembers, Time: now, Members: infos},
	}
	_, err := x.store.Commit(context.Background(), chat.Reads{Conversations: []chat.ConversationID{id}}, func(*chat.View) (*chat.Writes, error) { return w, nil })
	if err != nil {
		tb.Fatal(err)
	}
}

// send commits one batch of n messages in conversations at random.
func (x *sender) send(tb testing.TB, n int) {
	tb.Helper()
	var reads chat.Reads
	pairs := make([]int, n)
	asked := make(map[any]bool, 2*n)
	for i := range pairs {
		pairs[i] = x.random.IntN(len(x.pairs))
		id := x.pairs[pairs[i]]
		k := chat.MemberKey{Conversation: id, User: x.users(pairs[i])[i%2]}
		if !asked[id] {
			asked[id] = true
			reads.Conversations = append(reads.Conversations, id)
		}
		if !asked[k] {
			asked[k] = true
			reads.Members = append(reads.Members, k)
		}
	}
	_, err := x.store.Commit(context.Background(), reads, func(v *chat.View) (*chat.Writes, error) {
		now := time.Now().UTC().Truncate(time.Millisecond)
		var w chat.Writes
		for i, pair := range pairs {
			c := v.Conversations[x.pairs[pair]]
			m := v.Members[chat.MemberKey{Conversation: c.ID, User: x.users(pair)[i%2]}]
			c.LastSeq++
			c.LastOrdinal++
			c.UpdateTime = now
			message := &chat.Message{
				Conversation: c.ID, Seq: c.LastSeq, Ordinal: c.LastOrdinal, Sender: m.User, ClientID: x.uuid(now), Content: x.content, Time: now, ChangedSeq: c.LastSeq,
			}
			w.Events = append(w.Events, chat.Event{Conversation: c.ID, Seq: c.LastSeq, Kind: chat.EventMessage, Actor: m.User, Time: now, Message: message})
			if m.ReadSeq == 0 || asked[m] {
				asked[m] = false
			}
			m.ReadSeq, m.DeliveredSeq, m.ReadOrdinal, m.ReadTime, m.DeliveredTime = c.LastSeq, c.LastSeq, c.LastOrdinal, now, now
		}
		for _, c := range v.Conversations {
			w.Heads = append(w.Heads, c)
		}
		for _, m := range v.Members {
			w.Marks = append(w.Marks, m)
		}
		return &w, nil
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// uuid is a version 7.
func (x *sender) uuid(now time.Time) (id chat.UUID) {
	binary.BigEndian.PutUint64(id[:], uint64(now.UnixMilli())<<16|0x7000|uint64(x.random.IntN(1<<12)))
	binary.BigEndian.PutUint64(id[8:], 0x8000000000000000|x.random.Uint64N(1<<62))
	return id
}

func BenchmarkCommit(b *testing.B) {
	for name, newURL := range databases {
		for _, n := range []int{1, 10, 100, 500} {
			b.Run(fmt.Sprintf("%s/batch=%d", name, n), func(b *testing.B) {
				x := newSender(b, newURL(b), benchConversations)
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					x.send(b, n)
				}
				b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "messages/s")
			})
		}
	}
}
