// Package accounttest holds what tests of accounts share: [Run], the contract that every [account.Store] has to pass, and [Memory], a store
// in memory that passes it.
package accounttest
