#!/usr/bin/env bash
# Goes on where CI stops: each fuzz target for a minute, the state machines with 50 times their cases, and rounds of faults under
# chat until so many messages are acknowledged as the argument says.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

.tools/machine.sh
go list -f '{{.ImportPath}} {{.TestImports}} {{.XTestImports}}' ./server/... | while read -r package imports; do
  for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
    go test -run '^$' -fuzz "^$target\$" -fuzztime 1m "$package"
  done
  case $imports in
    *pgregory.net/rapid*) go test -race -count 1 -timeout 4h -rapid.checks 5000 "$package" ;;
  esac
done
NATTERJACK_SOAK=$1 go test -count 1 -timeout 24h -v -run '^TestSoak$' ./server/e2e/faults
