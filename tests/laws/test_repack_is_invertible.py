"""Law: what one repack does another undoes: equal prefix and members, history aside."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import llamafile_format as lf
from tests.repack_samples import engine, gguf, sound, write

pytestmark = pytest.mark.usefixtures("tiny_runtimes")

ARGUMENTS = [
    b"-m\nmodel.gguf\n...\n",
    b"# mine\n-m model.gguf -r 'a b' -r \"c\\td\"\n...\n",
    b"-r 'x' ...\n",
    b"",
]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(ARGUMENTS),
    st.permutations(["none", "0.8.0", "0.9.3", "0.10.2", "launcher"]),
    st.integers(1, 200_000),
    st.integers(1, 200_000),
)
def test_prefix_there_and_back(arguments: bytes, versions: list[str], small: int, large: int) -> None:
    if b"'" in arguments and versions[0] == "0.8.0":
        arguments = ARGUMENTS[0]  # for such an engine the text would mean something else
    if versions[0] in ("none", "launcher"):
        arguments = arguments.replace(b"-m model.gguf", b"-m /zip/model.gguf").replace(b"-m\n", b"-m\n/zip/")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first, second = (
            _engine(folder, version, size) for version, size in zip(versions, (small, large), strict=False)
        )
        write(folder / "model.gguf", gguf("m"))
        write(folder / ".args", arguments)
        lf.pack([folder / "model.gguf"], folder / "a", prefix=first, include=[lf.Include(folder / ".args")])
        try:
            lf.repack(folder / "a", folder / "b", prefix=second)
        except lf.UsageError:  # arguments that the other engine cannot express: said, not guessed
            return
        except lf.FormatError as error:  # a bare name is a file of the machine to an engine that bundles names
            _named_by_a_path(error, versions)
            return
        brought = second == "launcher"  # and with it what it starts, which the way back takes out
        lf.repack(folder / "b", folder / "c", prefix=first, runtime="none" if brought else None)
        _same(folder / "a", folder / "c")


@pytest.mark.parametrize(
    ("there", "back"),
    [
        ({"profile": "archive"}, {"profile": "default"}),
        ({"align": 32}, {"align": 65536}),
        ({"rename": {"model.gguf": "x.gguf"}}, {"rename": {"x.gguf": "model.gguf"}}),
        ({"name": "Other"}, {"name": ""}),
        ({"remove": ["card.md"]}, {"include": "card.md"}),
    ],
)
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("prefix", ["old", "launcher"])
def test_other_changes_there_and_back(
    tmp_path: Path, there: dict[str, Any], back: dict[str, Any], in_place: bool, prefix: str
) -> None:
    for name, data in (("model.gguf", gguf("m")), ("card.md", b"# card"), ("old", engine("old", 70_000))):
        write(tmp_path / name, data)
    lf.pack(
        [tmp_path / "model.gguf", tmp_path / "card.md"],
        tmp_path / "a",
        prefix=tmp_path / "old" if prefix == "old" else prefix,
        args="-m model.gguf",
    )
    back = {key: [lf.Include(tmp_path / value)] if key == "include" else value for key, value in back.items()}
    if in_place:
        write(tmp_path / "c", (tmp_path / "a").read_bytes())
        lf.repack(tmp_path / "c", in_place=True, **there)
        lf.repack(tmp_path / "c", in_place=True, **back)
    else:
        lf.repack(tmp_path / "a", tmp_path / "b", **there)
        lf.repack(tmp_path / "b", tmp_path / "c", **back)
    _same(tmp_path / "a", tmp_path / "c")


def _named_by_a_path(error: lf.FormatError, versions: list[str]) -> None:
    """The one refusal of arguments that are taken over, and from where to where it is due."""
    assert error.clause == "LF6122"
    assert versions[0] == "0.10.2"
    assert versions[1] in ("none", "launcher")


def _engine(folder: Path, version: str, size: int) -> str | Path:
    return (
        version if version in ("none", "launcher") else write(folder / version, engine(version, size, version=version))
    )


def _same(first: Path, second: Path) -> None:
    with sound(first) as a, sound(second) as b:
        assert a.manifest is not None
        assert b.manifest is not None
        assert a.manifest.prefix == b.manifest.prefix
        assert a.manifest.members[:-1] == b.manifest.members[:-1]
        assert [member.path for member in a.members] == [member.path for member in b.members]
        assert (a.manifest.name, a.manifest.default) == (b.manifest.name, b.manifest.default)
        assert len(b.manifest.history) == 2
