// Package store keeps everything durable: rows, transactions and migrations. It is the only place that knows SQL and drivers.
//
// A [Store] is a [chat.Store]. What is read is read in the same way from every kind of database, through GORM on a pool of
// connections; how a batch is committed, and how text is searched, is each kind's own (the files that begin with its name).
//
// SQLite: one process owns the file (an operating-system lock beside it), one connection writes, many read. The database is in WAL
// mode with synchronous=FULL, so a commit that has returned outlives a power cut.
//
// PostgreSQL, 13 or newer: any number of nodes share the database, each with one pool of connections, over which GORM reads and the commits go in
// pipelines of two round trips. The order of a log shard is that of an advisory lock which a transaction holds from before its reads
// until its commit can be seen. Commits are synchronous whatever the database's settings say. Everything has its time: a read two seconds, a commit
// one until it is sent and one for its answer, after which its outcome is unknown. A lost connection, a deadlock and a restart of the server are
// gone through within that time where nothing was stored, and answered as temporary otherwise. No session state outlives a transaction but settings and
// prepared statements, so a connection pooler between has to pool sessions, not transactions.
package store
