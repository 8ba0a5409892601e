package rpc_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/internal/envelope"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

// example is one message of the worked example in api/README.md.
type example struct {
	who, what string
	flags     byte
	data      []byte
}

// String is how it stands there.
func (e example) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-8s%s\n        %02x  % x\n", e.who, e.what, e.flags, []byte{0, 0, byte(len(e.data) >> 8), byte(len(e.data))})
	for rest := e.data; len(rest) > 0; rest = rest[min(16, len(rest)):] {
		row := rest[:min(16, len(rest))]
		text := strings.Map(func(r rune) rune {
			if r < ' ' || r > '~' {
				return '.'
			}
			return r
		}, string(bytes.ToValidUTF8(row, []byte("."))))
		fmt.Fprintf(&b, "        %-47s  %s\n", fmt.Sprintf("% x", row), text)
	}
	return b.String()
}

func (e example) frame() []byte { return envelope.AppendMasked(nil, e.flags, e.data) }

// exampleMask is the key of the one frame that the example shows as it is on the wire.
var exampleMask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

func TestTheExampleOfTheSpecificationIsTrue(t *testing.T) {
	t.Parallel()
	request := func(r *chatv1.StreamRequest) []byte { return must[[]byte](t)(proto.Marshal(r)) }
	first := example{"client", "metadata", 0x04, []byte(`{"metadata":{"authorization":["Bearer nja_example"]}}`)}
	greeting := example{"client", `hello {device_id: "web-1"}, request_id 1`, 0x00, request(&chatv1.StreamRequest{
		RequestId: 1, Request: &chatv1.StreamRequest_Hello{Hello: &chatv1.Hello{DeviceId: "web-1"}},
	})}
	pinging := example{"client", "ping, request_id 2", 0x00, request(&chatv1.StreamRequest{RequestId: 2, Request: ping})}
	over := example{"client", "the end", 0x02, nil}
	ack := example{"server", "events: ack {request_id: 2}", 0x00, must[[]byte](t)(proto.Marshal(&chatv1.StreamResponse{
		Events: []*chatv1.Event{{Event: &chatv1.Event_Ack{Ack: &chatv1.Ack{RequestId: 2}}}},
	}))}
	good := example{"server", "the end", 0x02, []byte("{}")}
	refused := example{"server", "the end", 0x02, []byte(
		`{"error":{"code":"unauthenticated","message":"the token isn't valid; sign in","details":[{"type":"natterjack.chat.v1.ErrorDetail","value":"CAs"}]}}`)}

	payload := append([]byte{pinging.flags, 0, 0, 0, byte(len(pinging.data))}, pinging.data...)
	framed := append([]byte{0x82, 0x80 | byte(len(payload))}, exampleMask[:]...)
	for i, b := range payload {
		framed = append(framed, b^exampleMask[i%4])
	}

	readme := string(must[[]byte](t)(os.ReadFile("../../api/README.md")))
	for _, want := range []string{
		"```\n" + first.String() + greeting.String() + pinging.String() + over.String() + "```\n",
		"```\n" + ack.String() + good.String() + "```\n",
		"```\n" + refused.String() + "```\n",
		"```\n" + fmt.Sprintf("% x", framed) + "\n```\n",
	} {
		if !strings.Contains(readme, want) {
			t.Errorf("api/README.md doesn't have this:\n%s", want)
		}
	}

	s := nodetest.Start(t)
	t.Run("a token that is none", func(t *testing.T) {
		r := socket(t, s, nil)
		r.say(first.frame(), greeting.frame())
		flags, data, err := r.frames.Next()
		if err != nil || flags != refused.flags || !bytes.Equal(data, refused.data) {
			t.Errorf("got %x %s, %v", flags, data, err)
		}
	})
	t.Run("one that is", func(t *testing.T) {
		r := socket(t, s, nil)
		r.say(metadata(s.SignUp("ada").Session.GetAccessToken()), greeting.frame(), framed, over.frame())
		var said []byte
		for {
			flags, data, err := r.frames.Next()
			if err != nil {
				t.Fatal(err)
			}
			if flags == good.flags {
				if !bytes.Equal(data, good.data) {
					t.Errorf("the end is %s", data)
				}
				break
			}
			said = append(said, data...) // a StreamResponse is the concatenation of its events
		}
		if !bytes.Contains(said, ack.data) {
			t.Errorf("the server said %s", hex.EncodeToString(said))
		}
	})
}
