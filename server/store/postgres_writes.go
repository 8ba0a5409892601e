package store

import (
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// postgresStatements turns a plan into one pipeline that ends with the commit: a statement for each table, with a column's values in
// an array, which is planned once and costs the least for each row. (A VALUES list would be parsed and planned anew for each number of rows.)
// In the arrays 0 and the empty string stand for NULL, which spares their copies with pointers.
func postgresStatements(p *plan, batches []chat.Batch) (*pgx.Batch, error) {
	s := postgresWrites{batch: &pgx.Batch{}, plan: p, numbers: make(map[int]int64, len(batches))}
	for _, b := range batches {
		s.numbers[b.Shard] = b.No
	}
	s.conversations()
	s.heads()
	if err := s.events(); err != nil {
		return nil, err
	}
	if err := s.messages(); err != nil {
		return nil, err
	}
	s.members()
	s.marks()
	s.log(batches)
	s.batch.Queue(`COMMIT`)
	return s.batch, nil
}

type postgresWrites struct {
	batch   *pgx.Batch
	plan    *plan
	numbers map[int]int64 // of this transaction's batches, by shard
}

// number is that of the batch that a conversation's changes belong to.
func (s *postgresWrites) number(id chat.ConversationID) int64 {
	return s.numbers[id.Shard(postgresShards)]
}

func (s *postgresWrites) conversations() {
	if list := s.plan.Created; len(list) > 0 {
		s.batch.Queue(`INSERT INTO conversations (id, kind, title, creator_id, created_at, changed_seq, create_key)
			SELECT u.id, u.kind, u.title, u.creator, u.at, u.changed, nullif(u.name, '')
			FROM unnest($1::bigint[], $2::smallint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[])
				AS u(id, kind, title, creator, at, changed, name)`,
			column(list, stateID),
			column(list, func(c *chat.ConversationState) int16 { return int16(c.Kind) }),
			column(list, func(c *chat.ConversationState) string { return c.Title }),
			column(list, func(c *chat.ConversationState) int64 { return int64(c.Creator) }),
			column(list, func(c *chat.ConversationState) int64 { return millis(c.CreateTime) }),
			column(list, func(c *chat.ConversationState) int64 { return int64(c.ChangedSeq) }),
			column(list, func(c *chat.ConversationState) string { return c.CreateKey }))
	}
	if list := s.plan.Changed; len(list) > 0 {
		s.batch.Queue(`UPDATE conversations c SET title = u.title, changed_seq = u.changed
			FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS u(id, title, changed) WHERE c.id = u.id`,
			column(list, stateID),
			column(list, func(c *chat.ConversationState) string { return c.Title }),
			column(list, func(c *chat.ConversationState) int64 { return int64(c.ChangedSeq) }))
	}
}

func stateID(c *chat.ConversationState) int64 { return int64(c.ID) }

const headArrays = `unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
	$9::bigint[], $10::bigint[], $11::bigint[]) AS u(id, seq, ordinal, message, no, members, owners, at, top, reader, next)`

func (s *postgresWrites) heads() {
	var created, moved []*headPlan
	for _, h := range s.plan.heads {
		if h.bump {
			h.changedNo = s.number(h.ID)
		}
		if s.plan.created[h.ID] {
			created = append(created, h)
		} else {
			moved = append(moved, h)
		}
	}
	if len(created) > 0 {
		s.batch.Queue(`INSERT INTO conversation_heads (conversation_id, last_seq, last_ordinal, last_message_seq, changed_no, member_count, owner_count,
			updated_at, top_read_seq, top_reader_id, next_read_seq) SELECT * FROM `+headArrays, headColumns(created)...)
	}
	if len(moved) > 0 {
		s.batch.Queue(`UPDATE conversation_heads h SET last_seq = u.seq, last_ordinal = u.ordinal, last_message_seq = u.message, changed_no = u.no,
			member_count = u.members, owner_count = u.owners, updated_at = u.at, top_read_seq = u.top, top_reader_id = u.reader, next_read_seq = u.next
			FROM `+headArrays+` WHERE h.conversation_id = u.id`, headColumns(moved)...)
	}
}

func headColumns(list []*headPlan) []any {
	number := func(field func(h *headPlan) int64) []int64 { return column(list, field) }
	return []any{
		number(func(h *headPlan) int64 { return int64(h.ID) }),
		number(func(h *headPlan) int64 { return int64(h.LastSeq) }),
		number(func(h *headPlan) int64 { return h.LastOrdinal }),
		number(func(h *headPlan) int64 { return int64(h.lastMessage) }),
		number(func(h *headPlan) int64 { return h.changedNo }),
		number(func(h *headPlan) int64 { return int64(h.MemberCount) }),
		number(func(h *headPlan) int64 { return int64(h.OwnerCount) }),
		number(func(h *headPlan) int64 { return millis(h.UpdateTime) }),
		number(func(h *headPlan) int64 { return int64(h.reads.top) }),
		number(func(h *headPlan) int64 { return int64(h.reads.reader) }),
		number(func(h *headPlan) int64 { return int64(h.reads.next) }),
	}
}

func (s *postgresWrites) events() error {
	list := s.plan.Events
	if len(list) == 0 {
		return nil
	}
	heads := make(map[chat.ConversationID]*headPlan, len(s.plan.heads))
	for _, h := range s.plan.heads {
		heads[h.ID] = h
	}
	c := newEventArrays(len(list))
	for i := range list {
		e := &list[i]
		if err := c.add(i, e, heads[e.Conversation].nextOrdinal(e)); err != nil {
			return err
		}
	}
	s.batch.Queue(insertEvents("events"), c.arrays()...)
	return nil
}

func insertEvents(table string) string {
	return `INSERT INTO ` + table + ` (conversation_id, seq, kind, actor_id, at, ordinal, target_seq, reply_to, changed_seq, edited_at, deleted_at,
			client_id, content, reactions, subjects, words)
		SELECT u.id, u.seq, u.kind, u.actor, u.at, u.ordinal, nullif(u.target, 0), nullif(u.reply, 0), nullif(u.changed, 0), nullif(u.edited, 0),
			nullif(u.deleted, 0), u.client, CASE u.kind WHEN 1 THEN u.content END, nullif(u.reactions, ''), nullif(u.subjects, ''),
			array_to_tsvector(string_to_array(nullif(u.words, ''), ' '))
		FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
			$10::bigint[], $11::bigint[], $12::bytea[], $13::text[], $14::text[], $15::text[], $16::text[])
			AS u(id, seq, kind, actor, at, ordinal, target, reply, changed, edited, deleted, client, content, reactions, subjects, words)`
}

// eventArrays are the arrays for new events.
type eventArrays struct {
	ids, seqs, actors, times, ordinals, targets, replies, changed, edited, deleted []int64
	kinds                                                                          []int16
	clients                                                                        [][]byte
	contents, reactions, subjects, words                                           []string
}

func newEventArrays(n int) *eventArrays {
	numbers := make([]int64, 10*n) // one allocation for all columns of numbers
	next := func() []int64 {
		c := numbers[:n:n]
		numbers = numbers[n:]
		return c
	}
	texts := make([]string, 4*n)
	return &eventArrays{
		ids: next(), seqs: next(), actors: next(), times: next(), ordinals: next(), targets: next(), replies: next(), changed: next(),
		edited: next(), deleted: next(), kinds: make([]int16, n), clients: make([][]byte, n),
		contents: texts[:n], reactions: texts[n : 2*n], subjects: texts[2*n : 3*n], words: texts[3*n:],
	}
}

func (c *eventArrays) arrays() []any {
	return []any{
		c.ids, c.seqs, c.kinds, c.actors, c.times, c.ordinals, c.targets, c.replies, c.changed, c.edited, c.deleted,
		c.clients, c.contents, c.reactions, c.subjects, c.words,
	}
}

// textOf is a column's text, and the empty string for NULL.
func textOf(column any, err error) (string, error) {
	text, _ := column.(string)
	return text, err
}

func (c *eventArrays) add(i int, e *chat.Event, ordinal int64) (err error) {
	c.ids[i], c.seqs[i], c.kinds[i], c.actors[i], c.times[i] = int64(e.Conversation), int64(e.Seq), int16(e.Kind), int64(e.Actor), millis(e.Time)
	c.ordinals[i] = ordinal
	if c.subjects[i], err = textOf(subjects(e)); err != nil {
		return err
	}
	if e.Kind != chat.EventMessage {
		c.targets[i] = int64(e.Target)
		return nil
	}
	m := e.Message
	if m.ClientID != (chat.UUID{}) {
		c.clients[i] = m.ClientID[:]
	}
	c.replies[i], c.changed[i], c.edited[i], c.deleted[i] = int64(m.ReplyTo), int64(m.ChangedSeq), millis(m.EditTime), millis(m.DeleteTime)
	c.contents[i], c.words[i] = m.Content, messageWords(m)
	c.reactions[i], err = textOf(reactions(m))
	return err
}

// messageWords is what a message is found by.
func messageWords(m *chat.Message) string {
	if m.Deleted() {
		return ""
	}
	return postgresTerms(m.Conversation, m.Content)
}

func (s *postgresWrites) messages() error {
	list := s.plan.Messages
	if len(list) == 0 {
		return nil
	}
	texts := make([]string, len(list))
	for i, m := range list {
		var err error
		if texts[i], err = textOf(reactions(m)); err != nil {
			return err
		}
	}
	s.batch.Queue(`UPDATE events e SET changed_seq = nullif(u.changed, 0), edited_at = nullif(u.edited, 0), deleted_at = nullif(u.deleted, 0),
			content = u.content, reactions = nullif(u.reactions, ''), words = array_to_tsvector(string_to_array(nullif(u.words, ''), ' '))
		FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[])
			AS u(id, seq, changed, edited, deleted, content, reactions, words)
		WHERE e.conversation_id = u.id AND e.seq = u.seq`,
		column(list, func(m *chat.Message) int64 { return int64(m.Conversation) }),
		column(list, func(m *chat.Message) int64 { return int64(m.Seq) }),
		column(list, func(m *chat.Message) int64 { return int64(m.ChangedSeq) }),
		column(list, func(m *chat.Message) int64 { return millis(m.EditTime) }),
		column(list, func(m *chat.Message) int64 { return millis(m.DeleteTime) }),
		column(list, func(m *chat.Message) string { return m.Content }),
		texts,
		column(list, messageWords))
	return nil
}

func (s *postgresWrites) members() {
	list := s.plan.Members
	if len(list) == 0 {
		return
	}
	s.batch.Queue(`INSERT INTO members (user_id, conversation_id, read_seq, read_ordinal, delivered_seq, read_at, delivered_at, changed_no,
			joined_seq, left_seq, role)
		SELECT * FROM `+markArrays+`, $9::bigint[], $10::bigint[], $11::smallint[])
		ON CONFLICT (user_id, conversation_id) DO UPDATE SET
			role = excluded.role, joined_seq = excluded.joined_seq, left_seq = excluded.left_seq, read_seq = excluded.read_seq,
			read_ordinal = excluded.read_ordinal, delivered_seq = excluded.delivered_seq, read_at = excluded.read_at,
			delivered_at = excluded.delivered_at, changed_no = excluded.changed_no`,
		append(s.markColumns(list),
			column(list, func(m *chat.Member) int64 { return int64(m.JoinedSeq) }),
			column(list, func(m *chat.Member) int64 { return int64(m.LeftSeq) }),
			column(list, func(m *chat.Member) int16 { return int16(m.Role) }))...)
}

// markArrays is the beginning of an unnest.
const markArrays = `unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[]`

func (s *postgresWrites) marks() {
	list := s.plan.Marks
	if len(list) == 0 {
		return
	}
	s.batch.Queue(`UPDATE members m SET read_seq = u.read, read_ordinal = u.ordinal, delivered_seq = u.delivered, read_at = u.read_at,
			delivered_at = u.delivered_at, changed_no = u.no
		FROM `+markArrays+`) AS u(uid, id, read, ordinal, delivered, read_at, delivered_at, no)
		WHERE m.user_id = u.uid AND m.conversation_id = u.id`, s.markColumns(list)...)
}

func (s *postgresWrites) markColumns(list []*chat.Member) []any {
	number := func(field func(m *chat.Member) int64) []int64 { return column(list, field) }
	return []any{
		number(func(m *chat.Member) int64 { return int64(m.User) }),
		number(func(m *chat.Member) int64 { return int64(m.Conversation) }),
		number(func(m *chat.Member) int64 { return int64(m.ReadSeq) }),
		number(func(m *chat.Member) int64 { return m.ReadOrdinal }),
		number(func(m *chat.Member) int64 { return int64(m.DeliveredSeq) }),
		number(func(m *chat.Member) int64 { return millis(m.ReadTime) }),
		number(func(m *chat.Member) int64 { return millis(m.DeliveredTime) }),
		number(func(m *chat.Member) int64 { return s.number(m.Conversation) }),
	}
}

func (s *postgresWrites) log(batches []chat.Batch) {
	now := time.Now().UnixMilli()
	s.batch.Queue(`INSERT INTO commit_log (shard, no, id, prev_id, at, touched)
		SELECT u.shard, u.no, u.id, u.prev, $5, u.touched
		FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $6::bytea[]) AS u(shard, no, id, prev, touched)`,
		column(batches, func(b chat.Batch) int32 { return int32(b.Shard) }),
		column(batches, func(b chat.Batch) int64 { return b.No }),
		column(batches, func(b chat.Batch) int64 { return int64(b.ID) }),
		column(batches, func(b chat.Batch) int64 { return int64(b.PrevID) }),
		now,
		column(s.plan.logs, func(l *logPlan) []byte { return l.encode() }))
}
