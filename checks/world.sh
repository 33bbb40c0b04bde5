#!/usr/bin/env bash
# Plays simulated worlds by hand: checks/world.sh SEEDS [FIRST]. Prints each seed that breaks a promise, with its shrunk replay.
set -euo pipefail
cd "$(dirname "$0")/.."

seeds=${1:-10000} first=${2:-1}
cargo build --quiet --locked --release -p abide-testkit --features sabotage --bin world
world=target/release/world
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if "$world" --seed "$first" --count "$seeds" --jobs "$(nproc)" | tee "$log"; then exit 0; fi
grep -o '^seed [0-9]*' "$log" | head -5 | while read -r _ seed; do "$world" --seed "$seed" --shrink; done
exit 1
