#!/usr/bin/env bash
# Fuzzes what reads bytes from elsewhere: checks/fuzz.sh SECONDS [TARGET…], each target for SECONDS; all of `fuzz/targets.txt` by default.
#
# Needs a nightly toolchain and a compiler for C++. Without them the files that the targets begin with are run as tests, and the script says so.
# An input that breaks a promise is left in target/fuzz/found; `TARGET=NAME target/fuzz/fuzz FILE` plays it again. SEED makes a run repeatable.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
shift || true
room=$PWD/target/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
if ! cargo +nightly --version >/dev/null 2>&1 || ! command -v c++ >/dev/null; then
  echo "SKIPPED the fuzzer: it needs a nightly toolchain and a compiler for C++; the files that the targets begin with run as tests"
  cargo test --quiet --locked -p abide-testkit --all-features --test it corpora
  exit 0
fi

# What `cargo fuzz` passes, but for the address sanitizer: no code of ours is unsafe.
flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
flags="$flags -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
CARGO_TARGET_DIR=$room RUSTFLAGS=$flags \
  cargo +nightly build --quiet --locked --target "$host" --manifest-path fuzz/Cargo.toml --bin fuzz
ln -sf "$host/debug/fuzz" "$room/fuzz"
echo "built after $SECONDS s"

# One target for the time that it has; what it prints is kept.
fuzz() {
  local name=$1 folders=()
  for folder in $(sed -n "s/^$name //p" fuzz/targets.txt) "fuzz/corpus/$name"; do
    [ ! -d "$folder" ] || folders+=("$folder")
  done
  mkdir -p "$room/corpus/$name" "$room/found"
  TARGET=$name "$room/fuzz" "$room/corpus/$name" "${folders[@]}" -artifact_prefix="$room/found/$name-" -max_total_time="$seconds" -seed="${SEED:-0}" \
    -max_len=8192 -timeout=30 -rss_limit_mb=2048 >"$room/$name.log" 2>&1
}

if [ $# -eq 0 ]; then
  # shellcheck disable=SC2046 -- names are words
  set -- $(sed -n 's/^\([a-z][a-z]*\).*/\1/p' fuzz/targets.txt)
fi
failed=()
# Two at a time: each is one thread.
while [ $# -gt 0 ]; do
  pair=("${@:1:2}")
  shift "${#pair[@]}"
  running=()
  for name in "${pair[@]}"; do
    fuzz "$name" &
    running+=($!)
  done
  for n in "${!pair[@]}"; do
    name=${pair[$n]}
    wait "${running[$n]}" || { failed+=("$name") && tail -40 "$room/$name.log"; }
    echo "$name: $(grep -o '^Done .*' "$room/$name.log" || echo failed), $(grep -o 'cov: [0-9]*' "$room/$name.log" | tail -1)"
  done
done
[ ${#failed[@]} -eq 0 ] || { echo "${failed[*]} broke" && exit 1; }
echo "every target ran for $seconds s"
