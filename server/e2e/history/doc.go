// Package history records what the clients of a run with faults asked and saw, and checks afterwards that the server kept its promises.
//
// A [Recorder] takes, for each device of each user, every call with its outcome and every event of every stream, as they came over the
// wire, below the client library that would repair or hide a fault. When the run has come to rest, the log that the server stored, the
// state that each device has made of its events, and what a fresh client fetches are added to it. [Check] holds all that against
// the invariants:
//
//	I1  an acknowledged send is in the history of its conversation, once; one that was refused isn't
//	I2  one client_message_id of a sender has one seq, whatever was repeated, where and when
//	I3  the seqs of a conversation come to a device strictly increasing and without holes, until it is told to resync; in the log they
//	    are 1, 2, 3 …; what was acknowledged before something else was sent has the lower seq
//	I4  what is delivered equals what is stored, and what was sent
//	I5  a page of history leaves nothing out
//	I6  after a resume from any position the device has exactly the suffix
//	I7  state + changes = fresh fetch, for every device, after quiescence
//	I8  nothing after the removal's seq reaches the removed, and nothing that they send is stored
//	I9  read and delivered marks only grow and never pass the head
//	I10 unread = recount from the log
//	I11 a user is online exactly while a device is
//	I12 nothing is acknowledged that a later crash loses
//
// # Why no search for a linearization
//
// A checker such as porcupine searches for an order of the calls that explains their results. Here the server says what the order is:
// the seq. That it is gapless, that each acknowledgement names its own place in it, that a call which began after another had ended got the
// higher place, and that a read sees every place acknowledged before it began, is linearizability of an append-only log, checked in
// n log n instead of by search, on histories of any size, and with a report that names the call.
//
// # Time
//
// Records carry a [Stamp] of one logical clock. If one call ended at a lower stamp than another began, it happened before it, whatever the clocks of
// the machine said.
package history
