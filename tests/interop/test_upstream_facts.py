"""What the registries say about the pinned engine, compared with its sources."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llamafile_format.engines.store import find_pin
from llamafile_format.specdata import spec_yaml
from llamafile_format.weights.projectors import known_to
from tests.engine_sources import engine_sources

pytestmark = [pytest.mark.slow, pytest.mark.interop]

NAME = re.compile(r'\{\s*PROJECTOR_TYPE_\w+,\s*"([^"]+)"\s*\}')
BRANCH = re.compile(r"case PROJECTOR_TYPE_\w+:|return [^;]+;")


@pytest.fixture(scope="module")
def mtmd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Upstream's folder of projectors."""
    return engine_sources(tmp_path_factory.mktemp("engine"), "tools/mtmd") / "tools" / "mtmd"


def test_the_registry_has_the_engines_projector_types(mtmd: Path) -> None:
    assert known_to() == {"llama.cpp@0.3.36", "llama.cpp@0.3.36+1", "llama.cpp@0.3.36+2"}
    trees = {find_pin(key).upstream.tree for key in known_to()}
    assert len(trees) == 1, "the same sources"
    types = set(NAME.findall((mtmd / "clip-impl.h").read_text(encoding="utf-8")))
    assert types == set(spec_yaml("registry/projector-types.yaml")["projector_types"])


def test_the_registry_measures_the_dimension_that_the_engine_measures(mtmd: Path) -> None:
    """Every type with a place has a branch in ``clip_n_mmproj_embd`` that returns this dimension of a tensor."""
    source = (mtmd / "clip.cpp").read_text(encoding="utf-8")
    body = source[source.index("int clip_n_mmproj_embd(") : source.index("bool clip_is_llava(")]
    names = (mtmd / "clip-impl.h").read_text(encoding="utf-8")
    dimension: dict[str, str] = {}
    waiting: list[str] = []
    for found in BRANCH.findall(body):
        if found.startswith("case"):
            waiting.append(found.removeprefix("case ").removesuffix(":"))
            continue
        for constant in waiting:
            name = re.search(rf'\{{\s*{constant},\s*"([^"]+)"', names)
            dimension[name[1] if name else constant] = "".join(re.findall(r"ne\[(\d)\]", found))
        waiting = []
    for name, places in spec_yaml("registry/projector-types.yaml")["projector_types"].items():
        if places != "-" and name not in ("mlp", "qwen2.5o"):  # these two become another type while they are loaded
            assert places.split()[1] == dimension[name], name
