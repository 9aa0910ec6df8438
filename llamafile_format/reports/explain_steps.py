"""The steps of checking one file by hand: commands ready to paste, what each proves, and what it does not (13.11).

Commands are for a POSIX shell. Names from the file stand in them quoted, and escaped where a terminal could be steered.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from llamafile_format.container import Kind
from llamafile_format.examining import Facts, Foreign, Piece
from llamafile_format.prefix.bootstrap import HEADER_SIZE, SLOTS_OFFSET
from llamafile_format.reports.escape import printable
from llamafile_format.reports.explain_records import publisher_steps, record_steps
from llamafile_format.reports.explain_step import Step, quoted
from llamafile_format.reports.numbers import plural
from llamafile_format.source.address import is_remote

_FIRST_SLOT = SLOTS_OFFSET + HEADER_SIZE  # clause 14.2.7: the first 64 bytes of a launcher that was not converted
_NAMED = 3  # members of weights in a title, besides the first


def steps(facts: Facts) -> Iterator[Step]:
    """The steps for this file, in an order in which nothing is relied on before it was checked."""
    yield _start(facts)
    if facts.manifest is None or facts.chunks is None:
        yield from _without_manifest(facts)
        return
    yield _manifest(facts.manifest)
    yield _chunk_list(facts.chunks)
    yield _every_byte(facts)
    if facts.weights:
        yield _weights(facts.weights)
    for library in facts.libraries:
        yield _library(library)
    if not facts.records:
        yield _unsigned()
    for record in facts.records:
        yield from record_steps(record, facts)
    for path, signed in facts.publishers:
        yield from publisher_steps(path, signed)
    yield _rest(facts)


def _start(facts: Facts) -> Step:
    fetch = is_remote(facts.name)
    path = facts.name.rpartition("/")[2] if fetch else facts.name
    name = path if path.startswith("/") else f"./{path}"
    quoted = shlex.quote(printable(name.removeprefix("./")))
    where = quoted if name.startswith("/") else f"$PWD/{quoted}"
    signatures = bool(facts.publishers) or any(record.signed for record in facts.records)
    return Step(
        "Begin",
        (f"Fetch {printable(facts.name)} into this folder. " if fetch else "")
        + "Type sh first, if your shell is another. Small files are written to a new folder, by-hand."
        + (" The function takes a signature apart: files signed, sig, and the statement in it." if signatures else ""),
        (f"F={where}", "mkdir by-hand && cd by-hand", 'unzip -l "$F"', *(_TAKE if signatures else ())),
        (plural(facts.members, "member"),),
    )


_TAKE = (
    "take() {",
    '  unzip -p "$F" "$1" >record',
    r"""  P=$(sed -n 's/.*"payload": *"\([^"]*\)".*/\1/p' record)""",
    r"""  sed -n 's/.*"sig": *"\([^"]*\)".*/\1/p' record | base64 -d >sig""",
    '  printf %s "$P" | base64 -d >statement',
    "  N=$((${#P} / 4 * 3))",
    "  case $P in *==) N=$((N - 2));; *=) N=$((N - 1));; esac",
    """  printf 'DSSEv1 28 application/vnd.in-toto+json %d ' "$N" >signed""",
    '  printf %s "$P" | base64 -d >>signed',
    "}",
)


def _without_manifest(facts: Facts) -> Iterator[Step]:
    if facts.kind is Kind.LEGACY:
        text = "A llamafile from before format 1.0 has no manifest, no digests but CRC-32, and no signatures."
    else:
        text = "The manifest of this file cannot be used, so that nothing says what the file should be."
    yield Step(
        "The checksums of its members",
        text,
        ('unzip -t "$F"', 'sha256sum "$F"'),
        proves="that members were not damaged by accident",
        open="who made the file, and whether somebody changed it: compare the digest with one from its maker",
    )


def _manifest(manifest: Piece) -> Step:
    return Step(
        "The name of the file: the digest of its manifest",
        "The manifest determines every byte in front of the signatures.",
        (f'unzip -p "$F" {manifest.path} | sha256sum',),
        (manifest.sha256,),
        proves="everything, if somebody whom you trust told you this digest by another way",
        open="anything by itself: the digest printed here was computed from the same file",
    )


def _chunk_list(chunks: Piece) -> Step:
    return Step(
        "The chunk list is the one that the manifest names",
        "",
        (
            f'unzip -p "$F" {chunks.path} | sha256sum',
            """unzip -p "$F" META-LLAMAFILE/manifest.json |""",
            """  sed -n '/chunks.txt/,/"size"/s/.*"sha256": "//p'""",
        ),
        (chunks.sha256, chunks.sha256),
        proves="that whoever vouches for the manifest vouches for the chunk list",
    )


def _every_byte(facts: Facts) -> Step:
    text = "Prints a line for each damaged piece, and nothing for a good file."
    before: tuple[str, ...] = ()
    if facts.converted:
        text = (
            f"The file was made a native program ({printable(facts.converted)}): its first 64 bytes are not those that"
            " were signed. They are kept further on (14.2.7); a copy with them is what is checked from here on. " + text
        )
        before = (
            f'{{ tail -c +{_FIRST_SLOT + 1} "$F" | head -c 64; tail -c +65 "$F"; }} >converted-back',
            "F=$PWD/converted-back",
        )
    return Step(
        "Every byte in front of the chunk list",
        text,
        (
            *before,
            'unzip -p "$F" META-LLAMAFILE/chunks.txt | while read -r s o n p; do',
            '  t=$(tail -c +$((o + 1)) "$F" | head -c "$n" | sha256sum)',
            '  [ "${t%% *}" = "$s" ] || echo "damaged: $n bytes at $o ($p)"',
            "done",
        ),
        proves="that all these bytes are those of the chunk list: program, members, what lies between",
        open="the list of members at the end of the file, and the signature records",
    )


def _weights(weights: Sequence[Piece]) -> Step:
    first, *more = weights
    title = f"The model alone, {printable(first.path)}"
    if more:
        names = ", ".join(printable(piece.path) for piece in more[:_NAMED])
        title += f", and the other weights: {names}" + (" and so on" if len(more) > _NAMED else "")
    return Step(
        title,
        f"{'It lies' if not more else 'They lie'} in the file as {'it is' if not more else 'they are'}. (openssl dgst"
        " -sha256 -r does the work of sha256sum, often much faster.)",
        tuple(_digest(piece) for piece in weights),
        tuple(piece.sha256 for piece in weights),
        proves="that these are the weights that the manifest names; compare the digest with their publisher's",
    )


def _library(library: Foreign) -> Step:
    path, package = printable(library.piece.path), printable(library.package)
    here, theirs = ("W=/path/to/" + shlex.quote(package), _digest(library.piece)), 'sha256sum <"$W"'
    say = f"publish it in {package}. Say where you have that, from them or from an index that you trust."
    nobody = f"{printable(library.engine)} loads it, and nobody who made this file built it: its makers"
    unknown = "does, or of which sources its makers made it: no rebuild here compares it"
    if not library.source:
        return Step(
            f"A package that others built, {path}",
            f"{nobody} {say}",
            (*here, theirs),
            (library.piece.sha256, library.package_sha256),
            proves="that the package is, byte for byte, the one that they publish, if both lines are equal",
            open=f"what the package {unknown}",
        )
    return Step(
        f"A library that others built, {path}",
        f"{nobody} {say}",
        (*here, theirs, f'unzip -p "$W" {quoted(library.source)} | sha256sum'),
        (library.piece.sha256, library.package_sha256, library.sha256),
        proves="that the library is, byte for byte, the one in that package, if the first line and the last are equal",
        open=f"what the library {unknown}",
    )


def _digest(piece: Piece) -> str:
    return f'tail -c +{piece.offset + 1} "$F" | head -c {piece.size} | sha256sum'


def _unsigned() -> Step:
    return Step(
        "Signatures: none",
        "The file is not signed.",
        open="who made it. Only the digest of the manifest, told by somebody whom you trust, vouches for it",
    )


def _rest(facts: Facts) -> Step:
    text = (
        "The list of members and the mark at the end of the file, and the headers of the last members, follow from the"
        " manifest and the records. To compute and compare them takes this software, or the specification (chapters 4"
        " and 5)."
    )
    if facts.earlier:
        text += (
            f" {plural(facts.earlier, 'record')} in META-LLAMAFILE/history/ signed earlier files, before a repack; they"
            " say nothing about this one."
        )
    command = "llamafile-format verify --key KEY.pub FILE" if facts.records else "llamafile-format verify FILE"
    return Step("What is left", text, (command,))
