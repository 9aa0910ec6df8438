"""The chat page: packages named by the lock file, npm's cache laid out from a vault, one archive for the same files."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path

import pytest

from llamafile_format.engines.page import (
    Package,
    build_page,
    cached,
    fill_cache,
    packages,
    read_archive,
    write_archive,
)
from llamafile_format.engines.work import Workshop
from llamafile_format.errors import FormatError, UsageError
from tests.unit.runtime_workshop import make_pin


def lock(folder: Path, entries: dict[str, dict[str, object]]) -> Path:
    path = folder / "package-lock.json"
    path.write_text(json.dumps({"lockfileVersion": 3, "packages": {"": {"name": "root"}, **entries}}))
    return path


def integrity(data: bytes) -> str:
    return f"sha512-{base64.b64encode(hashlib.sha512(data).digest()).decode()}"


def test_packages_of_a_lock_file(tmp_path: Path) -> None:
    one, two = b"one", b"two"
    path = lock(
        tmp_path,
        {
            "node_modules/b": {"version": "1.0", "integrity": integrity(one)},
            "node_modules/@x/a": {"version": "2.0", "integrity": f"sha1-AAAA {integrity(two)}"},
            "node_modules/c/node_modules/b": {"version": "1.0", "integrity": integrity(one)},
            "node_modules/alias": {"name": "real", "version": "3.0", "integrity": integrity(two)},
            "node_modules/linked": {"link": True, "resolved": "packages/linked"},
        },
    )
    found = packages(path)
    assert [(one.name, one.version, one.file) for one in found] == [
        ("@x/a", "2.0", "x-a-2.0.tgz"),
        ("b", "1.0", "b-1.0.tgz"),
        ("real", "3.0", "real-3.0.tgz"),
    ]
    assert found[1].sha512 == hashlib.sha512(one).hexdigest()


def test_a_package_without_a_strong_digest_is_refused(tmp_path: Path) -> None:
    path = lock(tmp_path, {"node_modules/b": {"version": "1.0", "integrity": "sha1-AAAA"}})
    with pytest.raises(FormatError, match="no SHA-512"):
        packages(path)


def test_a_vault_becomes_a_cache_of_npm(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no packages"):
        fill_cache(tmp_path / "npm", tmp_path / "cache")
    (tmp_path / "npm").mkdir()
    (tmp_path / "npm" / "a-1.tgz").write_bytes(b"archive")
    fill_cache(tmp_path / "npm", tmp_path / "cache")
    digest = hashlib.sha512(b"archive").hexdigest()
    path = tmp_path / "cache" / "_cacache" / "content-v2" / "sha512" / digest[:2] / digest[2:4] / digest[4:]
    assert path == cached(tmp_path / "cache", Package("a", "1", digest))
    assert path.read_bytes() == b"archive"


def test_the_archive_is_the_same_for_the_same_files(tmp_path: Path) -> None:
    for name, order in (("one", ["b", "a/x", "Z"]), ("two", ["Z", "b", "a/x"])):
        for file in order:
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.encode())
        write_archive(tmp_path / name, tmp_path / f"{name}.tar")
    os.utime(tmp_path / "two" / "b", (0, 0))
    (tmp_path / "two" / "b").chmod(0o700)
    write_archive(tmp_path / "two", tmp_path / "three.tar")
    data = (tmp_path / "one.tar").read_bytes()
    assert data == (tmp_path / "two.tar").read_bytes() == (tmp_path / "three.tar").read_bytes()
    assert list(read_archive(data)) == [("Z", b"Z"), ("a/x", b"a/x"), ("b", b"b")]


def test_an_engine_without_a_page(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no chat page"):
        build_page(make_pin(tmp_path), Workshop(tmp_path / "w", tmp_path / "i"))
