"""The pin, built again: the digests that it names come out, from sources that are upstream's."""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
import zlib
from pathlib import Path

import pytest

from llamafile_format.engines import knowledge
from llamafile_format.engines.build import build
from llamafile_format.engines.cache import work_folder
from llamafile_format.engines.host import host_target
from llamafile_format.engines.page import build_page
from llamafile_format.engines.pin import Flavour, Pin
from llamafile_format.engines.recording import check_upstream
from llamafile_format.engines.store import find_pin
from llamafile_format.engines.toolchain import fill
from llamafile_format.engines.work import Workshop
from llamafile_format.errors import LlamafileError, SourceError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.interop,
    pytest.mark.skipif(host_target() != "linux-x86_64", reason="pins are built on linux-x86_64"),
]
TARGET = "linux-x86_64"


@pytest.fixture(scope="module")
def pin() -> Pin:
    return find_pin("llama.cpp")


@pytest.fixture(scope="module")
def shop(pin: Pin, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A workshop that this run of the tests began empty; inputs come from the folder that LFF_VAULT names, or through
    pip's package indexes.

    The workers of a run share it, so that the compiler makes the libraries of a target once for its builds.
    """
    vault = os.environ.get("LFF_VAULT", "")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "rebuild"
    folder.mkdir(exist_ok=True)
    shop = Workshop(folder, work_folder("inputs"), Path(vault) if vault else None)
    try:
        for source in pin.inputs:
            shop.obtain(source)
    except SourceError as error:
        pytest.skip(f"the inputs cannot be had here: {error} ({error.hint})")
    return shop


@pytest.mark.parametrize(("target", "flavour"), [(TARGET, Flavour.REFERENCE), (TARGET, Flavour.NATIVE)])
def test_a_build_is_reached(pin: Pin, shop: Workshop, target: str, flavour: Flavour) -> None:
    pinned = pin.build(target, flavour)
    assert pinned is not None
    built = build(pin, target, flavour, shop)
    assert built.as_pinned
    assert (built.sha256, built.size) == (pinned.sha256, pinned.size)


def test_the_sources_are_upstreams(pin: Pin, shop: Workshop) -> None:
    """The folder has the name that git has for the tree of the pinned commit, and says what the pin says it knows."""
    (source,) = (one for one in pin.inputs if one.id == "llama")
    folder = Path(fill(pin.upstream.folder, {source.id: str(shop.unpack(source))}))
    check_upstream(pin, folder)
    assert pin.upstream.tree == f"swh:1:dir:{_tree(shop.obtain(source), pin.upstream.commit)}"
    assert set(knowledge.architectures(folder)) == pin.architectures
    assert set(knowledge.tensor_types(folder)) == pin.tensor_types


def _tree(archive: Path, commit: str) -> str:
    """The tree of ``commit``, from the commit itself, which the source distribution happens to carry."""
    with tarfile.open(archive) as tar:
        (name,) = (name for name in tar.getnames() if name.endswith(f"/objects/{commit[:2]}/{commit[2:]}"))
        file = tar.extractfile(name)
        assert file is not None
        data = zlib.decompress(file.read())
    assert hashlib.sha1(data).hexdigest() == commit
    match = re.match(rb"commit \d+\0tree ([0-9a-f]{40})\n", data)
    assert match is not None
    return match[1].decode()


def test_the_chat_page_is_reached(pin: Pin, shop: Workshop) -> None:
    assert pin.webui is not None
    try:
        built = build_page(pin, shop)
    except LlamafileError as error:
        if "npm error network" in error.message or "npm error code E" in error.message:
            pytest.skip(f"the packages cannot be had here: {error}")
        raise
    assert built.as_pinned
    if pin.webui.reproducible:
        assert (built.sha256, built.size) == (pin.webui.sha256, pin.webui.size)
