// Package testservers starts real PostgreSQL, Redis and HAProxy servers for tests: private ones from the installed programs, in temporary folders, on free
// ports of the loopback interface, as durable as in production. They end with the test that started them, or with the test process,
// also when that is killed.
//
// Where the environment names servers ([DatabaseURLVariable], [RedisURLVariable]), tests that break no server use those instead.
//
// A test that can't have its server fails, and says how to install it; it is never skipped.
package testservers

// The variables that name servers to be used instead of private ones.
const (
	// DatabaseURLVariable holds a postgres:// URL of a database whose user may create databases: each test gets a new one, which is dropped at its end.
	DatabaseURLVariable = "NATTERJACK_TEST_DATABASE_URL"
	// RedisURLVariable holds a redis:// URL. Tests share the server, so every key and channel needs a prefix of its own.
	RedisURLVariable = "NATTERJACK_TEST_REDIS_URL"
)
