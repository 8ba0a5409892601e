package chat

import (
	"context"
	"sync"
	"time"
)

// marker coalesces the marks of one member in one conversation: the first is stored at once, those that follow within markWindow
// are stored together at its end. Each is answered once it is stored. Marks only grow, so only the highest of a window counts.
type marker struct {
	submit func(context.Context, *op) error

	mu      sync.Mutex
	windows map[MemberKey]*markWindow // guarded by mu; at most one for each member and half second
	closed  bool                      // guarded by mu
}

// markWindow is the time after a mark was stored, and what has come in it.
type markWindow struct {
	timer           *time.Timer
	read, delivered Seq
	waiting         []func(Receipt, error)
}

// markWindow bounds the stores to two a second for one member in one conversation, which a reader doesn't notice.
const markInterval = 500 * time.Millisecond

func newMarker(submit func(context.Context, *op) error) *marker {
	return &marker{submit: submit, windows: make(map[MemberKey]*markWindow)}
}

// mark moves the marks of a member; done is called once they are stored, and must not block. An error means that it won't be called.
func (k *marker) mark(ctx context.Context, key MemberKey, read, delivered Seq, done func(Receipt, error)) error {
	k.mu.Lock()
	if w := k.windows[key]; w != nil {
		w.read, w.delivered = max(w.read, read), max(w.delivered, delivered)
		w.waiting = append(w.waiting, done)
		k.mu.Unlock()
		return nil
	}
	if !k.closed {
		k.open(key)
	}
	k.mu.Unlock()
	return k.store(ctx, key, read, delivered, []func(Receipt, error){done})
}

// open begins a window; mu is held.
func (k *marker) open(key MemberKey) {
	k.windows[key] = &markWindow{timer: time.AfterFunc(markInterval, func() { k.end(key) })}
}

// end stores what came in a window and begins the next one, or lets it go if nothing did.
func (k *marker) end(key MemberKey) {
	k.mu.Lock()
	w := k.windows[key]
	delete(k.windows, key)
	if w == nil || len(w.waiting) == 0 {
		k.mu.Unlock()
		return
	}
	if !k.closed {
		k.open(key)
	}
	k.mu.Unlock()
	if err := k.store(context.Background(), key, w.read, w.delivered, w.waiting); err != nil {
		for _, done := range w.waiting {
			done(Receipt{}, err)
		}
	}
}

func (k *marker) store(ctx context.Context, key MemberKey, read, delivered Seq, waiting []func(Receipt, error)) error {
	var receipt Receipt
	return k.submit(ctx, &op{
		conversation: key.Conversation,
		repeatable:   true,
		reads: func(r *readSet, _ bool) {
			r.member(key.Conversation, key.User)
			if read > 0 {
				r.ordinal(key.Conversation, read)
			}
		},
		apply: func(t *tx) (err error) {
			receipt, err = t.setMarks(key.User, key.Conversation, read, delivered)
			return err
		},
		done: func(err error) {
			for _, done := range waiting {
				done(receipt, err)
			}
		},
	})
}

// close stores at once what waits, and lets later marks through without a window.
func (k *marker) close() {
	k.mu.Lock()
	k.closed = true
	var open []MemberKey
	for key, w := range k.windows {
		w.timer.Stop()
		open = append(open, key)
	}
	k.mu.Unlock()
	for _, key := range open {
		k.end(key)
	}
}
