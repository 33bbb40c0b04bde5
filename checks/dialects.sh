#!/usr/bin/env bash
# Has the vendors' own SDKs, unmodified, finish jobs on our server: every client in checks/dialects/ whose name ends in a
# dialect's, against that dialect. The server's clock is advanced beside them, a second each tenth of a second. At the end an
# hour's job is waited for in a few seconds.
#
# Usage: checks/dialects.sh [NAME…]
# Installs the SDKs, pinned, from PyPI and npm into target/checks/dialects, and Debian's python3-venv and npm where they are
# missing. ABIDE names the binary to try; the debug build by default.
set -euo pipefail
cd "$(dirname "$0")/.."
source checks/common/shell.sh

work=target/checks/dialects
mkdir -p "$work"
packages python3=python3 npm=npm curl=curl
cmp -s checks/dialects/requirements.txt "$work/requirements.txt" || {
  python3 -m venv "$work/python"
  "$work/python/bin/pip" install --quiet --disable-pip-version-check -r checks/dialects/requirements.txt
  cp checks/dialects/requirements.txt "$work/"
}
cmp -s checks/dialects/package.json "$work/package.json" || {
  cp checks/dialects/package.json "$work/"
  (cd "$work" && npm install --no-audit --no-fund --loglevel=error >/dev/null) || { rm "$work/package.json"; exit 1; }
}
export DIALECTS_NODE=$PWD/$work/
program

start "$work/serve.log" serve --ephemeral --seed 7 --clock manual --listen 127.0.0.1:0
while curl -sf -o /dev/null "$url/v1/clock/advance" -H 'content-type: application/json' -d '{"seconds": 1}'; do sleep 0.1; done &
started+=($!)
clock=$!

for client in checks/dialects/[!_]*.py checks/dialects/[!_]*.mjs; do
  name=$(basename "$client")
  dialect=${name%.*}
  dialect=${dialect##*_}
  [ "$name" != hour.py ] || continue
  [ $# -eq 0 ] || [[ " $* " == *" $dialect "* ]] || continue
  echo "== $name"
  case $name in
    *.py) timeout 180 "$work/python/bin/python" "$client" "$url/dialects/$dialect" ;;
    *.mjs) timeout 180 node "$client" "$url/dialects/$dialect" ;;
  esac
done

kill "$clock"
echo "== an hour"
timeout 60 "$work/python/bin/python" checks/dialects/hour.py "$url"
