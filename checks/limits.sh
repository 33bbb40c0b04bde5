#!/usr/bin/env bash
# Tries the worst client for each limit on a server that may use 2 GiB of address space: it stays up, says no by name, and answers
# others in time. By hand, because it takes minutes and what it measures wants an idle machine; a release build is worth more.
#
# Usage: checks/limits.sh [SCENE…]
# ABIDE names the binary to try; the debug build by default.
set -euo pipefail
cd "$(dirname "$0")/.."
source checks/common/shell.sh
program
ABIDE=$ABIDE exec python3 checks/limits/limits.py "$@"
