package load

import (
	"encoding/binary"
	"encoding/hex"
	"math/bits"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// stamp is what a message carries in its text: which it is and when it was meant to be sent.
type stamp struct {
	run    uint32
	sender uint32
	number uint32
	due    time.Duration // since the start of the run
}

const stampBytes = 4 + 4 + 4 + 8

// text writes the stamp as hexadecimal digits and fills up to size.
func (s stamp) text(size int) string {
	var b [stampBytes]byte
	binary.BigEndian.PutUint32(b[0:], s.run)
	binary.BigEndian.PutUint32(b[4:], s.sender)
	binary.BigEndian.PutUint32(b[8:], s.number)
	binary.BigEndian.PutUint64(b[12:], uint64(s.due))
	var out strings.Builder
	out.Grow(size)
	out.WriteString(hex.EncodeToString(b[:]))
	for out.Len() < size {
		out.WriteString(filler[:min(len(filler), size-out.Len())])
	}
	return out.String()
}

const filler = " natterjack natters; the toad sings at night by the pond, and the whole heath hears it well."

func parseStamp(text []byte) (s stamp, ok bool) {
	var b [stampBytes]byte
	if len(text) < 2*stampBytes {
		return s, false
	}
	if _, err := hex.Decode(b[:], text[:2*stampBytes]); err != nil {
		return s, false
	}
	return stamp{
		binary.BigEndian.Uint32(b[0:]), binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:]),
		time.Duration(binary.BigEndian.Uint64(b[12:])),
	}, true
}

// seen is the set of a sender's numbers that one receiver has got. Only the receiver's goroutine uses it.
type seen struct {
	bits []uint64
}

// add reports whether the number is new.
func (s *seen) add(number uint32) bool {
	word, bit := int(number/64), uint64(1)<<(number%64)
	for len(s.bits) <= word {
		s.bits = append(s.bits, 0)
	}
	if s.bits[word]&bit != 0 {
		return false
	}
	s.bits[word] |= bit
	return true
}

func (s *seen) count() (n int64) {
	for _, w := range s.bits {
		n += int64(bits.OnesCount64(w))
	}
	return n
}

// receipts are what one stream has got. The goroutine that reads the stream uses them, and others when it has ended.
type receipts struct {
	run     *run
	index   int   // of the stream
	own     int64 // the sender whose messages don't count, or noneOwn
	slow    bool  // latency doesn't count
	got     map[uint32]*seen
	lastSeq int64
}

const noneOwn = -1

func newReceipts(r *run, index int, own int64) receipts {
	return receipts{run: r, index: index, own: own, got: make(map[uint32]*seen)}
}

// take counts one message that arrived at a time since the start of the run, by its text and its place in the conversation.
func (c *receipts) take(content []byte, seq int64, at time.Duration) {
	s, ok := parseStamp(content)
	if !ok || s.run != c.run.id || int64(s.sender) == c.own {
		return
	}
	l := c.run.ledger
	if took := at - s.due; !c.slow {
		l.latency.add(c.index, took)
		if took >= c.run.cfg.late() {
			l.late.Add(1)
		}
	}
	l.arrived.Add(1)
	from := c.got[s.sender]
	if from == nil {
		from = new(seen)
		c.got[s.sender] = from
	}
	if !from.add(s.number) {
		l.duplicated.Add(1)
	}
	if seq <= c.lastSeq {
		l.outOfOrder.Add(1)
	}
	c.lastSeq = seq
}

// delivered is how many messages came, once each.
func (c *receipts) delivered() (n int64) {
	for _, s := range c.got {
		n += s.count()
	}
	return n
}

// latencies are striped, so that receivers seldom meet.
type latencies struct {
	stripes [16]struct {
		mu        sync.Mutex
		histogram *hdrhistogram.Histogram
	}
}

// Latencies are kept in microseconds, from 1 µs to 10 minutes, with three digits.
const maxLatency = 10 * time.Minute

func newLatencies() *latencies {
	l := new(latencies)
	for i := range l.stripes {
		l.stripes[i].histogram = hdrhistogram.New(1, maxLatency.Microseconds(), 3)
	}
	return l
}

func (l *latencies) add(stripe int, d time.Duration) {
	s := &l.stripes[stripe%len(l.stripes)]
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.histogram.RecordValue(max(1, min(d, maxLatency).Microseconds())) // in range, so it doesn't fail
}

func (l *latencies) merged() *hdrhistogram.Histogram {
	all := hdrhistogram.New(1, maxLatency.Microseconds(), 3)
	for i := range l.stripes {
		s := &l.stripes[i]
		s.mu.Lock()
		all.Merge(s.histogram)
		s.mu.Unlock()
	}
	return all
}

// ledger counts over all users.
type ledger struct {
	sent, acknowledged, refused atomic.Int64
	expected                    atomic.Int64 // receipts of acknowledged messages by the other members
	arrived                     atomic.Int64 // receipts at other members, doubles included
	duplicated, outOfOrder      atomic.Int64
	late                        atomic.Int64
	reconnects                  atomic.Int64
	away                        atomic.Int64 // users whose stream is lost and not live again
	changed, heard              atomic.Int64 // changes of presence, and how often they arrived
	latency                     *latencies
	ackLatency                  *latencies
	back                        *latencies // from the loss of a stream until it is live again
}

func newLedger() *ledger {
	return &ledger{latency: newLatencies(), ackLatency: newLatencies(), back: newLatencies()}
}
