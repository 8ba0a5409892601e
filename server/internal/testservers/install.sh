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

# shellcheck disable=SC2086 # a list of words
exec "$(dirname "$0")/../../../.tools/apt.sh" $packages
