package history

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Recorder takes the records of a run. Safe for concurrent use.
type Recorder struct {
	clock atomic.Int64

	mu      sync.Mutex // guards what follows
	devices []*Device
	crashes []Stamp
}

// NewRecorder returns an empty recorder.
func NewRecorder() *Recorder { return &Recorder{} }

func (r *Recorder) now() Stamp { return Stamp(r.clock.Add(1)) }

// Crashed notes that a server was killed at this moment.
func (r *Recorder) Crashed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.crashes = append(r.crashes, r.now())
}

// Device returns the records of a new device of a user; name is for the report.
func (r *Recorder) Device(user, name string) *Device {
	d := &Device{User: user, Name: name, recorder: r}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.devices = append(r.devices, d)
	return d
}

// Acknowledged returns the number of different messages that were acknowledged so far.
func (r *Recorder) Acknowledged() int {
	n := 0
	r.mu.Lock()
	devices := r.devices
	r.mu.Unlock()
	for _, d := range devices {
		d.mu.Lock()
		n += len(d.acknowledged)
		d.mu.Unlock()
	}
	return n
}

// Device is one device of one user: what it asked and saw. Safe for concurrent use.
type Device struct {
	User, Name string // never changed

	recorder *Recorder

	mu           sync.Mutex // guards what follows
	calls        []*Call
	streams      []*Stream
	acknowledged map[sendKey]struct{}
}

// sendKey names a message by what its sender's client called it; the sender is the device's user.
type sendKey struct{ conversation, clientID string }

// Begin notes that a call is made now. The returned Pending takes the answer.
func (d *Device) Begin(c Call) *Pending {
	c.device, c.Start = d, d.recorder.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, &c)
	return &Pending{&c}
}

// Pending is a call that has not been answered. Its methods are called at most once in all; a call that is never answered stays [Unknown].
type Pending struct{ call *Call }

// Done notes that the call was carried out; fill adds what the answer said and may be nil.
func (p *Pending) Done(fill func(*Call)) {
	d := p.call.device
	d.mu.Lock()
	defer d.mu.Unlock()
	if fill != nil {
		fill(p.call)
	}
	p.call.Outcome, p.call.End = Done, d.recorder.now()
	if p.call.Kind == Send {
		if d.acknowledged == nil {
			d.acknowledged = map[sendKey]struct{}{}
		}
		d.acknowledged[sendKey{p.call.Conversation, p.call.ClientID}] = struct{}{}
	}
}

// Refused notes the answer that nothing was done.
func (p *Pending) Refused(reason string) { p.fail(Refused, reason) }

// Unknown notes an end that leaves open whether the call was carried out.
func (p *Pending) Unknown(reason string) { p.fail(Unknown, reason) }

func (p *Pending) fail(o Outcome, reason string) {
	d := p.call.device
	d.mu.Lock()
	defer d.mu.Unlock()
	p.call.Outcome, p.call.Reason, p.call.End = o, reason, d.recorder.now()
}

// Stream is one stream of a device. Saw is called by one goroutine at a time.
type Stream struct {
	device    *Device
	Opened    Stamp            // before hello was sent
	HasToken  bool             // hello carried a token
	Positions map[string]int64 // of hello, by conversation

	mu     sync.Mutex // guards what follows
	Events []Event
	Closed Stamp // 0: open to the end
}

// Open notes that a stream is opened now with a hello.
func (d *Device) Open(hasToken bool, positions map[string]int64) *Stream {
	s := &Stream{device: d, Opened: d.recorder.now(), HasToken: hasToken, Positions: positions}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.streams = append(d.streams, s)
	return s
}

// Saw notes an event that has come on the stream, and gives it its stamp.
func (s *Stream) Saw(e Event) {
	e.At = s.device.recorder.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Events = append(s.Events, e)
}

// Close notes the end of the stream.
func (s *Stream) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Closed == 0 {
		s.Closed = s.device.recorder.now()
	}
}

// Current returns the device's newest stream if it is open; else nil.
func (d *Device) Current() *Stream {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.streams) == 0 {
		return nil
	}
	if s := d.streams[len(d.streams)-1]; !s.Ended() {
		return s
	}
	return nil
}

// Ended reports whether the stream has ended.
func (s *Stream) Ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Closed != 0
}

// Farewell returns the reason of the goodbye that came last; empty where something else did.
func (s *Stream) Farewell() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.Events); n > 0 {
		if b, ok := s.Events[n-1].Body.(Goodbye); ok {
			return b.Reason
		}
	}
	return ""
}

// Resyncs returns how many resyncs have come.
func (s *Stream) Resyncs() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, e := range s.Events {
		if _, ok := e.Body.(Resync); ok {
			n++
		}
	}
	return n
}

// History is all that was recorded. What is added to the recorder later isn't in it.
type History struct {
	Devices []*Device
	Calls   []*Call
	Streams []*Stream
	Crashes []Stamp
	// End is a stamp after all the records.
	End Stamp
}

// History returns what was recorded up to now; calls and streams may go on meanwhile.
func (r *Recorder) History() History {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := History{Devices: append([]*Device(nil), r.devices...), Crashes: append([]Stamp(nil), r.crashes...), End: r.now()}
	for _, d := range h.Devices {
		d.mu.Lock()
		for _, c := range d.calls {
			copied := *c
			h.Calls = append(h.Calls, &copied)
		}
		for _, s := range d.streams {
			h.Streams = append(h.Streams, s.copy())
		}
		d.mu.Unlock()
	}
	return h
}

// copy returns the stream as it is now. Events are only ever added, so that both can share them.
func (s *Stream) copy() *Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &Stream{
		device: s.device, Opened: s.Opened, HasToken: s.HasToken, Positions: s.Positions,
		Events: slices.Clip(s.Events), Closed: s.Closed,
	}
}
