// Package store keeps everything durable: rows, transactions and migrations. It is the only place that knows SQL and drivers.
//
// A [Store] is a [chat.Store]. What is read is read in the same way from every kind of database, through GORM on a pool of
// connections; how a batch is committed, and how text is searched, is each kind's own (the files that begin with its name).
//
// SQLite: one process owns the file (an operating-system lock beside it), one connection writes, many read. The database is in WAL
// mode with synchronous=FULL, so a commit that has returned outlives a power cut.
package store
