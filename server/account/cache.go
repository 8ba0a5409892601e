package account

import (
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// identityCache remembers for a short time whose access tokens are. Safe for concurrent use.
//
// Tokens that are unknown, or whose session has ended, are remembered too, apart from the others, so that they push none out. That
// is sound because a token never becomes valid (again).
type identityCache struct {
	ttl time.Duration

	mu      sync.Mutex
	known   *simplelru.LRU[Hash, cached]   // guarded by mu
	unknown *simplelru.LRU[Hash, struct{}] // guarded by mu
	// sessions is an index into known. Guarded by mu.
	sessions map[chat.SessionID][]Hash
	// ends counts the calls of forget. Guarded by mu.
	ends uint64
}

type cached struct {
	token AccessToken
	until time.Time
}

func newIdentityCache(size int, ttl time.Duration) *identityCache {
	c := &identityCache{ttl: ttl, sessions: make(map[chat.SessionID][]Hash)}
	c.known, _ = simplelru.NewLRU(size, c.unlink) // fails only for sizes below 1, as the next
	c.unknown, _ = simplelru.NewLRU[Hash, struct{}](max(1, size/10), nil)
	return c
}

// unlink is called by known for each entry that leaves it.
func (c *identityCache) unlink(h Hash, e cached) {
	list := c.sessions[e.token.Session]
	if i := slices.Index(list, h); i >= 0 {
		list = slices.Delete(list, i, i+1)
	}
	if len(list) == 0 {
		delete(c.sessions, e.token.Session)
		return
	}
	c.sessions[e.token.Session] = list
}

// verdict is what the cache knows of a token.
type verdict int

const (
	notCached verdict = iota
	tokenKnown
	tokenUnknown
)

// get looks a token up. ends goes to put or putUnknown, where the answer is notCached.
func (c *identityCache) get(h Hash, now time.Time) (t AccessToken, v verdict, ends uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.known.Get(h); ok {
		if now.Before(e.until) {
			return e.token, tokenKnown, 0
		}
		c.known.Remove(h)
	}
	if _, ok := c.unknown.Get(h); ok {
		return t, tokenUnknown, 0
	}
	return t, notCached, c.ends
}

// put remembers a token that was read after get. If any session has ended between, the reading may be older than that, and isn't kept.
func (c *identityCache) put(t AccessToken, now time.Time, ends uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ends != ends {
		return
	}
	if c.known.Contains(t.Hash) { // read twice at the same time
		c.known.Remove(t.Hash)
	}
	c.sessions[t.Session] = append(c.sessions[t.Session], t.Hash)
	c.known.Add(t.Hash, cached{t, now.Add(c.ttl)})
}

// putUnknown remembers that there is no such token.
func (c *identityCache) putUnknown(h Hash) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known.Remove(h)
	c.unknown.Add(h, struct{}{})
}

// forget drops what is known of sessions that have ended, and what is being read at this moment.
func (c *identityCache) forget(sessions []chat.SessionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends++
	for _, id := range sessions {
		for _, h := range slices.Clone(c.sessions[id]) {
			c.known.Remove(h)
		}
	}
}

// len returns how many tokens are known.
func (c *identityCache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known.Len()
}
