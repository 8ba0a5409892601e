#!/usr/bin/env bash
# Prints the figures that the server is held to, measured on this machine, as a table. Words choose figures by name; all take a quarter of an hour and more.
# NATTERJACK_BENCH_MESSAGES is how many messages are stored before pages are read (a million by default).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

.tools/machine.sh
echo "load of the machine before: $(cut -d' ' -f1-3 /proc/loadavg 2>/dev/null || echo unknown)"
names=${*:-all}
messages=${NATTERJACK_BENCH_MESSAGES:-1000000}
unset NATTERJACK_BENCH_MESSAGES # the servers that are measured know no such setting
cd server/e2e/figures # and no package is named: then go test hands on what is printed
go test -count 1 -timeout 2h -run '^TestFigures$' -args -figures "${names// /,}" -messages "$messages"
