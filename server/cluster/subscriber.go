package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// confirmTimeout is how long it may take until all channels are confirmed.
const confirmTimeout = 5 * time.Second

// The forms of pub/sub. In a cluster, a message of the sharded form goes to one server instead of to all.
const (
	unknownForm int32 = iota
	shardedForm
	plainForm
)

// subscriber hears all channels on connections of its own. As soon as one channel is in doubt it begins anew with all of them: whoever listens then
// knows from one call that anything may have been lost.
type subscriber struct {
	redis    *Redis
	channels map[string]func(payload []byte) // set before run; called concurrently, but in order for each channel
	began    []func()                        // set before run; called whenever all channels have been confirmed

	form  atomic.Int32 // what the server was found to have
	whole atomic.Bool  // all channels are confirmed
}

// run subscribes until ctx ends.
func (s *subscriber) run(ctx context.Context) {
	var wait backoff
	for {
		was, err := s.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if was {
			wait.reset()
			s.redis.logger.Warn("the subscription to other nodes broke off; until it is back their batches come from the log", "error", err)
		}
		if !wait.sleep(ctx) {
			return
		}
	}
}

// session is one life of the subscription. It returns why it ended, and whether it was whole before.
func (s *subscriber) session(ctx context.Context) (was bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o := s.redis.options
	o.PipelineMultiplex = -1 // one connection for each server
	o.DisableRetry = true    // what fails ends the session
	client, err := s.redis.newClient(ctx, o)
	if err != nil {
		return false, err
	}
	var receiving sync.WaitGroup
	defer func() {
		s.whole.Store(false)
		cancel()
		client.Close()
		receiving.Wait()
	}()
	sharded, err := s.hasSharded(ctx, client)
	if err != nil {
		return false, err
	}
	confirmed := make(chan struct{}, len(s.channels))
	failed := make(chan error, len(s.channels))
	for channel, handle := range s.channels {
		receiving.Go(func() { failed <- receive(ctx, client, sharded, channel, handle, confirmed) })
	}
	for range s.channels {
		select {
		case <-confirmed:
		case err := <-failed:
			return false, err
		case <-time.After(confirmTimeout):
			return false, errors.New("a subscription wasn't confirmed in time")
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	s.begin()
	select {
	case err = <-failed:
	case <-ctx.Done():
		err = ctx.Err()
	}
	return true, err
}

// begin tells everybody that the subscription is whole, and began anew.
func (s *subscriber) begin() {
	s.whole.Store(true)
	s.redis.stats.subscriptions.Add(1)
	s.redis.logger.Info("subscribed to other nodes", "channels", len(s.channels))
	for _, tell := range s.began {
		tell()
	}
}

// receive hears one channel until that ends, and returns why: never nil.
func receive(ctx context.Context, client rueidis.Client, sharded bool, channel string, handle func([]byte), confirmed chan<- struct{}) error {
	command := client.B().Subscribe().Channel(channel).Build()
	if sharded {
		command = client.B().Ssubscribe().Channel(channel).Build()
	}
	ctx = rueidis.WithOnSubscriptionHook(ctx, func(e rueidis.PubSubSubscription) {
		if strings.HasSuffix(e.Kind, "unsubscribe") {
			return // the call below returns
		}
		select {
		case confirmed <- struct{}{}:
		default:
		}
	})
	err := client.Receive(ctx, command, func(m rueidis.PubSubMessage) { handle([]byte(m.Message)) })
	if err == nil {
		err = errors.New("the server ended the subscription")
	}
	return fmt.Errorf("channel %s: %w", channel, err)
}

// hasSharded asks the server for the sharded form, which Redis has from version 7 on, by using it.
func (s *subscriber) hasSharded(ctx context.Context, client rueidis.Client) (bool, error) {
	if s.redis.plain {
		s.form.Store(plainForm)
		return false, nil
	}
	err := client.Do(ctx, client.B().Spublish().Channel(s.redis.keys.signals()).Message("").Build()).Error()
	if e, ok := rueidis.IsRedisErr(err); ok && strings.Contains(strings.ToLower(e.Error()), "unknown command") {
		s.form.Store(plainForm)
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("asking for sharded pub/sub: %w", err)
	}
	s.form.Store(shardedForm)
	return true, nil
}

// publishCommand builds the command that publishes in the form that was found; ok is false while that isn't known.
func (s *subscriber) publishCommand(client rueidis.Client, channel string, payload []byte) (c rueidis.Completed, ok bool) {
	switch s.form.Load() {
	case shardedForm:
		return client.B().Spublish().Channel(channel).Message(rueidis.BinaryString(payload)).Build(), true
	case plainForm:
		return client.B().Publish().Channel(channel).Message(rueidis.BinaryString(payload)).Build(), true
	default:
		return c, false
	}
}

// publishVerb is the same for scripts.
func (s *subscriber) publishVerb() (verb string, ok bool) {
	switch s.form.Load() {
	case shardedForm:
		return "SPUBLISH", true
	case plainForm:
		return "PUBLISH", true
	default:
		return "", false
	}
}
