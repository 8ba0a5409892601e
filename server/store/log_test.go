package store

import (
	"errors"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/natterjack-chat/natterjack/server/chat"
)

func TestTrimKeepsWhatItShould(t *testing.T) {
	onEach(t, func(t *testing.T, newURL func(testing.TB) string) {
		for _, test := range []struct {
			name string
			keep Retention
			left int64 // of the conversation's shard
		}{
			{"all of it", DefaultRetention, 12},
			{"by number", Retention{Batches: 5, Age: time.Hour}, 5},
			{"by age", Retention{Batches: 1000, Age: -time.Hour}, 1},
			{"only the newest", Retention{Batches: 1, Age: time.Hour}, 1},
			{"never the newest", Retention{Batches: 0, Age: -time.Hour}, 1},
		} {
			t.Run(test.name, func(t *testing.T) {
				s := open(t, newURL(t))
				service := serve(t, s)
				id, members := newGroup(t, s, service, 1)
				send := func() {
					t.Helper()
					_, err := service.Send(t.Context(), members[0], chat.SendRequest{Conversation: id, ClientID: newUUID(), Content: "hello"})
					if err != nil {
						t.Fatal(err)
					}
				}
				for range 11 {
					send()
				}
				shard := id.Shard(s.Shards())
				gone, err := s.Trim(t.Context(), test.keep)
				if err != nil || gone != 12-test.left {
					t.Errorf("%d batches went, %v; want %d", gone, err, 12-test.left)
				}
				checkTail(t, s, shard, 12-test.left, 12)
				send()
				checkTail(t, s, shard, 12-test.left, 13)
			})
		}
	})
}

// checkTail checks that of a shard's log the batches after one number up to another are there, and that nobody is told a part for the whole.
func checkTail(t *testing.T, s *Store, shard int, after, top int64) {
	t.Helper()
	batches, err := s.Batches(t.Context(), shard, after, 100)
	if err != nil || int64(len(batches)) != top-after {
		t.Fatalf("%d batches are left, %v; want %d", len(batches), err, top-after)
	}
	for i, b := range batches {
		if b.No != after+int64(i)+1 || len(b.Events) == 0 {
			t.Errorf("batch %d is %+v", i, b)
		}
	}
	if after > 0 {
		if _, err := s.Batches(t.Context(), shard, after-1, 100); !errors.Is(err, chat.ErrTrimmed) {
			t.Errorf("reading from before the trimming: %v", err)
		}
		nos := make([]int64, s.Shards())
		nos[shard] = after
		ids, err := s.BatchIDs(t.Context(), nos)
		if err != nil || ids[shard] != 0 {
			t.Errorf("a trimmed batch has ID %d, %v", ids[shard], err)
		}
	}
	tops, err := s.Tops(t.Context())
	if err != nil || tops.Nos[shard] != top {
		t.Errorf("the top is %d, %v; want %d", tops.Nos[shard], err, top)
	}
}

func TestTrimGoesOnOverManyTransactions(t *testing.T) {
	s := open(t, "sqlite:"+t.TempDir()+"/test.db")
	const many = 2*trimChunk + 7
	err := s.write(t.Context(), func(tx *gorm.DB) error {
		return tx.Exec(`WITH RECURSIVE n(no) AS (SELECT 1 UNION ALL SELECT no + 1 FROM n WHERE no < ?)
			INSERT INTO commit_log (shard, no, id, prev_id, at, touched) SELECT 0, no, no, no - 1, 0, x'0100' FROM n`, many).Error
	})
	if err != nil {
		t.Fatal(err)
	}
	gone, err := s.Trim(t.Context(), Retention{Batches: 3, Age: time.Hour})
	if err != nil || gone != many-1 {
		t.Errorf("%d batches went, %v; want all %d but one, as old as they are", gone, err, many)
	}
}
