package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Invariant names one of the invariants of the package's description: "I1" to "I12".
type Invariant string

// The invariants.
const (
	AckedStored  Invariant = "I1"
	Once         Invariant = "I2"
	InOrder      Invariant = "I3"
	AsStored     Invariant = "I4"
	WholePages   Invariant = "I5"
	ExactResume  Invariant = "I6"
	Converged    Invariant = "I7"
	RemovedHears Invariant = "I8"
	MarksGrow    Invariant = "I9"
	UnreadExact  Invariant = "I10"
	PresenceTrue Invariant = "I11"
	SurvivesKill Invariant = "I12"
)

// Violation is one thing that must not be.
type Violation struct {
	Invariant    Invariant
	Device       string // empty where no single one saw it
	Conversation string // empty where it is about none
	At           Stamp  // 0 where it is about the end
	Text         string
}

func (v Violation) String() string {
	var b strings.Builder
	b.WriteString(string(v.Invariant))
	if v.Device != "" {
		b.WriteString(" " + v.Device)
	}
	if v.Conversation != "" {
		b.WriteString(" in " + v.Conversation)
	}
	if v.At != 0 {
		fmt.Fprintf(&b, " at %d", v.At)
	}
	return b.String() + ": " + v.Text
}

// Report is what a check found.
type Report struct{ Violations []Violation }

// Clean reports whether nothing was found.
func (r *Report) Clean() bool { return len(r.Violations) == 0 }

// Broken returns the invariants that were broken, each once, sorted.
func (r *Report) Broken() []Invariant {
	found := map[Invariant]bool{}
	for _, v := range r.Violations {
		found[v.Invariant] = true
	}
	return slices.Sorted(maps.Keys(found))
}

// Count returns the number of violations of an invariant.
func (r *Report) Count(i Invariant) int {
	n := 0
	for _, v := range r.Violations {
		if v.Invariant == i {
			n++
		}
	}
	return n
}

// shown is how many violations of one invariant a report spells out: the first ones tell most, the others follow from them.
const shown = 8

// String lists the violations by invariant, the first ones of each in full.
func (r *Report) String() string {
	if r.Clean() {
		return "no violations"
	}
	var b strings.Builder
	for _, i := range r.Broken() {
		fmt.Fprintf(&b, "%s: %d violations\n", i, r.Count(i))
		n := 0
		for _, v := range r.Violations {
			if v.Invariant == i && n < shown {
				fmt.Fprintf(&b, "  %s\n", v)
				n++
			}
		}
	}
	return b.String()
}

func (r *Report) add(v Violation) { r.Violations = append(r.Violations, v) }

// inLog reports what is wrong with a conversation as stored.
func (r *Report) inLog(i Invariant, conversation, format string, args ...any) {
	r.add(Violation{Invariant: i, Conversation: conversation, Text: fmt.Sprintf(format, args...)})
}

// inCall reports what is wrong with an answer.
func (r *Report) inCall(i Invariant, c *Call, format string, args ...any) {
	r.add(Violation{i, c.device.Name, c.Conversation, c.Start, string(c.Kind) + ": " + fmt.Sprintf(format, args...)})
}

// inStream reports what is wrong with an event of a stream.
func (r *Report) inStream(i Invariant, s *Stream, e Event, format string, args ...any) {
	r.add(Violation{i, s.device.Name, e.Conversation, e.At, fmt.Sprintf(format, args...) + s.before(e)})
}

// traced is how many events of a stream a report shows before the one that is wrong.
const traced = 6

// before tells how a stream came to an event: how it began, and the last events of the same conversation.
func (s *Stream) before(e Event) string {
	var last []string
	for _, f := range s.Events {
		if f.At >= e.At && e.At != 0 {
			break
		}
		var text string
		switch b := f.Body.(type) {
		case Ready, CaughtUp:
			text = fmt.Sprintf("%T", b)
		case *Summary:
			text = fmt.Sprintf("summary of %d", b.LastSeq)
			if b.Self.Left != 0 {
				text = fmt.Sprintf("summary: left by %d", b.Self.Left)
			}
		case Resync:
			text = fmt.Sprintf("resync to %d", b.Head)
		default:
			text = fmt.Sprintf("seq %d", f.Seq)
		}
		about := f.Conversation == e.Conversation && (f.Seq > 0 || !strings.HasPrefix(text, "seq "))
		if about || f.Conversation == "" && f.Seq == 0 && !strings.HasPrefix(text, "seq ") {
			last = append(last, strings.TrimPrefix(text, "history."))
		}
	}
	if len(last) > traced {
		last = append([]string{"…"}, last[len(last)-traced:]...)
	}
	at, named := s.Positions[e.Conversation]
	begin := "without a position"
	if named {
		begin = fmt.Sprintf("from %d", at)
	}
	return fmt.Sprintf(" (the stream began at %d %s, token: %t; then %s)", s.Opened, begin, s.HasToken, strings.Join(last, ", "))
}
