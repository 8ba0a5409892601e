package cluster

import (
	"slices"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// streamState is one stream of a user and what its device said of itself.
type streamState struct {
	stream uint64
	state  chat.PresenceState
}

// streamStates are the streams of a user; few, so a slice.
type streamStates []streamState

// set adds a stream or changes its state. A device is in use unless it says that it is away.
func (s streamStates) set(stream uint64, state chat.PresenceState) streamStates {
	if state != chat.PresenceAway {
		state = chat.PresenceOnline
	}
	if i := s.index(stream); i >= 0 {
		s[i].state = state
		return s
	}
	return append(s, streamState{stream, state})
}

func (s streamStates) remove(stream uint64) streamStates {
	if i := s.index(stream); i >= 0 {
		return slices.Delete(s, i, i+1)
	}
	return s
}

func (s streamStates) index(stream uint64) int {
	return slices.IndexFunc(s, func(e streamState) bool { return e.stream == stream })
}

// sum returns the state of the user: online while any device is, away while all are, offline without any.
func (s streamStates) sum() chat.PresenceState {
	state := chat.PresenceOffline
	for _, e := range s {
		if e.state == chat.PresenceOnline {
			return chat.PresenceOnline
		}
		state = chat.PresenceAway
	}
	return state
}
