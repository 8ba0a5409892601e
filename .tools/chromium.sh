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

# shellcheck disable=SC2086 # a list of words
[ -z "$packages" ] || "$(dirname "$0")/apt.sh" $packages
echo "${CHROMIUM:-$(find_chromium)}"
