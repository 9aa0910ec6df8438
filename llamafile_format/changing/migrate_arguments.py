"""The ``.args`` member of a repacked file: kept, given anew, or put into the new engine's dialect (spec/1, 8.2.5)."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llamafile_format.changing.history import changes_of
from llamafile_format.changing.order import Order
from llamafile_format.manifest.hashing import sha256_of
from llamafile_format.packing import Carried, CarriedEngine, Content, arguments_content, drop_options, text_content
from llamafile_format.prefix.arguments import (
    BUNDLE,
    MAX_SIZE,
    Dialect,
    Token,
    dialect_of,
    encode,
    migrate,
    parse,
)
from llamafile_format.prefix.arguments_token import literal
from llamafile_format.prefix.facts import PrefixKind

ARGUMENTS = ".args"
MAX_KEPT = 4096  # bytes of old arguments that the history keeps as text
MIGRATED = "dialect"  # why arguments were rewritten: another engine reads them
_MODEL = ("-m", "--model")


def new_arguments(
    carried: Carried,
    engine: CarriedEngine,
    order: Order,
    renamed: Mapping[str, str],
    contents: Mapping[str, Content],
) -> Content | None:
    """The arguments member to write in place of the one in ``contents``; None if that one stays as it is."""
    names = [content.path for content in contents.values()]
    if order.args is not None:
        return arguments_content(order.args, engine.source, names)
    old, dropped = contents.get(ARGUMENTS), order.drop_args
    if old is None or old.role != "arguments" or (engine is carried.engine and not renamed and not dropped):
        return None
    before, after = engine_dialect(carried.engine), engine_dialect(engine)
    data = _bytes(old)
    if dropped:
        data = drop_options(data, before, dropped)
    if renamed:
        data = rename_models(data, before, renamed)
    if before is not after:
        again = None if renamed or dropped else _before(carried.labels.history, data, engine)
        data = again if again is not None else migrate(data, before, after, member_names=names)
    return text_content(ARGUMENTS, "arguments", data)


def _before(history: Sequence[Mapping[str, Any]], data: bytes, engine: CarriedEngine) -> bytes | None:
    """The arguments as they were when ``engine`` was last in front, if nothing but migrations changed them since."""
    digest = engine_digest(engine)
    for item in reversed(history):
        changes = changes_of([item])
        if any(change.get("what") == "rename" for change in changes):
            return None
        for change in changes:
            if change.get("what") != "arguments" and change.get("path") != ARGUMENTS:
                continue
            text = change.get("text")
            follows = change.get("to") == hashlib.sha256(data).hexdigest()
            if change.get("why") != MIGRATED or not follows or not isinstance(text, str):
                return None
            data = text.encode("utf-8", "surrogatepass")
        if any(change.get("what") == "prefix" and change.get("from") == digest for change in changes):
            return data
    return None


def engine_digest(engine: CarriedEngine) -> str:
    """SHA-256 of the engine without padding, in hex; computed only if it is not known."""
    if engine.known:
        return engine.known[1]
    return sha256_of(engine.source)


def same_bytes(old: Content, new: Content) -> bool:
    """Do both have the same bytes? A digest that the old one came with is taken for its own."""
    if old is new:
        return True
    if old.source.size != new.source.size:
        return False
    digest = old.known.sha256.hex() if old.known else sha256_of(old.source)
    return digest == sha256_of(new.source)


def change_of(old: Content, new: Content, *, migrated: bool) -> dict[str, Any]:
    """The history's account of changed arguments. The text of migrated ones is kept: a later repack may lead back."""
    before, after = _bytes(old), _bytes(new)
    change: dict[str, Any] = {"what": "arguments", "path": new.path, "role": new.role}
    change["from"], change["to"] = hashlib.sha256(before).hexdigest(), hashlib.sha256(after).hexdigest()
    if migrated:
        change["why"] = MIGRATED
        with contextlib.suppress(UnicodeDecodeError):
            if len(before) <= MAX_KEPT:
                change["text"] = before.decode("utf-8")
    return change


def engine_dialect(engine: CarriedEngine) -> Dialect:
    """How ``engine`` reads its arguments. Scans its bytes for the version; it is never run."""
    from llamafile_format.prefix.engine import identify_engine
    from llamafile_format.prefix.identify import identify

    if not engine.source.size:
        return Dialect.NATIVE
    kind = PrefixKind(engine.kind) if engine.kind else identify(engine.source).kind
    return dialect_of(identify_engine(engine.source, 0, engine.source.size), kind)


def rename_models(data: bytes, dialect: Dialect, renamed: Mapping[str, str]) -> bytes:
    """``data`` with arguments that name a renamed member following it; the same bytes if none does."""
    parsed = parse(data, dialect)
    tokens = [_renamed(token, renamed) for token in parsed.tokens]
    if tokens == list(parsed.tokens):
        return data
    return encode(tokens, dialect, rest=parsed.rest)


def _renamed(token: Token, renamed: Mapping[str, str]) -> Token:
    if token.variables:
        return token
    option, equals, value = token.text.partition("=")
    if not (equals and option.startswith("--")):
        option, equals, value = "", "", token.text
    bundle = BUNDLE if value.startswith(BUNDLE) else ""
    new = renamed.get(value.removeprefix(BUNDLE))
    return token if new is None else literal(f"{option}{equals}{bundle}{new}")


def model_named_by(content: Content | None) -> str:
    """The member that ``-m`` or ``--model`` names; empty if none does. The dialects agree on so plain an argument."""
    if content is None:
        return ""
    return named_model([token.text for token in parse(_bytes(content), Dialect.QUOTED).tokens])


def named_model(tokens: Iterable[str]) -> str:
    """The last value of ``-m`` or ``--model`` among ``tokens``, without ``/zip/``."""
    found, expected = "", False
    for token in tokens:
        if expected:
            found = token
        elif token.startswith("--model="):
            found = token.partition("=")[2]
        expected = token in _MODEL
    return found.removeprefix(BUNDLE)


def _bytes(content: Content) -> bytes:
    """The member's bytes; one byte over the limit is enough for the parser to refuse the rest."""
    return content.source.read_at(0, min(content.source.size, MAX_SIZE + 1))
