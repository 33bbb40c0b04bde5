#!/usr/bin/env bash
# Drives the dashboard in a real, headless browser: jobs, webhooks, simulator, keyboard alone, 10,000 rows, accessibility.
#
# Usage: checks/dashboard.sh [DIR]
# Pictures of every page go to target/checks/dashboard/images; `checks/dashboard.sh docs/images` also renews those of the documentation.
# Installs Debian's chromium and chromium-driver where they are missing, and two packages from npm. ABIDE names the
# binary to try; the debug build by default.
set -euo pipefail
cd "$(dirname "$0")/.."
source checks/common/shell.sh

work=target/checks/dashboard
images=$work/images
mkdir -p "$images"

packages chromedriver=chromium-driver npm=npm
command -v chromium >/dev/null || install_packages chromium fonts-noto-core fonts-dejavu-core

cp checks/dashboard/package.json checks/dashboard/package-lock.json checks/dashboard/*.mjs "$work"/
# What is there already from the same list stays.
if ! cmp -s checks/dashboard/package-lock.json "$work/node_modules/installed.json"; then
  (cd "$work" && npm ci --no-audit --no-fund --loglevel=error)
  cp checks/dashboard/package-lock.json "$work/node_modules/installed.json"
fi

ASSETS=$PWD/crates/server/assets/dashboard node --no-warnings --test --test-reporter=dot "$work/units.test.mjs"

program

limits=(--listen 127.0.0.1:0 --ephemeral --rate-limit off)
start "$work/keyed.log" serve "${limits[@]}" --api-key test:admin:a-key-for-the-test-of-it --clock manual
keyed=$url
start "$work/full.log" serve "${limits[@]}"
full=$url
# The default job stays out of the way: its end would be told to the receiver too.
start "$work/server.log" serve "${limits[@]}" --webhook-retry 0s,1h --default-job-delay 1h

# Takes less than a minute on two idle cores; the rest is room for a busy machine.
timeout --kill-after=10 420 node "$work/drive.mjs" "$url" "$keyed" "$full" "$images" || {
  code=$?
  echo "the last lines of the server's log:" >&2
  tail -n 20 "$work/server.log" >&2
  exit "$code"
}

if [ -n "${1:-}" ]; then
  mkdir -p "$1"
  for name in job report webhooks simulator; do
    cp "$images/dashboard-$name-1600-light.png" "$1/"
  done
fi
