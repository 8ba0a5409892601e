// Package cluster connects the nodes of one installation: the bus that carries frames between their hubs, and presence, which tells who is
// connected anywhere.
//
// Both are doorbells and not the truth: what they lose is found in the log, or ends by itself. Files are named after what they hold and by
// what: bus_memory.go and presence_memory.go serve the nodes of one process, and a single node is the smallest case of it.
// presence.go holds what every kind of presence has in common: how a user's streams add up to one state.
//
// [MemoryBus] hands out what the hub calls its Bus; [MemoryPresence] is a chat.PresenceReader. The package knows neither the hub nor the
// transport; frames are bytes to it.
package cluster
