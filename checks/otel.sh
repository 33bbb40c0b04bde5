#!/usr/bin/env bash
# Builds the program with the feature `otel` and looks at what a collector gets of it. Where the tests were built with all features it is
# there already; else all that uses what the feature changes is compiled once more, which takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test --workspace --all-features --locked --quiet --test otel
