"""The public surface: what it is, that it is documented, and that it does not change unannounced."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import llamafile_format as lf

ROOT = Path(__file__).resolve().parents[2]


def test_changelog_names_every_public_name() -> None:
    """A name that is added to or taken from the public surface stands in the CHANGELOG's list."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    listed = re.search(r"Public names: (.*?)\.\n", text, re.DOTALL)
    assert listed, "CHANGELOG.md has no list of public names"
    assert set(re.findall(r"`(\w+)`", listed[1])) == set(lf.__all__)


def test_signatures_stand_in_the_changelog() -> None:
    """Parameters of public functions, so that a renamed or dropped one cannot slip through."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    functions = "open pack inspect verify repack extract diff recover convert record replay sign import_oms export_oms"
    for name in functions.split():
        parameters = ", ".join(inspect.signature(getattr(lf, name)).parameters)
        assert f"`{name}({parameters})`" in text, f"{name}({parameters})"


def test_everything_public_is_documented() -> None:
    for name in lf.__all__:
        if name != "__version__":
            assert inspect.getdoc(getattr(lf, name)), name


def test_public_methods_are_documented() -> None:
    for name in lf.__all__:
        thing = getattr(lf, name)
        if not inspect.isclass(thing):
            continue
        for method, function in vars(thing).items():
            if callable(function) and not method.startswith("_"):
                assert inspect.getdoc(function), f"{name}.{method}"


def test_dir_is_the_public_surface() -> None:
    assert set(dir(lf)) == set(lf.__all__)


def test_errors_carry_their_facts() -> None:
    error = lf.FormatError("bad", offset=7, clause="4.3", found=1, allowed="2", hint="mend it")
    assert (error.offset, error.clause, error.found, error.allowed, error.hint) == (7, "4.3", 1, "2", "mend it")
    assert "byte 7" in str(error)
    assert "4.3" in str(error)
    assert issubclass(lf.LimitExceeded, lf.FormatError)
    assert issubclass(lf.SourceError, OSError)
    assert lf.NotALlamafile("x").exit_code == 3


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        lf.nothing  # noqa: B018
