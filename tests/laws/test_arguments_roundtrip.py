"""Law: what one dialect writes, it reads back; what moves between dialects comes back, or is refused, never changed."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llamafile_format.errors import UsageError
from llamafile_format.prefix.arguments import Dialect, Token, Variable, encode, migrate, parse

NAMES = ("model.gguf", "a b/Model'2.GGUF")
WORDS = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12),
    st.text(st.sampled_from(" \t\r\n'\"\\$#.{}nx07a/-="), max_size=10),
    st.sampled_from(["...", "", "-m", "--model=model.gguf", *NAMES, *(f"/zip/{name}" for name in NAMES)]),
    st.binary(max_size=6).filter(lambda data: 0 not in data).map(lambda data: data.decode("utf-8", "surrogateescape")),
)
DIALECTS = st.sampled_from(Dialect)
VARIABLES = st.from_regex(r"[A-Za-z0-9_]{1,8}", fullmatch=True).map(Variable)


@st.composite
def tokens_with_variables(draw: st.DrawFn) -> list[Token]:
    """Tokens in normal form: no empty text, no two texts in a row."""
    found = []
    for _ in range(draw(st.integers(0, 5))):
        pieces: list[str | Variable] = []
        for piece in draw(st.lists(st.one_of(WORDS, VARIABLES), max_size=4)):
            if piece and not (isinstance(piece, str) and pieces and isinstance(pieces[-1], str)):
                pieces.append(piece)
        found.append(Token(tuple(pieces)))
    return found


@given(st.lists(WORDS, max_size=8), DIALECTS)
def test_encode_then_parse_is_the_identity(words: list[str], dialect: Dialect) -> None:
    try:
        data = encode(words, dialect)
    except UsageError:
        assert dialect is Dialect.LINES
        return
    parsed = parse(data, dialect)
    assert list(parsed.texts) == words
    assert parsed.rest == len(words)
    assert not parsed.findings


@given(tokens_with_variables(), st.data())
def test_variables_survive(tokens: list[Token], data: st.DataObject) -> None:
    rest = data.draw(st.integers(0, len(tokens)))
    parsed = parse(encode(tokens, Dialect.QUOTED, rest=rest), Dialect.QUOTED)
    assert [token.parts for token in parsed.tokens] == [token.parts for token in tokens]
    assert parsed.rest == rest


@given(st.one_of(st.binary(max_size=60), WORDS.map(lambda word: word.encode("utf-8", "surrogateescape"))), DIALECTS)
@example(b"'", Dialect.QUOTED)
@example(b"''\\", Dialect.QUOTED)
def test_parse_never_raises_and_stays_inside(data: bytes, dialect: Dialect) -> None:
    parsed = parse(data, dialect)
    for token in parsed.tokens:
        assert 0 <= token.offset <= token.offset + token.length <= len(data)
    assert parsed.rest is None or 0 <= parsed.rest <= len(parsed.tokens)


@given(st.lists(WORDS, max_size=6), DIALECTS, DIALECTS)
def test_migration_there_and_back(words: list[str], source: Dialect, target: Dialect) -> None:
    try:
        old = encode(words, source)
        new = migrate(old, source, target, member_names=NAMES)
    except UsageError:
        assert Dialect.LINES in (source, target)
        return
    back = parse(migrate(new, target, source, member_names=NAMES), source)
    assert back.rest == len(words)
    if source.bundles == target.bundles:
        assert list(back.texts) == words
    else:  # a name written in the form of the other side comes back in the form of this one
        assert [text.replace("/zip/", "") for text in back.texts] == [word.replace("/zip/", "") for word in words]


@given(st.lists(WORDS, max_size=6), DIALECTS, DIALECTS)
def test_migration_is_idempotent(words: list[str], source: Dialect, target: Dialect) -> None:
    try:
        once = migrate(encode(words, source), source, target, member_names=NAMES)
    except UsageError:
        return
    assert migrate(once, target, target, member_names=NAMES) == once


@pytest.mark.parametrize("dialect", Dialect)
def test_plain_arguments_read_the_same_everywhere(dialect: Dialect) -> None:
    data = encode(["-m", "model.gguf", "-c", "4096"], dialect)
    assert len({parse(data, other).texts for other in Dialect}) == 1
