# What happens to the package in a root of its own, on a network of its own. Usage: life.sh ROOT
set -euo pipefail
root=$1
ip link set lo up
in_root() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true' EXIT

# Starts the server by the line of its unit, as systemd would, but for the confinement (checks/packaging.sh has that).
start_unit() {
  local line
  line=$(sed -n 's/^ExecStart=//p' "$root/lib/systemd/system/abide.service")
  # shellcheck disable=SC2086 -- the line's words
  chroot --userspec=65534:65534 "$root" $line >"$root/tmp/log" 2>&1 &
  server=$!
  for _ in $(seq 300); do
    if in_root abide healthcheck >/dev/null 2>&1; then return; fi
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  cat "$root/tmp/log" >&2
  exit 1
}

stop_unit() {
  kill -TERM "$server"
  wait "$server"
  server=
}

in_root dpkg -i /tmp/old.deb >/dev/null
for file in usr/bin/abide usr/share/man/man1/abide.1.gz usr/share/man/man1/abide-serve.1.gz usr/share/bash-completion/completions/abide \
  usr/share/zsh/vendor-completions/_abide usr/share/fish/vendor_completions.d/abide.fish lib/systemd/system/abide.service etc/abide.toml \
  usr/share/doc/abide/LICENSE-MIT usr/share/doc/abide/LICENSE-APACHE; do
  [ -s "$root/$file" ] || { echo "the package lacks $file" >&2; exit 1; }
done
gzip -t "$root"/usr/share/man/man1/*.gz
start_unit
job=$(in_root abide create --duration 100ms --error-chance 0 --metadata made=before)
in_root abide wait "$job" >/dev/null
stop_unit
echo "installed, and started as its unit says: a job was created and waited for"

echo 'retention = "48h"' >>"$root/etc/abide.toml"
in_root dpkg -i /tmp/next.deb >/dev/null
grep -q 'retention = "48h"' "$root/etc/abide.toml"
start_unit
in_root abide status "$job" | grep -q completed
stop_unit
echo "upgraded: the settings stayed, and so did the job"

in_root dpkg -r abide >/dev/null 2>&1
[ ! -e "$root/usr/bin/abide" ] && [ -e "$root/etc/abide.toml" ] && [ -e "$root/var/lib/abide/journal.db" ]
echo "removed: settings and jobs stayed"
in_root dpkg -P abide >/dev/null 2>&1
[ ! -e "$root/etc/abide.toml" ] && [ ! -e "$root/var/lib/abide" ] && [ ! -e "$root/usr/share/doc/abide" ]
if in_root dpkg -s abide >/dev/null 2>&1; then exit 1; fi
echo "purged: nothing is left"
