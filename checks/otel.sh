#!/usr/bin/env bash
# Builds the program with the feature `otel` and looks at what a collector gets of it.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test --locked --quiet --package abide-cli --features otel --test it otel
