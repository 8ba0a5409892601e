package main

import (
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
	return strings.ReplaceAll(strings.TrimSpace(clean(s)), "\n", "\n      ")
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
		p.write(jsonLine(map[string]any{"type": "refused", "line": line, "error": err.Error(), "reason": client.ReasonOf(err).String()}))
		return
	}
	p.write(jsonLine(map[string]any{
		"type": "sent", "line": line, "conversationId": s.Conversation, "seq": s.Seq, "id": s.ID, "clientMessageId": s.ClientID, "duplicate": s.Duplicate,
	}))
}

// jsonEvent returns an event as one line of JSON: its type, and what it holds in the JSON form of the schema.
func jsonEvent(e client.Event) string {
	o := map[string]any{}
	if e.Conversation != "" {
		o["conversationId"] = e.Conversation
	}
	if e.Seq > 0 {
		o["seq"] = e.Seq
	}
	body := func(name string, m proto.Message) {
		o["type"] = name
		if b, err := protojson.Marshal(m); err == nil {
			o[name] = json.RawMessage(b)
		}
	}
	switch b := e.Body.(type) {
	case *chatv1.Message:
		body("message", b)
	case *chatv1.Conversation:
		body("conversation", b)
	case *chatv1.MembersChanged:
		body("members", b)
	case *chatv1.ConversationSummary:
		body("summary", b)
	case *chatv1.Receipt:
		body("receipt", b)
	case *chatv1.Typing:
		body("typing", b)
	case *chatv1.Presence:
		body("presence", b)
	case *client.Gap:
		o["type"], o["after"], o["head"] = "gap", b.After, b.Head
	case *client.Reset:
		o["type"] = "reset"
	case *client.Gone:
		o["type"] = "gone"
	case client.State:
		o["type"] = "state"
		jsonState(o, b)
	case *client.CaughtUp:
		o["type"] = "caughtUp"
	default:
		o["type"] = "unknown"
	}
	return jsonLine(o)
}

func jsonState(o map[string]any, s client.State) {
	switch s := s.(type) {
	case client.Offline:
		o["state"] = "offline"
		if s.Err != nil {
			o["error"] = s.Err.Error()
		}
		if !s.Retry.IsZero() {
			o["retry"] = s.Retry.UTC().Format(time.RFC3339)
		}
	case client.Connecting:
		o["state"] = "connecting"
	case client.CatchingUp:
		o["state"] = "catching up"
	case client.Live:
		o["state"] = "live"
	}
}

// jsonLine returns a line of JSON, with the keys in order.
func jsonLine(o map[string]any) string {
	b, err := json.Marshal(o)
	if err != nil { // the values are of types that can't fail
		return fmt.Sprintf("{%q:%q}\n", "error", err.Error())
	}
	return string(b) + "\n"
}
