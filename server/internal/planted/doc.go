// Package planted holds known faults for the test that the checker of recorded histories finds each of them (e2e/faults), and moments at which
// a server dies.
//
// A place in the server where a fault can be switched on reads
//
//	if planted.Bug(planted.AckBeforeCommit) { … }
//
// Without the build tag plantedbugs, Bug is the constant false, and the compiler leaves the branch out. With it, the one fault that the
// environment variable NATTERJACK_PLANTED names is on. Nothing that is shipped is built with the tag.
package planted

// Name names a fault.
type Name string

// The faults.
const (
	// AckBeforeCommit answers the senders of messages before the commit.
	AckBeforeCommit Name = "ack-before-commit"
	// SeqOutsideLock takes a conversation's seq from a counter that no transaction rolls back.
	SeqOutsideLock Name = "seq-outside-lock"
	// DropBatches loses one batch in a thousand on its way to the streams, with the checks of positions off.
	DropBatches Name = "drop-batches"
	// DropFrames loses one batch in twenty of those that other nodes have told, with the checks of positions off.
	DropFrames Name = "drop-frames"
	// DieUnpublished is no fault: the server is killed now and then when a message has been committed and nobody knows of it yet.
	DieUnpublished Name = "die-unpublished"
	// RetryStoresAgain stores a message again that is sent again.
	RetryStoresAgain Name = "retry-stores-again"
	// FanOutReordered lets an event overtake another now and then.
	FanOutReordered Name = "fan-out-reordered"
	// StaleMembership decides who may send by a membership as it once was.
	StaleMembership Name = "stale-membership"
	// PageOffByOne begins a page of history one too early.
	PageOffByOne Name = "page-off-by-one"
	// ResumeFromNext resumes one event too late.
	ResumeFromNext Name = "resume-from-next"
	// RemovedStays leaves removed members among those who get a conversation's events.
	RemovedStays Name = "removed-stays"
	// ReceiptGoesBack lets a lower mark replace a higher one.
	ReceiptGoesBack Name = "receipt-goes-back"
)
