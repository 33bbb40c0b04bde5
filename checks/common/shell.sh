# What the checks have in common: sourced by them, from the root of the repository.

# packages COMMAND=PACKAGE…: installs those of Debian's packages whose command is missing.
packages() {
  local missing=() pair
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
  done
  [ "${#missing[@]}" -eq 0 ] || install_packages "${missing[@]}"
}

# install_packages PACKAGE…: where several checks run at once, one after the other.
install_packages() {
  echo "installing $*" >&2
  local sudo=()
  [ "$(id -u)" -eq 0 ] || sudo=(sudo)
  mkdir -p target/checks
  (
    flock 9
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" apt-get install -y -qq --no-install-recommends "$@" >/dev/null
  ) 9>target/checks/packages.lock
}

# Builds the programs as `cargo test --workspace --all-features` does, so that they are there already where the tests have run: with
# `--package`, the crates below would have other features and all be compiled once more.
programs() {
  cargo test --workspace --all-features --locked --quiet --no-run --test it
}

# Puts the program to try into `ABIDE`, unless it names one already: the debug build.
program() {
  if [ -z "${ABIDE:-}" ]; then
    programs
    ABIDE=${CARGO_TARGET_DIR:-target}/debug/abide
  fi
}

# Ends what was started, whichever way the check ends.
started=()
finish() {
  local process
  for process in "${started[@]}"; do
    kill "$process" 2>/dev/null || true
    wait "$process" 2>/dev/null || true
  done
}
trap finish EXIT

# start LOG WORD…: runs the program with these words beside the check, and puts the address that it says it listens at into `url`.
start() {
  local log=$1
  shift
  # The program empties the file only once it runs; an address of the last time must not be read.
  : >"$log"
  "$ABIDE" "$@" >>"$log" 2>&1 &
  started+=($!)
  # Half a minute at most: an idle machine takes a tenth of a second.
  for _ in $(seq 300); do
    url=$(grep -oE 'http://127\.0\.0\.1:[0-9]+' "$log" | head -n 1 || true)
    [ -z "$url" ] || return 0
    kill -0 "$!" 2>/dev/null || break
    sleep 0.1
  done
  echo "the program didn't start:" >&2
  cat "$log" >&2
  return 1
}
