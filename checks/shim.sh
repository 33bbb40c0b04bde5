#!/usr/bin/env bash
# Lets every n-th call to files and sockets fail under a real server, and gives it little memory and few descriptors:
#   checks/shim.sh [HISTORIES]
# plays that number of them, drawn by SEED; all by default. Needs cc and Python.
set -euo pipefail
cd "$(dirname "$0")/.."

abide=${ABIDE:-$PWD/target/debug/abide}
command -v cc >/dev/null || { echo "SKIPPED: there is no cc"; exit 0; }
[ -x "$abide" ] || cargo build --quiet --locked -p abide-cli
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cc -O1 -Wall -Wextra -shared -fPIC -o "$room/fail.so" checks/shim/fail.c -ldl
python3 checks/shim/nth.py "$abide" "$room/fail.so" --jobs "$(nproc)" ${1:+--sample "$1"}
