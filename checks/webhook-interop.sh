#!/usr/bin/env bash
# Has the official Standard Webhooks libraries for Python and JavaScript verify what our server signs, and our receiver
# verify what they sign; rotation of secrets included.
#
# Usage: checks/webhook-interop.sh
# Installs the two libraries from PyPI and npm into target/checks/webhooks, and Debian's python3-pip and npm where they are
# missing. ABIDE names the binary to try; the debug build by default.
set -euo pipefail
cd "$(dirname "$0")/.."

work=target/checks/webhooks
mkdir -p "$work"

missing=()
python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
command -v npm >/dev/null || missing+=(npm)
if [ "${#missing[@]}" -gt 0 ]; then
  echo "installing ${missing[*]}" >&2
  sudo=()
  [ "$(id -u)" -eq 0 ] || sudo=(sudo)
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
[ -d "$work/python/standardwebhooks" ] ||
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target "$work/python" standardwebhooks==1.1.0
[ -d "$work/node_modules/standardwebhooks" ] ||
  (cd "$work" && npm install --no-audit --no-fund --no-save --loglevel=error standardwebhooks@1.1.1 >/dev/null)
cp checks/webhooks/interop.mjs "$work/"

if [ -z "${ABIDE:-}" ]; then
  cargo build --locked --quiet --package abide-cli
  ABIDE=${CARGO_TARGET_DIR:-target}/debug/abide
fi

started=()
finish() {
  for process in "${started[@]}"; do
    kill "$process" 2>/dev/null || true
    wait "$process" 2>/dev/null || true
  done
}
trap finish EXIT

# Starts the binary and waits until it has said where it listens.
start() {
  local log=$1
  shift
  # Emptied first: the last run's address is still in it.
  : >"$log"
  "$ABIDE" "$@" >>"$log" 2>&1 &
  started+=($!)
  for _ in $(seq 300); do
    url=$(grep -oE 'http://127\.0\.0\.1:[0-9]+' "$log" | head -n 1 || true)
    [ -z "$url" ] || return 0
    kill -0 "$!" 2>/dev/null || break
    sleep 0.1
  done
  cat "$log" >&2
  return 1
}

secret=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw
start "$work/serve.log" serve --ephemeral --listen 127.0.0.1:0
server=$url
start "$work/listen.log" listen --no-register --secret "$secret"
receiver=$url/

# Nothing here takes a tenth of that.
PYTHONPATH=$work/python timeout 60 python3 checks/webhooks/interop.py "$server" "$receiver" "$secret"
timeout 60 node "$work/interop.mjs" "$server" "$receiver" "$secret"
