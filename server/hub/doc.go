// Package hub knows who listens on this node, and keeps order, completeness and bounded buffers for them.
//
// A committed [chat.Batch] enters through [Hub.Publish] or from another node through the [Bus]. The applier of its log shard (shard.go)
// applies batch n+1 after n and nothing else: what comes early waits a moment, what doesn't come is read from the [chat.Log]. An
// applied event goes to the streams of its conversation (room.go) as one shared [Frame], encoded once. Each [Stream] has a bounded
// queue (queue.go); what doesn't fit is owed as a resync, and nobody ever waits for a stream.
//
// Promises (design P3 to P9):
//   - on a stream, event n+1 of a conversation follows n, or a resync says where the stream goes on;
//   - a removed member gets nothing above the seq that removed it; a stream whose session ended gets nothing but its goodbye;
//   - a lost, doubled or reordered bus frame changes nothing but the delay.
//
// Goroutines: one applier per log shard, one for signals of other nodes and one that compares positions with the log, all owned by
// [Hub.Run]. Locks are taken in the order shard, hub, stream, and never around I/O or a callback.
//
// The package knows nothing of the wire: the transport gives it an [Encoder]. It knows nothing of access rules either: who is a member
// comes from the membership changes in the log and from the list that the transport attaches.
package hub
