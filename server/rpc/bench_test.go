package rpc

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/chat"
	"github.com/natterjack-chat/natterjack/server/hub"
)

func benchEvent() chat.Event {
	m := chat.Message{
		Conversation: 1 << 60, Seq: 123456, Ordinal: 123450, Sender: 1 << 61, ClientID: chat.UUID{1, 2, 3}, Content: letters100, Time: time.Now(), ChangedSeq: 123456,
	}
	return chat.Event{Conversation: m.Conversation, Seq: m.Seq, Kind: chat.EventMessage, Actor: m.Sender, Time: m.Time, Message: &m}
}

const letters100 = "a message of one hundred bytes, as people write them when they are at work and have something to say"

// BenchmarkCheckSend is what the schema's rules cost for a message on a stream.
func BenchmarkCheckSend(b *testing.B) {
	v, err := newValidator()
	if err != nil {
		b.Fatal(err)
	}
	for name, content := range map[string]string{"100 bytes": letters100, "16 KiB": string(make16K())} {
		r := requests()[1]
		r.GetSendMessage().Content = content
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := v.check(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func make16K() []byte {
	b := make([]byte, 16384)
	for i := range b {
		b[i] = 'a' + byte(i%26)
	}
	return b
}

func BenchmarkDecodeSend(b *testing.B) {
	r := requests()[1]
	r.GetSendMessage().Content = letters100
	bytes, err := proto.Marshal(r)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		var in received[chatv1.StreamRequest]
		if err := (binaryCodec{}).Unmarshal(bytes, &in); err != nil || in.err != nil {
			b.Fatal(err, in.err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	e := benchEvent()
	b.Run("event", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Encoder{}.Event(e)
		}
	})
	b.Run("event as JSON", func(b *testing.B) {
		p := Encoder{}.Event(e)
		b.ReportAllocs()
		for b.Loop() {
			Encoder{}.JSON(p)
		}
	})
	b.Run("ack", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			newFrame(ackEvent(&chatv1.Ack{RequestId: 1 << 20, MessageId: chat.MessageID(1<<60, 123456), Seq: 123456, Timestamp: timestamp(e.Time)}))
		}
	})
}

// BenchmarkFanOut puts an event on the wire of 1,000 streams: encoded once and copied, and encoded for each.
func BenchmarkFanOut(b *testing.B) {
	e := benchEvent()
	const streams = 1000
	buf := make([]byte, 0, 1024)
	b.Run("encoded once", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			f := &frame{events: []*hub.Frame{hub.NewFrame(Encoder{}, Encoder{}.Event(e))}}
			for range streams {
				if _, err := (binaryCodec{}).MarshalAppend(buf, f); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("encoded for each", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for range streams {
				r := &chatv1.StreamResponse{Events: []*chatv1.Event{eventToWire(&e)}}
				if _, err := (binaryCodec{}).MarshalAppend(buf, r); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
