#!/usr/bin/env bash
# Has the vendors' own SDKs, unmodified, finish jobs on our server: every client in checks/dialects/ whose name ends in a
# dialect's, against that dialect, and through each door by which a directive comes: inside the request, in a header where the
# SDK can send one, and in the base URL. The server's clock is advanced beside them, a second each tenth of a second. At the end
# an hour's job is waited for in a few seconds.
#
# Usage: checks/dialects.sh [NAME…]
# Installs the SDKs, pinned, from PyPI and npm into target/checks/dialects, and Debian's python3-venv and npm where they are
# missing. ABIDE names the binary to try, the debug build by default; DOORS some of the doors, such as "inline base".
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
export DIALECTS_NODE=$PWD/$work/ PYTHON=$PWD/$work/python/bin/python
program

start "$work/serve.log" serve --ephemeral --seed 7 --clock manual --listen 127.0.0.1:0
while curl -sf -o /dev/null "$url/v1/clock/advance" -H 'content-type: application/json' -d '{"seconds": 1}'; do sleep 0.1; done &
started+=($!)
clock=$!

# SDKs that add no header to a request.
headless="assemblyai.mjs"

# through DOOR CLIENT: the base URL's directive is the weaker one, so that what is inside a request still says what happens.
through() {
  local door=$1 client=$2 name dialect base=$url log
  name=$(basename "$client")
  dialect=${name%.*}
  dialect=${dialect##*_}
  [ "$door" != base ] || base=$url/with/duration=9s,queue=0s
  log=$work/$name.$door.log
  case $name in
    *.py) set -- "$PYTHON" ;;
    *.mjs) set -- node ;;
  esac
  ABIDE_DOOR=${door/base/inline} timeout 240 "$@" "$client" "$base/dialects/$dialect" >"$log" 2>&1 ||
    { echo "== $name, $door: failed"; cat "$log"; return 1; }
  echo "== $name, $door: $(tail -1 "$log")"
}

# of DIALECT: all its clients, one after the other, because some look at whole lists.
of() {
  local client
  for client in checks/dialects/[!_]*.py checks/dialects/[!_]*.mjs; do
    case $(basename "$client") in "$1".* | *_"$1".*) ;; *) continue ;; esac
    for door in ${DOORS:-inline header base}; do
      [[ $door = header && " $headless " == *" $(basename "$client") "* ]] || through "$door" "$client"
    done
  done
}

if [ $# -eq 0 ]; then
  names=$(for client in checks/dialects/[!_]*.py checks/dialects/[!_]*.mjs; do basename "${client%.*}" | sed 's/.*_//'; done)
  mapfile -t dialects < <(sort -u <<<"$names" | grep -vx hour)
  set -- "${dialects[@]}"
fi
# They wait more than they compute, so several dialects are played at once.
running=()
for dialect in "$@"; do
  of "$dialect" &
  running+=($!)
done
failed=0
for one in "${running[@]}"; do wait "$one" || failed=1; done
[ "$failed" -eq 0 ] || exit 1

kill "$clock"
echo "== an hour"
timeout 60 "$PYTHON" checks/dialects/hour.py "$url"

if [ -z "${names:-}" ]; then exit 0; fi
start "$work/faults-serve.log" serve --ephemeral --seed 7 --listen 127.0.0.1:0
echo "== faults"
timeout 240 "$PYTHON" checks/dialects/_faults.py "$url"
echo "== retries"
timeout 240 "$PYTHON" checks/dialects/_retries.py "$url"
