package store

import (
	"bytes"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/natterjack-chat/natterjack/server/chat"
)

func TestTouchedComesBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.Int64Range(1, 1<<63-1)
		want := touched{
			ranges: rapid.SliceOf(rapid.Custom(func(t *rapid.T) eventRange {
				first := rapid.Int64Range(1, 1<<50).Draw(t, "first")
				return eventRange{chat.ConversationID(id.Draw(t, "conversation")), chat.Seq(first), chat.Seq(first + rapid.Int64Range(0, 1000).Draw(t, "more"))}
			})).Draw(t, "ranges"),
			marks: rapid.SliceOf(rapid.Custom(func(t *rapid.T) chat.MemberKey {
				return chat.MemberKey{Conversation: chat.ConversationID(id.Draw(t, "conversation")), User: chat.UserID(id.Draw(t, "user"))}
			})).Draw(t, "marks"),
		}
		got, err := decodeTouched(want.encode())
		if err != nil {
			t.Fatal(err)
		}
		if len(got.ranges)+len(want.ranges) > 0 && !reflect.DeepEqual(got.ranges, want.ranges) ||
			len(got.marks)+len(want.marks) > 0 && !reflect.DeepEqual(got.marks, want.marks) {
			t.Fatalf("%+v became %+v", want, got)
		}
	})
}

// FuzzDecodeTouched: what is not malformed is what was encoded, and nothing makes it panic or take memory that isn't there.
func FuzzDecodeTouched(f *testing.F) {
	whole := touched{ranges: []eventRange{{1, 2, 3}, {4, 500, 70000}}, marks: []chat.MemberKey{{Conversation: 8, User: 9}}}
	f.Add(whole.encode())
	f.Add([]byte{})
	f.Add([]byte{touchedVersion, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decodeTouched(b)
		if err != nil {
			return
		}
		again, err := decodeTouched(got.encode())
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%x is read as %+v and then as %+v, %v", b, got, again, err)
		}
	})
}

func TestTouchedOfAnotherVersionIsAnError(t *testing.T) {
	whole := touched{ranges: []eventRange{{1, 2, 3}}, marks: []chat.MemberKey{{Conversation: 8, User: 9}}}
	b := whole.encode()
	for n := range b {
		// Cut between two marks it is whole again.
		if got, err := decodeTouched(b[:n]); err == nil && !bytes.HasPrefix(b, got.encode()) {
			t.Errorf("cut after %d bytes it is read as %+v", n, got)
		}
	}
	b[0]++
	if _, err := decodeTouched(b); err == nil {
		t.Error("another version is read")
	}
}
