package chat

// action is something a member may want to do in a conversation.
type action int

const (
	readConversation action = iota // history, events, members, marks
	sendMessage                    // also typing
	changeOwnMessage               // edit, delete
	react
	deleteOthersMessage
	rename
	manageMembers // add, remove and change members that are below Admin
	manageAdmins  // the same for admins and owners
)

// leastRole is the access table: the lowest role that may do a thing. Who isn't a member may do nothing, and is told
// that there is no such conversation.
var leastRole = map[action]Role{
	readConversation:    Reader,
	sendMessage:         Regular,
	changeOwnMessage:    Regular,
	react:               Regular,
	deleteOthersMessage: Admin,
	rename:              Admin,
	manageMembers:       Admin,
	manageAdmins:        Owner,
}

// refusals says what each action was, for the error text.
var refusals = map[action]string{
	sendMessage:         "readers can't send in this conversation",
	changeOwnMessage:    "readers can't change messages in this conversation",
	react:               "readers can't react in this conversation",
	deleteOthersMessage: "only admins and owners can delete the messages of others",
	rename:              "only admins and owners can rename a conversation",
	manageMembers:       "only admins and owners can change the members",
	manageAdmins:        "only owners can add, remove or make admins and owners",
}

// allow decides whether a member may act; m is nil where there never was a membership.
func allow(m *Member, a action) error {
	if m == nil || !m.Active() {
		return NotFound("conversation")
	}
	if m.Role < leastRole[a] {
		return roleTooLow(refusals[a])
	}
	return nil
}

// manage returns the action that changing somebody of a role, or to a role, needs.
func manage(roles ...Role) action {
	for _, r := range roles {
		if r >= Admin {
			return manageAdmins
		}
	}
	return manageMembers
}
