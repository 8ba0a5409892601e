package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

const (
	// queueFrames and queueBytes bound what waits to be published; the same number of signals may wait apart from it.
	queueFrames, queueBytes = 4096, 32 << 20
	// publishFrames is how many frames go out in one pipeline.
	publishFrames = 512
	// publishTimeout is how long Redis may take to take them. What waited meanwhile is old, but not yet worthless.
	publishTimeout = time.Second
)

// outgoing is a frame on its way out.
type outgoing struct {
	channel string
	payload []byte
}

// publisher sends frames in the order in which they were put, those of one channel at least. Putting never waits; what finds no room, or no
// Redis, is lost.
type publisher struct {
	redis *Redis
	wake  chan struct{} // 1: something waits

	mu      sync.Mutex // guards what follows
	batches []outgoing
	signals []outgoing
	bytes   int // of batches
}

func newPublisher(r *Redis) *publisher {
	return &publisher{redis: r, wake: make(chan struct{}, 1)}
}

// put queues a frame of a batch, or of a signal, for which there is room of its own: the end of a session must not be lost for lack of it.
func (p *publisher) put(o outgoing, signal bool) {
	if !p.redis.Up() {
		p.redis.stats.dropped.Add(1)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case signal && len(p.signals) < queueFrames:
		p.signals = append(p.signals, o)
	case !signal && len(p.batches) < queueFrames && p.bytes+len(o.payload) <= queueBytes:
		p.batches = append(p.batches, o)
		p.bytes += len(o.payload)
	default:
		p.redis.stats.dropped.Add(1)
		return
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// take returns what waits, signals first: they are small, and few.
func (p *publisher) take() []outgoing {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := append(p.signals, p.batches...)
	p.signals, p.batches, p.bytes = nil, nil, 0
	return list
}

// run publishes until ctx ends. What it has begun it finishes, unless life ends.
func (p *publisher) run(ctx, life context.Context) {
	for {
		select {
		case <-p.wake:
			p.flush(life)
		case <-ctx.Done():
			return
		}
	}
}

// flush publishes what waits now.
func (p *publisher) flush(ctx context.Context) {
	list := p.take()
	for len(list) > 0 && ctx.Err() == nil {
		n := min(len(list), publishFrames)
		p.publish(ctx, list[:n])
		list = list[n:]
	}
}

// publish sends frames in one pipeline. Errors are counted, and nothing is tried again: what is lost is found in the log.
func (p *publisher) publish(ctx context.Context, list []outgoing) {
	client := p.redis.client.Load()
	if client == nil {
		p.redis.stats.dropped.Add(int64(len(list)))
		return
	}
	commands := make([]rueidis.Completed, 0, len(list))
	for _, o := range list {
		c, ok := p.redis.subscriber.publishCommand(*client, o.channel, o.payload)
		if !ok {
			p.redis.stats.dropped.Add(int64(len(list)))
			return
		}
		commands = append(commands, c)
	}
	ctx, cancel := context.WithTimeout(ctx, p.redis.waits.publish)
	defer cancel()
	for _, result := range (*client).DoMulti(ctx, commands...) {
		if result.Error() != nil {
			p.redis.stats.failed.Add(1)
		} else {
			p.redis.stats.published.Add(1)
		}
	}
}
