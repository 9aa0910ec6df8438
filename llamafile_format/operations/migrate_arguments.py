"""The ``.args`` member of a repacked file: kept, given anew, or carried into the new engine's dialect (spec/1.0, 8.2.5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from llamafile_format.operations.assemble import Content
from llamafile_format.operations.carry import Carried, CarriedEngine
from llamafile_format.operations.inputs import text_content
from llamafile_format.operations.pack import Args, arguments_content
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
_MODEL = ("-m", "--model")


def new_arguments(
    carried: Carried,
    engine: CarriedEngine,
    args: Args | None,
    renamed: Mapping[str, str],
    contents: Mapping[str, Content],
) -> Content | None:
    """The arguments member to write in place of the one in ``contents``; None if that one stays as it is."""
    names = [content.path for content in contents.values()]
    if args is not None:
        return arguments_content(args, engine.source, names)
    old = contents.get(ARGUMENTS)
    if old is None or old.role != "arguments" or (engine is carried.engine and not renamed):
        return None
    before, after = engine_dialect(carried.engine), engine_dialect(engine)
    data = _bytes(old)
    if renamed:
        data = rename_models(data, before, renamed)
    if before is not after:
        data = migrate(data, before, after, member_names=names)
    return text_content(ARGUMENTS, "arguments", data)


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
