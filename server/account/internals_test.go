package account

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

func TestTokensAreReadAsTheyWereMade(t *testing.T) {
	for range 100 {
		secret, hash := newAccessToken()
		if h, ok := parseAccessToken(secret.Reveal()); !ok || h != hash || len(secret.Reveal()) != 47 {
			t.Fatalf("access token %q", secret.Reveal())
		}
		first := newRefreshToken()
		second := first.next()
		got, ok := parseRefreshToken(second.reveal().Reveal())
		if !ok || got != second || len(second.reveal().Reveal()) != 68 {
			t.Fatalf("refresh token %q", second.reveal().Reveal())
		}
		if first.seriesHash() != second.seriesHash() || first.secretHash() == second.secretHash() {
			t.Fatal("the series has to stay, and the secret to change")
		}
	}
}

// FuzzTokens: what is read as a token has this one spelling, and nothing is read as a token of the other kind.
func FuzzTokens(f *testing.F) {
	access, _ := newAccessToken()
	f.Add(access.Reveal())
	f.Add(newRefreshToken().reveal().Reveal())
	f.Add("nja_" + strings.Repeat("A", 43))
	f.Add("nja_" + strings.Repeat("_", 43))
	f.Add("njr_" + strings.Repeat("A", 30) + "\n" + strings.Repeat("A", 33))
	f.Fuzz(func(t *testing.T, s string) {
		var b [secretBytes]byte
		_, isAccess := parseAccessToken(s)
		if isAccess && (!parseToken(s, accessPrefix, b[:]) || accessPrefix+tokenEncoding.EncodeToString(b[:]) != s) {
			t.Errorf("access token %q has another spelling", s)
		}
		token, isRefresh := parseRefreshToken(s)
		if isRefresh && token.reveal().Reveal() != s {
			t.Errorf("refresh token %q is spelled %q", s, token.reveal().Reveal())
		}
		if isAccess && isRefresh {
			t.Errorf("%q is both", s)
		}
	})
}

func TestHashIsInThePHCStringFormat(t *testing.T) {
	ctx := t.Context()
	h := newHasher(HashCost{MemoryKiB: 64, Passes: 3, Threads: 2}, 1, 1)
	hash, err := h.hash(ctx, NewSecret("a password"))
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=64,t=3,p=2$") {
		t.Fatalf("%q, %v", hash, err)
	}
	if again, _ := h.hash(ctx, NewSecret("a password")); again == hash {
		t.Error("the same salt twice")
	}
	for password, want := range map[string]bool{"a password": true, "a passwore": false, "": false, "a password\x00": false} {
		if ok, outdated, err := h.verify(ctx, NewSecret(password), hash); ok != want || outdated || err != nil {
			t.Errorf("%q: %v, %v, %v", password, ok, outdated, err)
		}
	}
}

// foreignHash is of "password", a vector of the reference implementation (P-H-C/phc-winner-argon2, src/test.c).
const foreignHash = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"

func TestForeignHash(t *testing.T) {
	h := newHasher(DefaultHashCost, 1, 1)
	ok, outdated, err := h.verify(t.Context(), NewSecret("password"), foreignHash)
	if !ok || !outdated || err != nil {
		t.Errorf("%v, %v, %v", ok, outdated, err)
	}
}

func TestPasswordIsTheSameHoweverItsCharactersAreSpelled(t *testing.T) {
	h := newHasher(HashCost{8, 1, 1}, 1, 1)
	hash, err := h.hash(t.Context(), NewSecret("pässwörter")) // composed
	if err != nil {
		t.Fatal(err)
	}
	if ok, _, _ := h.verify(t.Context(), NewSecret("pa\u0308sswo\u0308rter"), hash); !ok {
		t.Error("decomposed is another password")
	}
	if ok, _, _ := h.verify(t.Context(), NewSecret("passworter"), hash); ok {
		t.Error("without accents is the same password")
	}
}

var brokenHashes = []string{
	"", "x", "$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA", "$argon2i$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
	"$argon2id$v=18$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
	"$argon2id$v=19$m=0,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
	"$argon2id$v=19$m=8,t=0,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
	"$argon2id$v=19$m=8,t=1,p=0$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
	"$argon2id$v=19$m=8,t=1,p=256$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
	"$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
	"$argon2id$v=19$m=8,t=4294967295,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
	"$argon2id$v=19$m=8,t=1,p=2$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
	"$argon2id$v=19$m=8,t=1,p=1 $AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
	"$argon2id$v=19$m=08,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
	"$argon2id$v=19$m=8,t=1,p=1$AA$AAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AA",
	"$argon2id$v=19$m=8,t=1,p=1$????????????????$AAAAAAAAAAAAAAAAAAAAAA",
	"$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$" + strings.Repeat("A", 1000),
}

func TestDamagedHashIsAFaultOfTheServer(t *testing.T) {
	h := newHasher(HashCost{8, 1, 1}, 1, 1)
	for _, hash := range brokenHashes {
		_, _, err := h.verify(t.Context(), NewSecret("password"), hash)
		if _, typed := chat.AsError(err); err == nil || typed {
			t.Errorf("%q: %v", hash, err)
		}
	}
}

// FuzzPHC: what is read has this one spelling, and is within the bounds.
func FuzzPHC(f *testing.F) {
	for _, s := range brokenHashes {
		f.Add(s)
	}
	f.Add(foreignHash)
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := parsePHC(s); err == nil && (p.String() != s || !p.cost.valid()) {
			t.Errorf("%q is read as %q", s, p)
		}
	})
}

func TestWaitingToHashEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(HashCost{8, 1, 1}, 1, 10)
		h.running <- struct{}{} // somebody hashes
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := h.hash(ctx, NewSecret("password")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		<-h.running
		if _, err := h.hash(ctx, NewSecret("password")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("hashed for somebody who is gone: %v", err)
		}
		if h.waiting.Load() != 0 {
			t.Error("still counted as waiting")
		}
		if _, err := h.hash(t.Context(), NewSecret("password")); err != nil {
			t.Error(err)
		}
	})
}

func TestPretendedCheckIsOneHashAtThePresentCost(t *testing.T) {
	h := newHasher(HashCost{16, 3, 2}, 1, 1)
	var calls []string
	h.derive = func(_, salt []byte, passes, memory uint32, threads uint8, keyLen uint32) []byte {
		calls = append(calls, fmt.Sprint(len(salt), passes, memory, threads, keyLen))
		return make([]byte, keyLen)
	}
	hash, err := h.hash(t.Context(), NewSecret("password"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.verify(t.Context(), NewSecret("password"), hash); err != nil {
		t.Fatal(err)
	}
	if err := h.pretend(t.Context(), NewSecret("password")); err != nil {
		t.Fatal(err)
	}
	if len(calls) != 3 || calls[0] != calls[1] || calls[1] != calls[2] {
		t.Errorf("calls %q", calls)
	}
}

func TestMemoryLimiterFillsAndForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewMemoryLimiter(nil)
		b := Bucket{"kind", "key", Rate{Burst: 2, Every: time.Minute}}
		take := func(b Bucket, want time.Duration) {
			t.Helper()
			if wait, err := l.Take(t.Context(), b); wait != want || err != nil {
				t.Errorf("%v: wait %v, %v; want %v", b, wait, err, want)
			}
		}
		take(b, 0)
		take(b, 0)
		take(b, time.Minute)
		time.Sleep(45 * time.Second)
		take(b, 15*time.Second)
		if wait := l.wait(b); wait != 15*time.Second {
			t.Errorf("wait %v", wait)
		}
		take(Bucket{"kind", "other key", b.Rate}, 0)
		take(Bucket{"other kind", "key", b.Rate}, 0)
		if wait := l.wait(Bucket{"new kind", "key", b.Rate}); wait != 0 {
			t.Errorf("of a new one: wait %v", wait)
		}
		if err := l.Fill(t.Context(), b); err != nil {
			t.Error(err)
		}
		if wait := l.wait(b); wait != 0 {
			t.Errorf("filled: wait %v", wait)
		}
		take(b, 0)
		take(b, 0)
		take(b, time.Minute)
	})
}

func TestMemoryLimiterIsBounded(t *testing.T) {
	l := NewMemoryLimiter(func() time.Time { return time.Unix(1, 0) })
	r := Rate{Burst: 1, Every: time.Hour}
	for i := range bucketsPerKind + 10 {
		_, _ = l.Take(t.Context(), Bucket{"kind", fmt.Sprint(i), r})
	}
	if n := l.kinds["kind"].Len(); n != bucketsPerKind {
		t.Errorf("%d buckets", n)
	}
	if l.wait(Bucket{"kind", "10", r}) == 0 || l.wait(Bucket{"kind", "9", r}) != 0 {
		t.Error("it isn't the oldest that were forgotten")
	}
}

func TestCacheIsBoundedAndItsIndexToo(t *testing.T) {
	c := newIdentityCache(3, time.Minute)
	now := time.Unix(1, 0)
	hash := func(i int) Hash { return Hash{byte(i)} }
	for i := range 10 {
		token := AccessToken{Hash: hash(i), Session: chat.SessionID(i / 2), ExpireTime: now.Add(time.Hour)}
		_, _, ends := c.get(token.Hash, now)
		c.put(token, now, ends)
		c.put(token, now, ends) // two look-ups at once
		c.putUnknown(hash(100 + i))
	}
	if c.len() != 3 || len(c.sessions) != 2 || len(c.sessions[4]) != 2 || c.unknown.Len() != 1 {
		t.Errorf("%d tokens, index %v, %d unknown", c.len(), c.sessions, c.unknown.Len())
	}
	c.forget([]chat.SessionID{4, 77})
	if _, v, _ := c.get(hash(7), now); v != tokenKnown || c.len() != 1 {
		t.Error("forgot another session")
	}
	if _, v, _ := c.get(hash(7), now.Add(time.Minute)); v != notCached || c.len() != 0 || len(c.sessions) != 0 {
		t.Errorf("kept what is too old: %v", c.sessions)
	}
}

func TestZeroSettingsMeanTheDefaults(t *testing.T) {
	if got := (Settings{}).withDefaults(); got != DefaultSettings() {
		t.Errorf("got %+v", got)
	}
	all := Settings{
		SignUpClosed: true, AccessTokenLife: 1, SessionLife: 2, SessionsPerUser: 3, HashCost: HashCost{4, 5, 6}, HashesAtOnce: 7, HashLine: 8,
		SignInsHere: Rate{9, 10}, SignInsAccount: Rate{11, 12}, SignInsAddress: Rate{13, 14}, SignUpsAddress: Rate{15, 16},
		LimitLoopback: true, CacheTime: 17, CacheSize: 18,
	}
	if got := all.withDefaults(); got != all {
		t.Errorf("got %+v", got)
	}
}

func TestSecretsHaveNoCommonBytes(t *testing.T) {
	a, b := newRefreshToken(), newRefreshToken()
	if bytes.Equal(a.series[:], b.series[:]) || bytes.Equal(a.secret[:], b.secret[:]) || bytes.Equal(a.secret[:], make([]byte, secretBytes)) {
		t.Error("tokens aren't random")
	}
}
