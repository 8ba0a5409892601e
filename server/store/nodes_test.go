package store

import (
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"
)

func TestNodesAreAliveWhileTheyAreNoted(t *testing.T) {
	onEach(t, func(t *testing.T, newURL func(testing.TB) string) {
		s := open(t, newURL(t))
		note := func(node string, want ...string) {
			t.Helper()
			if alive, err := s.NodesAlive(t.Context(), node, time.Minute); err != nil || !slices.Equal(alive, want) {
				t.Errorf("alive %q, %v; want %q", alive, err, want)
			}
		}
		age := func(node string, by time.Duration) {
			t.Helper()
			err := s.write(t.Context(), func(tx *gorm.DB) error {
				return tx.Exec(`UPDATE nodes SET seen_at = seen_at - ? WHERE name = ?`, by.Milliseconds(), node).Error
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		note("a", "a")
		note("b", "a", "b")
		note("b", "a", "b")
		age("a", 2*time.Minute)
		note("b", "b")
		note("a", "a", "b")
		age("b", 2*time.Hour)
		note("a", "a")
		var rows int64
		if err := s.db(t.Context()).Raw(`SELECT count(*) FROM nodes`).Scan(&rows).Error; err != nil || rows != 1 {
			t.Errorf("%d rows, %v", rows, err)
		}
		var running sync.WaitGroup
		for i := range 20 { // nodes that say so at the same time
			running.Go(func() {
				if _, err := s.NodesAlive(t.Context(), strconv.Itoa(i%4), time.Minute); err != nil {
					t.Error(err)
				}
			})
		}
		running.Wait()
	})
}
