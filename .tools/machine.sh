#!/usr/bin/env bash
# Says what machine figures come from.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cpu=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1 || true)
memory=$(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo 2>/dev/null || true)
echo "machine: ${cpu:-$(uname -m)}, $(getconf _NPROCESSORS_ONLN) cores, ${memory:-memory unknown}, $(uname -sr), $(go env GOVERSION)"
echo "commit: $(git describe --always --dirty), $(date -u +%F)"
