// Package chattest holds the contract of a [chat.Store] as tests that every store has to pass: [TestStore].
//
// It keeps a model, plain maps and slices in memory, writes to the store what it writes to the model, and holds every read of the one against the
// other. What a store answers for is written down here once, whatever database is behind it.
package chattest
