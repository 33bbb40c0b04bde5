#!/usr/bin/env bash
# Measures servers that Debian has, the way the benchmark measures ours: nginx for reads, nginx with nchan for held requests, and
# Redis with a sync for every write for durable creates. Run it right after `abide-bench`, on the same machine.
#
# Usage: crates/bench/peers.sh [PARKED]
# PARKED is how many requests are held, 10000 by default. Installs nginx-light, libnginx-mod-nchan and redis-server where they
# are missing. Each peer runs on the first core, the load on the second.
set -euo pipefail
cd "$(dirname "$0")/../.."
parked=${1:-10000}

missing=()
[ -e /usr/sbin/nginx ] || missing+=(nginx-light)
[ -e /usr/lib/nginx/modules/ngx_nchan_module.so ] || missing+=(libnginx-mod-nchan)
command -v redis-server >/dev/null || missing+=(redis-server)
if [ "${#missing[@]}" -gt 0 ]; then
  echo "installing ${missing[*]}" >&2
  sudo=()
  [ "$(id -u)" -eq 0 ] || sudo=(sudo)
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

cargo build --locked --quiet --release --package abide-bench
bench=${CARGO_TARGET_DIR:-target}/release/abide-bench
ulimit -n "$(ulimit -Hn)"
work=$(mktemp -d)
peers=()
finish() {
  for peer in "${peers[@]}"; do
    kill "$peer" 2>/dev/null || true
    wait "$peer" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap finish EXIT

# A port that nobody listens on at the moment.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
await_port() { for _ in $(seq 100); do (: >"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return; sleep 0.05; done; echo "nothing listens on $1" >&2; exit 1; }

port=$(free_port)
cat >"$work/nginx.conf" <<CONF
load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
daemon off; master_process off; pid $work/nginx.pid; error_log $work/error.log;
worker_rlimit_nofile $(ulimit -n);
events { worker_connections $(($(ulimit -n) - 100)); }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  nchan_shared_memory_size 512m;
  client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/fastcgi;
  uwsgi_temp_path $work/uwsgi; scgi_temp_path $work/scgi;
  server {
    listen 127.0.0.1:$port backlog=4096;
    location = /read { default_type application/json; return 200 '{"filling":"$(printf 'x%.0s' $(seq 676))"}'; }
    location = /wait { nchan_subscriber longpoll; nchan_channel_id one; nchan_subscriber_timeout 600; }
  }
}
CONF
taskset -c 0 /usr/sbin/nginx -c "$work/nginx.conf" -e "$work/error.log" & peers+=($!)
await_port "$port"
echo "nginx, reads: $("$bench" probe reads --address "127.0.0.1:$port" --pid "${peers[0]}" --path /read)"
echo "nginx with nchan, $parked held: $("$bench" probe parked --address "127.0.0.1:$port" --pid "${peers[0]}" --path /wait --connections "$parked")"

port=$(free_port)
taskset -c 0 redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly yes --appendfsync always --dir "$work" >/dev/null & peers+=($!)
await_port "$port"
for connections in 64 256; do
  rate=$(taskset -c 1 redis-benchmark -p "$port" -c "$connections" -n 100000 -d 300 -t set --csv | awk -F'"' 'END { print $4 }')
  echo "Redis, appendfsync always, $connections connections: $rate writes/s"
done
