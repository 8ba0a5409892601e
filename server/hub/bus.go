package hub

// Bus carries frames between the hubs of several nodes: a doorbell, not the truth. It may lose, double, reorder and delay
// frames; the hub finds that by the numbers in them. Implemented in package cluster; safe for concurrent use.
type Bus interface {
	// PublishBatch sends a frame to the other nodes on the channel of a log shard. It never waits; a frame for which there is no room is lost.
	// The slice isn't changed afterwards by either side.
	PublishBatch(shard int, frame []byte)
	// PublishSignal sends a frame to the other nodes on the channel of signals; as PublishBatch.
	PublishSignal(frame []byte)
	// Subscribe calls batch and signal with each frame that comes in, and subscribed whenever the subscription has begun anew, so that frames
	// may have been lost. None of them blocks. They may be called concurrently, and aren't called any more once stop has returned. Called once.
	Subscribe(batch func(frame []byte), signal func(frame []byte), subscribed func()) (stop func())
	// Confirmed reports whether the subscription is believed to be whole now. While it isn't, the hub asks the log more often.
	Confirmed() bool
}
