#!/usr/bin/env bash
# Checks what the project is linked with, by deny.toml: see checks/chain/chain.py.
#
# Usage: checks/chain.sh [ADVISORY_DB]
# Installs from PyPI into target/checks/chain what reads licenses and versions, and Debian's python3-venv where that is
# missing.
set -euo pipefail
cd "$(dirname "$0")/.."
source checks/common/shell.sh

packages python3=python3
work=target/checks/chain
if ! [ -x "$work/bin/python" ] || ! cmp -s checks/chain/requirements.txt "$work/installed.txt"; then
  python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
  python3 -m venv "$work"
  "$work/bin/pip" install --quiet --disable-pip-version-check -r checks/chain/requirements.txt
  cp checks/chain/requirements.txt "$work/installed.txt"
fi
"$work/bin/python" checks/chain/chain.py "$@"
