// Package faults makes things go wrong for a server and its clients, and holds that nothing is lost by it.
//
// [Start] runs the real binary as a child process that can be killed, stopped, terminated and started again on the same address and
// data; [NewProxy] stands between clients and server and cuts, delays and slices what passes. The tests let a fleet chat meanwhile and hand
// what it recorded to the checker. planted_test.go does the same with known faults built in, and expects the checker to name them.
//
// CI runs each test with a small budget. NATTERJACK_SOAK=N makes TestSoak go on, round after round with other seeds, until N messages
// have been acknowledged under faults; it prints what was injected, acknowledged, lost and doubled.
package faults
