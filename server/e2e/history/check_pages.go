package history

import "slices"

// checkPages holds that pages of history leave nothing out (I5), and that who was removed reads none (I8).
func (c *checker) checkPages() {
	removals, additions := map[membership][]*Call{}, map[membership][]*Call{}
	for _, call := range c.Calls {
		key := membership{call.Conversation, call.User}
		switch {
		case call.Kind == RemoveMember && call.Outcome == Done:
			removals[key] = append(removals[key], call)
		case call.Kind == AddMember && call.Outcome != Refused:
			additions[key] = append(additions[key], call)
		}
	}
	for _, call := range c.Calls {
		if call.Kind != ReadPage || call.Outcome != Done {
			continue
		}
		c.checkPage(call)
		key := membership{call.Conversation, call.device.User}
		for _, removal := range removals[key] {
			again := slices.ContainsFunc(additions[key], func(a *Call) bool {
				return a.Start < call.End && (a.End == 0 || a.End > removal.Start)
			})
			if removal.End < call.Start && !again {
				c.report.inCall(RemovedHears, call, "%s read after the removal by %s was acknowledged", key.user, removal.device.Name)
			}
		}
	}
}

func (c *checker) checkPage(call *Call) {
	p, all := call.Page, c.messages[call.Conversation]
	if p.Limit > 0 && len(p.Messages) > p.Limit {
		c.report.inCall(WholePages, call, "%d messages, asked for %d", len(p.Messages), p.Limit)
	}
	for i := 1; i < len(p.Messages); i++ {
		if a, b := p.Messages[i-1], p.Messages[i]; b.Ordinal != a.Ordinal+1 || b.Seq <= a.Seq {
			c.report.inCall(WholePages, call, "message %d (ordinal %d) follows message %d (ordinal %d)", b.Seq, b.Ordinal, a.Seq, a.Ordinal)
		}
	}
	var first, last int64 // seqs of the page; 0: it is empty
	if n := len(p.Messages); n > 0 {
		first, last = p.Messages[0].Seq, p.Messages[n-1].Seq
	}
	floor := c.floor(call.Conversation, call.Start)
	for i := range all {
		seq := all[i].Seq
		switch {
		case p.After > 0 && seq > p.After && (seq < first || first == 0 && seq <= floor):
			c.report.inCall(WholePages, call, "the page after %d begins at %d and leaves out %d", p.After, first, seq)
			return
		case p.After == 0 && seq > last && seq <= floor && (p.Before == 0 || seq < p.Before):
			c.report.inCall(WholePages, call, "the page before %d ends at %d and leaves out %d", p.Before, last, seq)
			return
		}
	}
	if first == 0 || len(all) == 0 {
		return
	}
	if older := first > all[0].Seq; older != p.HasOlder {
		c.report.inCall(WholePages, call, "the page begins at %d, the history at %d, and has_older is %t", first, all[0].Seq, p.HasOlder)
	}
	if end := all[len(all)-1].Seq; p.HasNewer && last >= end || !p.HasNewer && last < floor {
		c.report.inCall(WholePages, call, "the page ends at %d, history then at least at %d, and has_newer is %t", last, floor, p.HasNewer)
	}
}
