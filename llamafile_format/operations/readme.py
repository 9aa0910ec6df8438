"""``META-LLAMAFILE/README.txt``: the file explains itself to somebody who has none of our software (spec/1.0, 5.8).

It names no digest and no size, because it must not depend on what depends on it.
"""

from __future__ import annotations

_HEAD = """\
{title}
{rule}

This file is a llamafile (format llamafile, version 1.0): one file that holds
a language model {kind}

WHAT IS INSIDE
List it with any unzip program:     unzip -l FILE
META-LLAMAFILE/manifest.json names each member, what it is for, where its
bytes lie, and its SHA-256. META-LLAMAFILE/chunks.txt names the SHA-256 of
every piece (at most 4 MiB) of everything in front of it.
"""

_PROGRAM = """together with the software that runs it. It is a program and,
at the same time, an ordinary ZIP archive in which nothing is compressed."""

_DATA = """and what belongs to it. It is an ordinary ZIP archive in which
nothing is compressed; an engine can be put in front of it at any time."""

_CHECK = """
HOW TO CHECK IT BY HAND
You need sh, unzip, sed, tail, head and sha256sum (or openssl). Set F first.

1. The chunk list is the one that the manifest names (compare the two lines):
   unzip -p "$F" META-LLAMAFILE/chunks.txt | sha256sum
   unzip -p "$F" META-LLAMAFILE/manifest.json | sed -n '/chunks.txt/,/"size"/s/.*"sha256": "//p'
2. Every byte in front of the chunk list (a line is printed for each damage):
   unzip -p "$F" META-LLAMAFILE/chunks.txt | while read -r s o n p; do
     t=$(tail -c +$((o+1)) "$F" | head -c "$n" | sha256sum); t=${{t%% *}}
     [ "$t" = "$s" ] || echo "damaged: $n bytes at $o ($p)"
   done
3. Whoever gave you this file should tell you, by another way, the SHA-256 of
   its manifest. Compare it; it vouches for all the rest:
   unzip -p "$F" META-LLAMAFILE/manifest.json | sha256sum
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

_RUN_NONE = """
HOW TO RUN IT
This file has no engine of its own. Members that end in .gguf are model
weights in the GGUF format. Take them out (unzip) and open them with
a program that reads GGUF, such as llama.cpp, or put an engine in front with
   llamafile-format repack FILE --prefix ENGINE -o NEW.llamafile
"""

_END = """
The specification and the tools are called llamafile-format.
"""


def readme_text(name: str, *, engine: bool, launcher: bool = False) -> bytes:
    """The text for a container called ``name`` (may be empty), with or without an engine as its prefix."""
    run = _RUN_LAUNCHER if launcher else _RUN_ENGINE if engine else _RUN_NONE
    title = f"{name or 'A language model'} (llamafile)"
    head = _HEAD.format(title=title, rule="=" * min(len(title), 78), kind=_PROGRAM if engine or launcher else _DATA)
    return (head + _CHECK.format() + run + _END).encode("utf-8")
