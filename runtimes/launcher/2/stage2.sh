# Second stage of the llamafile launcher, version 2: POSIX sh and the tools that every Unix has.
# The bootstrap evaluates it in the user's shell, with $0 the file and "$@" the user's arguments.
# The generator drops comments and indentation, fills four slots, and pads with blanks: 8 KiB must hold it, beside a line
# for each of 32 builds. So names are short:
#   z this file's name, f its path, d its folder; u the user's number; k system, m processor, h name of this machine;
#   a b c g the build's place and size, s its SHA-256; q a place for the cache, l what is made in it, p the program there,
#   t the part of it that is being written; y how something went.
# Slots: BUILDS, one `case` item for each build; TARGETS, what a message lists; WEIGHTS, two variables; END, how many
# whole steps of 100,000 bytes this file must have.
# Traps: zsh splits $(...) and not $var, and runs the end of a pipe in this shell, as ksh93 does; `test -x` believes the
# mode on noexec mounts in zsh, ksh93 and busybox; `head -c`, `mktemp`, `local` and arrays are not POSIX; mksh counts
# with 32 bits; with `noclobber` nothing is written twice; BLOCK_SIZE changes what GNU ls calls a size.
: llamafile launcher 2
# It finds the build for this system, checks it, keeps a copy, and starts that.
# What follows is one command: a file that ends within it runs none of it, and leaves by this trap.
trap 'echo "${0##*/}: this file is cut off" >&2; exit 126' EXIT
{
trap - EXIT
[ ! "${ZSH_VERSION:-}" ] || emulate sh
set +C
z=${0##*/}
e() { printf '%s: %s\n' "$z" "$1" >&2; exit ${2:-126}; }
list() { LS_BLOCK_SIZE=1 ls -ldn "$@"; }
[ -c /dev/null ] || e "needs /dev/null"
for i in id uname ls dd mkdir chmod mv rm; do command -v $i >/dev/null || e "needs the program $i"; done
u=$(id -u)

# Where is this file? A name that ends in a line feed survives by the dot.
case $0 in
/*) f=$0;;
*/*) f=./$0;;
*) f=./$0; [ -f "$f" ] || f=$(command -v "$0");;
esac
d=$(CDPATH= cd "${f%/*}/" && pwd -P && echo .) || e "cannot find the folder of $f"
d=${d%??}
f=${d%/}/${f##*/}
list -L "$f" | { read -r i i i i y i; [ ${#y} -gt 5 ] && [ "${y%?????}0" -ge @END@0 ]; } || e "this file is cut off"

# Which system is this, in the words of the index?
k=$(uname -nsm)
m=${k##* } h=${k#* } k=${k%% *}
h=${h% *}
case $k in
Linux) k=linux;;
Darwin) k=macos;;
FreeBSD) k=freebsd;;
NetBSD) k=netbsd;;
OpenBSD) k=openbsd;;
CYGWIN*|MINGW*|MSYS*) e "on Windows, start it under a name in .exe" 127;;
esac
case $m in evbarm|riscv) m=$(uname -p);; esac
case $m in amd64) m=x86_64;; arm64) m=aarch64;; esac
[ $k-$m = macos-x86_64 ] && [ "$(sysctl -n hw.optional.arm64 2>/dev/null)" = 1 ] && m=aarch64

# The build: offset in blocks of 65536 (a), size in blocks of 65536 (b), 512 (c) and 1 (g), SHA-256 (s). Of a target
# without a native build, one has an item with an empty flavour.
pick() {
case $1 in
@BUILDS@
*) return 1;;
esac
}
choose() { pick "$1-${LFF_FLAVOUR:-native}" || { [ ! "${LFF_FLAVOUR:-}" ] && pick "$1-"; }; }
choose $k-$m || { [ $k-$m = macos-aarch64 ] && choose macos-x86_64; } ||
e "no build for $k-$m${LFF_FLAVOUR:+ ($LFF_FLAVOUR)} in this file; it has: @TARGETS@" 127
l=llamafile-format/rt/$s

# intact FILE: 0 if it has the digest of the build, 1 if another, 4 if nothing here can tell.
intact() {
i=$({ sha256sum || shasum -a 256 || sha256 -q || openssl dgst -sha256 -r; } <"$1") || return 4
[ "${i%% *}" = $s ]
}

# judge COUNT reads `ls -ldn` of so many (n) directories on the way, whose names end in a dot, of the three (o) of the
# cache, and of the program. 0: nobody else can exchange any of them, and the program has its size; 1: it is missing; 3:
# directories are missing; 2: somebody can. Of each it reads r mode, w owner, x size, i name.
judge() (
n=$1 o=3 y=1
while read -r r i w i x i; do
case $i/$w in
*./"$u"|*./0) case $r in d????-??-*|d????????[tT]*) n=$((n-1)); continue;; esac;;
*/"$u")
case $r in
d????-??-*) o=$((o-1)); continue;;
-??x?-??-*) [ "$x" != $((b*65536+c*512+g)) ] || y=0; continue;;
esac;;
esac
exit 2
done
case $n$o in 00) exit $y;; 0[123]) exit 3;; esac
exit 2
)
# look sets y, for $q, a path without links: every directory from the root to the program, by names that hold nothing of
# the path's.
look() {
(
cd "$q" || exit 2
i=$q n=.
set -- .
while [ "${i#/}" ]; do i=${i%/*} n=$n/..; set -- "$@" $n; done
list "$@" llamafile-format llamafile-format/rt $l $l/runtime | judge $#
) && y=0 || y=$?
}
make() (umask 077; mkdir -p "$1")

# try PLACE. 0: ready to run; 1: not here; 3: the build in this file is damaged; 4: no tool for SHA-256.
try() {
case $1 in */lff-$u) [ ! -h "$1" ] && [ -d "${1%/*}" ] || return 1;; esac
[ -d "$1" ] || make "$1" || return 1
q=$(cd "$1" && pwd -P && echo .) || return 1
q=${q%??}
p=${q%/}/$l/runtime
look
[ $y != 2 ] || return 1
# What starts on this machine left here when they were killed.
for t in "$p".*; do
i=${t##*.}
case $i in ''|*[!0-9]*) continue;; esac
[ "$t" != "$p.$h.$i" ] || kill -0 $i || rm -f "$t"
done
if [ $y = 0 ]; then
[ -x "$p" ] || return 1
[ "${LFF_VERIFY:-0}" != 0 ] || return 0
if intact "$p"; then return 0; fi
fi
make "${p%/*}" || return 1
look
[ $y -lt 2 ] || return 1
t=$p.$h.$$
trap 'rm -f "$t"; exit 130' HUP INT TERM
y=1
# The part is first a script: does this mount allow programs at all?
if echo '#!/bin/sh' >"$t" && chmod 700 "$t" && "$t" && {
dd bs=65536 skip=$a count=$b && dd bs=512 count=$c && dd bs=1 count=$g
} <"$f" >"$t"; then
y=0; intact "$t" || y=$?
case $y in
0) mv -f "$t" "$p" || y=1;;
1) y=3;;
esac
fi
[ $y = 0 ] || rm -f "$t"
trap - HUP INT TERM
return $y
}

case $k in
macos) y=${HOME:+$HOME/Library/Caches};;
*) y=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}};;
esac
for i in "${LFF_CACHE:-}" "$y" "${XDG_RUNTIME_DIR:-}" "${TMPDIR:-/var/tmp}/lff-$u" /tmp/lff-$u "$d"; do
case $i in '') continue;; /*) ;; *) i=./$i;; esac
try "$i" 2>/dev/null && break
case $? in
3) e "the build for $k-$m in this file is damaged (wrong SHA-256)";;
4) e "cannot check the build: found none of sha256sum, shasum, sha256, openssl";;
esac
y=1
done
[ $y = 0 ] || e "found no private directory that has room and allows programs to run; name one in LFF_CACHE"

export LFF_CONTAINER="$f"
unset LFF_CONTAINER_FD LFF_FURTHER_FD LFF_WEBUI
@WEIGHTS@
exec "$p" "$@"
e "cannot start $p"
}
