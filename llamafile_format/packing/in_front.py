"""What stands in front of a packed file: the bytes of an engine, its own ZIP, and arguments in its dialect."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llamafile_format.errors import UsageError
from llamafile_format.manifest.model import README_PATH, EngineAsset, EngineDirectory
from llamafile_format.packing.assemble import Content, PrefixContent
from llamafile_format.packing.inputs import text_content
from llamafile_format.packing.runtime_members import LAUNCHER, NONE
from llamafile_format.prefix.facts import PrefixKind
from llamafile_format.rules import rule
from llamafile_format.source import ByteSource, BytesSource, FileSource, Window

if TYPE_CHECKING:
    from llamafile_format.prefix.arguments import Dialect

Args = str | Sequence[str]
"""Default arguments: one text in the quoted grammar of clause 3.8, or a list of tokens."""


def prefix_of(prefix: str) -> ByteSource:
    """The bytes of the engine at ``prefix``; nothing for ``none`` or an empty text (clause 8.1.2)."""
    if prefix in ("", NONE):
        return BytesSource(b"", NONE)
    source = FileSource(prefix)
    if not source.size:
        raise UsageError(f"{prefix} is empty", hint="name an engine, or --prefix none")
    from llamafile_format.prefix.impostors import PROGRAMS, recognise

    if (impostor := recognise(source)) is not None and impostor.rule not in PROGRAMS:
        raise UsageError(f"{prefix} is no engine: {impostor.message}", hint=impostor.hint)
    return source


def prefix_content_of(engine: ByteSource, contents: Sequence[Content], *, archive: bool) -> PrefixContent:
    """The prefix with its kind and the records of its own ZIP that are carried over (clause 4.10)."""
    if not engine.size:
        return PrefixContent("none", engine)
    from llamafile_format.prefix.identify import identify
    from llamafile_format.zip.engine_archive import engine_records

    found = engine_records(engine, engine.size, taken=[content.path for content in contents] + [README_PATH])
    kind = identify(engine).kind.value
    if kind == LAUNCHER:
        raise UsageError(
            f"{engine.name} begins with a launcher, which fits its own file only", hint="--prefix launcher"
        )
    if not found.count:
        return PrefixContent(kind, engine, opaque=found.opaque_reason)
    assets = tuple(asset_of(engine, entry, archive) for entry in found.carried)
    directory = EngineDirectory(found.offset, found.size, found.count, assets, found.dropped)
    records = tuple(engine.read_at(entry.record_offset, entry.record.length) for entry in found.carried)
    return PrefixContent(kind, engine, directory, records)


def asset_of(engine: ByteSource, entry: Any, archive: bool) -> EngineAsset:
    """Size and digests of the engine file ``entry``, unpacked; SHA-512 too for profile ``archive``. FormatError."""
    from llamafile_format.zip.contents import inflate
    from llamafile_format.zip.records import DEFLATED

    if entry.method == DEFLATED:
        blocks = inflate(engine, entry)
    else:
        window = Window(engine, entry.data_offset, entry.size)
        blocks = (window.read_at(at, min(1 << 20, entry.size - at)) for at in range(0, entry.size, 1 << 20))
    small, large = hashlib.sha256(), hashlib.sha512()
    for block in blocks:
        small.update(block)
        if archive:
            large.update(block)
    return EngineAsset(entry.path, entry.size, small.hexdigest(), large.hexdigest() if archive else "")


def notes_about(prefix: PrefixContent) -> tuple[str, ...]:
    """That the engine is none that is known (3.2.1), or what of its own ZIP its directory in the container does not
    show (clause 4.10)."""
    if prefix.kind == PrefixKind.OTHER.value and prefix.engine.size:
        return (f"{prefix.engine.name} is packed as the program in front, and {rule('LF1028').message}",)
    if prefix.opaque:
        return (f"the ZIP inside the engine was not carried over: {prefix.opaque}",)
    dropped = prefix.directory.dropped if prefix.directory else ()
    return tuple(f"the engine's own {path} was not carried over ({reason})" for path, reason in dropped)


def dialect_of_engine(engine: ByteSource) -> Dialect:
    """How ``engine`` reads arguments; without one, the native way. Scans its bytes for the version."""
    from llamafile_format.prefix.arguments import Dialect, dialect_of
    from llamafile_format.prefix.engine import identify_engine

    return dialect_of(identify_engine(engine, 0, engine.size)) if engine.size else Dialect.NATIVE


def arguments_content(args: Args, engine: ByteSource, names: Sequence[str]) -> Content:
    """The ``.args`` member in the dialect of the engine (clause 3.8)."""
    from llamafile_format.prefix.arguments import REST, Dialect, encode, parse, with_bundled_names
    from llamafile_format.prefix.arguments_token import literal

    dialect = dialect_of_engine(engine)
    if isinstance(args, str):
        parsed = parse(args.encode("utf-8"), Dialect.NATIVE)
        tokens, rest = list(parsed.tokens), parsed.rest
    else:
        rest = args.index(REST) if REST in args else None
        tokens = [literal(text) for text in args if text != REST]
    data = encode(with_bundled_names(tokens, dialect, names), dialect, rest=rest)
    return text_content(".args", "arguments", data)
