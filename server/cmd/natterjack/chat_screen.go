package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"charm.land/bubbles/v2/key"
	"charm.land/bubbles/v2/textarea"
	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
)

// backend is what the screen needs of the client.
type backend interface {
	User() string
	Next(ctx context.Context) (client.Event, error)
	Send(conversation, content string, o client.SendOptions) (*client.Sending, error)
	SetTyping(conversation string, typing bool)
	SetAway(away bool)
	MarkRead(conversation string, seq int64)
	MarkDelivered(conversation string, seq int64)
	WatchPresence(users ...string) error
	Track(conversation string)
	Untrack(conversation string)
	Messages(ctx context.Context, conversation string, p client.Page) (*chatv1.ListMessagesResponse, error)
	Members(ctx context.Context, conversation string) ([]*chatv1.Member, []*chatv1.Receipt, error)
	Users(ctx context.Context, ids ...string) ([]*chatv1.User, error)
	SearchUsers(ctx context.Context, query string, limit int32) ([]*chatv1.User, error)
	SearchMessages(ctx context.Context, query, conversation string, limit int32) ([]*chatv1.Message, error)
	Edit(ctx context.Context, conversation string, seq int64, content string) (*chatv1.Message, error)
	Delete(ctx context.Context, conversation string, seq int64) (*chatv1.Message, error)
	React(ctx context.Context, conversation string, seq int64, emoji string) (*chatv1.Message, error)
	Unreact(ctx context.Context, conversation string, seq int64, emoji string) (*chatv1.Message, error)
	CreateDirect(ctx context.Context, user string) (*chatv1.ConversationSummary, error)
	CreateGroup(ctx context.Context, title string, members ...string) (*chatv1.ConversationSummary, error)
	Conversation(ctx context.Context, conversation string) (*chatv1.ConversationSummary, error)
	Conversations(ctx context.Context) ([]*chatv1.ConversationSummary, error)
	Rename(ctx context.Context, conversation, title string) (*chatv1.Conversation, error)
	AddMembers(ctx context.Context, conversation string, role chatv1.MemberRole, users ...string) ([]*chatv1.Member, error)
	RemoveMember(ctx context.Context, conversation, user string) error
}

const (
	// callTimeout bounds each call that the screen waits for.
	callTimeout = 15 * time.Second
	// idleAfter is after how long without a key the user counts as away.
	idleAfter = 5 * time.Minute
	// noticeLasts is how long an answer stays in the status line.
	noticeLasts = 8 * time.Second
	// historyPage is the number of messages of a page.
	historyPage = 50
	// maxInputLines is how far the input grows.
	maxInputLines = 6
	// maxWatched is how many users' presence is asked for: those of the list and of the open conversation.
	maxWatched = 200
)

// screen is the full-screen chat: a bubbletea model, so all of it belongs to the goroutine of Update.
type screen struct {
	ctx context.Context
	c   backend
	me  string

	people   *people
	convs    map[string]*chatv1.ConversationSummary
	presence map[string]*chatv1.Presence
	watched  []string
	state    client.State
	room     *room // nil: none is open
	history  int   // messages to show first
	ended    error // why the client has stopped

	input    textarea.Model
	width    int
	height   int
	now      time.Time
	focused  bool
	lastKey  time.Time
	away     bool
	scroll   int   // lines below the window; 0: at the end
	below    int   // messages that came while scrolled up
	selected int64 // seq of the selected message; 0: none
	replying int64 // seq of the message that the input answers
	editing  int64 // seq of the message that the input replaces
	notice   notice
	overlay  *overlay
	lines    []string      // the timeline as rendered; nil: anew
	at       map[int64]int // of lines, as in timeline
}

// notice is an answer in the status line.
type notice struct {
	text  string
	bad   bool
	until time.Time
}

// overlay is a page of text over the timeline.
type overlay struct {
	title string
	lines []string
	top   int
	list  bool // the list of conversations, which follows their changes
}

// Messages of the program, beside keys.
type (
	eventsMsg struct {
		events []client.Event
		err    error
	}
	pageMsg struct {
		room   string
		page   *chatv1.ListMessagesResponse
		newest bool
		err    error
	}
	membersMsg struct {
		room     string
		members  []*chatv1.Member
		receipts []*chatv1.Receipt
		err      error
	}
	usersMsg struct{ users []*chatv1.User }
	openMsg  struct {
		summary *chatv1.ConversationSummary
		err     error
	}
	sentMsg struct {
		room, id string
		err      error
	}
	// messageMsg is a message as a call left it; doneMsg the end of a call without.
	messageMsg struct {
		message *chatv1.Message
		err     error
	}
	doneMsg struct {
		text string
		err  error
	}
	foundMsg struct {
		query    string
		messages []*chatv1.Message
		err      error
	}
	tickMsg time.Time
)

// runScreen runs the full screen until the user quits or the client stops.
func runScreen(ctx context.Context, c *client.Client, o chatOptions, start *chatv1.ConversationSummary) error {
	history := o.history
	if history < 0 {
		history = historyPage
	}
	s := newScreen(ctx, c, history)
	if start != nil {
		s.take(start)
		s.room = newRoom(s.me, start)
		c.TrackFrom(s.room.id, start.GetLastSeq())
	}
	c.Start()
	p := tea.NewProgram(s, tea.WithContext(ctx))
	if _, err := p.Run(); err != nil && !errors.Is(err, tea.ErrInterrupted) && ctx.Err() == nil {
		return err
	}
	return s.ended
}

func newScreen(ctx context.Context, c backend, history int) *screen {
	in := textarea.New()
	in.Placeholder = "Write a message, or /help"
	in.ShowLineNumbers = false
	in.SetPromptFunc(2, func(p textarea.PromptInfo) string {
		if p.LineNumber == 0 {
			return "› "
		}
		return "  "
	})
	in.CharLimit = maxContent
	in.DynamicHeight, in.MinHeight, in.MaxHeight, in.MaxContentHeight = true, 1, maxInputLines, 1000
	in.KeyMap.InsertNewline = key.NewBinding(key.WithKeys("alt+enter", "shift+enter", "ctrl+j"))
	plain := lipgloss.NewStyle()
	styles := textarea.DefaultStyles(true)
	for _, state := range []*textarea.StyleState{&styles.Focused, &styles.Blurred} {
		*state = textarea.StyleState{
			Base: plain, Text: plain, LineNumber: plain, CursorLineNumber: plain, CursorLine: plain, EndOfBuffer: plain,
			Placeholder: faint, Prompt: accent,
		}
	}
	in.SetStyles(styles)
	in.SetVirtualCursor(false)
	in.Focus()
	now := time.Now()
	return &screen{
		ctx: ctx, c: c, me: c.User(), people: newPeople(), convs: map[string]*chatv1.ConversationSummary{},
		presence: map[string]*chatv1.Presence{}, state: client.Connecting{}, history: history, input: in,
		width: 80, height: 24, now: now, focused: true, lastKey: now,
	}
}

// Init starts what goes on beside the keys: events, the clock, the first page.
func (s *screen) Init() tea.Cmd {
	cmds := []tea.Cmd{s.nextEvents(), tick()}
	if s.room != nil {
		cmds = append(cmds, s.enter(s.room.summary))
	} else {
		s.showList()
	}
	return tea.Batch(cmds...)
}

func tick() tea.Cmd { return tea.Tick(time.Second, func(t time.Time) tea.Msg { return tickMsg(t) }) }

// nextEvents waits for events, and takes all that are there, up to a bound.
func (s *screen) nextEvents() tea.Cmd {
	return func() tea.Msg {
		e, err := s.c.Next(s.ctx)
		if err != nil {
			return eventsMsg{err: err}
		}
		events := []client.Event{e}
		now, cancel := context.WithCancel(s.ctx)
		cancel() // an ended context gets what is there already
		for len(events) < 256 {
			if e, err = s.c.Next(now); err != nil {
				break
			}
			events = append(events, e)
		}
		return eventsMsg{events: events}
	}
}

// Update takes a key, an event, or the outcome of a call.
func (s *screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var cmd tea.Cmd
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		s.resize(msg.Width, msg.Height)
	case tea.FocusMsg:
		s.focused = true
	case tea.BlurMsg:
		s.focused = false
	case tea.KeyPressMsg:
		cmd = s.key(msg)
	case tea.PasteMsg:
		cmd = s.edit(tea.PasteMsg{Content: clean(strings.ReplaceAll(msg.Content, "\r\n", "\n"))})
	case tickMsg:
		s.now = time.Time(msg)
		s.idle()
		cmd = tick()
	case eventsMsg:
		cmd = s.events(msg)
	default:
		cmd = s.outcome(msg)
	}
	s.markRead()
	return s, cmd
}

// outcome takes the outcome of a call.
func (s *screen) outcome(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case pageMsg:
		return s.page(msg)
	case membersMsg:
		s.membersOf(msg)
	case usersMsg:
		s.people.add(msg.users...)
		s.touch()
	case openMsg:
		if msg.err != nil {
			s.fail(msg.err)
			return nil
		}
		s.take(msg.summary)
		return s.enter(msg.summary)
	case sentMsg:
		if s.room != nil && msg.err != nil && s.room.id == msg.room {
			s.room.sent(msg.id, msg.err)
			s.touch()
		}
	case messageMsg:
		if msg.err != nil {
			s.fail(msg.err)
		} else if s.room != nil && s.room.id == msg.message.GetConversationId() {
			s.room.message(msg.message)
			s.touch()
		}
	case doneMsg:
		if msg.err != nil {
			s.fail(msg.err)
		} else {
			s.say(msg.text)
		}
	case foundMsg:
		s.found(msg)
	default:
		return s.edit(msg)
	}
	return nil
}

// edit gives a message to the input, and tells the others that the user types.
func (s *screen) edit(msg tea.Msg) tea.Cmd {
	before := s.input.Value()
	var cmd tea.Cmd
	s.input, cmd = s.input.Update(msg)
	if after := s.input.Value(); s.room != nil && after != before && s.editing == 0 {
		s.c.SetTyping(s.room.id, strings.TrimSpace(after) != "" && !strings.HasPrefix(after, "/"))
	}
	return cmd
}

func (s *screen) resize(width, height int) {
	s.width, s.height = max(width, 10), max(height, 5)
	s.input.SetWidth(s.width)
	s.input.MaxHeight = max(1, min(maxInputLines, s.height/4))
	s.touch()
}

// touch makes the timeline be rendered anew.
func (s *screen) touch() { s.lines = nil }

func (s *screen) say(text string) {
	if text != "" {
		s.notice = notice{text: text, until: s.now.Add(noticeLasts)}
	}
}

func (s *screen) fail(err error) {
	s.notice = notice{text: explain(err, chatOptions{server: "the server"}), bad: true, until: s.now.Add(noticeLasts)}
}

// idle tells the server when the user goes away from the keyboard, and is back.
func (s *screen) idle() {
	if away := s.now.Sub(s.lastKey) > idleAfter; away != s.away {
		s.away = away
		s.c.SetAway(away)
	}
}
