package history

import (
	"cmp"
	"math"
	"slices"
)

// checkLogs holds that the seqs of a log are 1, 2, 3 … up to its head, its messages' ordinals likewise, and that each message was sent.
func (c *checker) checkLogs() {
	for id, l := range c.Logs {
		next, ordinal := int64(1), int64(0)
		for _, e := range l.Events {
			if e.Seq != next {
				c.report.inLog(InOrder, id, "the log has seq %d where %d should be", e.Seq, next)
			}
			next = e.Seq + 1
			m, ok := e.Body.(*Message)
			if !ok || m.Seq != e.Seq {
				continue
			}
			ordinal++
			if m.Ordinal != ordinal {
				c.report.inLog(UnreadExact, id, "message %d has ordinal %d and is message %d", m.Seq, m.Ordinal, ordinal)
			}
			if len(c.sends[sender{id, m.Sender, m.ClientID}]) == 0 {
				c.report.inLog(AckedStored, id, "message %d of %s with the client id %s was never sent", m.Seq, m.Sender, m.ClientID)
			}
		}
		if next != l.Head+1 {
			c.report.inLog(InOrder, id, "the log ends at %d, its head is %d", next-1, l.Head)
		}
	}
}

// checkSends holds that each acknowledged message is stored in its place, and once (I1, I2, I12), and a refused one isn't.
func (c *checker) checkSends() {
	stored := map[sender][]int64{}
	for id, messages := range c.messages {
		for i := range messages {
			m := &messages[i]
			key := sender{id, m.Sender, m.ClientID}
			stored[key] = append(stored[key], m.Seq)
		}
	}
	for key, calls := range c.sends {
		seqs := stored[key]
		if len(seqs) > 1 {
			c.report.inCall(Once, calls[0], "client id %s is stored at seqs %v", key.clientID, seqs)
		}
		c.checkAttempts(key, calls, seqs)
	}
}

// checkAttempts holds the answers to the attempts of one message against each other and against what is stored.
func (c *checker) checkAttempts(key sender, calls []*Call, seqs []int64) {
	var first, anew *Call
	open := false
	for _, call := range calls {
		open = open || call.Outcome == Unknown
		if call.Outcome != Done {
			continue
		}
		if first == nil {
			first = call
		}
		if call.Seq != first.Seq || call.MessageID != first.MessageID {
			c.report.inCall(Once, call, "client id %s was acknowledged as seq %d and as seq %d", key.clientID, first.Seq, call.Seq)
		}
		if !call.Duplicate && !call.Local {
			if anew != nil {
				c.report.inCall(Once, call, "client id %s was acknowledged twice as new", key.clientID)
			}
			anew = call
		}
		if !slices.Contains(seqs, call.Seq) {
			c.lost(key, call)
		}
	}
	if first == nil && !open && len(seqs) > 0 {
		c.report.inCall(AckedStored, calls[0], "client id %s was refused (%s) and is stored at seq %d", key.clientID, calls[0].Reason, seqs[0])
	}
}

// lost reports an acknowledged message that isn't stored where it was said to be.
func (c *checker) lost(key sender, call *Call) {
	what := "nothing"
	if e, ok := c.stored(key.conversation, call.Seq); ok {
		what = "another event"
		if m, ok := e.Body.(*Message); ok {
			what = "a message of " + m.Sender + " with the client id " + m.ClientID
		}
	}
	invariant := AckedStored
	for _, crash := range c.Crashes {
		if call.End < crash {
			invariant = SurvivesKill
		}
	}
	c.report.inCall(invariant, call, "client id %s was acknowledged as seq %d, where the log has %s", key.clientID, call.Seq, what)
}

// checkOrder holds that a message that was acknowledged before another one was first sent has the lower seq.
func (c *checker) checkOrder() {
	type span struct {
		call       *Call
		start, end Stamp
		seq        int64
	}
	spans := map[string][]span{}
	for key, calls := range c.sends {
		s := span{start: math.MaxInt64, end: math.MaxInt64}
		for _, call := range calls {
			s.start = min(s.start, call.Start)
			if call.Outcome == Done && call.End < s.end {
				s.end, s.seq, s.call = call.End, call.Seq, call
			}
		}
		if s.call != nil {
			spans[key.conversation] = append(spans[key.conversation], s)
		}
	}
	for _, all := range spans {
		byEnd := slices.Clone(all)
		slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.start, b.start) })
		slices.SortFunc(byEnd, func(a, b span) int { return cmp.Compare(a.end, b.end) })
		var highest span // among those that ended before
		i := 0
		for _, s := range all {
			for ; i < len(byEnd) && byEnd[i].end < s.start; i++ {
				if byEnd[i].seq > highest.seq {
					highest = byEnd[i]
				}
			}
			if s.seq < highest.seq {
				c.report.inCall(InOrder, s.call, "seq %d was first sent after seq %d had been acknowledged", s.seq, highest.seq)
			}
		}
	}
}

// checkAuthors holds that only members act: nothing that a removed one sent is stored above the removal (I8).
func (c *checker) checkAuthors() {
	for id, messages := range c.messages {
		for i := range messages {
			if m := &messages[i]; !c.memberAt(id, m.Sender, m.Seq) {
				c.report.inLog(RemovedHears, id, "message %d is of %s, who was no member then", m.Seq, m.Sender)
			}
		}
	}
	for id, l := range c.Logs {
		for _, e := range l.Events {
			if m, ok := e.Body.(*Members); ok && !c.memberAt(id, m.Actor, e.Seq) {
				c.report.inLog(RemovedHears, id, "event %d is of %s, who was no member then", e.Seq, m.Actor)
			}
		}
	}
}

// checkChanges holds that messages have changed as was acknowledged (I1, I4).
func (c *checker) checkChanges() {
	for _, call := range c.Calls {
		if call.Outcome != Done || call.Kind != Edit && call.Kind != Delete && call.Kind != React {
			continue
		}
		e, ok := c.stored(call.Conversation, call.Target)
		m, isMessage := e.Body.(*Message)
		switch {
		case !ok || !isMessage:
			c.report.inCall(AckedStored, call, "message %d was changed and isn't stored", call.Target)
		case m.ChangedSeq < call.Seq:
			c.report.inCall(AckedStored, call, "the change of message %d took seq %d, and its last stored change is %d", call.Target, call.Seq, m.ChangedSeq)
		case call.Kind == Delete && !m.Deleted:
			c.report.inCall(AckedStored, call, "message %d was deleted and is stored whole", call.Target)
		case call.Kind == Edit && m.ChangedSeq == call.Seq && m.Content != call.Content:
			c.report.inCall(AsStored, call, "message %d was edited by seq %d to another content than is stored", call.Target, call.Seq)
		}
	}
}
