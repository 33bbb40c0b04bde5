#!/usr/bin/env bash
# Lets a property-based fuzzer loose on every route that the description has, with and without API keys: no answer is a 5xx, none is
# outside the description, nothing invalid is taken and nothing valid refused.
#
# Usage: checks/openapi-fuzz.sh [SECONDS]
# Takes that long for each of the two servers, 30 s by default. Installs schemathesis from PyPI into target/. ABIDE names the binary to try, the
# debug build by default; SEED repeats a run.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-30}
seed=${SEED:-$RANDOM}
work=target/checks/openapi-fuzz
mkdir -p "$work"

if [ ! -x "$work/venv/bin/schemathesis" ]; then
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet --disable-pip-version-check schemathesis==4.32.5
fi

if [ -z "${ABIDE:-}" ]; then
  cargo build --locked --quiet --package abide-cli
  ABIDE=${CARGO_TARGET_DIR:-target}/debug/abide
fi

server=
finish() {
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
}
trap finish EXIT

# fuzz NAME FLAGS…: a server with these flags, and everything that the fuzzer thinks of.
fuzz() {
  local name=$1
  shift
  local key=()
  local without=()
  if [ "$name" = keyed ]; then
    key=(KEY=a-key-for-the-test)
    # On a clock that stands still the stream of a job that runs stays silent, and the fuzzer takes silence for the end of the server.
    without=(--exclude-path-regex '/events$')
  fi
  "$ABIDE" serve --listen 127.0.0.1:0 --ephemeral --rate-limit off --hold-max 1s --drain 0s "$@" >"$work/$name.log" 2>&1 &
  server=$!
  local url=
  for _ in $(seq 100); do
    url=$(grep -oE 'http://127\.0\.0\.1:[0-9]+' "$work/$name.log" | head -n 1 || true)
    [ -n "$url" ] && break
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  [ -n "$url" ] || { cat "$work/$name.log" >&2; exit 1; }
  echo "$name: seed $seed"
  # Less than a tenth of these are ever needed; the time is what ends a run.
  (
    cd "$work"
    env SCHEMATHESIS_HOOKS=../../../checks/openapi-fuzz/hooks.py "${key[@]}" \
      timeout --kill-after=5 $((seconds * 3)) venv/bin/schemathesis --config-file ../../../checks/openapi-fuzz/schemathesis.toml run "$url/openapi.json" "${without[@]}" \
      --checks all --exclude-checks missing_required_header --phases examples,coverage,fuzzing,stateful --mode all --max-examples 15 --max-time "$seconds" --seed "$seed" --workers 1 \
      --request-timeout 10 --generation-database none --suppress-health-check all --warnings off --no-color
  )
  # Still there, and whatever was asked of it was not its fault.
  kill -0 "$server"
  if grep -E '"?(ERROR|panicked)' "$work/$name.log"; then
    echo "the server has logged a fault" >&2
    exit 1
  fi
  finish
  server=
}

fuzz open --duration 20ms
fuzz keyed --clock manual --api-key a-key-for-the-test
echo "every answer was in the description"
