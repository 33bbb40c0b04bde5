#!/usr/bin/env bash
# Whether adding abide to a program changes anything for the program's own reqwest and rustls: three programs that use them
# with other features are built and run beside it. Offline, once their crates are there; the first time it fetches them.
set -euo pipefail
cd "$(dirname "$0")/harmless"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$(cd ../.. && pwd)/target}/harmless"

# The versions of the project, and for what it doesn't use itself the newest.
cp ../../Cargo.lock .
cargo fetch --offline >/dev/null 2>&1 || cargo fetch
build() { cargo build --quiet --locked --offline -p "$1"; }
has() { cargo tree --locked --offline -p "$1" -e normal,features --prefix none | grep -qE "$2"; }

if has plain '^(rustls|ring|aws-lc-rs|hyper-rustls|h2) v'; then
    echo "harmless: abide brings TLS or HTTP/2 by default" >&2
    exit 1
fi
if has defaults '^rustls feature "ring"'; then
    echo "harmless: abide's feature tls turns a provider of rustls on" >&2
    exit 1
fi

build plain
if said=$("$CARGO_TARGET_DIR/debug/plain" 2>&1); then
    echo "harmless: a server answers on port 1" >&2
    exit 1
fi
# A failed main shows one line, a sentence.
if [[ $said != "Error: job job_1: no connection could be made: "* || $said == *$'\n'* || $said == *'{'* ]]; then
    printf 'harmless: a failed main shows:\n%s\n' "$said" >&2
    exit 1
fi
for program in defaults provider; do
    build "$program"
    "$CARGO_TARGET_DIR/debug/$program"
done
echo "harmless: reqwest and rustls work as before beside abide; a failed main shows: $said"
