#!/usr/bin/env bash
# Goes on where CI stops: each fuzz target for a minute, the state machines with 50 times their cases, the plans of all statements with
# five million messages stored, and rounds of faults under chat, over one node on SQLite and over two on PostgreSQL and Redis in turns, until
# so many messages are acknowledged as the argument says.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

.tools/machine.sh
for package in $(go list ./server/...); do
  for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
    go test -run '^$' -fuzz "^$target\$" -fuzztime 1m "$package"
  done
  if go list -f '{{.TestImports}} {{.XTestImports}}' "$package" | grep -q 'pgregory.net/rapid'; then
    go test -race -count 1 -timeout 4h "$package" -rapid.checks 5000
  fi
done
NATTERJACK_TEST_STORED=5000000 go test -count 1 -timeout 2h -run '^TestNoStatementReadsAWholeTable$' ./server/store
NATTERJACK_SOAK=$1 go test -count 1 -timeout 24h -v -run '^TestSoak$' ./server/e2e/faults
