"""The vectors' forge and the library's writer share no code, and make the same bytes of the same inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

import llamafile_format
from spec.vectors.generate import forge
from spec.vectors.generate.archive_bytes import engine


def packed(folder: Path, files: dict[str, bytes], **options: object) -> bytes:
    """What ``pack`` makes of ``files``."""
    paths = []
    for name, data in files.items():
        (folder / name).write_bytes(data)
        paths.append(folder / name)
    out = folder / "out.llamafile"
    llamafile_format.pack(paths, out, align=32, force=True, **{"prefix": "none", **options})  # type: ignore[arg-type]
    return out.read_bytes()


def readme_of(data: bytes) -> bytes:
    """The README that ``pack`` wrote."""
    with llamafile_format.open(data) as container:
        return container.read("META-LLAMAFILE/README.txt")


@pytest.mark.parametrize("profile", ["default", "archive"])
def test_forge_equals_writer(tmp_path: Path, profile: str) -> None:
    made = packed(
        tmp_path, {"tiny.gguf": forge.gguf(), "LICENSE.txt": forge.LICENSE}, profile=profile, recovery=0, viewer=False
    )
    with llamafile_format.open(made) as container:
        assert container.manifest is not None
        labels = {key: getattr(container.manifest, key) for key in ("name", "license", "source", "created")}
    same = forge.good(
        forge.readme(readme_of(made)),
        archive_profile=profile == "archive",
        labels={key: value for key, value in labels.items() if value},
    )
    assert made == same


def test_forge_equals_writer_with_an_engine(tmp_path: Path) -> None:
    (tmp_path / "engine").write_bytes(engine().image)
    made = packed(tmp_path, {"tiny.gguf": forge.gguf(), "LICENSE.txt": forge.LICENSE}, prefix=str(tmp_path / "engine"))
    with llamafile_format.open(made) as container:
        assert container.manifest is not None
        labels = {key: getattr(container.manifest, key) for key in ("name", "license", "source", "created")}
    labels = {key: value for key, value in labels.items() if value}
    assert made == engine().spec(forge.readme(readme_of(made)), labels=labels)
