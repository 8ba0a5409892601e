package accounttest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/chat"
)

func refreshChanges(f *fixture) {
	f.signUp(7)
	s := newSession(7, 1)
	f.same("state", f.state(s), account.RefreshState{Session: s.Session, Tokens: []account.RefreshToken{s.Refresh}})

	want := s.Session
	want.Address, want.RefreshTime, want.ExpireTime = "2001:db8::1", now.Add(time.Hour), now.Add(25*time.Hour)
	given := want
	given.DeviceName, given.User = "not to be changed", 9
	tokens := []account.RefreshToken{
		{Secret: s.Refresh.Secret, SpentTime: now.Add(time.Hour)},
		{Secret: hash("next"), Generation: 1},
	}
	access := account.AccessToken{Hash: hash("new access"), Session: s.ID, User: 7, ExpireTime: now.Add(2 * time.Hour)}
	f.refresh(s, account.RefreshChange{Session: given, Tokens: tokens, Access: access, KeepAccess: 5})

	f.same("state after", f.state(s), account.RefreshState{Session: want, Tokens: tokens})
	list, err := f.store.Sessions(f.ctx, 7, now)
	f.must(err)
	f.same("listed", list, []account.Session{want})
	found, ok, err := f.store.SessionBySeries(f.ctx, s.Series)
	f.must(err)
	f.same("by series", []any{found, ok}, []any{want, true})
	for _, token := range []account.AccessToken{s.Access, access} {
		got, ok, err := f.store.AccessToken(f.ctx, token.Hash)
		f.must(err)
		f.same("access token", []any{got, ok}, []any{token, true})
	}

	called := false
	ok, err = f.store.RefreshSession(f.ctx, hash("another series"), func(account.RefreshState) (account.RefreshChange, error) {
		called = true
		return account.RefreshChange{}, nil
	})
	f.same("unknown series", []any{ok, err, called}, []any{false, nil, false})
}

// state reads what a refresh of the session is decided by, with its tokens in the order of their generations.
func (f *fixture) state(s account.NewSession) (state account.RefreshState) {
	f.Helper()
	stop := errors.New("stop")
	_, err := f.store.RefreshSession(f.ctx, s.Series, func(r account.RefreshState) (account.RefreshChange, error) {
		state = r
		return account.RefreshChange{}, stop
	})
	if !errors.Is(err, stop) {
		f.Fatalf("got %v", err)
	}
	slices.SortFunc(state.Tokens, func(a, b account.RefreshToken) int { return int(a.Generation - b.Generation) })
	return state
}

func refreshRefused(f *fixture) {
	f.signUp(7)
	s := newSession(7, 1)
	refused := chat.Invalid("token", "refused")
	_, err := f.store.RefreshSession(f.ctx, s.Series, func(r account.RefreshState) (account.RefreshChange, error) {
		return account.RefreshChange{End: true, Session: r.Session}, refused
	})
	if !errors.Is(err, refused) {
		f.Fatalf("got %v", err)
	}
	f.same("state", f.state(s), account.RefreshState{Session: s.Session, Tokens: []account.RefreshToken{s.Refresh}})
	f.live(7, []account.NewSession{s}, 1)
}

func refreshEnds(f *fixture) {
	f.signUp(7)
	all := []account.NewSession{newSession(7, 1), newSession(7, 2)}
	f.signIn(all[1])
	f.refresh(all[0], account.RefreshChange{End: true})
	f.live(7, all, 2)
}

func refreshTrims(f *fixture) {
	f.signUp(7)
	s, other := newSession(7, 1), newSession(7, 2)
	f.signIn(other)
	// The newest token is the one that expires first, as it is after the setting was lowered. It is kept all the same.
	hashes := []account.Hash{s.Access.Hash}
	for i := 1; i <= 4; i++ {
		h := hash(fmt.Sprint("access ", i))
		hashes = append(hashes, h)
		expire := now.Add(time.Duration(i) * time.Hour)
		if i == 4 {
			expire = now
		}
		f.refresh(s, account.RefreshChange{
			Session: s.Session, Tokens: []account.RefreshToken{s.Refresh}, KeepAccess: 3,
			Access: account.AccessToken{Hash: h, Session: s.ID, User: 7, ExpireTime: expire},
		})
	}
	var kept []int
	for i, h := range hashes {
		_, ok, err := f.store.AccessToken(f.ctx, h)
		f.must(err)
		if ok {
			kept = append(kept, i)
		}
	}
	f.same("kept", kept, []int{2, 3, 4})
	f.live(7, []account.NewSession{other}, 1, 2)
}

func sessionsListed(f *fixture) {
	f.signUp(7)
	f.signUp(8)
	one, two, three := newSession(7, 1), newSession(7, 2), newSession(7, 3)
	f.signIn(three)
	f.signIn(two)
	list, err := f.store.Sessions(f.ctx, 7, one.ExpireTime.Add(-time.Millisecond))
	f.must(err)
	f.same("sessions", list, []account.Session{three.Session, two.Session, one.Session})
	list, err = f.store.Sessions(f.ctx, 7, one.ExpireTime)
	f.must(err)
	f.same("sessions later", list, []account.Session{three.Session, two.Session})
	list, err = f.store.Sessions(f.ctx, 9, now)
	f.must(err)
	f.same("sessions of nobody", len(list), 0)
}

func endOne(f *fixture) {
	f.signUp(7)
	f.signUp(8)
	s := newSession(7, 1)
	for _, step := range []struct {
		user chat.UserID
		id   chat.SessionID
		want bool
	}{{8, s.ID, false}, {7, 12345, false}, {7, s.ID, true}, {7, s.ID, false}} {
		ok, err := f.store.EndSession(f.ctx, step.user, step.id)
		f.same(fmt.Sprintf("%+v", step), []any{ok, err}, []any{step.want, nil})
	}
	f.live(7, []account.NewSession{s})
	f.live(8, []account.NewSession{newSession(8, 1)}, 1)
}

func endAll(f *fixture) {
	f.signUp(7)
	f.signUp(8)
	all := []account.NewSession{newSession(7, 1), newSession(7, 2), newSession(7, 3)}
	f.signIn(all[1])
	f.signIn(all[2])
	ended, err := f.store.EndSessions(f.ctx, 7, all[2].ID)
	f.must(err)
	slices.Sort(ended)
	f.same("ended", ended, []chat.SessionID{all[0].ID, all[1].ID})
	f.live(7, all, 3)
	ended, err = f.store.EndSessions(f.ctx, 7, 0)
	f.must(err)
	f.same("ended then", ended, []chat.SessionID{all[2].ID})
	f.live(7, all)
	f.live(8, []account.NewSession{newSession(8, 1)}, 1)
}

func liveUntilEnd(f *fixture) {
	f.signUp(7)
	var ids []chat.SessionID
	want := map[chat.SessionID]bool{}
	for n := 1; n <= 40; n++ {
		s := newSession(7, n)
		if n > 1 {
			f.signIn(s)
		}
		ids = append(ids, s.ID, s.ID+5_000_000)
		want[s.ID] = true
	}
	ended := newSession(7, 17).ID
	_, err := f.store.EndSession(f.ctx, 7, ended)
	f.must(err)
	delete(want, ended)
	live, err := f.store.LiveSessions(f.ctx, ids)
	f.must(err)
	f.same("live sessions", live, want)
	live, err = f.store.LiveSessions(f.ctx, nil)
	f.must(err)
	f.same("of none", len(live), 0)
}

func tokenFound(f *fixture) {
	f.signUp(7)
	s := newSession(7, 1)
	t, ok, err := f.store.AccessToken(f.ctx, s.Access.Hash)
	f.must(err)
	f.same("token", []any{t, ok}, []any{s.Access, true})
	_, ok, err = f.store.AccessToken(f.ctx, s.Refresh.Secret)
	f.same("a refresh token", []any{ok, err}, []any{false, nil})
}

func deleteExpired(f *fixture) {
	f.signUp(7)
	all := []account.NewSession{newSession(7, 1)}
	for n := 2; n <= 5; n++ {
		all = append(all, newSession(7, n))
		f.signIn(all[n-1])
	}
	// 1 to 3 have expired; 3 has not where its very time is asked for.
	before := all[3].ExpireTime
	var ended []chat.SessionID
	for i, more := 0, true; more; i++ {
		var ids []chat.SessionID
		var err error
		ids, more, err = f.store.DeleteExpired(f.ctx, before, now, 2)
		f.must(err)
		if len(ids) > 2 || i > 3 {
			f.Fatalf("call %d: %v", i, ids)
		}
		ended = append(ended, ids...)
	}
	slices.Sort(ended)
	f.same("ended", ended, []chat.SessionID{all[0].ID, all[1].ID, all[2].ID})
	f.live(7, all, 4, 5)

	ended, _, err := f.store.DeleteExpired(f.ctx, now, all[4].Access.ExpireTime, 100)
	f.must(err)
	f.same("sessions ended with tokens", len(ended), 0)
	_, gone, err := f.store.AccessToken(f.ctx, all[3].Access.Hash)
	f.must(err)
	_, kept, err := f.store.AccessToken(f.ctx, all[4].Access.Hash)
	f.must(err)
	f.same("the tokens", []bool{!gone, kept}, []bool{true, true})
	_, ok, err := f.store.SessionBySeries(f.ctx, all[3].Series)
	f.same("their session", []any{ok, err}, []any{true, nil})
}

// crowd is how many do something at once.
const crowd = 16

// atOnce runs fn for each of a crowd at the same time, and returns in how many it returned true.
func (f *fixture) atOnce(fn func(i int) bool) int {
	var (
		all  sync.WaitGroup
		yes  atomic.Int64
		open = make(chan struct{})
	)
	for i := range crowd {
		all.Go(func() {
			<-open
			if fn(i) {
				yes.Add(1)
			}
		})
	}
	close(open)
	all.Wait()
	return int(yes.Load())
}

// won tells success from the one error that is expected.
func (f *fixture) won(err, expected error) bool {
	if err != nil && !errors.Is(err, expected) {
		f.Errorf("got %v", err)
	}
	return err == nil
}

func oneGetsName(f *fixture) {
	won := f.atOnce(func(i int) bool {
		a := account.Account{User: chat.User{ID: chat.UserID(i + 1), Username: "name"}, CreateTime: now}
		return f.won(f.store.CreateAccount(f.ctx, a, "name", "hash", newSession(a.ID, 1)), account.ErrUsernameTaken)
	})
	f.same("won", won, 1)
}

func oneChangesPassword(f *fixture) {
	f.signUp(7)
	won := f.atOnce(func(i int) bool {
		_, err := f.store.SetPassword(f.ctx, 7, 1, fmt.Sprint("hash of ", i), 0)
		return f.won(err, account.ErrStale)
	})
	f.same("won", won, 1)
}

func refreshesInTurn(f *fixture) {
	f.signUp(7)
	s := newSession(7, 1)
	won := f.atOnce(func(i int) bool {
		ok, err := f.store.RefreshSession(f.ctx, s.Series, func(r account.RefreshState) (account.RefreshChange, error) {
			next := r.Tokens[0].Generation + 1
			return account.RefreshChange{
				Session: s.Session, Tokens: []account.RefreshToken{{Secret: hash("next"), Generation: next}}, KeepAccess: 100,
				Access: account.AccessToken{Hash: hash(fmt.Sprint("access ", i)), Session: s.ID, User: 7, ExpireTime: now},
			}, nil
		})
		return ok && f.won(err, nil)
	})
	f.same("won", won, crowd)
	f.same("generation", f.state(s).Tokens[0].Generation, crowd)
}

func signInDuringChange(f *fixture) {
	f.signUp(7)
	f.atOnce(func(i int) bool {
		if i == crowd/2 {
			_, err := f.store.SetPassword(f.ctx, 7, 1, "hash 2", newSession(7, 1).ID)
			return f.won(err, nil)
		}
		_, err := f.store.CreateSession(f.ctx, newSession(7, i+2), 1, "", 50)
		return f.won(err, account.ErrStale)
	})
	list, err := f.store.Sessions(f.ctx, 7, now)
	f.must(err)
	if len(list) != 1 || list[0].ID != newSession(7, 1).ID {
		f.Fatalf("sessions left: %+v", list)
	}
}
