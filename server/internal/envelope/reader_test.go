package envelope

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/gobwas/ws"
	"pgregory.net/rapid"
)

// frame is one frame as a client sends it.
func frame(fin bool, op ws.OpCode, payload []byte) []byte {
	h := ws.Header{Fin: fin, OpCode: op, Length: int64(len(payload)), Masked: true, Mask: [4]byte{1, 2, 3, 4}}
	var b bytes.Buffer
	_ = ws.WriteHeader(&b, h)
	p := slices.Clone(payload)
	ws.Cipher(p, h.Mask, 0)
	b.Write(p)
	return b.Bytes()
}

// message is the payload of a message that is one envelope.
func message(flags byte, data []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(data))), data...)
}

// got is all that a Reader makes of a connection.
type got struct {
	flags []byte
	data  [][]byte
	pongs [][]byte
	err   error
}

func readAll(src io.Reader, limit int) (g got) {
	r := NewServerReader(src, limit, func(p []byte) error {
		g.pongs = append(g.pongs, slices.Clone(p))
		return nil
	})
	for {
		if g.err = r.Wait(); g.err != nil {
			return g
		}
		var flags byte
		var data []byte
		if flags, data, g.err = r.Next(); g.err != nil {
			return g
		}
		g.flags, g.data = append(g.flags, flags), append(g.data, slices.Clone(data))
	}
}

func TestMessagesComeOutWhateverFramesAndReadsTheyWereCutInto(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var wire bytes.Buffer
		var want got
		const limit = 3 * bufferBytes
		for range rapid.IntRange(0, 6).Draw(t, "messages") {
			flags := rapid.Byte().Draw(t, "flags")
			data := bytes.Repeat([]byte{rapid.Byte().Draw(t, "fill")}, rapid.IntRange(0, limit).Draw(t, "size"))
			want.flags, want.data = append(want.flags, flags), append(want.data, data)
			left, op := message(flags, data), ws.OpBinary
			for first := true; first || len(left) > 0; first = false {
				for range rapid.IntRange(0, 1).Draw(t, "pings") {
					p := rapid.SliceOfN(rapid.Byte(), 0, 125).Draw(t, "ping")
					want.pongs = append(want.pongs, p)
					wire.Write(frame(true, ws.OpPing, p))
					wire.Write(frame(true, ws.OpPong, nil))
				}
				n := rapid.IntRange(0, len(left)).Draw(t, "cut")
				if rapid.Bool().Draw(t, "last") {
					n = len(left)
				}
				part := left[:n]
				left = left[n:]
				wire.Write(frame(len(left) == 0, op, part))
				op = ws.OpContinuation
			}
		}
		var src io.Reader = &wire
		switch rapid.IntRange(0, 2).Draw(t, "reads") {
		case 1:
			src = iotest.OneByteReader(&wire)
		case 2:
			src = iotest.DataErrReader(&wire)
		}
		g := readAll(src, limit)
		if !errors.Is(g.err, io.EOF) || errors.Is(g.err, io.ErrUnexpectedEOF) {
			t.Fatalf("the end is %v", g.err)
		}
		if !bytes.Equal(g.flags, want.flags) || !slices.EqualFunc(g.data, want.data, bytes.Equal) || !slices.EqualFunc(g.pongs, want.pongs, bytes.Equal) {
			t.Fatalf("got %d messages and %d pings, want %d and %d, or others", len(g.data), len(g.pongs), len(want.data), len(want.pongs))
		}
	})
}

// bad are connections with a fault, and what the fault is answered with. limit is 100.
var bad = map[string]struct {
	wire []byte
	code uint16
}{
	"a text message":                    {frame(true, ws.OpText, []byte("{}")), CloseUnsupported},
	"a reserved opcode":                 {[]byte{0x83, 0x80, 0, 0, 0, 0}, CloseProtocol},
	"reserved bits":                     {[]byte{0xc2, 0x80, 0, 0, 0, 0}, CloseProtocol},
	"not masked":                        {[]byte{0x82, 0x05, 0, 0, 0, 0, 0}, CloseProtocol},
	"a ping in parts":                   {frame(false, ws.OpPing, nil), CloseProtocol},
	"a long ping":                       {frame(true, ws.OpPing, make([]byte, 126)), CloseProtocol},
	"a continuation of nothing":         {frame(true, ws.OpContinuation, message(0, nil)), CloseProtocol},
	"a message within another":          {append(frame(false, ws.OpBinary, []byte{0}), frame(true, ws.OpBinary, message(0, nil))...), CloseProtocol},
	"an empty message":                  {frame(true, ws.OpBinary, nil), CloseProtocol},
	"less than a prefix":                {frame(true, ws.OpBinary, []byte{0, 0, 0, 0}), CloseProtocol},
	"a length above what there is":      {frame(true, ws.OpBinary, []byte{0, 0, 0, 0, 2, 'x'}), CloseProtocol},
	"a length below what there is":      {frame(true, ws.OpBinary, []byte{0, 0, 0, 0, 0, 'x'}), CloseProtocol},
	"two envelopes in a message":        {frame(true, ws.OpBinary, append(message(0, nil), message(0, nil)...)), CloseProtocol},
	"a byte more than is read":          {frame(true, ws.OpBinary, message(0, make([]byte, 101))), CloseTooLarge},
	"more than is read, in parts":       {append(frame(false, ws.OpBinary, message(0, make([]byte, 60))), frame(true, ws.OpContinuation, make([]byte, 60))...), CloseTooLarge},
	"more than there is memory":         {[]byte{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, CloseTooLarge},
	"a length below zero":               {[]byte{0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, CloseProtocol},
	"a close with half a code":          {frame(true, ws.OpClose, []byte{3}), CloseProtocol},
	"a close with a code of no meaning": {frame(true, ws.OpClose, ws.NewCloseFrameBody(1005, "")), CloseProtocol},
	"a close that isn't UTF-8":          {frame(true, ws.OpClose, []byte{3, 0xe8, 0xff}), CloseProtocol},
}

func TestAFaultIsNamedWithItsCloseCode(t *testing.T) {
	t.Parallel()
	for name, c := range bad {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			good := frame(true, ws.OpBinary, message(Data, []byte("first")))
			g := readAll(bytes.NewReader(append(good, c.wire...)), 100)
			e := (*Error)(nil)
			if !errors.As(g.err, &e) || e.Code != c.code || e.Message == "" {
				t.Errorf("got %v, want code %d", g.err, c.code)
			}
			if len(g.data) != 1 || string(g.data[0]) != "first" {
				t.Errorf("before it came %q", g.data)
			}
		})
	}
}

func TestAFaultStaysOne(t *testing.T) {
	t.Parallel()
	wire := append(frame(true, ws.OpText, nil), frame(true, ws.OpBinary, message(0, nil))...)
	r := NewServerReader(bytes.NewReader(wire), 100, nil)
	_, _, first := r.Next()
	if err := r.Wait(); err != nil {
		t.Errorf("to wait is told %v; the fault is Next's to tell", err)
	}
	if _, _, again := r.Next(); first == nil || !errors.Is(again, first) {
		t.Errorf("first %v, then %v", first, again)
	}
}

func TestAClosedConnectionTellsItsCode(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		wire []byte
		code uint16
	}{
		"none":             {frame(true, ws.OpClose, nil), 0},
		"normal":           {AppendClose(nil, CloseNormal, true), CloseNormal},
		"an application's": {frame(true, ws.OpClose, ws.NewCloseFrameBody(4000, "bye")), 4000},
	} {
		g := readAll(bytes.NewReader(c.wire), 100)
		if e := (*ClosedError)(nil); !errors.As(g.err, &e) || e.Code != c.code || !strings.Contains(e.Error(), "closed") {
			t.Errorf("%s: %v", name, g.err)
		}
	}
}

// stutter returns a deadline's error between any two bytes.
type stutter struct {
	src  io.Reader
	late bool
}

func (s *stutter) Read(p []byte) (int, error) {
	if s.late = !s.late; s.late {
		return 0, os.ErrDeadlineExceeded
	}
	return s.src.Read(p[:1])
}

func TestADeadlineInTheMiddleOfAMessageLosesNothing(t *testing.T) {
	t.Parallel()
	wire := AppendPong(nil, []byte("unasked"), true)
	wire = AppendMasked(wire, Data, []byte("one"))
	wire = append(wire, frame(true, ws.OpPing, []byte("p"))...)
	wire = AppendMasked(wire, End, nil)
	pings := 0
	r := NewServerReader(&stutter{src: bytes.NewReader(wire)}, 100, func([]byte) error { pings++; return nil })
	var flags []byte
	for {
		f, data, err := r.Next()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Errorf("the end is %v", err)
			}
			break
		}
		if f == Data && string(data) != "one" {
			t.Errorf("got %q", data)
		}
		flags = append(flags, f)
	}
	if !bytes.Equal(flags, []byte{Data, End}) || pings != 1 {
		t.Errorf("got envelopes %v and %d pings", flags, pings)
	}
}

func TestAConnectionThatIsCutIsNoGoodEnd(t *testing.T) {
	t.Parallel()
	wire := AppendMasked(nil, Data, make([]byte, 2*bufferBytes))
	for n := 1; n < len(wire); n++ {
		if g := readAll(bytes.NewReader(wire[:n]), len(wire)); !errors.Is(g.err, io.ErrUnexpectedEOF) || len(g.data) != 0 {
			t.Fatalf("cut after %d bytes: %v, %d messages", n, g.err, len(g.data))
		}
	}
	if g := readAll(bytes.NewReader(wire), len(wire)); !errors.Is(g.err, io.EOF) || len(g.data) != 1 {
		t.Errorf("whole: %v", g.err)
	}
}

func TestAPongThatCantBeSentEndsTheReading(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	r := NewServerReader(bytes.NewReader(frame(true, ws.OpPing, nil)), 100, func([]byte) error { return broken })
	if _, _, err := r.Next(); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestDiscardReadsUpToTheClose(t *testing.T) {
	t.Parallel()
	small, large := AppendMasked(nil, Data, []byte("x")), AppendMasked(nil, Data, make([]byte, 3*bufferBytes))
	end := AppendClose(nil, CloseNormal, true)
	for name, c := range map[string]struct {
		before, wire []byte // before is read with Next first
		most, left   int
	}{
		"frames and a close":      {nil, slices.Concat(small, large, small, end, []byte("rest")), 1 << 20, 0},
		"only the end":            {nil, slices.Concat(small, large), 1 << 20, 0},
		"after a fault":           {frame(true, ws.OpText, nil), slices.Concat(large, large), 1 << 20, 0},
		"not more than it may":    {nil, slices.Concat(large, large, large), 100, len(large)*3 - bufferBytes},
		"not more after a fault":  {frame(true, ws.OpText, nil), slices.Concat(large, large, large), 100, len(large)*3 - bufferBytes},
		"nothing after the close": {end, large, 1 << 20, len(large) - (bufferBytes - len(end))},
		"cut in a small message":  {nil, small[:len(small)-1], 1 << 20, 0},
		"cut in a large message":  {nil, large[:len(large)-1], 1 << 20, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := bytes.NewReader(append(slices.Clone(c.before), c.wire...))
			r := NewServerReader(src, 1<<20, nil)
			if len(c.before) > 0 {
				if _, _, err := r.Next(); err == nil {
					t.Fatal("no end came before")
				}
			}
			r.Discard(c.most)
			if diff := src.Len() - c.left; diff < -bufferBytes || diff > bufferBytes {
				t.Errorf("%d bytes are left, want about %d", src.Len(), c.left)
			}
		})
	}
}

func TestWhatAServerSendsAClientReads(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 120, 121, 125, 126, 1 << 16, 1<<16 + 1, 200_000} {
		data := bytes.Repeat([]byte{7}, n)
		wire := AppendPong(append(AppendPrefix(nil, End, n), data...), []byte("p"), false)
		wire = AppendClose(wire, ClosePolicy, false)
		r := NewClientReader(bytes.NewReader(wire), 1<<20, nil)
		flags, got, err := r.Next()
		if err != nil || flags != End || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: %v, flags %d, %d bytes", n, err, flags, len(got))
		}
		if _, _, err := r.Next(); !errors.As(err, new(*ClosedError)) {
			t.Errorf("then %v", err)
		}
	}
	r := NewClientReader(bytes.NewReader(AppendMasked(nil, Data, nil)), 100, nil)
	if _, _, err := r.Next(); !errors.As(err, new(*Error)) {
		t.Errorf("a server that masks is told %v", err)
	}
}

func TestALimitCanBeChangedBetweenMessages(t *testing.T) {
	t.Parallel()
	one := AppendMasked(nil, Data, make([]byte, 50))
	r := NewServerReader(bytes.NewReader(append(slices.Clone(one), one...)), 50, nil)
	if _, _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	r.SetLimit(49)
	if _, _, err := r.Next(); !errors.As(err, new(*Error)) {
		t.Errorf("got %v", err)
	}
	r = NewServerReader(bytes.NewReader(append(AppendMasked(nil, Data, nil), one...)), 49, nil)
	if _, _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	r.SetLimit(50)
	if _, _, err := r.Next(); err != nil {
		t.Errorf("after raising it: %v", err)
	}
}

func TestAMessageAboveTheBufferComesOutWhole(t *testing.T) {
	t.Parallel()
	want := bytes.Repeat([]byte("toad "), 100)
	for size := bufferBytes - 20; size <= len(want); size++ {
		r := NewServerReader(bytes.NewReader(AppendMasked(nil, Data, want[:size])), bufferBytes, nil)
		if _, got, err := r.Next(); err != nil || !bytes.Equal(got, want[:size]) {
			t.Errorf("%d bytes come out as %q, %v", size, got, err)
		}
	}
}

func TestTheKeyIsAnsweredAsInTheRFC(t *testing.T) {
	t.Parallel()
	if got := AcceptKey("dGhlIHNhbXBsZSBub25jZQ=="); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("got %s", got)
	}
}

// FuzzReader holds that whatever comes is read alike however it is cut into reads, is never more than the limit, and ends with an error of a known kind.
func FuzzReader(f *testing.F) {
	for _, c := range bad {
		f.Add(c.wire)
		f.Add(append(AppendMasked(nil, Metadata, []byte(`{"metadata":{}}`)), c.wire...))
	}
	f.Add(append(AppendMasked(AppendMasked(nil, Metadata, []byte("{}")), Data, make([]byte, 600)), AppendClose(nil, CloseNormal, true)...))
	f.Add(append(frame(false, ws.OpBinary, []byte{0, 0}), append(frame(true, ws.OpPing, []byte("p")), frame(true, ws.OpContinuation, []byte{0, 0, 1, 'x'})...)...))
	f.Fuzz(func(t *testing.T, wire []byte) {
		const limit = 1000
		whole, bytewise := readAll(bytes.NewReader(wire), limit), readAll(iotest.OneByteReader(bytes.NewReader(wire)), limit)
		if !bytes.Equal(whole.flags, bytewise.flags) || !slices.EqualFunc(whole.data, bytewise.data, bytes.Equal) || !slices.EqualFunc(whole.pongs, bytewise.pongs, bytes.Equal) ||
			whole.err.Error() != bytewise.err.Error() {
			t.Errorf("in one read: %d messages, %v; byte by byte: %d, %v", len(whole.data), whole.err, len(bytewise.data), bytewise.err)
		}
		for _, d := range whole.data {
			if len(d) > limit {
				t.Errorf("a message of %d bytes was read", len(d))
			}
		}
		if !errors.As(whole.err, new(*Error)) && !errors.As(whole.err, new(*ClosedError)) && !errors.Is(whole.err, io.EOF) && !errors.Is(whole.err, io.ErrUnexpectedEOF) {
			t.Errorf("the end is %v", whole.err)
		}
	})
}

func BenchmarkReader(b *testing.B) {
	wire := AppendMasked(nil, Data, make([]byte, 150))
	src := bytes.NewReader(nil)
	r := NewServerReader(src, 1000, nil)
	b.ReportAllocs()
	for b.Loop() {
		src.Reset(wire)
		if _, _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
}
