package history

// place is what one stream has told of a conversation.
type place struct {
	last       int64 // the seq of its last durable event here, or the one it goes on after; 0 where nothing was said of that
	told       int64 // a head that summary told: the client doesn't get what is below, or gets it too
	positioned bool  // hello named it: the missing events come here
	left       bool  // the user is no member, as this stream told it
	gone       int64 // the seq by which the user was last removed, as this stream told it; 0: never
}

func (p *place) reached() int64 { return max(p.last, p.told) }

// checkStreams follows each device from stream to stream (I3, I6, I8).
func (c *checker) checkStreams() {
	byDevice := map[*Device][]*Stream{}
	for _, s := range c.Streams {
		byDevice[s.device] = append(byDevice[s.device], s)
	}
	for _, d := range c.Devices {
		known := map[string]int64{} // heads that the device has heard of
		for _, s := range byDevice[d] {
			w := &walk{checker: c, stream: s, known: known, places: map[string]*place{}}
			w.run()
			if w.live && s.Closed == 0 {
				w.complete(c.End, InOrder, "the stream is open and quiet")
			}
		}
	}
}

// walk is the way along one stream.
type walk struct {
	*checker
	stream *Stream
	known  map[string]int64
	places map[string]*place
	live   bool // caught up
}

func (w *walk) run() {
	if len(w.stream.Events) == 0 {
		return
	}
	for id, seq := range w.stream.Positions {
		w.places[id] = &place{last: seq, positioned: true}
	}
	if !w.stream.HasToken {
		clear(w.known)
	}
	for _, e := range w.stream.Events {
		switch b := e.Body.(type) {
		case Ready:
			if b.Anew {
				clear(w.known)
			}
		case *Summary:
			w.summary(e, b)
		case Resync:
			w.resync(e, b.Head)
		case CaughtUp:
			if !w.live {
				w.live = true
				w.complete(w.stream.Opened, ExactResume, "the stream says that it has caught up")
			}
		case *Message, *Conversation, *Members, Other:
			w.durable(e)
		}
	}
}

// place returns what is known of a conversation; nil where the device has never heard of it.
func (w *walk) place(id string) *place {
	p := w.places[id]
	if seq, ok := w.known[id]; ok && p == nil {
		// It hasn't changed since the device's token, or there would have been a summary.
		p = &place{told: seq}
		w.places[id] = p
	}
	return p
}

func (w *walk) summary(e Event, s *Summary) {
	if s.Self.Left != 0 {
		w.leave(e.Conversation, s.Self.Left)
		return
	}
	p := w.places[e.Conversation]
	switch {
	case p == nil && (!w.live || w.place(e.Conversation) == nil), p != nil && p.left:
		next := &place{told: s.LastSeq}
		if p != nil {
			next.gone = p.gone
		}
		w.places[e.Conversation] = next
	case p != nil && !w.live && !p.positioned:
		p.told = max(p.told, s.LastSeq)
	}
	w.known[e.Conversation] = max(w.known[e.Conversation], w.places[e.Conversation].reached())
	if head := w.head(e.Conversation); s.LastSeq > head {
		w.report.inStream(AsStored, w.stream, e, "a summary tells of seq %d; the log ends at %d", s.LastSeq, head)
	}
}

func (w *walk) leave(id string, seq int64) {
	w.places[id] = &place{left: true, gone: seq}
	delete(w.known, id)
}

func (w *walk) resync(e Event, head int64) {
	id := e.Conversation
	p := w.place(id)
	if head == 0 {
		if present, _ := w.present(id, w.stream.device.User); present && w.always(id, w.stream.device.User, 2) {
			w.report.inStream(RemovedHears, w.stream, e, "a member was told that they are none")
		}
		w.leave(id, 0)
		return
	}
	if p != nil && head < p.last {
		w.report.inStream(InOrder, w.stream, e, "the stream was at seq %d and tells to go on after %d", p.last, head)
	}
	if stored := w.head(id); head > stored {
		w.report.inStream(InOrder, w.stream, e, "the stream tells to go on after %d; the log ends at %d", head, stored)
	}
	w.places[id] = &place{last: head, told: head}
	w.known[id] = max(w.known[id], head)
}

func (w *walk) durable(e Event) {
	p := w.place(e.Conversation)
	user := w.stream.device.User
	if !w.entitled(p, e, user) {
		return
	}
	if p != nil && p.left {
		// What was queued before the resync that told of the removal may still come.
		if !w.untilLeft(e, user) {
			w.report.inStream(InOrder, w.stream, e, "seq %d of a conversation that the user has left, as the stream told", e.Seq)
		}
		return
	}
	switch {
	case p == nil:
		w.report.inStream(InOrder, w.stream, e, "seq %d of a conversation that the stream was not told of", e.Seq)
		p = &place{}
		w.places[e.Conversation] = p
	case e.Seq <= p.last:
		w.report.inStream(InOrder, w.stream, e, "seq %d after seq %d", e.Seq, p.last)
	case e.Seq > p.reached()+1 && w.firstAfterPosition(p):
		w.report.inStream(ExactResume, w.stream, e, "the device resumed after seq %d and gets %d next", p.last, e.Seq)
	case e.Seq > p.reached()+1:
		w.report.inStream(InOrder, w.stream, e, "seq %d after seq %d, without a resync", e.Seq, p.reached())
	}
	p.last = max(p.last, e.Seq)
	w.known[e.Conversation] = max(w.known[e.Conversation], p.last)
	if m, ok := e.Body.(*Members); ok {
		for _, member := range m.Members {
			if member.User == user && member.Left == e.Seq {
				w.leave(e.Conversation, e.Seq)
			}
		}
	}
}

// untilLeft reports whether an event lies in a membership that has ended.
func (w *walk) untilLeft(e Event, user string) bool {
	for joined, left := range w.joined[membership{e.Conversation, user}] {
		if left != 0 && joined <= e.Seq && e.Seq <= left {
			return true
		}
	}
	return false
}

// firstAfterPosition reports whether nothing has come since hello named the place.
func (w *walk) firstAfterPosition(p *place) bool { return p.positioned && !w.live }

// entitled reports whether the device's user may get an event (I8), and reports it if not.
func (w *walk) entitled(p *place, e Event, user string) bool {
	if present, gone := w.present(e.Conversation, user); !present && e.Seq > gone {
		w.report.inStream(RemovedHears, w.stream, e, "seq %d to %s, removed by seq %d", e.Seq, user, gone)
		return false
	}
	if p == nil || p.gone == 0 {
		return true
	}
	for joined := range w.joined[membership{e.Conversation, user}] {
		if joined > p.gone && joined <= e.Seq {
			return true
		}
	}
	w.report.inStream(RemovedHears, w.stream, e, "seq %d to %s on the stream that told of their removal by seq %d", e.Seq, user, p.gone)
	return false
}

// complete holds that nothing is missing of what had been acknowledged at a time.
func (w *walk) complete(at Stamp, invariant Invariant, when string) {
	user := w.stream.device.User
	for id := range w.Logs {
		floor := w.floor(id, at)
		if at == w.End {
			floor = w.head(id)
		}
		if floor == 0 || !w.always(id, user, floor) {
			continue
		}
		reached := int64(0)
		if p := w.place(id); p != nil {
			reached = p.reached()
		}
		if reached < floor {
			w.report.inStream(invariant, w.stream, Event{At: at, Conversation: id},
				"%s, and has reached seq %d of %d, without a resync", when, reached, floor)
		}
	}
}
