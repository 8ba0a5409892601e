package store

import (
	"context"
	"database/sql"
	"time"

	"gorm.io/gorm"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// Tops is that of [chat.Log].
func (s *Store) Tops(ctx context.Context) (chat.Positions, error) {
	p := chat.Positions{Epoch: s.epoch, Nos: make([]int64, s.shards), IDs: make([]uint64, s.shards)}
	err := s.snapshot(ctx, func(db *gorm.DB) error {
		for shard := range s.shards {
			err := each(db, `SELECT no, id FROM commit_log WHERE shard = ? ORDER BY no DESC LIMIT 1`, []any{shard}, func(rows *sql.Rows) error {
				var id int64
				err := rows.Scan(&p.Nos[shard], &id)
				p.IDs[shard] = uint64(id)
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return p, err
}

// BatchIDs is that of [chat.Log].
func (s *Store) BatchIDs(ctx context.Context, nos []int64) ([]uint64, error) {
	ids := make([]uint64, len(nos))
	err := s.snapshot(ctx, func(db *gorm.DB) error {
		for shard, no := range nos {
			err := each(db, `SELECT id FROM commit_log WHERE shard = ? AND no = ?`, []any{shard, no}, func(rows *sql.Rows) error {
				var id int64
				err := rows.Scan(&id)
				ids[shard] = uint64(id)
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return ids, err
}

// Batches is that of [chat.Log].
func (s *Store) Batches(ctx context.Context, shard int, after int64, limit int) ([]chat.Batch, error) {
	var batches []chat.Batch
	err := s.snapshot(ctx, func(db *gorm.DB) error {
		var changes []touched
		err := each(db, `SELECT no, id, prev_id, touched FROM commit_log WHERE shard = ? AND no > ? ORDER BY no LIMIT ?`, []any{shard, after, limit},
			func(rows *sql.Rows) error {
				b := chat.Batch{Epoch: s.epoch, Shard: shard}
				var id, prevID int64
				var raw sql.RawBytes
				if err := rows.Scan(&b.No, &id, &prevID, &raw); err != nil {
					return err
				}
				b.ID, b.PrevID = uint64(id), uint64(prevID)
				t, err := decodeTouched(raw)
				batches, changes = append(batches, b), append(changes, t)
				return err
			})
		if err != nil {
			return err
		}
		if len(batches) > 0 && batches[0].No != after+1 {
			batches = nil
			return chat.ErrTrimmed
		}
		return fillBatches(db, batches, changes)
	})
	return batches, err
}

// fillBatches reads again what batches changed.
func fillBatches(db *gorm.DB, batches []chat.Batch, changes []touched) error {
	var found []*eventRow
	var marked []chat.MemberKey
	var in []chat.ConversationID
	ends := make([]int, len(changes)) // of each batch's events in found
	for i, t := range changes {
		for _, r := range t.ranges {
			err := each(db, `SELECT `+eventColumns+` FROM events e WHERE e.conversation_id = ? AND e.seq BETWEEN ? AND ? ORDER BY e.seq`,
				[]any{r.conversation, r.first, r.last}, func(rows *sql.Rows) error {
					e, err := scanEvent(rows)
					found = append(found, e)
					return err
				})
			if err != nil {
				return err
			}
		}
		ends[i] = len(found)
		marked = append(marked, t.marks...)
		for _, k := range t.marks {
			in = append(in, k.Conversation)
		}
	}
	events, err := resolve(db, found)
	if err != nil {
		return err
	}
	members, err := membersByKey(db, marked)
	if err != nil {
		return err
	}
	states, _, err := statesByID(db, in)
	if err != nil {
		return err
	}
	start := 0
	for i := range batches {
		batches[i].Events = events[start:ends[i]:ends[i]]
		start = ends[i]
		for _, k := range changes[i].marks {
			m, c := members[k], states[k.Conversation]
			if m == nil || c == nil {
				continue
			}
			r := m.Receipt()
			r.Members = c.MemberCount
			batches[i].Receipts = append(batches[i].Receipts, r)
		}
	}
	return nil
}

// Retention says how much of the commit log is kept. A batch goes once either bound is passed.
type Retention struct {
	Batches int64         // of each shard, at least 1
	Age     time.Duration // since the commit
}

// DefaultRetention lets a node that was away for hours repair itself from the log, and bounds what that costs on the disk.
var DefaultRetention = Retention{Batches: 200_000, Age: 6 * time.Hour}

// trimChunk is how many rows one transaction deletes: commits wait for it.
const trimChunk = 2000

// Trim deletes the batches that retention no longer keeps, but never the newest of a shard, from which the numbers go on. It returns how many went.
// Call it from time to time; one call at a time is enough.
func (s *Store) Trim(ctx context.Context, keep Retention) (int64, error) {
	tops, err := s.Tops(ctx)
	if err != nil {
		return 0, err
	}
	var gone int64
	for shard, top := range tops.Nos {
		for {
			n, err := s.trimChunk(ctx, shard, top, keep)
			gone += n
			if err != nil {
				return gone, err
			}
			if n < trimChunk {
				break
			}
		}
	}
	return gone, nil
}

func (s *Store) trimChunk(ctx context.Context, shard int, top int64, keep Retention) (gone int64, err error) {
	old := time.Now().Add(-keep.Age).UnixMilli()
	err = s.write(ctx, func(tx *gorm.DB) error {
		// Numbers and times grow together, so what goes is a run from the beginning.
		result := tx.Exec(`DELETE FROM commit_log WHERE shard = ? AND no < ? AND no IN (
				SELECT no FROM commit_log WHERE shard = ? AND (no <= ? OR at < ?) ORDER BY no LIMIT ?)`,
			shard, top, shard, top-max(1, keep.Batches), old, trimChunk)
		gone = result.RowsAffected
		return result.Error
	})
	return gone, err
}
