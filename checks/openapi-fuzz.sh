#!/usr/bin/env bash
# Lets a property-based fuzzer loose on every route that the description has, with and without API keys: no answer is a 5xx, none is
# outside the description, nothing invalid is taken and nothing valid refused.
#
# Usage: checks/openapi-fuzz.sh [SECONDS]
# Takes that long and a little more, 30 s by default, for the two servers side by side. Installs schemathesis from PyPI into target/. ABIDE
# names the binary to try, the debug build by default.
#
# Every run has a seed of its own, which it prints and SEED repeats: a fixed one would try the same requests for ever, and what
# another finds is as much a fault.
set -euo pipefail
cd "$(dirname "$0")/.."
source checks/common/shell.sh

seconds=${1:-30}
seed=${SEED:-$RANDOM}
work=target/checks/openapi-fuzz
mkdir -p "$work"
echo "seed $seed"

if [ ! -x "$work/venv/bin/schemathesis" ]; then
  packages python3=python3
  # Debian has what makes environments in a package of its own.
  python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet --disable-pip-version-check schemathesis==4.32.5
fi
program

# fuzz NAME VARIABLE… -- FLAG…: everything that the fuzzer thinks of, sent to the server at `url`.
fuzz() {
  local name=$1 variables=()
  shift
  while [ "$1" != -- ]; do
    variables+=("$1")
    shift
  done
  shift
  # It is the time that ends a run, not the number of examples. More than thirty guesses of a key in a minute would have the fuzzer's address
  # refused, with the right key too, so it doesn't guess; a test of the server does.
  (
    cd "$work"
    env SCHEMATHESIS_HOOKS=../../../checks/openapi-fuzz/hooks.py "${variables[@]}" \
      timeout --kill-after=5 $((seconds * 3 + 60)) venv/bin/schemathesis --config-file ../../../checks/openapi-fuzz/schemathesis.toml run "$url/openapi.json" "$@" \
      --checks all --exclude-checks missing_required_header,ignored_auth --phases examples,coverage,fuzzing,stateful --mode all --max-examples 15 --max-time "$seconds" --seed "$seed" --workers 1 \
      --request-timeout 10 --generation-database none --suppress-health-check all --warnings off --no-color
  ) >"$work/$name.txt" 2>&1
}

limits=(--listen 127.0.0.1:0 --ephemeral --rate-limit off --hold-max 1s --drain 0s)
start "$work/open.log" serve "${limits[@]}" --duration 20ms
fuzz open -- &
fuzzers=($!)
start "$work/keyed.log" serve "${limits[@]}" --clock manual --webhook-allow 127.0.0.0/8 --api-key test:admin:a-key-for-the-test-of-it
# On a clock that stands still the stream of a job that runs stays silent, and the fuzzer takes silence for the end of the server.
fuzz keyed KEY=a-key-for-the-test-of-it -- --exclude-path-regex '/events$' &
fuzzers+=($!)

failed=0
for n in 0 1; do
  name=$([ "$n" = 0 ] && echo open || echo keyed)
  if wait "${fuzzers[$n]}"; then
    echo "$name: $(grep -E '[0-9]+ generated' "$work/$name.txt" || true)"
  else
    cat "$work/$name.txt" >&2
    failed=1
  fi
  # Still there, and whatever was asked of it was not its fault.
  if ! kill -0 "${started[$n]}" || grep -E '"?(ERROR|panicked)' "$work/$name.log" >&2; then
    echo "$name: the server has logged a fault, or ended" >&2
    failed=1
  fi
done
if [ "$failed" -ne 0 ]; then
  echo "again with: SEED=$seed checks/openapi-fuzz.sh $seconds" >&2
  exit 1
fi
echo "every answer was in the description"
