#!/usr/bin/env bash
# Opens the interactive documentation in a real, headless browser: every operation is there, nothing comes from another host, and nothing
# was kept from it by the policy that goes with the page.
#
# Installs Debian's chromium where it is missing. ABIDE names the binary to try, the debug build by default.
set -euo pipefail
cd "$(dirname "$0")/.."
source checks/common/shell.sh

work=target/checks/docs
mkdir -p "$work"
packages chromium=chromium curl=curl
program
start "$work/server.log" serve --listen 127.0.0.1:0 --ephemeral --rate-limit off --drain 0s

# Another host would have to be looked up, and none is found.
timeout --kill-after=5 240 chromium --headless --no-sandbox --disable-gpu --user-data-dir="$work/profile" --host-resolver-rules="MAP * ~NOTFOUND, EXCLUDE 127.0.0.1" \
  --enable-logging=stderr --v=0 --virtual-time-budget=10000 --dump-dom "$url/docs/" >"$work/page.html" 2>"$work/browser.log"

wanted=$(curl -sf "$url/openapi.json" | grep -o '"operationId":' | wc -l)
shown=$(grep -o 'class="opblock opblock-[a-z]*"' "$work/page.html" | wc -l)
if grep -E 'CONSOLE.*(violates|Refused|Failed|rror)' "$work/browser.log"; then
  echo "the page was kept from something" >&2
  exit 1
fi
[ "$shown" -eq "$wanted" ] || { echo "the page shows $shown of $wanted operations" >&2; exit 1; }
echo "the page shows all $shown operations"
