#!/usr/bin/env bash
# Runs the server as what is packaged has it: under the confinement of the systemd unit, and in the root of the container image as its user. Each time
# through creates, a checkpoint in the background, SIGTERM, and a second start.
#
# Usage: checks/packaging.sh
# Neither systemd nor a container runtime runs: the unit's settings and the image's steps are read from packaging/abide.service and Dockerfile.
# Installs Debian's systemd, for its lists of system calls, and python3 where they are missing. ABIDE names the binary to try; the debug build by default.
set -euo pipefail
cd "$(dirname "$0")/.."
source checks/common/shell.sh

packages systemd-analyze=systemd python3=python3 setpriv=util-linux cc=gcc
program
work=$(mktemp -d)
# Other users must find their way in.
chmod 755 "$work"
sudo=()
[ "$(id -u)" -eq 0 ] || sudo=(sudo)
trap '"${sudo[@]}" rm -rf "$work"' EXIT
nobody=65534

# Numbers of the lines that come in: names of the kernel's constants without their prefix.
numbers() { # PREFIX HEADER
  local prefix=$1 header=$2 names
  names=$(sed "s/^/$prefix/" | sort -u)
  { printf '#include <%s>\n' "$header"; for name in $names; do printf '#ifdef %s\n"number" %s\n#endif\n' "$name" "$name"; done; } |
    cc -E -P - | sed -n 's/^"number" *//p' | paste -sd, -
}

# What a word of SystemCallFilter means: a call, or a set of words.
calls() {
  local word=$1 member
  case "$word" in
    @*)
      systemd-analyze syscall-filter "$word" | sed -n '2,$ s/^ *//p' | grep -v '^#' | while read -r member; do calls "$member"; done ;;
    *) echo "$word" ;;
  esac
}

unit() { # SETTING: its values in the unit, a line each
  sed -n "s/^$1=//p" packaging/abide.service
}

confinement() {
  local line word
  : >"$work/allowed"
  while read -r line; do
    for word in ${line#\~}; do calls "$word"; done | sort -u >"$work/named"
    case "$line" in
      \~*) comm -23 "$work/allowed" "$work/named" ;;
      *) sort -u "$work/allowed" "$work/named" ;;
    esac >"$work/next"
    mv "$work/next" "$work/allowed"
  done < <(unit SystemCallFilter)
  [ -s "$work/allowed" ] || { echo "the unit filters no system calls" >&2; exit 1; }
  # What starts the program is systemd's and always allowed.
  echo execve >>"$work/allowed"
  refusal=$(unit SystemCallErrorNumber | numbers "" errno.h)
  families=$(unit RestrictAddressFamilies | tr ' ' '\n' | numbers "" sys/socket.h)
  [ -n "$families" ] || families=$(printf 'AF_UNIX\nAF_INET\nAF_INET6\n' | numbers "" sys/socket.h)
  allowed=$(numbers __NR_ sys/syscall.h <"$work/allowed")
}

echo "packaging/abide.service"
cc -O1 -Wall -Wextra -o "$work/confine" checks/packaging/confine.c
confinement
install -m 755 "$ABIDE" "$work/abide"
"${sudo[@]}" install -d -m "$(unit StateDirectoryMode)" -o "$nobody" -g "$nobody" "$work/state"
start_line=$(unit ExecStart)
# The same flags but for paths, the file of settings, which is the administrator's, and the port.
read -r -a flags <<<"$(sed -E 's@^[^ ]+ @@; s@--config [^ ]+@@; s@--data [^ ]+@@' <<<"$start_line")"
(
  umask "$(unit UMask)"
  "${sudo[@]}" python3 checks/packaging/exercise.py "$work/state" \
    setpriv --reuid="$nobody" --regid="$nobody" --clear-groups --bounding-set=-all env -i PATH=/usr/bin:/bin \
    "$work/confine" "${refusal:-0}" "$families" "$allowed" \
    "$work/abide" "${flags[@]}" --data "$work/state" --listen 127.0.0.1:0 --rate-limit off
)

echo "Dockerfile"
image() { # INSTRUCTION: its arguments in the last stage, a line each
  sed -n '/^FROM scratch/,$p' Dockerfile | sed -n "s/^$1 //p"
}
root=$work/root
mkdir -m 755 "$root"
while read -r _ source target; do
  case "$source" in
    */abide) install -D -m 755 "$ABIDE" "$root$target" ;;
    # The volume, which belongs to the user.
    /data) "${sudo[@]}" install -d -m 700 -o "$nobody" -g "$nobody" "$root$target" ;;
    *) install -D -m 644 "$source" "$root$target" ;;
  esac
done < <(image COPY | sed 's/--chown=[^ ]* //')
# The image's binary is static. This one brings its libraries along.
for library in $(ldd "$ABIDE" | grep -oE '/[^ ]+'); do
  [ -e "$root$library" ] || install -D -m 755 "$library" "$root$library"
done
read -r -a variables <<<"$(image ENV)"
read -r -a words <<<"$(image ENTRYPOINT | tr -d '[]",') $(image CMD | tr -d '[]",')"
"${sudo[@]}" python3 checks/packaging/exercise.py "$root/data" \
  env -i "${variables[@]}" "$(command -v chroot)" --userspec="$(image USER)" "$root" \
  "${words[@]}" --listen 127.0.0.1:0 --rate-limit off
