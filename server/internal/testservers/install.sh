#!/bin/sh
# Installs the servers that the tests start, PostgreSQL, Redis and HAProxy, where they are missing. Says nothing if there is nothing to do.
# Leaves no server running: tests start their own.
set -eu

packages=
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null || packages="postgresql"
command -v redis-server >/dev/null || packages="$packages redis-server"
command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ] || packages="$packages haproxy"
command -v sqlite3 >/dev/null || packages="$packages sqlite3" # with which tests take a backup
[ "$packages" ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "install PostgreSQL, Redis, HAProxy and SQLite's shell with this system's package manager; missing (by the names of Debian): $packages" >&2
  exit 1
fi
as_root=
if [ "$(id -u)" != 0 ]; then
  as_root="sudo -n"
  if ! $as_root true 2>/dev/null; then
    echo "as root: apt-get install $packages" >&2
    exit 1
  fi
fi

# Debian's packages start their servers, unless this file says no.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  trap '$as_root rm -f $policy' EXIT
  printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
  $as_root chmod 755 $policy
fi
log=$(mktemp)
# shellcheck disable=SC2086 # a list of words
if ! { $as_root apt-get update && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages; } >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
rm -f "$log"
