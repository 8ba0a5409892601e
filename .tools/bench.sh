#!/usr/bin/env bash
# Prints figures: of the Go benchmarks, and of a whole server under load, both on this machine. A regular expression as the
# argument picks Go benchmarks, and leaves the rest out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

.tools/machine.sh
go test -run '^$' -bench "${1:-.}" -benchmem -timeout 2h ./server/... | grep -vE 'no test files|^ok .*no tests to run|^PASS$'
[ $# -eq 0 ] || exit 0

dir=$(mktemp -d)
server=
stop() {
  if [ -n "$server" ]; then
    kill "$server" && wait "$server" || true
    server=
  fi
}
trap 'stop; rm -rf "$dir"' EXIT

# load WHAT FLAGS... loads a new server, whose memory and database no other run has left its marks on. Users of a closed loop
# send far more than people do, so the limit of each is out of the way.
load() {
  printf '\n== %s\n' "$1"
  shift
  rm -rf "$dir/data"
  bin/natterjack serve --listen 127.0.0.1:0 --database-url "sqlite:$dir/data/natterjack.db" --log-format text \
    --drain-spread 0s --limit-user-rate 1000000 --limit-user-burst 1000000 2>"$dir/log" &
  server=$!
  until url=$(sed -n 's/.* msg=serving url=\([^ ]*\).*/\1/p' "$dir/log") && [ -n "$url" ]; do
    if ! kill -0 "$server" 2>/dev/null; then
      cat "$dir/log" >&2
      exit 1
    fi
    sleep 0.1
  done
  bin/natterjack load --server "$url" --pid "$server" "$@" 2>"$dir/progress" || { cat "$dir/progress" >&2; exit 1; }
  stop
}

load "as many durable messages per second as it takes (SQLite, flushed)" --users 50 --rate 0 --window 64 --duration 20s
load "500 streams, 1,000 messages per second" --users 500 --rate 1000 --duration 20s
load "fan-out of each message to 500 streams" --users 500 --group-size 500 --rate 200 --duration 20s
load "1,000 idle streams, each on its own connection" --idle 1000
load "1,000 idle streams, 50 on a connection" --idle 1000 --streams-per-connection 50
