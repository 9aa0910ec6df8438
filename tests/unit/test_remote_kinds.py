"""The faults of servers, met in stores and at hubs: what is refused over https is refused there (spec/1, 10.12.7)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.errors import SourceError
from llamafile_format.source import http_object
from llamafile_format.source.opening import open_remote
from llamafile_format.source.proxies import Proxies
from llamafile_format.source.traffic import Limits
from tests.fault_server import FaultServer
from tests.remote_samples import remote_container
from tests.unit.test_remote import REFUSED, SURVIVED


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return remote_container(tmp_path_factory.mktemp("kinds") / "model.llamafile")


@pytest.fixture
def server(sample: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    monkeypatch.setattr(http_object, "_PAUSES", (0.0, 0.0, 0.01, 0.01, 0.01))
    with FaultServer(sample.read_bytes()) as running:
        yield running


def outcome(name: str, server: FaultServer, **options: object) -> str:
    """Empty if the object verifies as here; else why it was not read."""
    there = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        with open_remote(name, hub=there, settings={"AWS_ENDPOINT_URL": there}, **options) as source:  # type: ignore[arg-type]
            report = lf.verify(source)
    except SourceError as error:
        return error.message.replace(there, "AN ADDRESS")
    if report.complete:
        assert report.verdicts[lf.Layer.WELL_FORMED] is lf.Verdict.YES
        return ""
    assert lf.Verdict.YES not in report.verdicts.values()
    return report.error


@pytest.mark.parametrize("fault", [fault for fault in SURVIVED if "/" not in fault and fault != "redirect"])
def test_faults_that_a_hub_survives(server: FaultServer, fault: str) -> None:
    assert outcome(f"hf://{fault}/x/model.llamafile", server) == ""


@pytest.mark.parametrize("fault", REFUSED)
def test_faults_that_are_refused_of_a_hub(server: FaultServer, fault: str) -> None:
    why = outcome(f"hf://{fault}/x/model.llamafile", server)
    assert re.search(REFUSED[fault], why), why


IN_STORES = {
    "plain": "",
    "flaky": "",
    "cut": "",
    "weak": "",
    "no-tag": "",
    "no-suffix": "",
    "ignores": "does not answer as it should|something else",
    "shifted": "asked for|does not answer as it should|something else",
    "star": "does not answer as it should",
    "no-range": "does not answer as it should",
    "huge": "does not answer as it should",
    "longer": "something else|does not answer as it should",
    "longer-unsaid": "something else|does not answer as it should",
    "gzip": "keeps it encoded",
    "changing": "changed while it was read",
    "changing-size": "changed while it was read|asked for its end",
    "changing-time": "changed while it was read",
    "short": "something else|does not answer as it should",
    "down": "503",
    "missing": "404",
    "refused": "403: SignatureDoesNotMatch",
    "locked": "401",
}


@pytest.mark.parametrize("fault", IN_STORES)
def test_faults_in_a_store(server: FaultServer, fault: str) -> None:
    why = outcome(f"s3://{fault}/model.llamafile", server, patience=2.0)
    assert bool(why) == bool(IN_STORES[fault]), why
    assert re.search(IN_STORES[fault], why), why
    assert "AN ADDRESS" not in why


@pytest.mark.parametrize("fault", ["silent", "drip-headers", "drip"])
@pytest.mark.parametrize("kind", ["s3://{}/model.llamafile", "hf://{}/x/model.llamafile"])
def test_who_holds_us_up_is_left(server: FaultServer, kind: str, fault: str) -> None:
    why = outcome(kind.format(fault), server, patience=0.2, limits=Limits(seconds=2))
    assert why


def test_this_machine_is_asked_directly(server: FaultServer) -> None:
    nobody = Proxies.of({"all_proxy": "http://127.0.0.1:9"})
    assert outcome("s3://plain/model.llamafile", server, proxies=nobody) == ""
    assert outcome("hf://plain/x/model.llamafile", server, proxies=nobody) == ""


def test_what_it_costs_is_the_same(server: FaultServer, sample: Path) -> None:
    there = f"http://127.0.0.1:{server.server_address[1]}"
    costs = []
    for name in (server.url(), "s3://plain/model.llamafile", "hf://plain/x/model.llamafile"):
        with open_remote(name, hub=there, settings={"AWS_ENDPOINT_URL": there}) as source:
            assert lf.verify(source, level="quick").complete
            costs.append((source.traffic.requests, source.traffic.rounds, source.traffic.bytes))
    assert len(set(costs)) == 1, costs
    requests, rounds, count = costs[0]
    assert requests <= 3 + 3 - 1
    assert rounds <= 4
    assert count <= (1 << 20) + 3 * (128 << 10) + sample.stat().st_size // 8
