"""``META-LLAMAFILE/README.txt``: the file explains itself to somebody who has none of our software (spec/1, 5.8).

It names no digest and no size, because it must not depend on what depends on it.
"""

from __future__ import annotations

from collections.abc import Set

from llamafile_format.engines.pin import Kind
from llamafile_format.manifest.model import FIRST_VERSION

_HEAD = """\
{title}
{rule}

This file is a llamafile (format llamafile, version {version}): one file that holds
a language model {kind}

WHAT IS INSIDE
List it with any unzip program:     unzip -l FILE
With 7-Zip, say what it is:         7z x -tzip FILE
META-LLAMAFILE/manifest.json names each member, what it is for, where its
bytes lie, and its SHA-256. META-LLAMAFILE/chunks.txt names the SHA-256 of
every piece (at most 4 MiB) of everything in front of it.
"""

_PROGRAM = """together with the software that runs it. It is a program and,
at the same time, an ordinary ZIP archive in which nothing is compressed."""

_DATA = """and what belongs to it. It is an ordinary ZIP archive in which
nothing is compressed; an engine can be put in front of it at any time."""

_CHECK = """
HOW TO SEE WHETHER IT IS DAMAGED
You need sh, unzip, sed, tail, head and sha256sum (or openssl). Set F first.

1. The chunk list is the one that the manifest names (compare the two lines):
    unzip -p "$F" META-LLAMAFILE/chunks.txt | sha256sum
    unzip -p "$F" META-LLAMAFILE/manifest.json |
      sed -n '/chunks.txt/,/"size"/s/.*"sha256": "//p'
2. Every byte in front of the chunk list (a line is printed for each damage):
    unzip -p "$F" META-LLAMAFILE/chunks.txt | while read -r s o n p; do
      t=$(tail -c +$((o+1)) "$F" | head -c "$n" | sha256sum); t=${t%% *}
      [ "$t" = "$s" ] || echo "damaged: $n bytes at $o ($p)"
    done
3. Somebody you trust should tell you, by another way than with this file, the
   SHA-256 of its manifest. Compare it; it vouches for all the rest. Or check
   a signature, as below.
    unzip -p "$F" META-LLAMAFILE/manifest.json | sha256sum
"""

_SIGNATURE = r"""
HOW TO CHECK A SIGNATURE
The file is signed if unzip -l lists META-LLAMAFILE/signatures/0001.oms.json,
0002.sig.json or the like: records of kind oms or sig are signatures. You need
sh, unzip, sed, base64, sha256sum, openssl, and the signer's public key (PEM)
in a file of its own, one key in it. Take the key from somebody you trust, not
from where this file came from: whoever alters a file can sign it again with
another key. Start sh in an empty folder, and paste one step after the other.

1. Set the full paths of this file and of the key, and the record's number:
    F=/path/to/FILE
    K=/path/to/KEY.pub
    R=0001
    B=; no() { B=$B.; printf 'NO: %s\n' "$1"; }
2. Take the record apart. What was signed is the statement in it, behind its
   type and its length in bytes:
    unzip -p "$F" "META-LLAMAFILE/signatures/$R.*" >record
    P=$(sed -n 's/.*"payload": "\([^"]*\)".*/\1/p' record)
    sed -n 's/.*"sig": "\([^"]*\)".*/\1/p' record | base64 -d >sig
    printf %s "$P" | base64 -d >statement
    N=$((${#P} / 4 * 3))
    case $P in *==) N=$((N - 2));; *=) N=$((N - 1));; esac
    printf 'DSSEv1 28 application/vnd.in-toto+json %d ' "$N" >signed
    printf %s "$P" | base64 -d >>signed
   (A record may also lie in a file of its own, NAME.0001.oms.json. Then copy
   that file to record, in place of the first line.)
3. Did this key sign this statement? The key decides which digest is used, the
   file has no say. (Keys of type ML-DSA need openssl 3.5 or later.)
    T=$(openssl pkey -pubin -in "$K" -noout -text) || no "cannot read $K"
    case $T in
    *P-256*) H=sha256;; *P-384*) H=sha384;; *P-521*) H=sha512;; *) H=;;
    esac
    if [ "$H" ]; then
      openssl dgst -"$H" -verify "$K" -signature sig signed
    else
      openssl pkeyutl -verify -rawin -pubin -inkey "$K" -sigfile sig -in signed
    fi || no "no signature of this key over this statement"
4. Does it speak of the members of a file, and of this one's manifest? (What
   other OMS tools sign has no manifest_sha256: they leave it to step 5.)
    t=$(sed -n 's/^ *"predicateType": //p' statement)
    [ "$t" = '"https://model_signing/signature/v1.0",' ] || no "another type $t"
    M=$(sed -n 's/^ *"manifest_sha256": "\([0-9a-f]*\)".*/\1/p' statement)
    t=$(unzip -p "$F" META-LLAMAFILE/manifest.json | sha256sum)
    [ "$M" = "${t%% *}" ] || no "signed was a file with another manifest"
5. Is every member that it names here, with the digest that it names? (Where
   sha256sum is slow, openssl dgst -sha256 -r does the same.)
    sed -n '/"resources": \[/,/^ *\]/p' statement | sed -n '/^ *{/h; /^ *"/H
      /^ *}/{ g; s/.*"digest": "\([^"]*\)".*/\1/p
      g; s/.*"name": "\([^"]*\)".*/\1/p; }' >names
    A=; I=0
    while IFS= read -r d && IFS= read -r n; do
      p=$(printf '%s\n' "$n" | sed 's/\[/[[]/g; s/^-/[-]/')
      t=$(unzip -p "$F" "$p" | sha256sum)
      [ "${t%% *}" = "$d" ] && unzip -l "$F" "$p" >list || no "changed: $n"
      A="$A\"$n\""; I=$((I + 1))
    done <names
6. Is anything else in the file, but for records? (An unzip that lists names
   beyond ASCII as ??? makes this say NO.)
    unzip -l "$F" | sed -n \
      's/^ *[0-9]*  *[0-9/-][0-9/-]* [0-9:][0-9:]*   //p' >list
    S='META-LLAMAFILE/signatures/[0-9][0-9][0-9][0-9]'
    while IFS= read -r n; do
      case $A in *"\"$n\""*) I=$((I - 1)); continue;; esac
      case $n in $S.???.json | $S.vm.json | $S.tsr.der) continue;; esac
      no "not signed: $n"
    done <list
    [ "$I" = 0 ] || no "other members than those that were signed"
7. Bytes between members, and the program in front, are in the chunk list,
   which step 5 found to be signed. This step needs tail and head too:
    unzip -p "$F" META-LLAMAFILE/chunks.txt >chunks
    while read -r s o n p; do
      t=$(tail -c +$((o + 1)) "$F" | head -c "$n" | sha256sum)
      [ "${t%% *}" = "$s" ] || no "damaged: $n bytes at $o ($p)"
    done <chunks
8. The answer:
    [ -z "$B" ] && echo "YES: signed with $K, and nothing was changed since"

YES says that whoever has the private key signed this, not who that is and not
when. It does not cover other records and the list of members at the end of
the file; llamafile-format verify compares these too, byte by byte. What the
signer adds, such as a revision, and cosigners, the keys that were to sign as
well:
    sed -n '/"annotations"/,$p' statement
A record of kind tsr is a time stamp of an earlier record. If you trust the
authority whose root certificates are in C, it proves that this record was
there at the time that the last line prints:
    C=/path/to/ROOTS.pem
    unzip -p "$F" META-LLAMAFILE/signatures/0002.tsr.der >stamp
    openssl ts -verify -in stamp -data record -CAfile "$C"
    openssl ts -reply -in stamp -text
With llamafile-format at hand, its command explain prints all this for the
file that it is given, with the commands for each of its records.
"""

_RUN_ENGINE = """
HOW TO RUN IT
On Linux, macOS, BSD:   chmod +x FILE && sh ./FILE
On Windows:             rename it to end in .exe and start it (below 4 GiB)
A program runs with your rights: check first where the file comes from.
"""

_RUN_LAUNCHER = """
HOW TO RUN IT
On Linux, macOS, BSD:   chmod +x FILE && ./FILE     (or: sh ./FILE)
On Windows:             rename it to end in .exe and start it; of 4 GiB or
                        more, start the small NAME.exe that lies beside it
It opens a page to chat on in the browser, at an address of this computer
only. Nothing is installed, and nothing is fetched from the network.
  ./FILE --help         what else it can do
  ./FILE --inspect      what is inside
The programs that do it are in the folder runtimes/, one for each system,
with their licences and with runtime.yaml, which says how to build them again.
A program runs with your rights: check first where the file comes from.
"""

_RUN_LIBRARY = """
HOW TO RUN IT
On the systems that have a folder in runtimes/ENGINE/VERSION/lib:
    chmod +x FILE && ./FILE     (or: sh ./FILE)
It answers programs, at an address of this computer only, which it prints.
There is no page. Nothing is installed, and nothing is fetched or reported.
  ./FILE -p TEXT        goes on with a text
  ./FILE --help         what else it can do
The engine is a library that others built, in that folder; a program of ours,
in the folder beside it, loads that one and no other. Licences and
runtime.yaml, which says where all of it is from, are there too.
A program runs with your rights: check first where the file comes from.
"""

_RUN_SHUT_IN = """
HOW TO RUN IT
This file starts nothing by itself: its engine is Python code of others, the
packages (wheels) in runtimes/ENGINE/VERSION/lib. With llamafile-format and a
Python that the packages are for, on a system that can shut the code in:
    llamafile-format complete FILE -p TEXT
The file is verified first. Licences and runtime.yaml, which says where all of
it is from, are beside the packages. The weights can be taken out (unzip) and
opened by any program that reads their format.
"""

_RUN_NONE = """
HOW TO RUN IT
This file has no engine of its own. Members that end in .gguf are model
weights in the GGUF format. Take them out (unzip) and open them with
a program that reads GGUF, such as llama.cpp, or put an engine in front with
   llamafile-format repack FILE --prefix ENGINE -o NEW.llamafile
"""

_REPAIR = """
HOW TO REPAIR IT
recovery/covered.par2 holds recovery data: some of the file may be lost, and
it can be computed again. With llamafile-format at hand:
    llamafile-format repair FILE
With any program for PAR2 (par2, MultiPar; the format is from 2001), in an
empty folder, whatever is left of this file is at the same time the set and
what it protects:
    cp FILE covered.par2 && cp FILE covered.bin && par2 repair covered.par2
covered.bin is then right up to the end of what is protected: all members but
the recovery data itself, list, manifest and signatures. What is behind it
follows from it: chapter 17 of the specification says how, and has a script
of 80 lines that does it and needs Python alone.
"""

_VIEW = """
HOW TO LOOK INSIDE WITH A BROWSER
Take the page out, open it in a browser, and choose this file:
    unzip "$F" llamafile-viewer.html
It needs no network, and tells what is inside and what is damaged; it runs
the model if a program for browsers (wasm32-wasi) is inside. It vouches for
nothing: who altered the file can have altered the page.
"""

_END = """
The specification and the tools are called llamafile-format.
"""


def readme_text(
    name: str,
    *,
    engine: bool,
    launcher: bool = False,
    kinds: Set[Kind] = frozenset(),
    version: str = FIRST_VERSION,
    recovery: bool = False,
    viewer: bool = False,
) -> bytes:
    """The text for a container called ``name`` (may be empty), with or without an engine as its prefix, and with or
    without ``recovery`` data and ``viewer``. ``kinds`` are those of the builds that a ``launcher`` finds inside.

    It is as long for every ``version`` of the format, so that a member of a later one moves nothing.
    """
    run = how_to_run(kinds, launcher=launcher, engine=engine)
    title = f"{name or 'A language model'} (llamafile)"
    kind = _PROGRAM if engine or launcher else _DATA
    head = _HEAD.format(title=title, rule="=" * min(len(title), 78), kind=kind, version=version)
    repair = _REPAIR if recovery else ""
    look = _VIEW if viewer else ""
    return (head + _CHECK + repair + _SIGNATURE + run + look + _END).encode("utf-8")


def how_to_run(kinds: Set[Kind], *, launcher: bool, engine: bool) -> str:
    """How the file is run. Behind a launcher an engine that was built from its sources stands for all inside."""
    if engine and not launcher:
        return _RUN_ENGINE
    if launcher and Kind.NATIVE_LIBRARY in kinds and Kind.BUILT not in kinds:
        return _RUN_LIBRARY
    if kinds == {Kind.PYTHON_WHEELS}:
        return _RUN_SHUT_IN
    return _RUN_LAUNCHER if launcher else _RUN_NONE
