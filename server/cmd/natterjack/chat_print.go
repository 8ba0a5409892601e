package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
)

// printer writes events as lines, or as one JSON object each. sent and event may run at the same time; people belongs to the caller of event.
type printer struct {
	json   bool
	people *people

	mu     sync.Mutex
	w      io.Writer
	broken func() // called once, when nobody reads any more
}

func newPrinter(w io.Writer, asJSON bool, broken func()) *printer {
	return &printer{w: w, json: asJSON, people: newPeople(), broken: sync.OnceFunc(broken)}
}

// write writes whole lines at once.
func (p *printer) write(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := io.WriteString(p.w, s); err != nil {
		p.broken()
	}
}

// event prints one event. mine says that it is a message of a line of our input, which is not repeated as a line.
func (p *printer) event(e client.Event, mine bool) {
	if p.json {
		p.write(jsonEvent(e))
		return
	}
	if line := p.line(e, mine); line != "" {
		p.write(line + "\n")
	}
}

// line returns an event for people, or "".
func (p *printer) line(e client.Event, mine bool) string {
	switch b := e.Body.(type) {
	case *chatv1.Message:
		who := p.people.name(b.GetSenderId())
		switch {
		case b.GetSeq() == e.Seq && mine:
			return ""
		case b.GetSeq() == e.Seq && b.GetDeleteTime() == nil:
			return fmt.Sprintf("%s %s: %s", clock(b.GetTimestamp().AsTime()), who, indented(b.GetContent()))
		case b.GetDeleteTime() != nil:
			return fmt.Sprintf("%s %s: (message %d was deleted)", clock(b.GetDeleteTime().AsTime()), who, b.GetSeq())
		case b.GetEditTime() != nil && len(b.GetReactions()) == 0:
			return fmt.Sprintf("%s %s: (message %d now says) %s", clock(b.GetEditTime().AsTime()), who, b.GetSeq(), indented(b.GetContent()))
		default:
			return fmt.Sprintf("%s: (message %d has) %s", who, b.GetSeq(), reactionsText(b.GetReactions()))
		}
	case *chatv1.MembersChanged:
		return membersText(b, e.Seq, p.people)
	case *chatv1.Conversation:
		if b.GetTitle() != "" {
			return fmt.Sprintf("(the conversation is now called %s)", cleanLine(b.GetTitle()))
		}
	case *client.Gap:
		return "(messages are missing here: too many came while offline)"
	}
	return ""
}

// clock is a time for people, in their zone.
func clock(t time.Time) string { return t.Local().Format("15:04") }

// indented keeps a message of several lines together.
func indented(s string) string {
	return strings.ReplaceAll(strings.TrimRight(clean(s), "\n"), "\n", "\n      ")
}

func reactionsText(reactions []*chatv1.Reaction) string {
	if len(reactions) == 0 {
		return "no reactions"
	}
	var parts []string
	for _, r := range reactions {
		parts = append(parts, fmt.Sprintf("%s %d", cleanLine(r.GetEmoji()), len(r.GetUserIds())))
	}
	return strings.Join(parts, "  ")
}

// membersText says who joined, left, or got another role by the event with that seq; "" where it tells of nobody.
func membersText(b *chatv1.MembersChanged, seq int64, p *people) string {
	var names []string
	for _, m := range b.GetMembers() {
		p.add(m.GetUser())
		names = append(names, p.name(m.GetUser().GetId()))
	}
	if len(names) == 0 {
		return ""
	}
	if len(names) > 5 {
		names = append(names[:4], fmt.Sprintf("%d others", len(names)-4))
	}
	first, who, actor := b.GetMembers()[0], strings.Join(names, ", "), p.name(b.GetActorId())
	switch {
	case first.GetLeftSeq() == seq && first.GetUser().GetId() == b.GetActorId():
		return fmt.Sprintf("(%s left)", who)
	case first.GetLeftSeq() == seq:
		return fmt.Sprintf("(%s removed %s)", actor, who)
	case first.GetJoinedSeq() == seq:
		return fmt.Sprintf("(%s added %s)", actor, who)
	default:
		return fmt.Sprintf("(%s made %s %s)", actor, who, roleText(first.GetRole()))
	}
}

func roleText(r chatv1.MemberRole) string {
	return strings.ToLower(strings.TrimPrefix(r.String(), "MEMBER_ROLE_"))
}

// sent prints what became of a line of input.
func (p *printer) sent(line int, s client.Sent, err error) {
	if err != nil {
		p.write(jsonLine("type", "refused", "line", line, "reason", client.ReasonOf(err).String(), "error", err.Error()))
		return
	}
	p.write(jsonLine("type", "sent", "line", line, "conversationId", s.Conversation, "seq", s.Seq, "id", s.ID,
		"clientMessageId", s.ClientID, "duplicate", s.Duplicate))
}

// jsonEvent returns an event as one line of JSON: its type, and what it holds in the JSON form of the schema.
func jsonEvent(e client.Event) string {
	about := []any{}
	if e.Conversation != "" {
		about = append(about, "conversationId", e.Conversation)
	}
	if e.Seq > 0 {
		about = append(about, "seq", e.Seq)
	}
	object := func(name string, more ...any) string {
		return jsonLine(append(append([]any{"type", name}, about...), more...)...)
	}
	body := func(name string, m proto.Message) string {
		b, err := protojson.Marshal(m)
		if err != nil {
			return object(name, "error", err.Error())
		}
		return object(name, name, json.RawMessage(b))
	}
	switch b := e.Body.(type) {
	case *chatv1.Message:
		return body("message", b)
	case *chatv1.Conversation:
		return body("conversation", b)
	case *chatv1.MembersChanged:
		return body("members", b)
	case *chatv1.ConversationSummary:
		return body("summary", b)
	case *chatv1.Receipt:
		return body("receipt", b)
	case *chatv1.Typing:
		return body("typing", b)
	case *chatv1.Presence:
		return body("presence", b)
	case *client.Gap:
		return object("gap", "after", b.After, "head", b.Head)
	case *client.Reset:
		return object("reset")
	case *client.Gone:
		return object("gone")
	case *client.CaughtUp:
		return object("caughtUp")
	case client.State:
		return object("state", jsonState(b)...)
	default:
		return object("unknown")
	}
}

func jsonState(s client.State) []any {
	switch s := s.(type) {
	case client.Connecting:
		return []any{"state", "connecting"}
	case client.CatchingUp:
		return []any{"state", "catching up"}
	case client.Live:
		return []any{"state", "live"}
	case client.Offline:
		o := []any{"state", "offline"}
		if s.Err != nil {
			o = append(o, "error", s.Err.Error())
		}
		if !s.Retry.IsZero() {
			o = append(o, "retry", s.Retry.UTC().Format(time.RFC3339))
		}
		return o
	default:
		return nil
	}
}

// jsonLine returns a line with an object of the keys and values given, in their order.
func jsonLine(keysAndValues ...any) string {
	var b bytes.Buffer
	b.WriteByte('{')
	for i := 0; i+1 < len(keysAndValues); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:", keysAndValues[i])
		value, err := json.Marshal(keysAndValues[i+1])
		if err != nil {
			value = fmt.Appendf(nil, "%q", err.Error())
		}
		b.Write(value)
	}
	b.WriteString("}\n")
	return b.String()
}
