// Package figures measures what the server is held to, and prints it as one table: each figure, what was measured, what it is held to
// and what is aimed at, and an anchor measured in the same run: what something bare does on the same machine, so that a busy or slow machine
// can be told from a slow server.
//
// Server, load generator, PostgreSQL and Redis are processes of their own, as in production, on one machine. `go tool task bench` runs it; its
// words choose figures by name. Without the flag -figures the tests measure everything once in a small way, so that what
// measures can't rot.
//
// Start reading at rows_test.go. A bare server and its clients, the anchors, are in bare_test.go: this test's binary, started again as
// another program.
package figures
