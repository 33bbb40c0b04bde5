#!/usr/bin/env bash
# Counts the instructions of the hot paths of the server, and of the client's learning, and compares them with
# crates/bench/instructions.tsv.
#
# Usage: checks/instructions.sh [--release] [--record]
# Time on a shared machine is noise; instructions are the same every time, but for the seeds of hash tables. Each bit of
# work is done twice, with different counts, and the difference divided is what one costs, so that starting up counts
# for nothing. Fails where one costs more than its ceiling. `--record` writes what was counted, with 3 % on top, as the
# new ceilings. The debug build is counted by default, because the tests have built it already; `--release` counts what
# is shipped. Installs Debian's valgrind where it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
source checks/common/shell.sh

profile=dev directory=debug record=
for argument in "$@"; do
  case "$argument" in
    --release) profile=release directory=release ;;
    --record) record=1 ;;
    *) echo "unknown: $argument" >&2; exit 2 ;;
  esac
done

packages valgrind=valgrind
if [ "$profile" = dev ]; then
  programs
else
  cargo build --locked --quiet --package abide-bench --profile "$profile"
fi
bench=${CARGO_TARGET_DIR:-target}/$directory/abide-bench
ceilings=crates/bench/instructions.tsv
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Work, and how often: so often that one more hash table that grows makes no difference.
few=20 many=100
# Valgrind reads all debugging information before it begins, and takes longer for that than for the work.
strip -o "$work/bench" "$bench"
# Without a simulated cache, cachegrind only counts, which is the quickest.
count() { # WORK TIMES
  timeout 300 valgrind --tool=cachegrind --cache-sim=no --cachegrind-out-file=/dev/null \
    "$work/bench" work "$1" --count "$2" >/dev/null 2>"$work/$1.$2.log" || { cat "$work/$1.$2.log" >&2; exit 1; }
  sed -n 's/.*I *refs: *//p' "$work/$1.$2.log" | tr -d ,
}

failed=0
counted=()
printf '%-10s %12s %12s\n' work instructions ceiling
for name in read classic dialect unchanged ordinary create wake stream timer learn; do
  count "$name" "$few" >"$work/few" &
  count "$name" "$many" >"$work/many" &
  wait %1 && wait %2
  each=$((($(cat "$work/many") - $(cat "$work/few")) / (many - few)))
  counted+=("$name $each")
  ceiling=$(awk -v name="$name" -v profile="$profile" '$1 == profile && $2 == name { print $3 }' "$ceilings" 2>/dev/null || true)
  printf '%-10s %12d %12s\n' "$name" "$each" "${ceiling:-none}"
  if [ -n "$ceiling" ] && [ "$each" -gt "$ceiling" ]; then
    echo "$name costs more than its ceiling: $each instructions instead of $ceiling" >&2
    failed=1
  fi
done

if [ -n "$record" ]; then
  {
    grep -v "^$profile[[:space:]]" "$ceilings" 2>/dev/null || printf '# profile\twork\tinstructions at most; written by checks/instructions.sh --record\n'
    for line in "${counted[@]}"; do
      read -r name each <<<"$line"
      printf '%s\t%s\t%d\n' "$profile" "$name" $((each * 103 / 100))
    done
  } >"$work/ceilings"
  cp "$work/ceilings" "$ceilings"
  exit 0
fi
exit "$failed"
