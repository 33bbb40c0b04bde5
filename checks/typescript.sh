#!/usr/bin/env bash
# Builds the package for TypeScript, runs its tests, and looks at what would be published.
#
# Usage: checks/typescript.sh
# Installs its tools from npm into sdks/typescript/node_modules, and Debian's npm where it is missing. ABIDE names the
# server's binary to test against; the debug build by default.
set -euo pipefail
cd "$(dirname "$0")/.."
source checks/common/shell.sh

packages npm=npm
program
ABIDE=$(realpath "$ABIDE")
export ABIDE

cd sdks/typescript
# What is there already from the same list stays.
if ! cmp -s package-lock.json node_modules/installed.json; then
  npm ci --no-audit --no-fund --loglevel=error
  cp package-lock.json node_modules/installed.json
fi
npx prettier --check --log-level warn src test
npm run --silent build
npx tsc -p test
timeout --kill-after=10 300 node --test --test-reporter=dot test-build/
npx publint --strict
# The package is of ES modules alone.
npx attw --pack . --profile esm-only --quiet
