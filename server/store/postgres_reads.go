package store

import (
	"github.com/jackc/pgx/v5"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// postgresReads gathers the reads of a transaction into one pipeline. It does what readView does, with a statement of its own for each kind
// of key: their arrays make one plan fit every number of keys.
type postgresReads struct {
	batch *pgx.Batch
	view  *view
}

// each adds a query; fn is called for every row when the pipeline's results are read.
func (r *postgresReads) each(fn func(pgx.Rows) error, query string, args ...any) {
	r.batch.Queue(query, args...).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			if err := fn(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// tops adds the reading of the ends of shards' logs.
func (r *postgresReads) tops(shards []int32, into *logTops) {
	r.each(func(rows pgx.Rows) error {
		var shard int
		var top logTop
		if err := rows.Scan(&shard, &top.no, &top.id, &into.epoch); err != nil {
			return err
		}
		into.tops[shard] = top
		return nil
	}, `SELECT s.shard, COALESCE(l.no, 0), COALESCE(l.id, 0), (SELECT value FROM store_meta WHERE key = 'epoch')
		FROM unnest($1::int[]) AS s(shard)
		LEFT JOIN LATERAL (SELECT no, id FROM commit_log WHERE shard = s.shard ORDER BY no DESC LIMIT 1) AS l ON true`, shards)
}

// queue adds everything that reads names.
func (r *postgresReads) queue(reads *chat.Reads) {
	r.states(reads)
	r.members(reads.Members)
	r.messages(reads)
	if len(reads.Users) > 0 {
		r.each(func(rows pgx.Rows) error {
			var u chat.User
			err := rows.Scan(&u.ID, &u.Username, &u.DisplayName, &u.AvatarURL)
			r.view.Users[u.ID] = u
			return err
		}, `SELECT u.id, u.username, u.display_name, u.avatar_url FROM unnest($1::bigint[]) AS k(id) JOIN users u ON u.id = k.id`,
			column(reads.Users, func(id chat.UserID) int64 { return int64(id) }))
	}
}

func (r *postgresReads) states(reads *chat.Reads) {
	const from = `SELECT ` + stateColumns + ` FROM conversations c JOIN conversation_heads h ON h.conversation_id = c.id JOIN `
	add := func(rows pgx.Rows) error { return r.view.addState(rows) }
	if len(reads.Conversations) > 0 {
		r.each(add, from+`unnest($1::bigint[]) AS k(id) ON k.id = c.id`, ids(reads.Conversations))
	}
	if len(reads.CreateKeys) > 0 {
		r.each(add, from+`unnest($1::text[]) AS k(name) ON k.name = c.create_key`,
			column(reads.CreateKeys, func(k chat.CreateKey) string { return k.Key }))
	}
}

func (r *postgresReads) members(keys []chat.MemberKey) {
	if len(keys) == 0 {
		return
	}
	r.each(func(rows pgx.Rows) error {
		m, err := scanMember(rows)
		if err == nil {
			r.view.Members[chat.MemberKey{Conversation: m.Conversation, User: m.User}] = m
		}
		return err
	}, `SELECT `+memberColumns+` FROM unnest($1::bigint[], $2::bigint[]) AS k(u, c) JOIN members m ON m.user_id = k.u AND m.conversation_id = k.c`,
		column(keys, func(k chat.MemberKey) int64 { return int64(k.User) }),
		column(keys, func(k chat.MemberKey) int64 { return int64(k.Conversation) }))
}

func (r *postgresReads) messages(reads *chat.Reads) {
	const places = ` FROM unnest($1::bigint[], $2::bigint[]) AS k(c, s) JOIN events e ON e.conversation_id = k.c AND e.seq = k.s`
	if keys := reads.Messages; len(keys) > 0 {
		r.each(func(rows pgx.Rows) error {
			e, err := scanEvent(rows)
			if err == nil {
				r.view.Messages[chat.MessageKey{Conversation: e.Conversation, Seq: e.Seq}] = e.Message
			}
			return err
		}, `SELECT `+eventColumns+places+` WHERE e.kind = 1`, ids(conversations(keys)), seqs(keys))
	}
	if keys := reads.Ordinals; len(keys) > 0 {
		// A place above the head stands for the head.
		r.each(func(rows pgx.Rows) error {
			var k chat.MessageKey
			var ordinal int64
			err := rows.Scan(&k.Conversation, &k.Seq, &ordinal)
			r.view.Ordinals[k] = ordinal
			return err
		}, `SELECT k.c, k.s, COALESCE(e.ordinal, h.last_ordinal) FROM unnest($1::bigint[], $2::bigint[]) AS k(c, s)
			JOIN conversation_heads h ON h.conversation_id = k.c
			LEFT JOIN events e ON e.conversation_id = k.c AND e.seq = k.s
			WHERE e.seq IS NOT NULL OR k.s >= h.last_seq`, ids(conversations(keys)), seqs(keys))
	}
	if keys := reads.ClientIDs; len(keys) > 0 {
		r.each(func(rows pgx.Rows) error {
			e, err := scanEvent(rows)
			if err == nil {
				r.view.ClientIDs[chat.ClientKey{Conversation: e.Conversation, Sender: e.Actor, ClientID: e.message.ClientID}] = e.Message
			}
			return err
		}, `SELECT `+eventColumns+` FROM unnest($1::bytea[], $2::bigint[], $3::bigint[]) AS k(i, c, a)
			JOIN events e ON e.client_id = k.i AND e.conversation_id = k.c AND e.actor_id = k.a`,
			column(keys, func(k chat.ClientKey) []byte { return k.ClientID[:] }),
			column(keys, func(k chat.ClientKey) int64 { return int64(k.Conversation) }),
			column(keys, func(k chat.ClientKey) int64 { return int64(k.Sender) }))
	}
}

// column takes one field of every item, as the arrays want it.
func column[T, F any](list []T, field func(T) F) []F {
	out := make([]F, len(list))
	for i, x := range list {
		out[i] = field(x)
	}
	return out
}

func ids(list []chat.ConversationID) []int64 {
	return column(list, func(id chat.ConversationID) int64 { return int64(id) })
}

func conversations(keys []chat.MessageKey) []chat.ConversationID {
	return column(keys, func(k chat.MessageKey) chat.ConversationID { return k.Conversation })
}

func seqs(keys []chat.MessageKey) []int64 {
	return column(keys, func(k chat.MessageKey) int64 { return int64(k.Seq) })
}
