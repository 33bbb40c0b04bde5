#!/usr/bin/env bash
# Times deliveries to good receivers, alone and then beside 300 receivers whose names never resolve, 900 bad ones and 5,000 endpoints in
# all: the slowest of a hundred takes half as long again at most. Both are measured in turns, and the medians of several
# rounds are compared, so that a busy machine counts for both alike. By hand, because it takes four minutes.
#
# Usage: checks/webhook-neighbors.sh [SECONDS OF EACH MEASUREMENT]
# ABIDE names the binary to try; the debug build by default. Needs root, for a name server of its own in a mount namespace.
set -euo pipefail
cd "$(dirname "$0")/.."
source checks/common/shell.sh
program
if [ "$(id -u)" != 0 ] || ! unshare --mount true 2>/dev/null; then
  echo "skipped: a name server of its own needs root and a mount namespace"
  exit 0
fi
ABIDE=$ABIDE exec unshare --mount python3 checks/webhooks/neighbors.py "$@"
