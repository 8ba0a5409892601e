package chat

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestIDsAreReadBackAndHaveOneSpelling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(1, 1<<63-1).Draw(t, "id")
		u, err := ParseUserID(UserID(n).String(), "user_id")
		if err != nil || int64(u) != n {
			t.Fatalf("%d became %d, %v", n, u, err)
		}
		for _, wrong := range []string{
			ConversationID(n).String(), SessionID(n).String(), MessageID(ConversationID(n), 5), strings.ToUpper(UserID(n).String()), UserID(n).String() + "0",
			UserID(n).String()[:13], "", "u", "u" + strings.Repeat("z", 13), "u" + strings.Repeat("0", 13), "u" + strings.Repeat("é", 6) + "0",
		} {
			if id, err := ParseUserID(wrong, "user_id"); !IsReason(err, ReasonInvalidID) {
				t.Fatalf("%q was read as %d, %v", wrong, id, err)
			}
		}
	})
}

func TestConversationsOfOneKeyShareAShard(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringN(1, 20, -1).Draw(t, "key")
		shards := rapid.SampledFrom([]int{1, 2, 16, 64, 1024}).Draw(t, "shards")
		a, b := newConversationID(time.Now(), slotFor(key)), newConversationID(time.Now().Add(time.Hour), slotFor(key))
		if a.Shard(shards) != b.Shard(shards) || a <= 0 {
			t.Fatalf("%d and %d lie in shards %d and %d", a, b, a.Shard(shards), b.Shard(shards))
		}
		if s := a.Shard(shards); s < 0 || s >= shards {
			t.Fatalf("shard %d of %d", s, shards)
		}
	})
}

func TestShardsAreUsedEvenly(t *testing.T) {
	counts := make([]int, 16)
	for range 16_000 {
		counts[newConversationID(time.Now(), slotFor("")).Shard(16)]++
	}
	for s, n := range counts {
		if n < 700 || n > 1300 {
			t.Errorf("shard %d got %d of 16,000", s, n)
		}
	}
}

func TestUUIDForm(t *testing.T) {
	u := UUID{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10}
	if got, want := u.String(), "01234567-89ab-cdef-fedc-ba9876543210"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzParseID(f *testing.F) {
	f.Add(UserID(1).String())
	f.Add(ConversationID(1 << 62).String())
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := ParseConversationID(s, "id"); err == nil && id.String() != s {
			t.Errorf("%q has another spelling: %q", s, id)
		}
	})
}

func FuzzTokens(f *testing.F) {
	f.Add(Token(Positions{Epoch: 3, Nos: []int64{1, 2}, IDs: []uint64{7, 9}}), pageToken(memberPage, 1, 2))
	f.Fuzz(func(t *testing.T, b []byte, s string) {
		if token, ok := parseSyncToken(b); ok && len(token.shards) > len(b) {
			t.Errorf("%d shards from %d bytes", len(token.shards), len(b))
		}
		var x, y int64
		if err := parsePageToken(s, memberPage, &x, &y); err != nil && !IsReason(err, ReasonInvalidToken) {
			t.Error(err)
		}
	})
}

func TestTokensOfOtherKindsAreRefused(t *testing.T) {
	var a, b int64
	for name, token := range map[string]string{
		"another list": pageToken(searchPage, 1, 2), "fewer fields": pageToken(memberPage, 1), "more fields": pageToken(memberPage, 1, 2, 3),
		"damaged": pageToken(memberPage, 1, 2)[1:], "not base 64": "%%%", "a sync token": string(Token(Positions{})),
	} {
		if err := parsePageToken(token, memberPage, &a, &b); !IsReason(err, ReasonInvalidToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := parsePageToken(pageToken(memberPage, -5, 1<<62), memberPage, &a, &b); err != nil || a != -5 || b != 1<<62 {
		t.Errorf("got %d, %d, %v", a, b, err)
	}
	if _, ok := parseSyncToken(seal([]byte{syncTokenVersion + 1})); ok {
		t.Error("a sync token of another version was taken")
	}
}
