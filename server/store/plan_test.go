package store

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// Two marks are enough to know everybody's highest among the others.
func TestTopReadsAgreeWithAllMarks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var reads topReads
		marks := make(map[chat.UserID]chat.Seq)
		for range rapid.IntRange(1, 40).Draw(t, "marks") {
			user := chat.UserID(rapid.IntRange(1, 5).Draw(t, "user"))
			mark := max(marks[user], chat.Seq(rapid.IntRange(0, 30).Draw(t, "mark")))
			marks[user] = mark
			reads.raise(user, mark)
			for u := chat.UserID(1); u <= 6; u++ {
				var want chat.Seq
				for other, m := range marks {
					if other != u {
						want = max(want, m)
					}
				}
				if got := reads.byOthers(u); got != want {
					t.Fatalf("with marks %v, others than %d have read up to %d, not %d", marks, u, want, got)
				}
			}
		}
	})
}

// Each shard is a run of ids, as the expression for what changed since takes for granted.
func TestShardsAreRangesOfIDs(t *testing.T) {
	for _, shards := range []int{1, 2, 3, 7, 16, 64, 1000} {
		for shard := range shards {
			first := firstOfShard(shard, shards)
			if got := first.Shard(shards); got != shard {
				t.Errorf("id %d is said to begin shard %d of %d, and is in %d", first, shard, shards, got)
			}
			if shard > 0 {
				if got := (first - 1).Shard(shards); got != shard-1 {
					t.Errorf("id %d is said to end shard %d of %d, and is in %d", first-1, shard-1, shards, got)
				}
			}
		}
	}
}
