package chat

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"time"
)

// Limits are the bounds that this package keeps. The zero value means the defaults.
type Limits struct {
	// MaxMembers is the largest number of members of a conversation; 1,000 by default.
	MaxMembers int
	// Lanes is how many transactions this node has under way at once, at most one per log shard; 4 by default.
	Lanes int
}

// Config is what a Service stands on. Store and Publisher are required.
type Config struct {
	Store     Store
	Publisher Publisher
	Presence  PresenceReader
	// Clock tells the time of events; time.Now by default.
	Clock  func() time.Time
	Logger *slog.Logger // slog.Default() by default
	Limits Limits
	// Observe is told of each transaction, if set. It is called from the lanes and must not block.
	Observe func(CommitStats)
}

// Service carries out what callers ask for. All methods are safe for concurrent use. Their errors are [*Error] where the caller is meant to see them;
// ctx's own error where ctx ended first, and then a change may still be carried out.
type Service struct {
	store     Store
	publisher Publisher
	presence  PresenceReader
	limits    Limits
	clock     func() time.Time
	committer *committer
	marker    *marker
	typist    *typist
}

// New returns a running Service; Close ends it.
func New(cfg Config) *Service {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Limits.MaxMembers == 0 {
		cfg.Limits.MaxMembers = 1000
	}
	if cfg.Limits.Lanes == 0 {
		cfg.Limits.Lanes = 4
	}
	c := newCommitter(cfg)
	return &Service{
		store: cfg.Store, publisher: cfg.Publisher, presence: cfg.Presence, limits: cfg.Limits, clock: cfg.Clock,
		committer: c, marker: newMarker(c.submit), typist: newTypist(cfg.Clock),
	}
}

// Close carries out what was accepted, and refuses everything later with ReasonUnavailable.
func (s *Service) Close() {
	s.marker.close()
	s.committer.close()
}

// SendRequest is a message to be sent.
type SendRequest struct {
	Conversation ConversationID
	ClientID     UUID
	Content      string
	ReplyTo      Seq // 0: none
}

// Sent is a stored message. Duplicate tells that it had been stored before.
type Sent struct {
	Message   Message
	Duplicate bool
}

// Send stores a message and returns once it is durable.
func (s *Service) Send(ctx context.Context, caller Caller, r SendRequest) (Sent, error) {
	return perform(ctx, s.committer, s.sendOp(caller, r), func(t *tx) (Sent, error) { return t.send(caller.User, r) })
}

// SendAsync is Send for streams: it waits only for room in the queue, and keeps the order of its calls within a conversation. done is called once the
// message is durable or refused, from the goroutine that commits, and must not block. An error means that done won't be called.
func (s *Service) SendAsync(ctx context.Context, caller Caller, r SendRequest, done func(Sent, error)) error {
	var sent Sent
	o := s.sendOp(caller, r)
	o.apply = func(t *tx) (err error) {
		sent, err = t.send(caller.User, r)
		return err
	}
	o.done = func(err error) { done(sent, err) }
	return s.committer.submit(ctx, o)
}

func (s *Service) sendOp(caller Caller, r SendRequest) *op {
	s.typist.ended(MemberKey{r.Conversation, caller.User})
	return &op{
		conversation: r.Conversation, size: len(r.Content), repeatable: true,
		reads: func(rs *readSet, lookup bool) {
			rs.member(r.Conversation, caller.User)
			if r.ReplyTo != 0 {
				rs.message(r.Conversation, r.ReplyTo)
			}
			if lookup {
				rs.clientID(ClientKey{r.Conversation, caller.User, r.ClientID})
			}
		},
	}
}

// Edit replaces the content of one of the caller's messages.
func (s *Service) Edit(ctx context.Context, caller Caller, id ConversationID, seq Seq, content string) (Message, error) {
	return perform(ctx, s.committer, messageOp(caller, id, seq, len(content)), func(t *tx) (Message, error) {
		return t.edit(caller.User, id, seq, content)
	})
}

// Delete leaves a tombstone of a message.
func (s *Service) Delete(ctx context.Context, caller Caller, id ConversationID, seq Seq) (Message, error) {
	return perform(ctx, s.committer, messageOp(caller, id, seq, 0), func(t *tx) (Message, error) {
		return t.delete(caller.User, id, seq)
	})
}

// React adds the caller's reaction to a message, or takes it back.
func (s *Service) React(ctx context.Context, caller Caller, id ConversationID, seq Seq, emoji string, add bool) (Message, error) {
	return perform(ctx, s.committer, messageOp(caller, id, seq, len(emoji)), func(t *tx) (Message, error) {
		return t.react(caller.User, id, seq, emoji, add)
	})
}

func messageOp(caller Caller, id ConversationID, seq Seq, size int) *op {
	return &op{
		conversation: id, size: size, repeatable: true,
		reads: func(r *readSet, _ bool) {
			r.member(id, caller.User)
			r.message(id, seq)
		},
	}
}

// MarkRequest moves one of the caller's marks.
type MarkRequest struct {
	Conversation ConversationID
	Seq          Seq
	Read         bool // the read mark, and with it the delivered mark; else the delivered mark alone
}

// Mark moves one of the caller's marks and returns both as they then stand, once they are stored.
func (s *Service) Mark(ctx context.Context, caller Caller, r MarkRequest) (Receipt, error) {
	type answer struct {
		receipt Receipt
		err     error
	}
	done := make(chan answer, 1)
	if err := s.MarkAsync(ctx, caller, r, func(receipt Receipt, err error) { done <- answer{receipt, err} }); err != nil {
		return Receipt{}, err
	}
	select {
	case a := <-done:
		return a.receipt, a.err
	case <-ctx.Done():
		return Receipt{}, ctx.Err()
	}
}

// MarkAsync is Mark for streams; done as with SendAsync.
func (s *Service) MarkAsync(ctx context.Context, caller Caller, r MarkRequest, done func(Receipt, error)) error {
	read := Seq(0)
	if r.Read {
		read = r.Seq
	}
	return s.marker.mark(ctx, MemberKey{r.Conversation, caller.User}, read, r.Seq, done)
}

// CreateRequest says what conversation to create.
type CreateRequest struct {
	Kind     Kind
	Members  []UserID // the caller is one in any case
	Title    string
	ClientID *UUID // makes the creation of a group idempotent; nil: it isn't
}

// CreateConversation creates a conversation; existing tells that it was there before.
func (s *Service) CreateConversation(ctx context.Context, caller Caller, r CreateRequest) (summary Summary, existing bool, err error) {
	members := unique(append([]UserID{caller.User}, r.Members...))
	c := Conversation{Kind: r.Kind, Title: r.Title, Creator: caller.User}
	switch {
	case r.Kind == Direct && len(members) != 2:
		return summary, false, Invalid("member_ids", "a direct conversation needs exactly one other user")
	case r.Kind == Direct && r.Title != "":
		return summary, false, Invalid("title", "a direct conversation has no title")
	case r.Kind == Direct:
		c.CreateKey = "d:" + min(members[0], members[1]).String() + ":" + max(members[0], members[1]).String()
	case r.Title == "":
		return summary, false, Invalid("title", "a group needs a title")
	case r.ClientID != nil:
		c.CreateKey = "g:" + caller.User.String() + ":" + r.ClientID.String()
	}
	c.ID = newConversationID(s.clock(), slotFor(c.CreateKey))
	made, err := perform(ctx, s.committer, createOp(c, members), func(t *tx) (created, error) {
		return t.createConversation(c, members, s.limits)
	})
	if err != nil {
		return summary, false, err
	}
	summary, err = s.GetConversation(ctx, caller, made.id)
	return summary, made.existing, err
}

func createOp(c Conversation, members []UserID) *op {
	return &op{
		conversation: c.ID, size: len(c.Title), repeatable: c.CreateKey != "",
		reads: func(r *readSet, _ bool) {
			if c.CreateKey != "" {
				r.createKey(CreateKey{c.ID, c.CreateKey})
			} else {
				r.conversation(c.ID)
			}
			for _, u := range members {
				r.user(u)
			}
		},
	}
}

// UpdateConversation renames a group.
func (s *Service) UpdateConversation(ctx context.Context, caller Caller, id ConversationID, title string) (Conversation, error) {
	return perform(ctx, s.committer, membersOp(caller, id, nil), func(t *tx) (Conversation, error) {
		return t.rename(caller.User, id, title)
	})
}

// AddMembers adds users to a group, all or none. Role 0 means Regular.
func (s *Service) AddMembers(ctx context.Context, caller Caller, id ConversationID, users []UserID, role Role) ([]MemberInfo, error) {
	if role == 0 {
		role = Regular
	}
	users = unique(users)
	return perform(ctx, s.committer, membersOp(caller, id, users), func(t *tx) ([]MemberInfo, error) {
		return t.addMembers(caller.User, id, users, role, s.limits)
	})
}

// RemoveMember removes a member, or lets the caller leave.
func (s *Service) RemoveMember(ctx context.Context, caller Caller, id ConversationID, user UserID) error {
	_, err := perform(ctx, s.committer, membersOp(caller, id, []UserID{user}), func(t *tx) (struct{}, error) {
		return struct{}{}, t.removeMember(caller.User, id, user)
	})
	return err
}

// UpdateMember changes a member's role.
func (s *Service) UpdateMember(ctx context.Context, caller Caller, id ConversationID, user UserID, role Role) (MemberInfo, error) {
	return perform(ctx, s.committer, membersOp(caller, id, []UserID{user}), func(t *tx) (MemberInfo, error) {
		return t.updateMember(caller.User, id, user, role)
	})
}

// membersOp sees the caller's membership and those of users.
func membersOp(caller Caller, id ConversationID, users []UserID) *op {
	return &op{
		conversation: id, size: 32 * len(users), repeatable: true,
		reads: func(r *readSet, _ bool) {
			r.member(id, caller.User)
			r.member(id, users...)
			for _, u := range users {
				r.user(u)
			}
		},
	}
}

// unique drops repetitions and keeps the order.
func unique(users []UserID) []UserID {
	out := make([]UserID, 0, len(users))
	for _, u := range users {
		if !slices.Contains(out, u) {
			out = append(out, u)
		}
	}
	return out
}

func itoa(n int) string { return strconv.Itoa(n) }
