package history

import (
	"cmp"
	"maps"
	"slices"
)

// Run is a history together with how things stood when it had come to rest.
type Run struct {
	History
	// Logs are the stored logs, by conversation.
	Logs map[string]*Log
	// Mirrors are what devices have made of their events: by device, then by conversation. Devices that keep no state are missing.
	Mirrors map[*Device]map[string]*View
	// Fresh is what a fresh client of each user fetched: by user, then by conversation.
	Fresh map[string]map[string]*View
	// Presence is what watchers thought of others.
	Presence []Presence
}

// Check holds a run against the invariants and returns what it broke.
func Check(run Run) *Report {
	c := &checker{Run: run, report: &Report{}}
	c.index()
	c.checkLogs()
	c.checkSends()
	c.checkOrder()
	c.checkAuthors()
	c.checkChanges()
	c.checkStreams()
	c.checkStates()
	c.checkPages()
	c.checkMarks()
	c.checkUnread()
	c.checkViews()
	c.checkPresence()
	return c.report
}

// checker is one check with what it looks things up in.
type checker struct {
	Run
	report *Report

	messages map[string][]Message           // of each log, by seq
	sends    map[sender][]*Call             // the attempts of each message
	acked    map[string][]ack               // of each conversation, by the time of the acknowledgement; seq is the highest so far
	joined   map[membership]map[int64]int64 // joined → left (0: still a member), from everything that anybody saw
}

// sender names a message for ever.
type sender struct{ conversation, user, clientID string }

type membership struct{ conversation, user string }

// ack says that from a time on, every seq up to one was known to be stored.
type ack struct {
	at  Stamp
	seq int64
}

// index gathers what the checks look up.
func (c *checker) index() {
	c.messages = map[string][]Message{}
	c.sends = map[sender][]*Call{}
	c.joined = map[membership]map[int64]int64{}
	for id, l := range c.Logs {
		for _, e := range l.Events {
			c.sawMembers(id, e.Body)
			if m, ok := e.Body.(*Message); ok && m.Seq == e.Seq {
				c.messages[id] = append(c.messages[id], *m)
			}
		}
	}
	for _, s := range c.Streams {
		for _, e := range s.Events {
			c.sawMembers(e.Conversation, e.Body)
		}
	}
	for _, views := range c.Fresh {
		for id, v := range views {
			for _, m := range v.Members {
				c.sawMember(id, m)
			}
		}
	}
	for _, call := range c.Calls {
		if call.Kind == Send {
			key := sender{call.Conversation, call.device.User, call.ClientID}
			c.sends[key] = append(c.sends[key], call)
		}
	}
	c.closeSpans()
	c.indexAcks()
}

// closeSpans ends memberships of which nobody saw the end where the user has joined again since.
func (c *checker) closeSpans() {
	for _, spans := range c.joined {
		var last int64
		for _, joined := range slices.Sorted(maps.Keys(spans)) {
			if last != 0 && spans[last] == 0 {
				spans[last] = joined - 1
			}
			last = joined
		}
	}
}

func (c *checker) sawMembers(conversation string, body Body) {
	switch b := body.(type) {
	case *Members:
		for _, m := range b.Members {
			c.sawMember(conversation, m)
		}
	case *Summary:
		c.sawMember(conversation, b.Self)
	}
}

func (c *checker) sawMember(conversation string, m Member) {
	if m.Joined == 0 {
		return
	}
	key := membership{conversation, m.User}
	if c.joined[key] == nil {
		c.joined[key] = map[int64]int64{}
	}
	c.joined[key][m.Joined] = max(c.joined[key][m.Joined], m.Left)
}

func (c *checker) indexAcks() {
	c.acked = map[string][]ack{}
	for _, call := range c.Calls {
		if call.Kind == Send && call.Outcome == Done {
			c.acked[call.Conversation] = append(c.acked[call.Conversation], ack{call.End, call.Seq})
		}
	}
	for _, acks := range c.acked {
		slices.SortFunc(acks, func(a, b ack) int { return cmp.Compare(a.at, b.at) })
		for i := 1; i < len(acks); i++ {
			acks[i].seq = max(acks[i].seq, acks[i-1].seq)
		}
	}
}

// floor returns the highest seq of a conversation that was acknowledged before a time; 0 where none was.
func (c *checker) floor(conversation string, at Stamp) int64 {
	acks := c.acked[conversation]
	i, _ := slices.BinarySearchFunc(acks, at, func(a ack, at Stamp) int { return cmp.Compare(a.at, at) })
	if i == 0 {
		return 0
	}
	return acks[i-1].seq
}

// memberAt reports whether a user was a member when an event took a seq; so was who joins or leaves by it.
func (c *checker) memberAt(conversation, user string, seq int64) bool {
	for joined, left := range c.joined[membership{conversation, user}] {
		if joined <= seq && (left == 0 || seq <= left) {
			return true
		}
	}
	return false
}

// present reports whether a user is a member in the end; gone returns the seq by which the last membership ended, 0 where none did.
func (c *checker) present(conversation, user string) (present bool, gone int64) {
	for _, left := range c.joined[membership{conversation, user}] {
		if left == 0 {
			return true, 0
		}
		gone = max(gone, left)
	}
	return false, gone
}

// always reports whether a user joined at or before a seq and never left.
func (c *checker) always(conversation, user string, seq int64) bool {
	spans := c.joined[membership{conversation, user}]
	for joined, left := range spans {
		return len(spans) == 1 && joined <= seq && left == 0
	}
	return false
}

// head returns the last seq that is stored.
func (c *checker) head(conversation string) int64 {
	if l := c.Logs[conversation]; l != nil {
		return l.Head
	}
	return 0
}

// stored returns the event at a seq.
func (c *checker) stored(conversation string, seq int64) (Event, bool) {
	l := c.Logs[conversation]
	if l == nil {
		return Event{}, false
	}
	if i := seq - 1; i >= 0 && i < int64(len(l.Events)) && l.Events[i].Seq == seq {
		return l.Events[i], true
	}
	i, ok := slices.BinarySearchFunc(l.Events, seq, func(e Event, seq int64) int { return cmp.Compare(e.Seq, seq) })
	if !ok {
		return Event{}, false
	}
	return l.Events[i], true
}
