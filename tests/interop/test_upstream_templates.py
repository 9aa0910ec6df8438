"""Every template that the pinned engine is tested with is clean as it is, and broken once it is broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from llamafile_format.checks.template_family import Descent, descent, known_template
from llamafile_format.checks.templates import LITERAL_MAX, check_template
from llamafile_format.specdata import spec_dir
from spec.vectors.generate.known_templates import registry
from tests.engine_sources import engine_sources

pytestmark = [pytest.mark.slow, pytest.mark.interop]


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The templates in upstream's repository at the pinned commit."""
    folder = engine_sources(tmp_path_factory.mktemp("engine"), "models/templates")
    return sorted((folder / "models" / "templates").glob("*.jinja"))


def test_the_registry_knows_them(templates: list[Path]) -> None:
    """As they were written, before those of other sources: a template that changes or comes is another row."""
    written = (spec_dir() / "registry" / "templates.yaml").read_text("utf-8")
    assert written.startswith(registry(templates[0].parent, "llama.cpp models/templates"))
    for path in templates:
        text = path.read_bytes().decode()
        row = known_template(text)
        assert row is not None, path.name
        assert descent(text) == Descent((row.family,), ())
        again = descent(text + "{# a comment of somebody #}")  # not known any more, and still of its family
        assert row.family in again.families, path.name
        assert not again.foreign, path.name


def test_upstream_templates_are_clean(templates: list[Path]) -> None:
    assert len(templates) == 70
    assert {path.name: found for path in templates if (found := check_template(path.read_bytes()))} == {}


def test_a_forgotten_end_is_found_in_every_one_of_them(templates: list[Path]) -> None:
    for path in templates:
        text = path.read_text(encoding="utf-8")
        assert [f.rule for f in check_template((text + "{% endif %}").encode())] == ["LF6031"], path.name
        assert [f.rule for f in check_template((text + "{% if messages %}").encode())] == ["LF6031"], path.name
        assert [f.rule for f in check_template((text + "{{ 'a' + }}").encode())] == ["LF6032"], path.name


def test_the_longest_text_stays_below_the_limit(templates: list[Path]) -> None:
    assert max(len(path.read_text(encoding="utf-8")) for path in templates) > LITERAL_MAX
