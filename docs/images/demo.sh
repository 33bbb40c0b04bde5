#!/usr/bin/env bash
# Renews docs/images/demo.png: `abide demo` in a real terminal, in the moment after its end.
#
# Usage: ABIDE=target/release/abide docs/images/demo.sh
# Needs Debian's xvfb, xterm, x11-utils and imagemagick.
set -euo pipefail
cd "$(dirname "$0")/../.."
abide=$(realpath "${ABIDE:-target/release/abide}")
place=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$place"' EXIT

Xvfb -displayfd 3 -screen 0 1600x1200x24 3>"$place/display" 2>/dev/null &
until [ -s "$place/display" ]; do sleep 0.1; done
DISPLAY=:$(cat "$place/display")
export DISPLAY

cat >"$place/session" <<SESSION
printf '\$ abide demo --seed 7\n'
"$abide" demo --seed 7
touch "$place/done"
sleep 60
SESSION
TERM=xterm-256color xterm -fa 'DejaVu Sans Mono' -fs 11 -bg '#16181d' -fg '#e6e6e6' -geometry 116x38 +sb -b 14 -title demo \
  -e bash "$place/session" &
until [ -e "$place/done" ]; do sleep 0.2; done
sleep 0.5
import -window demo "$place/demo.png"
convert "$place/demo.png" -strip -colors 64 docs/images/demo.png
