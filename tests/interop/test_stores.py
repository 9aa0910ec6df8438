"""Objects in stores, and files at a hub, read as files are (spec/1, 10.12.7 and 10.12.8)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import llamafile_format
from llamafile_format.errors import SourceError, UsageError
from llamafile_format.source.address import read_address
from llamafile_format.source.store_object import _received, store_of
from tests.conftest import CliRunner
from tests.object_stores import BUCKET, Hub, Store, hub, moto, rclone, seaweed
from tests.remote_samples import remote_container

pytestmark = [pytest.mark.interop]
FIRST, SECOND = "a" * 40, "b" * 40


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A container of some MiB."""
    return remote_container(tmp_path_factory.mktemp("sample") / "x.llamafile")


@pytest.fixture(scope="module", params=["seaweed", "moto"])
def store(
    request: pytest.FixtureRequest, tool: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory, sample: Path
) -> Iterator[Store]:
    """A running store that has the sample."""
    folder = tmp_path_factory.mktemp(request.param)
    with seaweed(tool("weed"), folder) if request.param == "seaweed" else moto(folder) as running:
        running.put("models/x_y.llamafile", sample.read_bytes())
        running.put("empty", b"")
        running.put("encoded", sample.read_bytes(), ContentEncoding="gzip")
        yield running


@pytest.mark.slow
def test_commands_read_from_a_store(store: Store, sample: Path, tmp_path: Path, run_cli: CliRunner) -> None:
    name = f"s3://{BUCKET}/models/x_y.llamafile"
    for level in ("quick", "full"):
        done = run_cli("verify", "--level", level, name, env=store.settings)
        assert (done.returncode, "well-formed  yes" in done.stdout or level == "quick") == (0, True), done.stdout
    assert run_cli("inspect", name, env=store.settings).returncode == 0
    assert run_cli("diff", name, sample, env=store.settings).returncode == 0
    done = run_cli("extract", name, "-C", tmp_path / "out", env=store.settings)
    assert done.returncode == 0, done.stderr
    for member in llamafile_format.inspect(sample).members:
        if (taken := tmp_path / "out" / member.path).is_file():
            assert hashlib.sha256(taken.read_bytes()).hexdigest() == member.sha256


@pytest.mark.slow
def test_a_store_and_the_disk_agree(store: Store, sample: Path) -> None:
    with llamafile_format.open_remote(f"s3://{BUCKET}/models/x_y.llamafile", settings=store.settings) as source:
        there = llamafile_format.verify(source)
        assert source.traffic.rounds < 20
    here = llamafile_format.verify(sample)
    assert [(f.rule, f.where) for f in there.findings] == [(f.rule, f.where) for f in here.findings]
    assert there.verdicts == here.verdicts
    assert there.revision


@pytest.mark.slow
def test_what_a_store_refuses_is_told_without_an_address(store: Store, run_cli: CliRunner) -> None:
    done = run_cli("verify", f"s3://{BUCKET}/nothing", env=store.settings)
    assert done.returncode == 4
    assert "the store says 404" in " ".join(done.stdout.split())
    assert "127.0.0.1" not in done.stdout + done.stderr
    done = run_cli("verify", f"s3://{BUCKET}/encoded", env=store.settings)
    assert done.returncode == 4
    assert "encoded" in done.stdout
    assert run_cli("verify", f"s3://{BUCKET}/empty", env=store.settings).returncode == 3


@pytest.mark.slow
def test_an_exchange_between_two_answers_is_noticed(store: Store, sample: Path) -> None:
    store.put("changing", sample.read_bytes())
    with llamafile_format.open_remote(f"s3://{BUCKET}/changing", settings=store.settings) as source:
        middle = source.size // 2
        store.put("changing", sample.read_bytes()[::-1])
        with pytest.raises(SourceError, match="changed while it was read"):
            source.read_at(middle, 100)


@pytest.mark.slow
def test_keys_that_are_wrong(store: Store) -> None:
    wrong = store.settings | {"AWS_SECRET_ACCESS_KEY": "another"}
    if not store.checks_keys:
        pytest.skip("moto lets everybody in")
    with pytest.raises(SourceError, match="the store says 403") as caught:
        llamafile_format.open_remote(f"s3://{BUCKET}/models/x_y.llamafile", settings=wrong)
    assert "another" not in caught.value.message


@pytest.mark.slow
def test_a_store_that_answers_ranges_as_the_whole_is_refused(
    tool: Callable[[str], Path], tmp_path: Path, sample: Path
) -> None:
    with rclone(tool("rclone"), tmp_path) as running:
        (tmp_path / "root" / BUCKET / "sample.llamafile").write_bytes(sample.read_bytes())
        with (
            pytest.raises(SourceError),
            llamafile_format.open_remote(f"s3://{BUCKET}/sample.llamafile", settings=running.settings),
        ):
            pass


@pytest.mark.parametrize(
    "text",
    ["s3://bucket", "s3://bucket/", "s3://me:secret@bucket/key", "gs://bucket/key?x=1", "az://b c/key", "s3:///key"],
)
def test_addresses_in_stores_that_are_none(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_address(text)
    assert "secret" not in caught.value.message


def test_keys_are_not_sent_where_others_can_read_them() -> None:
    address = read_address("s3://bucket/key")
    with pytest.raises(UsageError, match="neither https nor this machine"):
        store_of(address, {"AWS_ENDPOINT_URL": "http://store.example:9000"})
    assert store_of(address, {"AWS_ENDPOINT_URL": "http://127.0.0.1:9000"}).settings["endpoint"]
    assert "secret" not in repr(store_of(address, {"AWS_SECRET_ACCESS_KEY": "secret"}))


def test_an_answer_that_goes_on_for_ever_is_left() -> None:
    class Endless:
        """An answer with more and more in it."""

        def stream(self, min_chunk_size: int) -> Iterator[bytes]:
            """Pieces without an end."""
            while True:
                yield b"x" * min(100, min_chunk_size)

    assert _received(Endless(), memoryview(bytearray(150))) == -1


def test_a_token_file_is_not_for_stores(run_cli: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    done = run_cli("verify", "s3://bucket/key", "--token-file", tmp_path / "token")
    assert done.returncode == 2
    assert "AWS_" in done.stderr


@pytest.fixture
def running_hub(sample: Path) -> Iterator[Hub]:
    """A hub with one repository, whose branch stands at one of two commits."""
    with hub() as running:
        running.commits = {"main": FIRST}
        running.files = {
            f"{FIRST}/x.llamafile": sample.read_bytes(),
            f"{SECOND}/x.llamafile": sample.read_bytes()[::-1],
        }
        yield running


def test_a_file_at_a_hub(running_hub: Hub, run_cli: CliRunner) -> None:
    env = {"HF_ENDPOINT": running_hub.endpoint, "HF_TOKEN": "hf_secret"}
    done = run_cli("verify", "hf://org/name/x.llamafile", env=env)
    assert done.returncode == 0, done.stdout
    assert FIRST in done.stdout  # the revision that was read
    assert "signature" not in done.stdout + done.stderr
    assert {credential for server, _, credential in running_hub.asked if server == "hub"} == {"Bearer hf_secret"}
    assert {credential for server, _, credential in running_hub.asked if server == "delivery"} == {""}
    missing = run_cli("verify", "hf://org/name/none.gguf", env=env)
    assert missing.returncode == 4
    assert "404" in missing.stdout


def test_a_branch_that_moves_is_read_at_the_commit_it_had(running_hub: Hub, sample: Path) -> None:
    address = "hf://org/name@main/x.llamafile"
    with llamafile_format.open_remote(address, hub=running_hub.endpoint) as source:
        running_hub.commits["main"] = SECOND
        assert source.read_at(0, source.size) == sample.read_bytes()
        assert source.revision.startswith(FIRST)
    with llamafile_format.open_remote(f"hf://org/name@{SECOND}/x.llamafile", hub=running_hub.endpoint) as source:
        assert source.read_at(0, 100) == sample.read_bytes()[::-1][:100]


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("hf://a/b/c/d.gguf", "https://huggingface.co/a/b/resolve/main/c/d.gguf"),
        ("hf://datasets/a/b@v1.0/c", "https://huggingface.co/datasets/a/b/resolve/v1.0/c"),
        ("hf://a/b@refs/pr/1/c", "https://huggingface.co/a/b/resolve/refs%2Fpr%2F1/c"),
    ],
)
def test_addresses_at_a_hub(name: str, url: str) -> None:
    assert (read_address(name).url, read_address(name).name) == (url, name)


@pytest.mark.parametrize(
    "name",
    [
        "hf://me:token@a/b/c",
        "hf://a/b/c?d",
        "hf://a/b/c#d",
        "hf://a/b",
        "hf://a/b/../c",
        "hf://a/b@/c",
        "hf://a",
        "hf://a/b//c",
    ],
)
def test_addresses_at_a_hub_that_are_none(name: str) -> None:
    with pytest.raises(UsageError):
        read_address(name)
