// Package faults makes things go wrong for a server and its clients, and holds that nothing is lost by it.
//
// [Start] runs the real binary as a child process that can be killed, stopped, terminated and started again on the same address and
// data; [NewProxy] stands between clients and server and cuts, delays and slices what passes. The tests let a fleet chat meanwhile and hand
// what it recorded to the checker. [StartInstallation] does the same for several nodes on one PostgreSQL and one Redis, with a proxy on each way between any two
// of them: nodes_test.go has all faults of these, of which a crew (crew_test.go) endures one after another. planted_test.go does the same with known faults built in, and expects the checker to name them.
//
// CI runs each test with a small budget. NATTERJACK_SOAK=N makes TestSoak go on, round after round with other seeds, over one node and over two in turns,
// until N messages have been acknowledged under faults; it prints what was injected, acknowledged, lost and doubled, and how long it took until all were back
// after each kind of fault.
//
// The proxies are our own and not toxiproxy (2.12): that leaves goroutines behind when a connection is cut in the middle of a write, and then can't end
// a fault either.
package faults
