#!/usr/bin/env bash
# Runs the files of operators by the programs that they are for: nginx and Caddy as proxies with a full hold, a stream and a webhook through each;
# Prometheus with the alerts, and every query of alerts and Grafana's dashboard; Compose.
#
# Usage: checks/operations.sh
# Takes a minute, most of which a held request is held. Installs Debian's nginx, Caddy, Prometheus and Compose where they are missing. No Grafana and no
# container runs: the dashboard's queries are asked of Prometheus, and Compose reads its file. ABIDE names the binary to try; the debug build by default.
set -euo pipefail
cd "$(dirname "$0")/.."
source checks/common/shell.sh

packages nginx=nginx-light caddy=caddy promtool=prometheus docker-compose=docker-compose python3=python3 openssl=openssl curl=curl
python3 -c 'import yaml' 2>/dev/null || install_packages python3-yaml
program
work=$(mktemp -d)
trap 'finish; rm -rf "$work"' EXIT

# A server as the proxies' files say.
printf 'ops:admin:a-secret-of-the-operators\nann:user:a-secret-of-a-client-of-ours\n' >"$work/keys"
start "$work/abide.log" serve --listen 127.0.0.1:0 --data "$work/data" --trusted-proxy 127.0.0.1 --api-key-file "$work/keys" --webhook-allow 127.0.0.1 \
  --default-job-delay 1h --webhook-retry 0s
python3 checks/operations/operations.py "$work" "$url" a-secret-of-the-operators

echo "packaging/compose.yml"
mkdir -p "$work/packaging"
cp packaging/compose.yml "$work/packaging/"
(cd "$work" && docker-compose -f packaging/compose.yml config -q)
# The flags are those of the program.
python3 -c 'import sys, yaml; print(*yaml.safe_load(open("packaging/compose.yml"))["services"]["abide"]["command"][1:], sep="\n")' >"$work/flags"
sed -i "s#/run/secrets/keys#$work/keys#" "$work/flags"
mapfile -t flags <"$work/flags"
"$ABIDE" config "${flags[@]}" >/dev/null
