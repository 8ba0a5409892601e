package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// Epochs are read with what they belong to: with PostgreSQL another process can change the epoch.
const epochColumn = `(SELECT value FROM store_meta WHERE key = 'epoch')`

// Tops is that of [chat.Log]. It is one statement, which every node sends every second or so.
func (s *Store) Tops(ctx context.Context) (chat.Positions, error) {
	p := chat.Positions{Nos: make([]int64, s.shards), IDs: make([]uint64, s.shards)}
	var query strings.Builder
	query.WriteString(`SELECT -1, ` + epochColumn + `, 0`)
	for shard := range s.shards {
		fmt.Fprintf(&query, ` UNION ALL SELECT * FROM (SELECT shard, no, id FROM commit_log WHERE shard = %d ORDER BY no DESC LIMIT 1) AS top%[1]d`, shard)
	}
	err := each(s.db(ctx), query.String(), nil, func(rows *sql.Rows) error {
		var shard int
		var no, id int64
		if err := rows.Scan(&shard, &no, &id); err != nil {
			return err
		}
		if shard < 0 {
			p.Epoch = no
		} else {
			p.Nos[shard], p.IDs[shard] = no, uint64(id)
		}
		return nil
	})
	return p, translateRead(ctx, err)
}

// BatchIDs is that of [chat.Log].
func (s *Store) BatchIDs(ctx context.Context, nos []int64) ([]uint64, error) {
	ids := make([]uint64, len(nos))
	if len(nos) == 0 {
		return ids, nil
	}
	var places []any
	for shard, no := range nos {
		places = append(places, shard, no)
	}
	err := each(s.db(ctx), `SELECT shard, id FROM commit_log WHERE (shard, no) IN (`+pairs(len(nos))+`)`, places, func(rows *sql.Rows) error {
		var shard int
		var id int64
		err := rows.Scan(&shard, &id)
		ids[shard] = uint64(id)
		return err
	})
	return ids, translateRead(ctx, err)
}

// Batches is that of [chat.Log].
func (s *Store) Batches(ctx context.Context, shard int, after int64, limit int) ([]chat.Batch, error) {
	var batches []chat.Batch
	err := s.snapshot(ctx, func(db *gorm.DB) error {
		var changes []touched
		err := each(db, `SELECT no, id, prev_id, touched, `+epochColumn+` FROM commit_log WHERE shard = ? AND no > ? ORDER BY no LIMIT ?`,
			[]any{shard, after, limit}, func(rows *sql.Rows) error {
				b := chat.Batch{Shard: shard}
				var id, prevID int64
				var raw sql.RawBytes
				if err := rows.Scan(&b.No, &id, &prevID, &raw, &b.Epoch); err != nil {
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
	var ranges []eventRange
	var marked []chat.MemberKey
	var in []chat.ConversationID
	ends := make([]int, len(changes)) // of each batch's events among all
	count := 0
	for i, t := range changes {
		for _, r := range t.ranges {
			count += int(r.last - r.first + 1)
		}
		ends[i] = count
		ranges = append(ranges, t.ranges...)
		marked = append(marked, t.marks...)
		for _, k := range t.marks {
			in = append(in, k.Conversation)
		}
	}
	found, err := eventsIn(db, ranges)
	if err != nil {
		return err
	}
	if len(found) != count {
		return fmt.Errorf("the log tells of %d events, and there are %d", count, len(found))
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

// eventsIn reads the events of ranges, in their order.
func eventsIn(db *gorm.DB, ranges []eventRange) ([]*eventRow, error) {
	var found []*eventRow
	for part := range slices.Chunk(ranges, maxChunk) {
		size := roundUp(len(part))
		args := make([]any, 0, 4*size)
		for i := range size {
			r := eventRange{first: 1} // empty
			if i < len(part) {
				r = part[i]
			}
			args = append(args, i, r.conversation, r.first, r.last)
		}
		err := each(db, `WITH r (place, conversation_id, low, high) AS (`+tuples(4, size)+`)
			SELECT `+eventColumns+` FROM r CROSS JOIN events e WHERE e.conversation_id = r.conversation_id AND e.seq BETWEEN r.low AND r.high
			ORDER BY r.place, e.seq`, args, func(rows *sql.Rows) error {
			e, err := scanEvent(rows)
			found = append(found, e)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
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
	enough := top - max(1, keep.Batches)
	err = s.write(ctx, func(tx *gorm.DB) error {
		// Numbers and times grow together, so what goes is a run from the beginning, and the first that stays ends the search.
		var last int64
		err := each(tx, `SELECT no, at FROM commit_log WHERE shard = ? AND no < ? ORDER BY no LIMIT ?`, []any{shard, top, trimChunk},
			func(rows *sql.Rows) error {
				var no, at int64
				if err := rows.Scan(&no, &at); err != nil {
					return err
				}
				if no > enough && at >= old {
					return errEnough
				}
				last = no
				return nil
			})
		if err != nil && !errors.Is(err, errEnough) {
			return err
		}
		if last == 0 {
			return nil
		}
		result := tx.Exec(`DELETE FROM commit_log WHERE shard = ? AND no <= ?`, shard, last)
		gone = result.RowsAffected
		return result.Error
	})
	return gone, err
}
