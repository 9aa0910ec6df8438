"""Answers of registries that are lost, passing, endless or echoes: what is asked again, and what is shown."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from llamafile_format.errors import LimitExceeded, SourceError
from llamafile_format.exchanging import Registry, Terms, dialogue, read_reference, upload
from llamafile_format.exchanging.challenge import read_challenge
from llamafile_format.source.address import read_address
from tests.exchange_samples import model, plain
from tests.registry_client import pulled, pushed
from tests.registry_server import RegistryServer


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow one another at once."""
    monkeypatch.setattr(dialogue, "PAUSES", (0.0, 0.0, 0.01, 0.01, 0.01))


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    """A registry that lets everybody in, but through its faults."""
    with RegistryServer() as running:
        running.faults.strict = True
        yield running


@pytest.mark.parametrize("lost", [1, 3, 5, 7], ids="{} lost".format)
def test_a_blob_whose_last_answer_is_lost_was_sent(lost: int, server: RegistryServer, tmp_path: Path) -> None:
    file = plain(tmp_path / "a")
    server.faults.lost_closing = lost
    pushed(file, server)
    assert server.faults.lost_closing == 0
    assert pulled(server, tmp_path / "out").path.read_bytes() == file.read_bytes()


def test_so_was_one_that_went_in_pieces(
    server: RegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "PIECE", 1000)
    server.faults.lost_closing = 2
    pushed(plain(tmp_path / "a"), server)
    assert hashlib.sha256(model()).hexdigest() in {digest.partition(":")[2] for digest in server.blobs}


class _Forgetful(dict[str, set[str]]):
    """What a registry has, by its own word: nothing."""

    def setdefault(self, key: str, default: set[str] | None = None) -> set[str]:
        """Something that nobody keeps."""
        return default or set()


def test_one_that_is_not_there_was_not(server: RegistryServer, tmp_path: Path) -> None:
    server.repositories, server.faults.lost_closing = _Forgetful(), 1
    with pytest.raises(SourceError, match=r"does not take the blob .* 404: BLOB_UPLOAD_UNKNOWN"):
        pushed(plain(tmp_path / "a"), server)


@pytest.mark.parametrize("busy", [1, 4])
def test_a_passing_failure_where_we_are_sent_to_passes(busy: int, server: RegistryServer, tmp_path: Path) -> None:
    file = plain(tmp_path / "a")
    pushed(file, server)
    server.faults.blobs_at, server.faults.busy_moved = "/moved", busy
    assert pulled(server, tmp_path / "out").path.read_bytes() == file.read_bytes()
    assert server.count("GET", "/moved/") > busy


def test_one_that_does_not_pass_ends_it(server: RegistryServer, tmp_path: Path) -> None:
    pushed(plain(tmp_path / "a"), server)
    server.faults.blobs_at, server.faults.busy_moved = "/moved", 1000
    with pytest.raises(SourceError, match="given up after 5 tries: 503"):
        pulled(server, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def _config(folder: Path, server: RegistryServer, password: str) -> Path:
    path = folder / "config.json"
    said = base64.b64encode(f"somebody:{password}".encode()).decode()
    path.write_text(json.dumps({"auths": {server.host: {"auth": said}}}))
    return path


def test_only_codes_of_the_specification_are_shown(server: RegistryServer, tmp_path: Path) -> None:
    """A registry gave the password back as a code of an error, and it stood in a log."""
    server.auth = "basic"
    server.faults.no = (
        b'{"errors": [{"code": "PASSWORD"}, {"code": "DENIED", "message": "PASSWORD"}, {"code": "DENIED_PASSWORD"}]}'
    )
    config = _config(tmp_path, server, "SECRET_PASSWORD")
    with pytest.raises(SourceError) as caught:
        pulled(server, tmp_path / "out", config=config)
    assert "the registry says 403: DENIED" in str(caught.value)
    assert "SECRET" not in f"{caught.value}{caught.value.hint}"


def test_too_many_pages_are_not_called_too_many_referrers(server: RegistryServer, tmp_path: Path) -> None:
    pushed(plain(tmp_path / "a"), server)
    with Registry(read_reference(f"{server.host}/models/tiny:v1"), Terms()) as giver:
        image, _ = giver.image()
        server.faults.link = f"/v2/models/tiny/referrers/{image.digest}"  # the same page for ever
        with pytest.raises(LimitExceeded, match="on more and more pages") as caught:
            giver.referrers(image)
    assert (caught.value.found, caught.value.allowed) == (101, "100")


@pytest.mark.parametrize("realm", ["ftp://x/", "http://x/", "https://x:y@z/", "https://x é/"])
def test_a_long_realm_is_cut(realm: str) -> None:
    said = f'Bearer realm="{realm}{"a" * 5000}"'
    with pytest.raises(SourceError) as caught:
        read_challenge(said, read_address("https://registry.example/v2/"))
    assert len(str(caught.value)) < 500
