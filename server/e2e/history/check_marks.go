package history

import (
	"cmp"
	"slices"
)

// owner names the marks of one member in one conversation.
type owner struct{ conversation, user string }

// checkMarks holds that marks grow everywhere, never pass the head, and end where they were at the highest (I9).
func (c *checker) checkMarks() {
	highest := map[owner]Marks{}
	saw := func(id string, m Marks) {
		key := owner{id, m.User}
		h := highest[key]
		highest[key] = Marks{m.User, max(h.Read, m.Read), max(h.Delivered, m.Delivered)}
	}
	for _, s := range c.Streams {
		c.checkStreamMarks(s, saw)
	}
	c.checkMarkAnswers(saw)
	for id, messages := range c.messages {
		for i := range messages {
			m := &messages[i]
			saw(id, Marks{m.Sender, m.Seq, m.Seq}) // who sends has read
		}
	}
	for _, views := range c.Fresh {
		for id, v := range views {
			for user, m := range v.Marks {
				if h := highest[owner{id, user}]; m.Read < h.Read || m.Delivered < h.Delivered {
					c.report.inLog(MarksGrow, id, "the marks of %s were at %d read, %d delivered and are stored as %d, %d", user, h.Read, h.Delivered, m.Read, m.Delivered)
				}
				c.checkBounds(id, m)
			}
		}
	}
}

func (c *checker) checkBounds(id string, m Marks) {
	if head := c.head(id); m.Read > m.Delivered || m.Delivered > head {
		c.report.inLog(MarksGrow, id, "the marks of %s are %d read, %d delivered, at head %d", m.User, m.Read, m.Delivered, head)
	}
}

// checkStreamMarks follows receipts, and marks in summaries, each by itself: a receipt may be older than a summary read after it was queued.
func (c *checker) checkStreamMarks(s *Stream, saw func(string, Marks)) {
	receipts, summaries := map[owner]Marks{}, map[owner]Marks{}
	follow := func(e Event, last map[owner]Marks, m Marks) {
		key := owner{e.Conversation, m.User}
		if l := last[key]; m.Read < l.Read || m.Delivered < l.Delivered {
			c.report.inStream(MarksGrow, s, e, "the marks of %s go from %d read, %d delivered to %d, %d", m.User, l.Read, l.Delivered, m.Read, m.Delivered)
		}
		last[key] = m
		saw(e.Conversation, m)
		c.checkBounds(e.Conversation, m)
	}
	for _, e := range s.Events {
		switch b := e.Body.(type) {
		case Marks:
			follow(e, receipts, b)
		case *Summary:
			if b.Self.Left == 0 {
				follow(e, summaries, b.Own)
			}
			for _, m := range b.Peers {
				follow(e, summaries, m)
			}
		}
	}
}

// checkMarkAnswers holds that an answer is not below what was asked, nor below an earlier answer. Recorded clients never ask beyond what they saw.
func (c *checker) checkMarkAnswers(saw func(string, Marks)) {
	type key struct {
		owner
		kind CallKind
	}
	answers := map[key][]*Call{}
	for _, call := range c.Calls {
		if call.Outcome != Done || call.Kind != MarkRead && call.Kind != MarkDelivered {
			continue
		}
		if call.Seq < call.Target {
			c.report.inCall(MarksGrow, call, "asked for %d and answered %d", call.Target, call.Seq)
		}
		m := Marks{User: call.device.User, Delivered: call.Seq}
		if call.Kind == MarkRead {
			m.Read = call.Seq
		}
		saw(call.Conversation, m)
		k := key{owner{call.Conversation, call.device.User}, call.Kind}
		answers[k] = append(answers[k], call)
	}
	for _, byStart := range answers {
		byEnd := slices.Clone(byStart)
		slices.SortFunc(byStart, func(a, b *Call) int { return cmp.Compare(a.Start, b.Start) })
		slices.SortFunc(byEnd, func(a, b *Call) int { return cmp.Compare(a.End, b.End) })
		highest, i := int64(0), 0
		for _, call := range byStart {
			for ; i < len(byEnd) && byEnd[i].End < call.Start; i++ {
				highest = max(highest, byEnd[i].Seq)
			}
			if call.Seq < highest {
				c.report.inCall(MarksGrow, call, "answered %d after %d had been answered", call.Seq, highest)
			}
		}
	}
}

// checkUnread holds that unread counts are what the log says (I10).
func (c *checker) checkUnread() {
	for _, s := range c.Streams {
		for _, e := range s.Events {
			b, ok := e.Body.(*Summary)
			if !ok || b.Self.Left != 0 {
				continue
			}
			if want := c.unread(e.Conversation, b.Own.Read, b.LastSeq); b.Unread != want {
				c.report.inStream(UnreadExact, s, e, "%d unread; the log has %d messages after %d up to %d", b.Unread, want, b.Own.Read, b.LastSeq)
			}
		}
	}
	for user, views := range c.Fresh {
		for id, v := range views {
			read := v.Marks[user].Read
			if want := c.unread(id, read, v.Head); v.Unread != want {
				c.report.inLog(UnreadExact, id, "%d unread for %s; the log has %d messages after %d", v.Unread, user, want, read)
			}
		}
	}
}

// unread counts messages after one seq, up to another.
func (c *checker) unread(id string, after, upTo int64) int64 {
	count := func(seq int64) int64 {
		i, _ := slices.BinarySearchFunc(c.messages[id], seq+1, func(m Message, seq int64) int { return cmp.Compare(m.Seq, seq) })
		return int64(i)
	}
	return max(0, count(upTo)-count(after))
}
