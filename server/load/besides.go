package load

import (
	"context"
	"sync"
	"time"
)

// besides starts what goes on while messages are sent: cuts and changes of presence. It goes on until end is called.
func (r *run) besides(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var going sync.WaitGroup
	if every := r.cfg.CutEvery; every > 0 {
		going.Go(func() { r.cutAll(ctx, every) })
	}
	if r.cfg.Presence > 0 {
		r.watchPeers()
		going.Go(func() { r.changePresence(ctx) })
	}
	return func() { cancel(); going.Wait() }
}

// cutAll cuts the streams of all users at once, again and again.
func (r *run) cutAll(ctx context.Context, every time.Duration) {
	for sleep(ctx, every) {
		r.cfg.progress("cutting %d streams", len(r.users))
		for _, u := range r.users {
			u.line.cut()
		}
	}
}

// maxWatched is how many users a stream may watch (a rule of the schema).
const maxWatched = 200

// watchPeers lets everybody watch the others of their conversation.
func (r *run) watchPeers() {
	for _, u := range r.users {
		_ = u.client.WatchPresence(u.peers[:min(len(u.peers), maxWatched)]...) // within all limits
	}
}

// changePresence lets one user after the other go away, and come back a round later.
func (r *run) changePresence(ctx context.Context) {
	for k := 0; ; k++ {
		due := time.Duration(float64(k) / r.cfg.Presence * float64(time.Second))
		if wait := due - time.Since(r.start); wait > 0 && !sleep(ctx, wait) || ctx.Err() != nil {
			return
		}
		r.users[k%len(r.users)].client.SetAway(k/len(r.users)%2 == 0)
		r.ledger.changed.Add(1)
	}
}
