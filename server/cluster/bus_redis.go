package cluster

import "sync"

// RedisBus is a node's end of a bus over Redis: pub/sub on one channel for each log shard and one for signals. A frame reaches each node that is subscribed at that
// moment at most once, its sender too. Safe for concurrent use.
type RedisBus struct {
	redis   *Redis
	shards  []string // the channels by log shard
	signals string

	mu            sync.RWMutex // held, for reading, while a handler runs
	batch, signal func(frame []byte)
	subscribed    func()
}

func newRedisBus(r *Redis) *RedisBus {
	b := &RedisBus{redis: r, signals: r.keys.signals()}
	for shard := range r.shards {
		channel := r.keys.batches(shard)
		b.shards = append(b.shards, channel)
		r.subscriber.channels[channel] = func(frame []byte) { b.receive(frame, func() func([]byte) { return b.batch }) }
	}
	r.subscriber.channels[b.signals] = func(frame []byte) { b.receive(frame, func() func([]byte) { return b.signal }) }
	r.subscriber.began = append(r.subscriber.began, b.began)
	return b
}

// PublishBatch queues a frame for the channel of a log shard. It never waits; a frame for which there is no room, or no Redis, is lost.
func (b *RedisBus) PublishBatch(shard int, frame []byte) {
	b.redis.publisher.put(outgoing{b.shards[shard], frame}, false)
}

// PublishSignal queues a frame for the channel of signals; as PublishBatch.
func (b *RedisBus) PublishSignal(frame []byte) {
	b.redis.publisher.put(outgoing{b.signals, frame}, true)
}

// Subscribe begins to call the handlers with the frames that come in, and subscribed now, if the node hears all channels, and whenever it does again.
// They must not block. After stop has returned none of them is called.
func (b *RedisBus) Subscribe(batch, signal func(frame []byte), subscribed func()) (stop func()) {
	b.mu.Lock()
	b.batch, b.signal, b.subscribed = batch, signal, subscribed
	b.mu.Unlock()
	if b.Confirmed() {
		subscribed()
	}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.batch, b.signal, b.subscribed = nil, nil, nil
	}
}

// Confirmed reports whether the node hears all channels.
func (b *RedisBus) Confirmed() bool { return b.redis.subscriber.whole.Load() && b.redis.Up() }

func (b *RedisBus) began() {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.subscribed != nil {
		b.subscribed()
	}
}

func (b *RedisBus) receive(frame []byte, handler func() func([]byte)) {
	if len(frame) == 0 {
		return // a question for the sharded form
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if handle := handler(); handle != nil {
		b.redis.stats.received.Add(1)
		handle(frame)
	}
}
