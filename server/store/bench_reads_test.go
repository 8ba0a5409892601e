package store

import (
	"context"
	"testing"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// benchMessages is how many messages are stored before reads are measured.
const benchMessages = 200_000

// filled returns a store that holds benchMessages messages in conversations of two.
func filled(b *testing.B, newURL func(testing.TB) string, conversations int) *sender {
	b.Helper()
	x := newSender(b, newURL(b), conversations)
	for range benchMessages / 500 {
		x.send(b, 500)
	}
	if err := x.store.WaitIndexed(context.Background()); err != nil {
		b.Fatal(err)
	}
	return x
}

// onEachKind runs a benchmark on each kind of database.
func onEachKind(b *testing.B, run func(b *testing.B, newURL func(testing.TB) string)) {
	for _, kind := range []string{"SQLite", "PostgreSQL"} {
		b.Run(kind, func(b *testing.B) { run(b, databases[kind]) })
	}
}

// repeat runs a read b.N times.
func repeat(b *testing.B, name string, read func() error) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := read(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkHistory(b *testing.B) {
	onEachKind(b, func(b *testing.B, newURL func(testing.TB) string) {
		for name, conversations := range map[string]int{"all in one": 1, "among 200": 200} {
			x := filled(b, newURL, conversations)
			all := chat.Seq(benchMessages / conversations)
			for at, page := range map[string]chat.MessagePage{
				"newest": {Limit: 50}, "middle": {Limit: 50, Before: all / 2}, "oldest": {Limit: 50, After: 1}, "around": {Limit: 50, Around: all / 3},
			} {
				repeat(b, name+"/"+at, func() error {
					list, err := x.store.Messages(context.Background(), x.pairs[x.random.IntN(conversations)], page)
					if len(list.Messages) != 50 {
						b.Fatalf("%d messages", len(list.Messages))
					}
					return err
				})
			}
		}
	})
}

// BenchmarkLists reads as a user does who is in 200 conversations.
func BenchmarkLists(b *testing.B) {
	onEachKind(b, func(b *testing.B, newURL func(testing.TB) string) {
		x := newSender(b, newURL(b), 1)
		const conversations = 200
		for range conversations {
			x.pairs = append(x.pairs, chat.ConversationID(x.random.Int64N(1<<62)+1))
			x.createFor(b, x.pairs[len(x.pairs)-1], x.users(0))
		}
		ctx := context.Background()
		tops, err := x.store.Tops(ctx)
		if err != nil {
			b.Fatal(err)
		}
		id := x.pairs[0]
		if _, err := x.store.Commit(ctx, chat.Reads{Conversations: []chat.ConversationID{id}}, func(v *chat.View) (*chat.Writes, error) {
			return &chat.Writes{Heads: []*chat.ConversationState{v.Conversations[id]}}, nil
		}); err != nil {
			b.Fatal(err)
		}
		repeat(b, "changed, 1 of 201", func() error {
			list, err := x.store.ChangedSummaries(ctx, 1, tops.Nos, 0, 500)
			if len(list) != 1 {
				b.Fatalf("%d summaries", len(list))
			}
			return err
		})
		repeat(b, "changed, all 201", func() error {
			_, err := x.store.ChangedSummaries(ctx, 1, nil, 0, 500)
			return err
		})
		repeat(b, "recent, 50 of 201", func() error {
			_, err := x.store.RecentSummaries(ctx, 1, chat.RecentCursor{}, 50)
			return err
		})
		repeat(b, "one", func() error {
			_, err := x.store.Summaries(ctx, 1, x.pairs[:1])
			return err
		})
	})
}

func BenchmarkSearch(b *testing.B) {
	onEachKind(b, func(b *testing.B, newURL func(testing.TB) string) {
		x := filled(b, newURL, 200)
		for name, words := range map[string][]string{"word": {"words"}, "two words": {"some", "chat"}, "beginning": {"wo*"}, "nothing": {"absent"}} {
			repeat(b, name, func() error {
				_, err := x.store.SearchMessages(context.Background(), chat.SearchQuery{User: 1, Words: words, Limit: 20})
				return err
			})
		}
	})
}

// BenchmarkTops is what every node asks for each second, and a resume for each client.
func BenchmarkTops(b *testing.B) {
	onEachKind(b, func(b *testing.B, newURL func(testing.TB) string) {
		x := newSender(b, newURL(b), 10)
		repeat(b, "tops", func() error {
			_, err := x.store.Tops(context.Background())
			return err
		})
		repeat(b, "membership", func() error {
			_, _, err := x.store.Member(context.Background(), chat.MemberKey{Conversation: x.pairs[0], User: 1})
			return err
		})
	})
}
