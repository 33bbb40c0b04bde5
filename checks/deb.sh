#!/usr/bin/env bash
# Installs the Debian package in a clean Debian, starts the server as its unit says, upgrades it while data and settings stay, removes it, and purges it.
#
# Usage: checks/deb.sh [PACKAGE]
# Takes a minute. PACKAGE is made by packaging/deb.sh of the binary that ABIDE names, the debug build by default. The clean Debian is a root that debootstrap
# fills, with a network of its own. No systemd runs in it: the unit's line is carried out as a user without rights. Needs root, or sudo.
set -euo pipefail
cd "$(dirname "$0")/.."
source checks/common/shell.sh

packages debootstrap=debootstrap dpkg-deb=dpkg ip=iproute2 setpriv=util-linux
sudo=()
[ "$(id -u)" -eq 0 ] || sudo=(sudo)
"${sudo[@]}" unshare --net true 2>/dev/null || { echo "skipped: this machine gives no network of its own to a process" >&2; exit 0; }
work=$(mktemp -d)
trap '"${sudo[@]}" rm -rf "$work"' EXIT
if [ -n "${1:-}" ]; then
  cp "$1" "$work/old.deb"
else
  program
  packaging/deb.sh "$ABIDE" "$work" >/dev/null
  mv "$work"/abide_*.deb "$work/old.deb"
fi
# The next version, of the same files.
dpkg-deb -R "$work/old.deb" "$work/next"
sed -i 's/^Version: .*/&+next/' "$work/next/DEBIAN/control"
dpkg-deb --root-owner-group --build "$work/next" "$work/next.deb" >/dev/null

root=$work/root
release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
# Ubuntu's keys aren't Debian's; each makes its own.
if ! "${sudo[@]}" debootstrap --variant=minbase "$release" "$root" >"$work/debootstrap.log" 2>&1; then
  tail -n 20 "$work/debootstrap.log" >&2
  echo "skipped: no clean Debian can be had here" >&2
  exit 0
fi
"${sudo[@]}" cp "$work/old.deb" "$work/next.deb" "$root/tmp/"
"${sudo[@]}" install -d -m 700 -o 65534 -g 65534 "$root/var/lib/abide"
"${sudo[@]}" unshare --net bash checks/deb/life.sh "$root"
