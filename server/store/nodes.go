package store

import (
	"context"
	"time"

	"gorm.io/gorm"
)

// forgetNode is after what time a node that isn't noted any more is removed.
const forgetNode = time.Hour

// NodesAlive notes that a node is alive, and returns those of which that was noted within a time, this one among them. All times are of the
// database's clock. It is what package cluster needs.
func (s *Store) NodesAlive(ctx context.Context, node string, within time.Duration) (alive []string, err error) {
	err = s.write(ctx, func(tx *gorm.DB) error {
		var now int64
		if err := tx.Raw(`SELECT ` + clockOf(tx)).Scan(&now).Error; err != nil {
			return err
		}
		err := tx.Exec(`INSERT INTO nodes (name, seen_at) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at`, node, now).Error
		if err != nil {
			return err
		}
		if err := tx.Exec(`DELETE FROM nodes WHERE seen_at < ?`, now-forgetNode.Milliseconds()).Error; err != nil {
			return err
		}
		return tx.Raw(`SELECT name FROM nodes WHERE seen_at >= ? ORDER BY name`, now-within.Milliseconds()).Scan(&alive).Error
	})
	return alive, err
}

// clockOf is what the database's clock says, in milliseconds since 1970.
func clockOf(tx *gorm.DB) string {
	if tx.Name() == "postgres" {
		return `(extract(epoch FROM clock_timestamp()) * 1000)::bigint`
	}
	return `CAST(unixepoch('subsec') * 1000 AS INTEGER)`
}
