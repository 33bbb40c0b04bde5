#!/usr/bin/env bash
# Has the official Standard Webhooks libraries for Python and JavaScript verify what our server signs, and our receiver
# verify what they sign; rotation of secrets included. The receiver that docs/webhooks.md shows for Python is attacked.
#
# Usage: checks/webhook-interop.sh
# Installs the two libraries from PyPI and npm into target/checks/webhooks, and Debian's python3-pip and npm where they
# are missing. ABIDE names the binary to try; the debug build by default.
set -euo pipefail
cd "$(dirname "$0")/.."
source checks/common/shell.sh

work=target/checks/webhooks
mkdir -p "$work"

packages python3=python3 npm=npm
python3 -m pip --version >/dev/null 2>&1 || install_packages python3-pip
[ -d "$work/python/standardwebhooks" ] ||
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target "$work/python" standardwebhooks==1.1.0
[ -d "$work/node_modules/standardwebhooks" ] ||
  (cd "$work" && npm install --no-audit --no-fund --no-save --loglevel=error standardwebhooks@1.1.1 >/dev/null)
cp checks/webhooks/interop.mjs "$work/"

program

secret=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw
start "$work/serve.log" serve --ephemeral --listen 127.0.0.1:0
server=$url
start "$work/listen.log" listen --no-register --secret "$secret"
receiver=$url/

# Nothing here takes a tenth of that.
PYTHONPATH=$work/python timeout 180 python3 checks/webhooks/interop.py "$server" "$receiver" "$secret"
PYTHONPATH=$work/python timeout 180 python3 checks/webhooks/page.py "$ABIDE" "$secret"
timeout 180 node "$work/interop.mjs" "$server" "$receiver" "$secret"
