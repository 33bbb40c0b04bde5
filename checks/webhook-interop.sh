#!/usr/bin/env bash
# Has the official Standard Webhooks libraries for Python and JavaScript verify what our server signs, and our receiver
# verify what they sign; rotation of secrets included.
#
# Usage: checks/webhook-interop.sh
# Installs the two libraries from PyPI and npm into target/checks/webhooks. ABIDE names the binary to try; the debug build by
# default.
set -euo pipefail
cd "$(dirname "$0")/.."

work=target/checks/webhooks
mkdir -p "$work"
[ -d "$work/python/standardwebhooks" ] ||
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target "$work/python" standardwebhooks==1.1.0
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
  done
}
trap finish EXIT

# Starts the binary and waits until it has said where it listens.
start() {
  local log=$1
  shift
  "$ABIDE" "$@" >"$log" 2>&1 &
  started+=($!)
  for _ in $(seq 100); do
    url=$(grep -oE 'http://127\.0\.0\.1:[0-9]+' "$log" | head -1 || true)
    [ -z "$url" ] || return 0
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

PYTHONPATH=$work/python python3 checks/webhooks/interop.py "$server" "$receiver" "$secret"
node "$work/interop.mjs" "$server" "$receiver" "$secret"
