#!/usr/bin/env bash
# Opens pages, files or those of `xexp serve`, in a headless Chromium, in light and in dark: they must have their headings and say nothing
# on the console. Screenshots go to target/report/.
#
#   tests/report/chromium.sh FILE.html|http://… HEADING…
set -euo pipefail

case "$1" in
  http://*) page="$1" address="$1" ;;
  *) page="$(realpath "$1")" address="file://$page" ;;
esac
shift
out="${CARGO_TARGET_DIR:-target}/report"
mkdir -p "$out"
browser="$(command -v chromium || command -v chromium-browser || true)"
if [[ -z "$browser" ]]; then
  apt-get update -qq && apt-get install -y -qq chromium >/dev/null
  browser="$(command -v chromium)"
fi
profile="$(mktemp -d)"
trap 'rm -rf "$profile"' EXIT
name="$(basename "$(dirname "${page/#http:*:*\//serve/}")")-$(basename "$page" .html)"

# open NAME FLAG…: runs the browser on the page; its messages go to NAME.log.
open() {
  local log="$out/$name-$1.log"
  shift
  timeout 120 "$browser" --headless=new --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$profile" \
    --enable-logging=stderr --v=0 "$@" "$address" 2>"$log"
  # Messages of the page itself; the browser's own are about buses and drivers.
  if grep -E 'CONSOLE' "$log"; then
    echo "$page: the page wrote to the console (above)" >&2
    return 1
  fi
}

open light --blink-settings=preferredColorScheme=1 --window-size=1100,2600 --screenshot="$out/$name-light.png"
open dark --blink-settings=preferredColorScheme=0 --window-size=1100,2600 --screenshot="$out/$name-dark.png"
dom="$out/$name.dom.html"
open dom --dump-dom >"$dom"
for heading in "$@"; do
  if ! grep -E "<h[12][^>]*>[^<]*$heading" "$dom" >/dev/null; then
    echo "$page: no heading with \"$heading\"" >&2
    exit 1
  fi
done
if cmp -s "$out/$name-light.png" "$out/$name-dark.png"; then
  echo "$page: looks the same in light and dark" >&2
  exit 1
fi
echo "$page: $# headings, light and dark, a quiet console"
