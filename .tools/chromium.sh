#!/bin/sh
# Prints the path of Chromium, which the browser tests drive; installs it where there is none. With --fonts it also sees to fonts with
# emoji and the scripts of the screenshots. CHROMIUM names another browser of that family, such as one that a system has elsewhere.
set -eu

find_chromium() {
  for name in chromium chromium-browser google-chrome-stable google-chrome; do
    command -v "$name" && return
  done
  for path in "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" "/Applications/Chromium.app/Contents/MacOS/Chromium"; do
    [ -x "$path" ] && echo "$path" && return
  done
  return 1
}

packages=
[ "${CHROMIUM:-}" ] || find_chromium >/dev/null || packages="chromium"
fonts="fonts-noto-color-emoji fonts-noto-core fonts-droid-fallback"
# shellcheck disable=SC2086 # a list of words
if [ "${1:-}" = --fonts ] && command -v dpkg >/dev/null && ! dpkg -s $fonts >/dev/null 2>&1; then
  packages="$packages $fonts"
fi

if [ "$packages" ]; then
  if ! command -v apt-get >/dev/null; then
    echo "install Chromium with this system's package manager, or name it in CHROMIUM; missing (by the names of Debian): $packages" >&2
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
  log=$(mktemp)
  # shellcheck disable=SC2086 # a list of words
  if ! { $as_root apt-get update && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages; } >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
  fi
  rm -f "$log"
fi

echo "${CHROMIUM:-$(find_chromium)}"
