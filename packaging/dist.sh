#!/usr/bin/env bash
# Makes what is published, from this commit: a static binary, and beside it completions, manual, licenses, release notes
# and a bill of materials.
#   packaging/dist.sh [DIR]      writes DIR/abide-VERSION-TARGET.tar.gz and DIR/abide_VERSION_ARCH.deb, DIR being
#                                target/packages by default
# The same commit and toolchain are meant to make the same bytes, in whatever directory: nothing of the machine, its paths
# and the moment goes in.
#
# TARGET: the musl target of this machine if the toolchain has it (`rustup target add x86_64-unknown-linux-musl`, and
# Debian's musl-tools), else the GNU one with its C library linked statically; the name of the archive says which.
# PROFILE is cargo's, `dist` by default. Needs python3 and dpkg-deb.
set -euo pipefail
cd "$(dirname "$0")/.."
to=${1:-target/packages}
mkdir -p "$to"
to=$(realpath "$to")
profile=${PROFILE:-dist}

host=$(rustc -vV | sed -n 's/^host: //p')
musl=${host/-gnu/-musl}
if [ -z "${TARGET:-}" ]; then
  if [ -d "$(rustc --print target-libdir --target "$musl")" ] && command -v musl-gcc >/dev/null; then TARGET=$musl; else TARGET=$host; fi
fi
[ "$TARGET" = "$musl" ] || echo "no musl target: the GNU C library is linked statically" >&2

# Nothing of this machine and moment goes into the binary.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
home=${CARGO_HOME:-$HOME/.cargo}
# In a directory of its own, because other flags build everything anew.
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target/static}")
export CARGO_TARGET_DIR RUSTFLAGS="-C target-feature=+crt-static" CFLAGS=-g0
for path in "$PWD=/abide" "$home=/cargo" "$CARGO_TARGET_DIR=/target"; do
  RUSTFLAGS+=" --remap-path-prefix=$path"
  CFLAGS+=" -ffile-prefix-map=$path"
done
export LC_ALL=C TZ=UTC
cargo build --profile "$profile" --locked --target "$TARGET" -p abide-cli
folder=$profile
[ "$profile" != dev ] || folder=debug
binary=$CARGO_TARGET_DIR/$TARGET/$folder/abide
if ldd "$binary" 2>&1 | grep -q '=>'; then
  echo "$binary isn't static" >&2
  exit 1
fi

version=$("$binary" --version | cut -d' ' -f2)
name=abide-$version-$TARGET
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022
root=$work/$name
mkdir -p "$root/completions"
install -m 755 "$binary" "$root/abide"
"$binary" man "$root/man/man1" 2>/dev/null
"$binary" completions bash >"$root/completions/abide.bash"
"$binary" completions zsh >"$root/completions/_abide"
"$binary" completions fish >"$root/completions/abide.fish"
cp LICENSE-MIT LICENSE-APACHE README.md "$root/"
cp "docs/releases/$version.md" "$root/RELEASE.md"
python3 packaging/sbom.py "$TARGET" >"$root/abide.cdx.json"
# A fixed order, owner and time, and no name or time in the compressed file's head.
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -C "$work" -c "$name" | gzip -9n >"$to/$name.tar.gz"
packaging/deb.sh "$binary" "$to"
(cd "$to" && sha256sum "$name.tar.gz" abide_*.deb)
