package hub

import (
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

func sampleBatch() *batch {
	return &batch{
		epoch: 3, shard: 2, no: math.MaxInt64, id: math.MaxUint64, prevID: 7,
		entries: []entry{
			{conversation: conv(2, 1), seq: 1, joins: []chat.UserID{1, math.MaxInt64}, piece: []byte("first")},
			{conversation: conv(2, 9), seq: 1 << 40, leaves: []chat.UserID{5}, piece: []byte{}},
		},
		receipts: []receiptEntry{{conversation: conv(2, 1), user: 4, members: 100_000, piece: []byte("receipt")}},
	}
}

func sampleSignals() []signal {
	return []signal{
		{kind: signalTyping, conversation: conv(1, 1), user: 2, typing: true},
		{kind: signalTyping, conversation: conv(1, 1), user: 2},
		{kind: signalEndSessions, sessions: []chat.SessionID{1, 2, 3}, reason: GoodbyeSessionRevoked},
		{kind: signalEndSessions, reason: GoodbyeSessionRevoked},
		{kind: signalEndUser, user: 5, reason: GoodbyeTokenExpired},
		{kind: signalTakeover, user: 5, device: "phone", attempt: math.MaxUint64, opened: time.Unix(5, 6), stream: 9},
	}
}

func TestBatchFramesCarryEverything(t *testing.T) {
	want := sampleBatch()
	node, got, err := decodeBatch(encodeBatch(11, want), fakeShards)
	if err != nil || node != 11 || !reflect.DeepEqual(got, want) {
		t.Fatalf("decoded %d %+v, %v", node, got, err)
	}
}

func TestABatchTooLargeForTheBusGoesWithoutItsEntries(t *testing.T) {
	b := sampleBatch()
	b.entries[0].piece = make([]byte, maxBusFrame)
	frame := encodeBatch(11, b)
	_, got, err := decodeBatch(frame, fakeShards)
	if err != nil || len(frame) > 100 || !got.bare || len(got.entries)+len(got.receipts) != 0 || got.no != b.no || got.prevID != b.prevID {
		t.Fatalf("%d bytes, decoded %+v, %v", len(frame), got, err)
	}
}

func TestSignalFramesCarryEverything(t *testing.T) {
	for _, want := range sampleSignals() {
		node, got, err := decodeSignal(encodeSignal(11, &want))
		if err != nil || node != 11 || !reflect.DeepEqual(got, want) {
			t.Fatalf("decoded %d %+v, %v, want %+v", node, got, err, want)
		}
	}
}

func TestBrokenFramesAreRefused(t *testing.T) {
	batch := encodeBatch(11, sampleBatch())
	for n := range batch {
		if _, _, err := decodeBatch(batch[:n], fakeShards); err == nil {
			t.Fatalf("the first %d of %d bytes are taken for a batch", n, len(batch))
		}
	}
	if _, _, err := decodeBatch(append(batch, 0), fakeShards); err == nil {
		t.Fatal("a batch with a byte too many is taken")
	}
	for _, s := range sampleSignals() {
		frame := encodeSignal(11, &s)
		for n := range frame {
			if _, _, err := decodeSignal(frame[:n]); err == nil {
				t.Fatalf("the first %d of %d bytes are taken for a signal", n, len(frame))
			}
		}
		if _, _, err := decodeSignal(append(frame, 0)); err == nil {
			t.Fatal("a signal with a byte too many is taken")
		}
	}
	if _, _, err := decodeSignal([]byte{signalVersion, 0, 0, 0, 0, 0, 0, 0, 0, 99}); err == nil {
		t.Fatal("a signal of an unknown kind is taken")
	}
}

func TestBatchesOfAnotherShardAreRefused(t *testing.T) {
	breaks := map[string]func(*batch){
		"no such shard":           func(b *batch) { b.shard = fakeShards },
		"foreign conversation":    func(b *batch) { b.entries[1].conversation = conv(1, 1) },
		"no conversation":         func(b *batch) { b.entries[1].conversation = 0 },
		"negative conversation":   func(b *batch) { b.entries[1].conversation = -conv(2, 1) },
		"receipt of another's":    func(b *batch) { b.receipts[0].conversation = conv(1, 1) },
		"receipt without a place": func(b *batch) { b.receipts[0].conversation = -1 },
	}
	for name, change := range breaks {
		t.Run(name, func(t *testing.T) {
			b := sampleBatch()
			change(b)
			if _, _, err := decodeBatch(encodeBatch(11, b), fakeShards); err == nil {
				t.Fatal("taken")
			}
		})
	}
}

// FuzzFrames holds that no bytes from the bus make the decoder panic or ask for more memory than they fill, and that what it takes is
// what it would write.
func FuzzFrames(f *testing.F) {
	f.Add(encodeBatch(11, sampleBatch()))
	for _, s := range sampleSignals() {
		f.Add(encodeSignal(11, &s))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if node, b, err := decodeBatch(frame, fakeShards); err == nil && len(frame) < maxBusFrame/2 {
			again, c, err := decodeBatch(encodeBatch(node, b), fakeShards)
			if err != nil || again != node || !reflect.DeepEqual(b, c) {
				t.Fatalf("%+v became %+v, %v", b, c, err)
			}
		}
		if node, s, err := decodeSignal(frame); err == nil {
			again, u, err := decodeSignal(encodeSignal(node, &s))
			if err != nil || again != node || !reflect.DeepEqual(s, u) {
				t.Fatalf("%+v became %+v, %v", s, u, err)
			}
		}
	})
}
