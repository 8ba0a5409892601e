#!/bin/sh
# Installs Debian packages: apt.sh PACKAGE... Says nothing if that goes well. Servers among them are not started.
set -eu

if ! command -v apt-get >/dev/null; then
  echo "install with this system's package manager, missing (by the names of Debian): $*" >&2
  exit 1
fi
as_root=
if [ "$(id -u)" != 0 ]; then
  as_root="sudo -n"
  if ! $as_root true 2>/dev/null; then
    echo "as root: apt-get install $*" >&2
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
if ! { $as_root apt-get update && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
rm -f "$log"
