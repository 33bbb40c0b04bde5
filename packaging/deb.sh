#!/usr/bin/env bash
# Makes a Debian package of a binary: the command, its manual, its completions, the systemd unit and its settings.
#   packaging/deb.sh target/dist/abide [DIR]      writes DIR/abide_VERSION_ARCH.deb, DIR being the working directory by default
# With SOURCE_DATE_EPOCH, the time of everything in it, the same binary makes the same package.
set -euo pipefail
binary=$(realpath "$1")
to=$(realpath "${2:-.}")
here=$(realpath "$(dirname "$0")/..")
version=$("$binary" --version | cut -d' ' -f2)
arch=$(dpkg --print-architecture)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
umask 022

install -Dm755 "$binary" "$root/usr/bin/abide"
"$binary" man "$root/usr/share/man/man1" 2>/dev/null
gzip -9n "$root"/usr/share/man/man1/*
for shell in bash zsh fish; do
  case $shell in
    bash) file=usr/share/bash-completion/completions/abide ;;
    zsh) file=usr/share/zsh/vendor-completions/_abide ;;
    fish) file=usr/share/fish/vendor_completions.d/abide.fish ;;
  esac
  mkdir -p "$root/$(dirname "$file")"
  "$binary" completions "$shell" >"$root/$file"
done
mkdir -p "$root/lib/systemd/system" "$root/etc" "$root/usr/share/doc/abide"
sed 's#/usr/local/bin/abide#/usr/bin/abide#' "$here/packaging/abide.service" >"$root/lib/systemd/system/abide.service"
{
  echo "# Settings of the service abide, all of which \`abide config\` shows. systemctl restart abide takes a change."
  echo '# listen = "127.0.0.1:8080"'
  echo '# retention = "24h"'
} >"$root/etc/abide.toml"
cp "$here/LICENSE-MIT" "$here/LICENSE-APACHE" "$here/CHANGELOG.md" "$root/usr/share/doc/abide/"
cp -r "$here/packaging/proxy" "$here/packaging/prometheus" "$here/packaging/grafana" "$root/usr/share/doc/abide/"

mkdir "$root/DEBIAN"
echo /etc/abide.toml >"$root/DEBIAN/conffiles"
cat >"$root/DEBIAN/postinst" <<'SCRIPT'
#!/bin/sh
set -e
if [ "$1" = configure ] && [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  # A first install starts nothing. After an upgrade a service that runs goes on with the new binary.
  [ -z "$2" ] || systemctl try-restart abide.service
fi
SCRIPT
cat >"$root/DEBIAN/prerm" <<'SCRIPT'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then systemctl disable --now abide.service; fi
SCRIPT
cat >"$root/DEBIAN/postrm" <<'SCRIPT'
#!/bin/sh
set -e
# The jobs outlive a removal, and not a purge.
if [ "$1" = purge ]; then rm -rf /var/lib/abide /var/lib/private/abide; fi
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
SCRIPT
chmod 755 "$root"/DEBIAN/post* "$root"/DEBIAN/prerm
# A static binary needs nothing; another one needs the C library that it was built with.
needs=$(ldd "$binary" 2>/dev/null | grep -q libc.so && echo "Depends: libc6" || true)
{
  echo "Package: abide"
  echo "Version: $version"
  echo "Architecture: $arch"
  echo "Maintainer: The abide developers <abide@example.com>"
  echo "Section: net"
  echo "Priority: optional"
  [ -z "$needs" ] || echo "$needs"
  echo "Installed-Size: $(du -sk --apparent-size "$root" | cut -f1)"
  echo "Description: waits for long-running jobs without wasting a request or a second"
  echo " A job-status server, a client that waits well, a receiver of webhooks, and a"
  echo " server for tests of programs that poll."
} >"$root/DEBIAN/control"
dpkg-deb --root-owner-group --build "$root" "$to/abide_${version}_$arch.deb"
