package chat

// created is a conversation, and whether it was there before.
type created struct {
	id       ConversationID
	existing bool
}

// createConversation makes a conversation with its first members, or finds the one made under the same key. The event that
// creates it has seq 1, the one by which the members join seq 2.
func (t *tx) createConversation(c Conversation, members []UserID, limits Limits) (created, error) {
	if id, ok := t.CreateKeys[c.CreateKey]; ok && c.CreateKey != "" {
		old := t.Conversations[id]
		if old.Kind == Group && old.Title != c.Title && old.ChangedSeq == 1 {
			return created{}, idReused("client_conversation_id was used for another group; choose a new one")
		}
		return created{id, true}, nil
	}
	for _, u := range members {
		if _, ok := t.Users[u]; !ok {
			return created{}, NotFound("user " + u.String())
		}
	}
	if len(members) > limits.MaxMembers {
		return created{}, tooManyMembers(limits)
	}
	s := &ConversationState{Conversation: c}
	s.CreateTime, s.UpdateTime, s.ChangedSeq = t.now, t.now, 1
	t.create(s)
	t.append(s, Event{Kind: EventConversation, Actor: c.Creator, State: &s.Conversation})
	joined := make([]*Member, len(members))
	for i, u := range members {
		role := Regular
		if c.Kind == Group && u == c.Creator {
			role = Owner
		}
		joined[i] = &Member{Conversation: c.ID, User: u, Role: role}
	}
	t.join(s, c.Creator, joined)
	return created{c.ID, false}, nil
}

func tooManyMembers(limits Limits) error {
	return LimitReached("a conversation has at most " + itoa(limits.MaxMembers) + " members")
}

// join lets users in, by one event. Their roles are set; their marks stay what they were where they come back.
func (t *tx) join(c *ConversationState, actor UserID, members []*Member) {
	e := t.append(c, Event{Kind: EventMembers, Actor: actor})
	for _, m := range members {
		m.JoinedSeq, m.LeftSeq = e.Seq, 0
		c.MemberCount++
		if m.Role == Owner {
			c.OwnerCount++
		}
		t.changedMember(m)
	}
	e.Members = t.infos(members)
}

// infos copies members as they are now, with their profiles.
func (t *tx) infos(members []*Member) []MemberInfo {
	infos := make([]MemberInfo, len(members))
	for i, m := range members {
		infos[i] = MemberInfo{*m, t.Users[m.User]}
	}
	return infos
}

// group returns a group in which the caller may act.
func (t *tx) group(user UserID, id ConversationID, a action, refusal string) (*ConversationState, error) {
	if err := allow(t.Members[MemberKey{id, user}], readConversation); err != nil {
		return nil, err
	}
	c := t.Conversations[id]
	if c.Kind != Group {
		return nil, wrongKind(refusal)
	}
	return c, allow(t.Members[MemberKey{id, user}], a)
}

func (t *tx) rename(user UserID, id ConversationID, title string) (Conversation, error) {
	c, err := t.group(user, id, rename, "a direct conversation has no title")
	if err != nil {
		return Conversation{}, err
	}
	if c.Title == title {
		return c.Conversation, nil
	}
	e := t.append(c, Event{Kind: EventConversation, Actor: user})
	c.Title, c.ChangedSeq = title, e.Seq
	state := c.Conversation
	e.State = &state
	t.changedShared(c)
	return state, nil
}

const fixedMembers = "the members of a direct conversation are fixed"

func (t *tx) addMembers(user UserID, id ConversationID, users []UserID, role Role, limits Limits) ([]MemberInfo, error) {
	c, err := t.group(user, id, manage(role), fixedMembers)
	if err != nil {
		return nil, err
	}
	all := make([]*Member, len(users))
	var joining []*Member
	for i, u := range users {
		if _, ok := t.Users[u]; !ok {
			return nil, NotFound("user " + u.String())
		}
		m := t.Members[MemberKey{id, u}]
		if m == nil || !m.Active() {
			next := Member{Conversation: id, User: u}
			if m != nil {
				next = *m
			}
			next.Role = role
			m = &next
			joining = append(joining, m)
		}
		all[i] = m
	}
	if c.MemberCount+len(joining) > limits.MaxMembers {
		return nil, tooManyMembers(limits)
	}
	if len(joining) > 0 {
		t.join(c, user, joining)
	}
	return t.infos(all), nil
}

// lastOwner refuses to take the only owner away from those who would be left.
func lastOwner(c *ConversationState, m *Member, message string) error {
	if m.Role == Owner && c.OwnerCount == 1 {
		return &Error{Code: CodeFailedPrecondition, Reason: ReasonLastOwner, Message: message}
	}
	return nil
}

func (t *tx) removeMember(user UserID, id ConversationID, target UserID) error {
	needs := readConversation
	m := t.Members[MemberKey{id, target}]
	if user != target {
		needs = manageMembers
		if m != nil && m.Active() {
			needs = manage(m.Role)
		}
	}
	c, err := t.group(user, id, needs, fixedMembers)
	if err != nil {
		return err
	}
	if m == nil || !m.Active() {
		return NotFound("member")
	}
	if c.MemberCount > 1 {
		if err := lastOwner(c, m, "the last owner can't leave; make somebody else an owner first"); err != nil {
			return err
		}
	}
	e := t.append(c, Event{Kind: EventMembers, Actor: user})
	m.LeftSeq = e.Seq
	c.MemberCount--
	if m.Role == Owner {
		c.OwnerCount--
	}
	t.changedMember(m)
	e.Members = t.infos([]*Member{m})
	return nil
}

func (t *tx) updateMember(user UserID, id ConversationID, target UserID, role Role) (MemberInfo, error) {
	m := t.Members[MemberKey{id, target}]
	needs := manage(role)
	if m != nil && m.Active() {
		needs = manage(role, m.Role)
	}
	c, err := t.group(user, id, needs, fixedMembers)
	if err != nil {
		return MemberInfo{}, err
	}
	if m == nil || !m.Active() {
		return MemberInfo{}, NotFound("member")
	}
	if m.Role == role {
		return t.infos([]*Member{m})[0], nil
	}
	if err := lastOwner(c, m, "the last owner can't step down; make somebody else an owner first"); err != nil {
		return MemberInfo{}, err
	}
	if m.Role == Owner {
		c.OwnerCount--
	}
	if role == Owner {
		c.OwnerCount++
	}
	m.Role = role
	e := t.append(c, Event{Kind: EventMembers, Actor: user})
	t.changedMember(m)
	e.Members = t.infos([]*Member{m})
	return e.Members[0], nil
}
