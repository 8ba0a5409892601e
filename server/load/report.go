package load

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Report is what came of a run. Its JSON form is stable: scripts read it.
type Report struct {
	Transport  string  `json:"transport"`
	Users      int     `json:"users"`
	GroupSize  int     `json:"group_size"`
	Listeners  int     `json:"listeners"` // streams that only listen, beside one of each user
	Rate       float64 `json:"rate"`
	Window     int     `json:"window"`
	Size       int     `json:"size"`
	DurationMS int64   `json:"duration_ms"` // of sending
	// Sent were handed to the client; Acknowledged of them are stored; Refused got a final error.
	Sent         int64 `json:"sent"`
	Acknowledged int64 `json:"acknowledged"`
	Refused      int64 `json:"refused"`
	// Expected is one for each acknowledged message and each other member and listener; Delivered counts those that arrived, once each.
	Expected   int64 `json:"expected"`
	Delivered  int64 `json:"delivered"`
	Lost       int64 `json:"lost"`
	Duplicated int64 `json:"duplicated"`
	OutOfOrder int64 `json:"out_of_order"`
	// Late are the deliveries that took LateMS or longer; those to slow readers don't count.
	Late   int64 `json:"late"`
	LateMS int64 `json:"late_ms"`
	Slow   int   `json:"slow"`
	// Reconnects counts streams that were lost; Away are the users who had not come back when the run ended. BackMS is from the loss until
	// the user is live again, with all that was missed.
	Reconnects int64   `json:"reconnects"`
	Away       int64   `json:"away"`
	BackMS     Latency `json:"back_ms"`
	// PresenceChanged counts users who went away or came back; PresenceHeard how often a watching member was told of a presence, for any reason.
	PresenceChanged int64 `json:"presence_changed"`
	PresenceHeard   int64 `json:"presence_heard"`
	// ThroughputPerSecond is acknowledged messages per second, DeliveriesPerSecond arrivals, both up to the last one.
	ThroughputPerSecond float64 `json:"throughput_per_second"`
	DeliveriesPerSecond float64 `json:"deliveries_per_second"`
	// LatencyMS is from the intended send time to the arrival at a member, AckLatencyMS to the acknowledgement.
	LatencyMS    Latency      `json:"latency_ms"`
	AckLatencyMS Latency      `json:"ack_latency_ms"`
	Idle         *IdleReport  `json:"idle,omitempty"`
	Server       *ServerUsage `json:"server,omitempty"`
}

// Latency is a distribution in milliseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// IdleReport is what streams cost that only listen.
type IdleReport struct {
	Streams int `json:"streams"`
	// OpenedMS is the time that opening them took.
	OpenedMS int64 `json:"opened_ms"`
	// BytesPerStream is by how much the server's resident memory grew since before the users were signed up, per stream; 0 where it isn't known.
	BytesPerStream int64 `json:"bytes_per_stream"`
}

// ServerUsage is what the server's process used during the run.
type ServerUsage struct {
	CPUSeconds   float64 `json:"cpu_seconds"`
	RSSBytes     int64   `json:"rss_bytes"`      // at the end
	PeakRSSBytes int64   `json:"peak_rss_bytes"` // since the process began
}

func newLatency(h *hdrhistogram.Histogram) Latency {
	ms := func(us int64) float64 { return float64(us) / 1000 }
	return Latency{
		ms(h.ValueAtQuantile(50)), ms(h.ValueAtQuantile(90)), ms(h.ValueAtQuantile(99)), ms(h.ValueAtQuantile(99.9)), ms(h.Max()),
	}
}

func (r *run) report(sending, whole time.Duration, before, after *process) *Report {
	l := r.ledger
	var delivered int64
	for _, u := range r.users {
		delivered += u.delivered()
	}
	for _, l := range r.listeners {
		delivered += l.delivered()
	}
	return &Report{
		Transport: r.cfg.Transport, Users: r.cfg.Users, GroupSize: r.cfg.GroupSize, Listeners: r.cfg.Listeners, Rate: r.cfg.Rate, Window: r.cfg.Window, Size: r.cfg.Size,
		DurationMS: sending.Milliseconds(),
		Sent:       l.sent.Load(), Acknowledged: l.acknowledged.Load(), Refused: l.refused.Load(),
		Expected: l.expected.Load(), Delivered: delivered, Lost: max(0, l.expected.Load()-delivered),
		Duplicated: l.duplicated.Load(), OutOfOrder: l.outOfOrder.Load(),
		Late: l.late.Load(), LateMS: r.cfg.late().Milliseconds(), Slow: r.cfg.Slow,
		Reconnects: l.reconnects.Load(), Away: l.away.Load(), BackMS: newLatency(l.back.merged()),
		PresenceChanged: l.changed.Load(), PresenceHeard: l.heard.Load(),
		ThroughputPerSecond: float64(l.acknowledged.Load()) / whole.Seconds(),
		DeliveriesPerSecond: float64(delivered) / whole.Seconds(),
		LatencyMS:           newLatency(l.latency.merged()), AckLatencyMS: newLatency(l.ackLatency.merged()),
		Server: usage(before, after),
	}
}

// WriteJSON writes the report as one JSON object on one line.
func (r *Report) WriteJSON(w io.Writer) error { return json.NewEncoder(w).Encode(r) }

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	p := &printer{w: w}
	if r.Idle != nil {
		r.Idle.write(p, r.Transport)
	} else {
		r.writeLoad(p)
	}
	if s := r.Server; s != nil {
		p.line("server", "%.2f CPU seconds, %.1f MiB resident, %.1f MiB at most", s.CPUSeconds, float64(s.RSSBytes)/(1<<20), float64(s.PeakRSSBytes)/(1<<20))
	}
	return p.err
}

func (i *IdleReport) write(p *printer, transport string) {
	p.line("idle streams", "%d over %s, opened in %.1f s", i.Streams, transport, float64(i.OpenedMS)/1000)
	if i.BytesPerStream > 0 {
		p.line("server memory", "%.1f KiB per stream", float64(i.BytesPerStream)/1024)
	}
}

func (r *Report) writeLoad(p *printer) {
	how := fmt.Sprintf("%g messages/s", r.Rate)
	if r.Rate == 0 {
		how = fmt.Sprintf("%d unanswered each", r.Window)
	}
	p.line("load", "%d users in conversations of %d, %s, %d bytes, %.1f s, over %s", r.Users, r.GroupSize, how, r.Size, float64(r.DurationMS)/1000, r.Transport)
	if r.Listeners > 0 {
		p.line("listeners", "%d besides", r.Listeners)
	}
	p.line("messages", "%d sent, %d acknowledged, %d refused", r.Sent, r.Acknowledged, r.Refused)
	p.line("deliveries", "%d expected, %d delivered, %d lost, %d duplicated, %d out of order, %d late (%d ms)",
		r.Expected, r.Delivered, r.Lost, r.Duplicated, r.OutOfOrder, r.Late, r.LateMS)
	p.line("throughput", "%.0f messages/s acknowledged, %.0f deliveries/s", r.ThroughputPerSecond, r.DeliveriesPerSecond)
	p.latency("send to delivery", r.LatencyMS)
	p.latency("send to ack", r.AckLatencyMS)
	if r.Slow > 0 {
		p.line("slow readers", "%d, whose latency doesn't count", r.Slow)
	}
	if r.Reconnects > 0 {
		p.line("reconnects", "%d streams lost, %d users not back", r.Reconnects, r.Away)
		p.latency("loss to live again", r.BackMS)
	}
	if r.PresenceChanged > 0 {
		p.line("presence", "%d changes, heard %d times", r.PresenceChanged, r.PresenceHeard)
	}
}

// printer keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(name, format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, "%-19s %s\n", name, fmt.Sprintf(format, args...))
	}
}

func (p *printer) latency(name string, l Latency) {
	p.line(name, "p50 %.2f ms, p90 %.2f, p99 %.2f, p99.9 %.2f, max %.2f", l.P50, l.P90, l.P99, l.P999, l.Max)
}
