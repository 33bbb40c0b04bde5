#!/usr/bin/env bash
# Kills a server under load and reads every acknowledged job back, again and again: checks/kill.sh [ROUNDS], 1,000 by default. Needs Python.
set -euo pipefail
cd "$(dirname "$0")/.."

abide=${ABIDE:-$PWD/target/debug/abide}
[ -x "$abide" ] || cargo build --quiet --locked -p abide-cli
python3 checks/shim/kill.py "$abide" --rounds "${1:-1000}"
