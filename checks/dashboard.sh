#!/usr/bin/env bash
# Drives the dashboard in a real, headless browser: jobs, webhooks, simulator, keyboard alone, 10,000 rows, accessibility.
#
# Usage: checks/dashboard.sh [DIR]
# The pictures go to DIR, target/checks/dashboard/images by default; `checks/dashboard.sh docs/images` renews those of the documentation.
# Installs Debian's chromium and chromium-driver where they are missing, and two packages from npm. ABIDE names the
# binary to try; the debug build by default.
set -euo pipefail
cd "$(dirname "$0")/.."

work=target/checks/dashboard
images=${1:-$work/images}
mkdir -p "$work" "$images"

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

log=$work/server.log
state=$(mktemp -d)
: >"$log"
"$ABIDE" serve --listen 127.0.0.1:0 --ephemeral --data "$state" --rate-limit off --webhook-retry 0s,1h --log info --log-format text >"$log" 2>&1 &
server=$!
finish() {
  kill "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
  rm -rf "$state"
}
trap finish EXIT

# The server says where it listens, since it was left to take a free port.
url=
for _ in $(seq 100); do
  url=$(grep -oE 'http://127\.0\.0\.1:[0-9]+|127\.0\.0\.1:[1-9][0-9]*' "$log" | head -n 1 || true)
  [ -n "$url" ] && break
  kill -0 "$server" 2>/dev/null || break
  sleep 0.1
done
if [ -z "$url" ]; then
  echo "the server didn't start:" >&2
  cat "$log" >&2
  exit 1
fi
case $url in http*) ;; *) url=http://$url ;; esac

timeout --kill-after=10 170 node "$work/drive.mjs" "$url" "$images" || {
  code=$?
  echo "the last lines of the server's log:" >&2
  tail -n 20 "$log" >&2
  exit "$code"
}
