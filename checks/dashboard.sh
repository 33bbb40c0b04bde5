#!/usr/bin/env bash
# Drives the dashboard in a real, headless browser: jobs, webhooks, simulator, keyboard alone, 10,000 rows, accessibility.
#
# Usage: checks/dashboard.sh [DIR]
# Pictures of every page go to target/checks/dashboard/images; `checks/dashboard.sh docs/images` also renews those of the documentation.
# Installs Debian's chromium and chromium-driver where they are missing, and two packages from npm. ABIDE names the
# binary to try; the debug build by default.
set -euo pipefail
cd "$(dirname "$0")/.."

work=target/checks/dashboard
images=$work/images
mkdir -p "$images"

missing=()
command -v chromium >/dev/null || missing+=(chromium)
command -v chromedriver >/dev/null || missing+=(chromium-driver)
command -v npm >/dev/null || missing+=(npm)
if [ "${#missing[@]}" -gt 0 ]; then
  echo "installing ${missing[*]}" >&2
  sudo=()
  [ "$(id -u)" -eq 0 ] || sudo=(sudo)
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" fonts-noto-core fonts-dejavu-core >/dev/null
fi

cp checks/dashboard/package.json checks/dashboard/package-lock.json checks/dashboard/*.mjs "$work"/
(cd "$work" && npm ci --no-audit --no-fund --loglevel=error)

ASSETS=$PWD/crates/server/assets/dashboard node --no-warnings --test --test-reporter=dot "$work/units.test.mjs"

if [ -z "${ABIDE:-}" ]; then
  cargo build --locked --quiet --package abide-cli
  ABIDE=${CARGO_TARGET_DIR:-target}/debug/abide
fi

servers=()
finish() {
  for server in "${servers[@]}"; do
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  done
}
trap finish EXIT

# Starts a server on a free port and puts its address into `url`, from what it says itself.
start() {
  local log=$1
  shift
  # The server empties the file only once it runs; an address of the last time must not be read.
  : >"$log"
  "$ABIDE" serve --listen 127.0.0.1:0 --ephemeral --rate-limit off "$@" >"$log" 2>&1 &
  servers+=($!)
  url=
  for _ in $(seq 100); do
    url=$(grep -oE 'http://127\.0\.0\.1:[0-9]+' "$log" | head -n 1 || true)
    [ -n "$url" ] && return
    kill -0 "$!" 2>/dev/null || break
    sleep 0.1
  done
  echo "the server didn't start:" >&2
  cat "$log" >&2
  exit 1
}

start "$work/keyed.log" --api-key a-key-for-the-test --clock manual
keyed=$url
# The default job stays out of the way: its end would be told to the receiver too.
start "$work/server.log" --webhook-retry 0s,1h --default-job-delay 1h

# Takes a minute and a half on two idle cores; the rest is room for a busy machine.
timeout --kill-after=10 290 node "$work/drive.mjs" "$url" "$keyed" "$images" || {
  code=$?
  echo "the last lines of the server's log:" >&2
  tail -n 20 "$work/server.log" >&2
  exit "$code"
}

if [ -n "${1:-}" ]; then
  mkdir -p "$1"
  for name in jobs-1600-light job-1600-light job-1600-dark report-1600-light webhooks-1600-light simulator-1600-light jobs-390-dark job-390-light; do
    cp "$images/dashboard-$name.png" "$1/"
  done
fi
