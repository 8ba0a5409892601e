package history

// state names one state of a message.
type state struct {
	conversation string
	seq, changed int64
}

// checkStates holds that everybody saw the same of each state of each message, that the last one is stored, and the first one what was
// sent (I4); and that every event is of the kind that is stored.
func (c *checker) checkStates() {
	seen := map[state]Message{}
	saw := func(id string, m Message) (Message, bool) {
		key := state{id, m.Seq, m.ChangedSeq}
		first, ok := seen[key]
		if !ok {
			seen[key], first = m, m
		}
		return first, first == m
	}
	for id, messages := range c.messages {
		for i := range messages {
			saw(id, messages[i])
			c.checkSent(id, &messages[i])
		}
	}
	for _, s := range c.Streams {
		for _, e := range s.Events {
			if m, ok := e.Body.(*Message); ok {
				if first, same := saw(e.Conversation, *m); !same {
					c.report.inStream(AsStored, s, e, "message %d as of seq %d is %+v here and was %+v", m.Seq, m.ChangedSeq, *m, first)
				}
			}
			c.checkKind(s, e)
		}
	}
	for _, call := range c.Calls {
		if call.Page == nil {
			continue
		}
		for i := range call.Page.Messages {
			m := call.Page.Messages[i]
			if first, same := saw(call.Conversation, m); !same {
				c.report.inCall(AsStored, call, "message %d as of seq %d is %+v here and was %+v", m.Seq, m.ChangedSeq, m, first)
			}
		}
	}
	for key := range seen {
		if e, ok := c.stored(key.conversation, key.seq); ok {
			if m, ok := e.Body.(*Message); ok && m.ChangedSeq < key.changed {
				c.report.inLog(AsStored, key.conversation, "message %d was seen as of seq %d and is stored as of %d", key.seq, key.changed, m.ChangedSeq)
			}
		} else {
			c.report.inLog(AsStored, key.conversation, "message %d was seen and isn't stored", key.seq)
		}
	}
}

// checkSent holds that an unchanged message says what was sent.
func (c *checker) checkSent(id string, m *Message) {
	calls := c.sends[sender{id, m.Sender, m.ClientID}]
	if len(calls) > 0 && m.ChangedSeq == m.Seq && calls[0].Content != m.Content {
		c.report.inCall(AsStored, calls[0], "message %d says something else than was sent", m.Seq)
	}
}

// checkKind holds that a durable event of a stream is what the log has at its seq.
func (c *checker) checkKind(s *Stream, e Event) {
	if e.Seq == 0 {
		return
	}
	stored, ok := c.stored(e.Conversation, e.Seq)
	if !ok {
		c.report.inStream(AsStored, s, e, "seq %d isn't stored", e.Seq)
		return
	}
	var same bool
	switch b := e.Body.(type) {
	case *Message:
		m, ok := stored.Body.(*Message)
		same = ok && m.Seq == b.Seq
	case *Conversation:
		_, same = stored.Body.(*Conversation)
	case *Members:
		m, ok := stored.Body.(*Members)
		same = ok && m.Actor == b.Actor
	default:
		same = true
	}
	if !same {
		c.report.inStream(AsStored, s, e, "seq %d is a %T here and a %T in the log, or about something else", e.Seq, e.Body, stored.Body)
	}
}
