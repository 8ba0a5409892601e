package cluster

import (
	"slices"
	"sync"
	"time"
)

// MemoryBus connects the hubs of one process. Safe for concurrent use.
type MemoryBus struct {
	mu    sync.RWMutex
	nodes []*MemoryNode
	fate  func(frame []byte) []time.Duration // nil: every frame arrives once and at once
}

// NewMemoryBus returns a bus without nodes.
func NewMemoryBus() *MemoryBus { return &MemoryBus{} }

// Join returns a new node's end of the bus.
func (b *MemoryBus) Join() *MemoryNode {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := &MemoryNode{bus: b, connected: true}
	b.nodes = append(b.nodes, n)
	return n
}

// SetFate makes the bus as bad as a real one can be, for tests: for each frame and receiver, fate returns the delays after which copies
// arrive. None: the frame is lost; two: it arrives twice; different delays from frame to frame: out of order. A nil fate makes the bus
// good again. It is called concurrently.
func (b *MemoryBus) SetFate(fate func(frame []byte) []time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fate = fate
}

// others returns the receivers of a frame, and what becomes of it.
func (b *MemoryBus) others(from *MemoryNode) ([]*MemoryNode, func([]byte) []time.Duration) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	to := make([]*MemoryNode, 0, len(b.nodes))
	for _, n := range b.nodes {
		if n != from {
			to = append(to, n)
		}
	}
	return to, b.fate
}

// MemoryNode is one hub's end of a [MemoryBus]. Safe for concurrent use.
type MemoryNode struct {
	bus *MemoryBus

	mu            sync.RWMutex // held, for reading, while a handler runs
	connected     bool
	batch, signal func(frame []byte)
	subscribed    func()
}

// PublishBatch sends a frame to the other nodes; the shard makes no difference here.
func (n *MemoryNode) PublishBatch(_ int, frame []byte) {
	n.publish(frame, func(to *MemoryNode) func([]byte) { return to.batch })
}

// PublishSignal sends a frame to the other nodes.
func (n *MemoryNode) PublishSignal(frame []byte) {
	n.publish(frame, func(to *MemoryNode) func([]byte) { return to.signal })
}

func (n *MemoryNode) publish(frame []byte, handler func(*MemoryNode) func([]byte)) {
	if !n.Confirmed() {
		return
	}
	to, fate := n.bus.others(n)
	for _, other := range to {
		if fate == nil {
			other.receive(frame, handler)
			continue
		}
		for _, delay := range fate(frame) {
			if delay == 0 {
				other.receive(frame, handler)
				continue
			}
			time.AfterFunc(delay, func() { other.receive(frame, handler) })
		}
	}
}

func (n *MemoryNode) receive(frame []byte, handler func(*MemoryNode) func([]byte)) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if h := handler(n); h != nil && n.connected {
		h(frame)
	}
}

// Subscribe begins to call the handlers with the frames of other nodes, and subscribed now and after each [MemoryNode.SetConnected]. After stop
// has returned none of them is called, and the node has left the bus.
func (n *MemoryNode) Subscribe(batch, signal func(frame []byte), subscribed func()) (stop func()) {
	n.mu.Lock()
	n.batch, n.signal, n.subscribed = batch, signal, subscribed
	connected := n.connected
	n.mu.Unlock()
	if connected {
		subscribed()
	}
	return func() {
		n.bus.leave(n)
		n.mu.Lock()
		n.batch, n.signal, n.subscribed = nil, nil, nil
		n.mu.Unlock()
	}
}

func (b *MemoryBus) leave(n *MemoryNode) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nodes = slices.DeleteFunc(b.nodes, func(other *MemoryNode) bool { return other == n })
}

// Confirmed reports whether the node is connected.
func (n *MemoryNode) Confirmed() bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.connected
}

// SetConnected cuts the node off, so that nothing comes in or goes out, or connects it again, for tests.
func (n *MemoryNode) SetConnected(connected bool) {
	n.mu.Lock()
	again := connected && !n.connected
	n.connected = connected
	subscribed := n.subscribed
	n.mu.Unlock()
	if again && subscribed != nil {
		subscribed()
	}
}
