#!/usr/bin/env bash
# Keeps a server under constant load and judges whether memory, descriptors, files or latencies grow: checks/soak.sh [SECONDS], an hour by
# default. Draws them to target/soak.svg. Needs Python.
set -euo pipefail
cd "$(dirname "$0")/.."

abide=${ABIDE:-$PWD/target/debug/abide}
[ -x "$abide" ] || cargo build --quiet --locked -p abide-cli
mkdir -p target
python3 checks/shim/soak.py "$abide" --seconds "${1:-3600}" --svg target/soak.svg
