package rpc

import (
	"context"
	"time"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/chat"
)

// userRates holds each user to a number of requests per second, on this node and over all nodes that share limits. What is shared is asked for in portions, so
// that a request rarely waits for it: the first portion of a user is free on each node, and each further one is taken from the shared bucket before it
// is used. Safe for concurrent use.
type userRates struct {
	here    *rates[chat.UserID]
	shared  account.Limiter // nil: there is only this node
	portion int64           // requests
	rate    account.Rate    // of portions
}

// portionsOfBurst is the number of portions that make up a burst.
const portionsOfBurst = 10

func newUserRates(l *Limits, shared account.Limiter) *userRates {
	portion := max(1, l.UserBurst/portionsOfBurst)
	return &userRates{
		here: newRates[chat.UserID](l.UserRate, l.UserBurst), shared: shared, portion: int64(portion),
		rate: account.Rate{Burst: max(1, l.UserBurst/portion), Every: time.Duration(portion) * time.Second / time.Duration(l.UserRate)},
	}
}

// allow takes one request, or returns the error to answer.
func (u *userRates) allow(ctx context.Context, user chat.UserID) error {
	if err := u.here.allow(user); err != nil {
		return err
	}
	wait, err := u.take(ctx, user)
	if err == nil && wait > 0 {
		err = rateLimited(wait)
	}
	return err
}

// wait takes one request as soon as there is one. Its error is ctx's.
func (u *userRates) wait(ctx context.Context, user chat.UserID) error {
	if err := u.here.bucket(user).Wait(ctx); err != nil {
		return err
	}
	for {
		wait, err := u.take(ctx, user)
		if wait == 0 || err != nil {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take takes one request out of the user's portion, and where that is used up, the next portion. If there is none, wait says when there will be.
func (u *userRates) take(ctx context.Context, user chat.UserID) (wait time.Duration, err error) {
	if u.shared == nil {
		return 0, nil
	}
	for b := u.here.bucket(user); ; {
		spent := b.spent.Load()
		if spent < u.portion {
			if b.spent.CompareAndSwap(spent, spent+1) {
				return 0, nil
			}
			continue
		}
		if wait, err = u.shared.Take(ctx, account.Bucket{Kind: "requests", Key: user.String(), Rate: u.rate}); wait > 0 || err != nil {
			return wait, err
		}
		b.spent.Add(-u.portion)
	}
}
