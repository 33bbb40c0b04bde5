#!/usr/bin/env bash
# Keeps jobs in a real PostgreSQL while servers are killed, stopped and succeeded, and the database is restarted, and judges
# what was acknowledged against the log; then strikes the leader of three nodes, each in a network namespace of its own
# where this user can make one. Before that, the journal's tests over the same database; after it, failovers of pairs of
# PostgreSQL under three nodes, TLS, what a server says to a database that it can't use, and the cluster's files in
# packaging/ without containers.
#
# Usage: checks/cluster.sh [ROUNDS [NODES]]
# 20 rounds of each by default, about four minutes. Starts a PostgreSQL of its own from the system's binaries; without
# them it says so and checks nothing. ABIDE names the binary to try; the debug build by default. With TESTS=off the
# journal's tests are left out.
set -euo pipefail
cd "$(dirname "$0")/.."
source checks/common/shell.sh

bin=$(dirname "$(readlink -f "$(command -v pg_ctl || ls /usr/lib/postgresql/*/bin/pg_ctl 2>/dev/null | tail -n 1)" 2>/dev/null)" 2>/dev/null || true)
if [ ! -x "$bin/initdb" ]; then
  echo "SKIPPED: no PostgreSQL on this machine; install Debian's postgresql" >&2
  exit 0
fi
packages python3=python3 setpriv=util-linux
program

work=$(mktemp -d)
chmod 755 "$work"
# PostgreSQL doesn't run as root.
as=()
if [ "$(id -u)" -eq 0 ]; then
  as=(setpriv --reuid=65534 --regid=65534 --clear-groups env HOME="$work")
  chown 65534 "$work"
fi
stop() {
  "${as[@]}" "$bin/pg_ctl" -D "$work/data" -m immediate stop >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap stop EXIT
"${as[@]}" "$bin/initdb" -D "$work/data" -A trust -U abide --no-instructions >/dev/null
# Nodes in namespaces reach it at the addresses of their bridges.
listen=127.0.0.1
if [ "$(id -u)" -eq 0 ]; then
  listen='*'
  "${as[@]}" sh -c "echo 'host all all 10.83.0.0/16 trust' >>'$work/data/pg_hba.conf'"
fi
# Any free port: the database asks for it until one is free.
for _ in $(seq 10); do
  port=$((20000 + RANDOM % 30000))
  printf "port = %d\nlisten_addresses = '%s'\nunix_socket_directories = '%s'\n" "$port" "$listen" "$work" >"$work/conf"
  "${as[@]}" sh -c "cat '$work/conf' >>'$work/data/postgresql.conf'"
  "${as[@]}" "$bin/pg_ctl" -D "$work/data" -l "$work/postgres.log" -w -t 60 start >/dev/null && break
  port=
done
[ -n "$port" ] || { cat "$work/postgres.log" >&2; exit 1; }
database=postgres://abide@127.0.0.1:$port/postgres

if [ "${TESTS:-on}" != off ]; then
  echo "the journal's tests, the negative controls among them"
  ABIDE_TEST_DATABASE=$database cargo test --workspace --all-features --locked --quiet --lib journal::
fi
restart="${as[*]} $bin/pg_ctl -D $work/data -m immediate -w stop; ${as[*]} $bin/pg_ctl -D $work/data -l $work/postgres.log -w -t 60 start"
python3 checks/cluster/rounds.py "$ABIDE" "$database" "$restart" "$work" "${1:-20}"
python3 checks/cluster/nodes.py "$ABIDE" "$database" "$work" "${2:-20}" 1
packages openssl=openssl
export ABIDE PGBIN=$bin
python3 checks/cluster/refusals.py
python3 checks/cluster/failover.py 1 sync
python3 checks/cluster/failover.py 1 async
packages nginx=nginx-light
python3 -c 'import yaml' 2>/dev/null || install_packages python3-yaml
python3 checks/packaging/cluster.py
