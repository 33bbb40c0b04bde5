#!/usr/bin/env bash
# Builds the package for Python, checks its style and types, runs its tests and the examples of its documentation, and
# installs the wheel as a user does: the READMEs' examples and the vendors' SDKs over poll_until.
#
# Usage: checks/python.sh [PYTEST-ARGUMENT…]
# Installs its tools from PyPI into target/checks/python, and Debian's python3-venv and npm where they are missing.
# ABIDE names the server's binary to test against; the debug build by default.
set -euo pipefail
cd "$(dirname "$0")/.."
source checks/common/shell.sh

packages python3=python3 npm=npm
python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
program
ABIDE=$(realpath "$ABIDE")
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}/python")
export ABIDE CARGO_TARGET_DIR

work=$(realpath -m target/checks/python)
mkdir -p "$work"
[ -x "$work/bin/python" ] || python3 -m venv "$work"
export VIRTUAL_ENV=$work PATH=$work/bin:$PATH

cd bindings/python
# What is there already from the same list stays.
if ! cmp -s tests/requirements.txt "$work/installed.txt"; then
  pip install --quiet --disable-pip-version-check -r tests/requirements.txt
  cp tests/requirements.txt "$work/installed.txt"
fi
cargo fmt --check
ruff format --quiet --check . ../../checks/python
ruff check --quiet .
# What a script of ours prints is its result.
ruff check --quiet --ignore T201 ../../checks/python
maturin develop --quiet --locked
# Beside the tests, most of which wait more than they compute.
(
  mypy
  mypy ../../checks/python
  python -m mypy.stubtest abide_client._core
  pyright --warnings
) >"$work/types.txt" 2>&1 &
types=$!
# The wheel as a user installs it, with the vendors' SDKs, in an environment that has nothing else. It is of the debug
# build.
(
  rm -rf "$work/wheels"
  maturin build --quiet --locked --out "$work/wheels"
  empty=$work/empty
  [ -x "$empty/bin/python" ] || python -m venv "$empty"
  pip() { "$empty/bin/python" -m pip --disable-pip-version-check "$@"; }
  pip install --quiet -r <(grep -E '^(httpx|httpx2|openai|replicate|runwayml)==' tests/requirements.txt)
  pip install --quiet --force-reinstall --no-deps "$work"/wheels/abide_client-*.whl
  cd ../..
  "$empty/bin/python" checks/python/examples.py README.md bindings/python/README.md
  timeout --kill-after=10 240 "$empty/bin/python" checks/python/vendors.py
) >"$work/wheel.txt" 2>&1 &
wheel=$!
timeout --kill-after=10 400 pytest -n 4 "$@"
wait "$wheel" && status=0 || status=$?
cat "$work/wheel.txt"
wait "$types" || status=$?
cat "$work/types.txt"
exit "$status"
