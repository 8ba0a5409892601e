package rpc

import (
	"math/rand/v2"
	"time"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/hub"
)

// heartbeat is what a silent stream says; one frame for all.
var heartbeat = newFrame(&chatv1.Event{Event: &chatv1.Event_Heartbeat{Heartbeat: &chatv1.Heartbeat{}}})

// startClock looks after time from now on: four times in a heartbeat, and when the token runs out.
func (ss *session) startClock(expires time.Time) {
	now := time.Now()
	ss.sent.Store(now.UnixNano())
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.checkpointed = now
	// The first look is spread, so that streams that were opened together aren't looked after together.
	ss.timer = time.AfterFunc(rand.N(ss.tick())+1, func() { ss.look(expires) })
}

func (ss *session) tick() time.Duration { return max(ss.server.limits.Heartbeat/4, time.Millisecond) }

// look does what is due at this moment, and comes back.
func (ss *session) look(expires time.Time) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.over {
		return
	}
	l, now := &ss.server.limits, time.Now()
	since := func(at int64) time.Duration { return now.Sub(time.Unix(0, at)) }
	if at := ss.writing.Load(); at != 0 && since(at) >= l.WriteStall {
		ss.wire.abortSend()
	}
	if at := ss.reading.Load(); at != 0 && since(at) >= l.Idle {
		ss.stream.End(hub.GoodbyeIdle, 0)
	}
	if !now.Before(expires) {
		ss.stream.End(hub.GoodbyeTokenExpired, 0)
	}
	if ss.dirty.Load() && now.Sub(ss.checkpointed) >= l.Checkpoint {
		ss.newCheckpoint(now)
	}
	select {
	case <-ss.ready:
		// Three ticks of silence, so that the fourth comes in time.
		if ss.writing.Load() == 0 && since(ss.sent.Load()) >= l.Heartbeat-ss.tick() {
			ss.stream.Reply(heartbeat)
		}
	default:
	}
	ss.timer.Reset(max(min(ss.tick(), expires.Sub(now)), time.Millisecond))
}

// newCheckpoint gives the client a newer token, if it has been sent all that the token covers. mu is held.
func (ss *session) newCheckpoint(now time.Time) {
	ss.dirty.Store(false)
	ok := ss.stream.Checkpoint(func(at chat.Positions) *hub.Frame {
		f := caughtUp(at)
		ss.checkpoint.Store(f)
		return f
	})
	if !ok {
		ss.dirty.Store(true)
		return
	}
	ss.checkpointed = now
}
