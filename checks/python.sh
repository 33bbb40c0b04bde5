#!/usr/bin/env bash
# Builds the package for Python, checks its style and types, and runs its tests and the examples of its documentation.
#
# Usage: checks/python.sh [PYTEST-ARGUMENT…]
# Installs its tools from PyPI into target/checks/python, and Debian's python3-venv and npm where they are missing. ABIDE names
# the server's binary to test against; the debug build by default.
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
ruff format --quiet --check .
ruff check --quiet .
maturin develop --quiet --locked
mypy
python -m mypy.stubtest abide_client._core
pyright --warnings
# Most of the tests wait more than they compute.
timeout --kill-after=10 400 pytest -n 4 "$@"
