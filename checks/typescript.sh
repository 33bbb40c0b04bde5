#!/usr/bin/env bash
# Builds the package for TypeScript, runs its tests, looks at what would be published, and installs that as a user does:
# the vendors' SDKs over pollUntil, Express, Vitest, a Worker, a page in Chromium, and every block of README.md and
# docs/typescript.md.
#
# Beside the recorded traces the port plays random histories that the core has just played, and random scenes beside the
# core as wasm, from SEED on.
#
# Usage: checks/typescript.sh
# Installs its tools from npm into sdks/typescript and target/checks/typescript, and Debian's npm and chromium where
# they are missing. ABIDE names the server's binary to test against; the debug build by default.
set -euo pipefail
cd "$(dirname "$0")/.."
source checks/common/shell.sh

# install: what package-lock.json lists; what is there already from the same list stays.
install() {
  if ! cmp -s package-lock.json node_modules/installed.json; then
    npm ci --no-audit --no-fund --loglevel=error
    cp package-lock.json node_modules/installed.json
  fi
}

packages npm=npm chromium=chromium
program
ABIDE=$(realpath "$ABIDE")
export ABIDE

work=$PWD/target/checks/typescript
package=$PWD/sdks/typescript
vectors=$(realpath -m "${CARGO_TARGET_DIR:-target}/debug/examples/vectors")
oracle=$(realpath -m "${CARGO_TARGET_DIR:-target}/wasm32-wasip1/debug/examples/oracle.wasm")
if rustup target add wasm32-wasip1 2>/dev/null; then
  cargo build --quiet --locked --package abide-core --example oracle --target wasm32-wasip1
else
  echo "skipped: to play beside the core needs rustup's target wasm32-wasip1"
  rm -f "$oracle"
fi
mkdir -p "$work"
(
  cd "$package"
  install
  npm run --silent build
  npm pack --silent --pack-destination "$work" >"$work/packed"
)

# What was packed, as a user has it, beside the package's own tests: it waits more than it computes.
cp checks/typescript/*.mjs checks/typescript/package*.json "$work"/
cd "$work"
install
rm -rf node_modules/abide-client
mkdir node_modules/abide-client
tar -xzf "$(cat packed)" -C node_modules/abide-client --strip-components 1
cd - >/dev/null

start "$work/serve.log" serve --ephemeral --listen 127.0.0.1:0 --rate-limit off --cors-origin '*' --duration 2s --error-chance 0
export SERVER_URL=$url DOCS="$PWD/README.md $PWD/docs/typescript.md $PWD/docs/workers.md $PWD/docs/migrating/000.md $PWD/docs/migrating/001.md $package/README.md"
export TSC=$package/node_modules/typescript/lib/tsc.js TYPES=$package/node_modules/@types
(
  cd "$work"
  timeout --kill-after=10 120 npx vitest run --reporter=dot vitest.spec.mjs
  # The output of passing tests has the table.
  timeout --kill-after=10 300 node --test --test-concurrency=4 --test-reporter=spec ./*.test.mjs
) >"$work/used.txt" 2>&1 &
used=$!

(
  cd "$package"
  npx prettier --check --log-level warn src test
  npx tsc -p test
  timeout --kill-after=10 600 node --test --test-reporter=dot test-build/
  seed=${SEED:-50000}
  if [ -x "$vectors" ]; then
    rm -rf "$work/traces"
    "$vectors" "$work/traces" "$seed" 100
    echo "the random histories of the seeds from $seed on:"
    TRACES=$work/traces timeout --kill-after=10 120 node --test --test-reporter=dot test-build/traces.test.js
  else
    echo "skipped: random histories need the example \`vectors\`, which cargo test builds"
  fi
  if [ -f "$oracle" ]; then
    ORACLE=$oracle SEED=$seed timeout --kill-after=10 120 \
      node --no-warnings --test --test-reporter=dot test-build/oracle.test.js
  fi
  npx publint --strict
  # The package is of ES modules alone.
  npx attw --pack . --profile esm-only --quiet
)
wait "$used" && status=0 || status=$?
cat "$work/used.txt"
exit "$status"
