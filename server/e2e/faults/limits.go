package faults

// unlimited lifts the limits that hold abuse back, because a fleet is many quick users with many devices, and shortens the polite wait after a
// drain, because a test is in a hurry.
var unlimited = []string{
	"NATTERJACK_LIMIT_USER_RATE=1000000", "NATTERJACK_LIMIT_USER_BURST=1000000", "NATTERJACK_LIMIT_STREAMS_PER_USER=100",
	"NATTERJACK_DRAIN_SPREAD=200ms",
}
