# Second stage of the llamafile launcher, version 1: POSIX sh and the tools that every Unix has.
# The bootstrap evaluates it in the user's shell, with $0 the file and "$@" the user's arguments.
# The generator drops comments and indentation, fills three slots, and pads with blanks: 8 KiB must hold it.
# Slots: BUILDS, one `case` item for each build; TARGETS, what a message lists; WEIGHTS, two variables.
# Traps: zsh splits $(...) and not $var, and runs the end of a pipe in this shell, as ksh93 does; `test -x` believes the
# mode on noexec mounts in zsh, ksh93 and busybox; `head -c`, `mktemp`, `local` and arrays are not POSIX.
: llamafile launcher 1: finds the build for this system, checks it, keeps a copy, starts it
name=${0##*/} uid=$(id -u)
fail() { printf '%s: %s\n' "$name" "$1" >&2; exit "${2:-126}"; }

# Where is this file? A name that ends in a line feed survives by the dot.
case $0 in
/*) file=$0;;
*/*) file=./$0;;
*) if [ -f "./$0" ]; then file=./$0; else file=$(command -v "$0"); fi;;
esac
dir=$(unset CDPATH; cd "${file%/*}/" && pwd -P && echo .) || fail "cannot find the folder of $file"
dir=${dir%??}
file=${dir%/}/${file##*/}

# Which system is this, in the words of the index?
system=$(uname -sm)
machine=${system##* } system=${system%% *}
case $system in
Linux) system=linux;;
Darwin) system=macos;;
FreeBSD) system=freebsd;;
NetBSD) system=netbsd;;
OpenBSD) system=openbsd;;
CYGWIN*|MINGW*|MSYS*) fail "on Windows, give it a name that ends in .exe and start it from there" 127;;
esac
case $machine in evbarm|riscv) machine=$(uname -p);; esac
case $machine in amd64) machine=x86_64;; arm64) machine=aarch64;; esac
if [ $system-$machine = macos-x86_64 ] && [ "$(sysctl -n hw.optional.arm64 2>/dev/null)" = 1 ]; then machine=aarch64; fi

# The build: offset in blocks of 65536 (a), size in blocks of 65536 (b), 512 (c) and 1 (g), SHA-256 (s). Of a target
# without a native build, one has an item with an empty flavour.
pick() {
  case $1 in
  @BUILDS@
  *) return 1;;
  esac
}
choose() { pick "$1-${LFF_FLAVOUR:-native}" || { [ ! "${LFF_FLAVOUR:-}" ] && pick "$1-"; }; }
choose $system-$machine || { [ $system-$machine = macos-aarch64 ] && choose macos-x86_64; } ||
  fail "no build for $system-$machine${LFF_FLAVOUR:+ ($LFF_FLAVOUR)} in this file; it has: @TARGETS@" 127

digest() {
  if command -v sha256sum; then set -- sha256sum
  elif command -v shasum; then set -- shasum -a 256
  elif command -v sha256; then set -- sha256 -q
  elif command -v openssl; then set -- openssl dgst -sha256 -r
  else return 4; fi >/dev/null
  "$@"
}
intact() { sum=$(digest <"$1") || return 4; [ "${sum%% *}" = "$s" ]; }

# judge COUNT reads `ls -ldn` of so many directories and perhaps the program. 0: all private, program of the right size
# there; 1: all private; 2: somebody else could have put something there.
judge() (
  left=$1 ready=1
  while read -r mode links owner group size rest; do
    [ "$owner" = "$uid" ] || exit 2
    case $mode in
    d????-??-*) left=$((left - 1));;
    -??x?-??-*) if [ "$size" = $((b * 65536 + c * 512 + g)) ]; then ready=0; fi;;
    *) exit 2;;
    esac
  done
  [ $left = 0 ] || exit 2
  exit $ready
)
look() { (unset CDPATH; cd "$1" && ls -ldn llamafile-format llamafile-format/rt "$leaf" "$leaf/runtime") | judge 3; }

# try PLACE. 0: ready to run; 1: not here; 3: the build in this file is damaged; 4: no tool for SHA-256.
try() {
  leaf=llamafile-format/rt/$s
  program=$1/$leaf/runtime
  case $1 in
  */lff-"$uid"|"$dir")
    [ -d "$1" ] || (umask 077; mkdir "$1")
    found=0; ls -ldn "$1" | judge 1 || found=$?
    [ $found = 1 ] || return 1;;
  esac
  found=0; look "$1" || found=$?
  if [ $found = 0 ]; then
    [ -x "$program" ] || return 1
    [ "${LFF_VERIFY:-0}" != 0 ] || return 0
    if intact "$program"; then return 0; fi
  fi
  (umask 077; mkdir -p "$1/$leaf") || return 1
  found=0; look "$1" || found=$?
  [ $found != 2 ] || return 1
  part=$program.$(uname -n).$$
  trap 'rm -f "$part"; exit 130' HUP INT TERM
  found=1
  # The part is first a script: does this mount allow programs at all?
  if echo '#!/bin/sh' >"$part" && chmod 700 "$part" && "$part" && {
    dd bs=65536 skip="$a" count="$b" && dd bs=512 count="$c" && dd bs=1 count="$g"
  } <"$file" >"$part"; then
    found=0; intact "$part" || found=$?
    case $found in
    0) mv -f "$part" "$program" || found=1;;
    1) found=3;;
    esac
  fi
  [ $found = 0 ] || rm -f "$part"
  trap - HUP INT TERM
  return $found
}

case $system in
macos) cache=${HOME:+$HOME/Library/Caches};;
*) cache=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}};;
esac
found=1
for place in "${LFF_CACHE:-}" "$cache" "${XDG_RUNTIME_DIR:-}" "${TMPDIR:-/var/tmp}/lff-$uid" "/tmp/lff-$uid" "$dir"; do
  case $place in '') continue;; /*) ;; *) place=./$place;; esac
  found=0; try "$place" 2>/dev/null || found=$?
  case $found in
  0) break;;
  3) fail "the build for $system-$machine in this file is damaged (wrong SHA-256)";;
  4) fail "cannot check the build: found none of sha256sum, shasum, sha256, openssl";;
  esac
done
[ $found = 0 ] || fail "found no private directory that has room and allows programs to run; name one in LFF_CACHE"

LFF_CONTAINER=$file
export LFF_CONTAINER
@WEIGHTS@
exec "$program" "$@"
fail "cannot start $program"
