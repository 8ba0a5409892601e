package store

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// Commit is that of [chat.Log]. The one writer's turn is the lock of the one shard.
func (e *sqliteEngine) Commit(ctx context.Context, reads chat.Reads, decide func(*chat.View) (*chat.Writes, error)) ([]chat.Batch, error) {
	var batches []chat.Batch
	w := e.writer
	err := w.transaction(ctx, func() (bool, error) {
		v, err := readView(w.orm, &reads)
		if err != nil {
			return false, err
		}
		writes, err := decide(v.View)
		if err != nil || writes == nil || writes.Empty() {
			return false, err
		}
		p, err := newPlan(writes, v, sqliteShards)
		if err != nil {
			return false, err
		}
		batches, err = w.store(p, e.epoch)
		return true, err
	})
	if err != nil {
		return nil, err
	}
	e.index.nudge()
	return batches, nil
}

// store writes a plan and its row of the log, in the transaction that the caller ends.
func (w *sqliteWriter) store(p *plan, epoch int64) ([]chat.Batch, error) {
	top, err := w.logTop()
	if err != nil {
		return nil, err
	}
	next := logTop{no: top.no + 1, id: int64(rand.Uint64N(1<<64-1) + 1)}
	for _, write := range []func(*plan, int64) error{w.storeConversations, w.storeHeads, w.storeEvents, w.storeMessages, w.storeMembers} {
		if err := write(p, next.no); err != nil {
			return nil, err
		}
	}
	if err := w.exec(insertLog, next.no, next.id, top.id, time.Now().UnixMilli(), p.logs[0].encode()); err != nil {
		return nil, err
	}
	// A failure of the commit forgets it again.
	w.top = &next
	return []chat.Batch{{Epoch: epoch, No: next.no, ID: uint64(next.id), PrevID: uint64(top.id)}}, nil
}

// logTop returns the newest batch. Nobody else writes, so it is read once for each connection.
func (w *sqliteWriter) logTop() (logTop, error) {
	if w.top != nil {
		return *w.top, nil
	}
	var top logTop
	err := w.conn.QueryRowContext(context.Background(), `SELECT no, id FROM commit_log WHERE shard = 0 ORDER BY no DESC LIMIT 1`).
		Scan(&top.no, &top.id)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return top, err
}

func (w *sqliteWriter) storeConversations(p *plan, _ int64) error {
	for _, c := range p.Created {
		var key any
		if c.CreateKey != "" {
			key = c.CreateKey
		}
		err := w.exec(insertConversation, int64(c.ID), int64(c.Kind), c.Title, int64(c.Creator), millis(c.CreateTime), int64(c.ChangedSeq), key)
		if isDuplicate(err) {
			return w.duplicateConversation(c, err)
		}
		if err != nil {
			return err
		}
	}
	for _, c := range p.Changed {
		if err := w.exec(updateConversation, c.Title, int64(c.ChangedSeq), int64(c.ID)); err != nil {
			return err
		}
	}
	return nil
}

// duplicateConversation tells a create key that is taken from an id that is.
func (w *sqliteWriter) duplicateConversation(c *chat.ConversationState, refused error) error {
	var n int
	err := w.conn.QueryRowContext(context.Background(), `SELECT count(*) FROM conversations WHERE create_key = ?`, c.CreateKey).Scan(&n)
	switch {
	case err != nil:
		return err
	case n > 0:
		return chat.ErrCreateKeyTaken
	}
	return refused
}

func (w *sqliteWriter) storeHeads(p *plan, no int64) error {
	for _, h := range p.heads {
		statement := updateHead
		if p.created[h.ID] {
			statement = insertHead
		}
		if h.bump {
			h.changedNo = no
		}
		err := w.exec(statement, int64(h.LastSeq), h.LastOrdinal, int64(h.lastMessage), h.changedNo, int64(h.MemberCount), int64(h.OwnerCount),
			millis(h.UpdateTime), int64(h.reads.top), int64(h.reads.reader), int64(h.reads.next), int64(h.ID))
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *sqliteWriter) storeEvents(p *plan, _ int64) error {
	heads := make(map[chat.ConversationID]*headPlan, len(p.heads))
	for _, h := range p.heads {
		heads[h.ID] = h
	}
	for i := range p.Events {
		e := &p.Events[i]
		err := w.storeEvent(e, heads[e.Conversation].nextOrdinal(e))
		if isDuplicate(err) {
			return w.duplicateEvent(e, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *sqliteWriter) storeEvent(e *chat.Event, ordinal int64) error {
	members, err := subjects(e)
	if err != nil {
		return err
	}
	m := e.Message
	if e.Kind != chat.EventMessage {
		return w.exec(insertEvent, int64(e.Conversation), int64(e.Seq), int64(e.Kind), int64(e.Actor), millis(e.Time), ordinal,
			orNull(int64(e.Target)), nil, nil, nil, nil, nil, nil, nil, members)
	}
	var clientID any
	if m.ClientID != (chat.UUID{}) {
		clientID = m.ClientID[:]
	}
	reacted, err := reactions(m)
	if err != nil {
		return err
	}
	return w.exec(insertEvent, int64(e.Conversation), int64(e.Seq), int64(e.Kind), int64(e.Actor), millis(e.Time), ordinal,
		nil, clientID, orNull(int64(m.ReplyTo)), orNull(int64(m.ChangedSeq)), orNull(millis(m.EditTime)), orNull(millis(m.DeleteTime)),
		m.Content, reacted, members)
}

// duplicateEvent tells a client id that is taken from a seq that is.
func (w *sqliteWriter) duplicateEvent(e *chat.Event, refused error) error {
	if e.Kind != chat.EventMessage || e.Message.ClientID == (chat.UUID{}) {
		return refused
	}
	var n int
	err := w.conn.QueryRowContext(context.Background(),
		`SELECT count(*) FROM events WHERE client_id = ? AND conversation_id = ? AND actor_id = ?`,
		e.Message.ClientID[:], int64(e.Conversation), int64(e.Actor)).Scan(&n)
	switch {
	case err != nil:
		return err
	case n > 0:
		return chat.ErrClientIDTaken
	}
	return refused
}

func (w *sqliteWriter) storeMessages(p *plan, _ int64) error {
	for _, m := range p.Messages {
		reacted, err := reactions(m)
		if err != nil {
			return err
		}
		err = w.exec(updateMessage, orNull(int64(m.ChangedSeq)), orNull(millis(m.EditTime)), orNull(millis(m.DeleteTime)), m.Content, reacted,
			int64(m.Conversation), int64(m.Seq))
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *sqliteWriter) storeMembers(p *plan, no int64) error {
	for _, m := range p.Members {
		err := w.exec(upsertMember, int64(m.User), int64(m.Conversation), int64(m.Role), int64(m.JoinedSeq), int64(m.LeftSeq), int64(m.ReadSeq),
			m.ReadOrdinal, int64(m.DeliveredSeq), millis(m.ReadTime), millis(m.DeliveredTime), no)
		if err != nil {
			return err
		}
	}
	for _, m := range p.Marks {
		err := w.exec(updateMarks, int64(m.ReadSeq), m.ReadOrdinal, int64(m.DeliveredSeq), millis(m.ReadTime), millis(m.DeliveredTime), no,
			int64(m.User), int64(m.Conversation))
		if err != nil {
			return err
		}
	}
	return nil
}
