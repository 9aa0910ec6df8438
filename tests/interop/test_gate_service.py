"""A gate that runs: uploads and addresses, keys and quotas, a crowd, and a kill in the middle (spec/1, 10.16)."""

from __future__ import annotations

import json
import re
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPException
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.reports import report_value
from tests.fault_server import TOKEN, FaultServer
from tests.gate_service import KEY, OTHER, Running, configure, gate
from tests.laws.containers import small_container
from tests.remote_samples import remote_container, server_certificate

pytestmark = [pytest.mark.slow, pytest.mark.interop]
CLIENTS = 200


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return small_container(tmp_path_factory.mktemp("sample")).read_bytes()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FaultServer, Path]]:
    """A server of objects, and the authority of its certificate."""
    folder = tmp_path_factory.mktemp("server")
    authority, served = server_certificate(folder)
    data = remote_container(folder / "model.llamafile").read_bytes()
    with FaultServer(data, certificate=served) as running:
        yield running, authority


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, server: tuple[FaultServer, Path]) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("gate")
    token = folder / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    here = f"127.0.0.1:{server[0].server_address[1]}"
    references = {
        "hosts": [{"host": here, "token_file": "token"}],
        "ca_file": str(server[1]),
        "allow_private": ["127.0.0.0/8"],
    }
    with gate(configure(folder, references=references)) as found:
        yield found


def test_an_upload_is_judged_told_and_deleted(running: Running, sample: bytes, tmp_path: Path) -> None:
    job = running.json("/v1/uploads?name=theirs.llamafile", sample)
    done = running.ended(job["id"])
    assert (done["state"], done["status"], done["name"]) == ("done", "safe", "theirs.llamafile")
    assert set(done["verdicts"].values()) == {"yes"}
    path = tmp_path / "theirs.llamafile"
    path.write_bytes(sample)
    report = running.json(done["report"])
    expected = json.loads(json.dumps(report_value(lf.validate_upload(path, policy="hub"))))
    assert report == expected | {"file": expected["file"] | {"name": "theirs.llamafile"}}
    for form in ["text", "json", "jsonl", "sarif", "junit", "github", "markdown", "html", "hub-status"]:
        status, headers, text = running.ask(f"{done['report']}?format={form}")
        assert status == 200
        assert b"theirs.llamafile" in text
        assert headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in headers["content-security-policy"]
    assert running.ask(f"{done['report']}?format=pdf")[0] == 422
    assert running.ask(f"{done['report']}?fromat=html")[0] == 422  # misspelt, and not answered as if it were not there
    status, headers, badge = running.ask(done["badge"], key="")
    assert (status, headers["content-type"]) == (200, "image/svg+xml")
    assert b"well-formed yes, valid yes, authentic not asked, policy yes" in badge
    assert headers["cross-origin-resource-policy"] == "cross-origin", "a page elsewhere may show it"
    state = running.log.parent / "state"
    for _ in range(50):  # a moment after it was told
        if not list((state / "uploads").iterdir()):
            break
        time.sleep(0.1)
    assert not list((state / "uploads").iterdir())
    assert state.stat().st_mode & 0o777 == 0o700


def test_what_is_broken_is_explained(running: Running, sample: bytes) -> None:
    cut = running.ended(running.json("/v1/uploads?name=cut.llamafile", sample[:-100])["id"])
    assert cut["status"] == "error"
    nothing = running.ended(running.json("/v1/uploads", b"")["id"])
    assert nothing["status"] == "error"
    flipped = bytearray(sample)
    flipped[len(sample) // 2] ^= 1
    job = running.ended(running.json("/v1/uploads?name=%E2%80%AEevil%3Cb%3E", bytes(flipped))["id"])
    assert job["status"] in ("unsafe", "error")
    assert "\u202e" not in job["name"]
    assert all(found["remedy"] for found in running.json(job["report"])["findings"] if found["severity"] == "error")


def test_an_object_elsewhere_is_judged(running: Running, server: tuple[FaultServer, Path]) -> None:
    address = server[0].url("locked") + "?sig=s3cret"
    done = running.ended(running.json("/v1/jobs", {"url": address, "level": "quick"})["id"])
    assert (done["state"], done["name"], done["level"]) == ("done", server[0].url("locked"), "quick")
    report = running.json(done["report"])
    assert report["complete"]
    assert report["file"]["revision"]
    assert set(server[0].tokens) == {f"Bearer {TOKEN}"}
    server[0].elsewhere = "https://169.254.169.254/latest/meta-data/"
    away = running.ended(running.json("/v1/jobs", {"url": server[0].url("away")})["id"])
    assert away["status"] == "error"
    assert "not on the list" in running.json(away["report"])["error"]
    state = running.log.parent / "state"
    assert "s3cret" not in running.log.read_text()
    assert not [path for path in state.glob("jobs.sqlite*") if b"s3cret" in path.read_bytes()]


@pytest.mark.parametrize(
    ("what", "status"),
    [
        ({"url": "https://127.0.0.1/x"}, 403),
        ({"url": "https://169.254.169.254/"}, 403),
        ({"url": "https://[::ffff:127.0.0.1]/"}, 403),
        ({"url": "https://user:s3cret@models.test/"}, 403),
        ({"url": "s3://theirs/key"}, 403),
        ({"url": "hf://org/name/m"}, 403),
        ({"url": "http://127.0.0.1/"}, 422),
        ({"url": "file:///etc/passwd"}, 422),
        ({"url": "https://a.test/ s3cret"}, 422),
        ({"url": "https://a.test/", "more": 1}, 422),
        ({"url": "https://a.test/", "level": "behaviour"}, 422),
        ({}, 422),
        ([], 422),
    ],
)
def test_what_is_not_asked_for(what: object, status: int, running: Running) -> None:
    found, _, text = running.ask("/v1/jobs", json.dumps(what).encode(), Content_Type="application/json")
    assert found == status
    assert isinstance(json.loads(text)["detail"], str)
    assert b"s3cret" not in text
    assert "s3cret" not in running.log.read_text()


def test_keys_open_what_is_theirs_and_nothing_else(running: Running, sample: bytes) -> None:
    for key in ("", "wrong", KEY + "x", KEY[:-1], "\xff" * 30):
        assert running.ask("/v1/uploads", sample, key=key)[0] == 401
        assert (
            running.ask("/v1/jobs", b'{"url": "https://a.test/"}', key=key, Content_Type="application/json")[0] == 401
        )
    job = running.json("/v1/uploads", sample)
    for path in (f"/v1/jobs/{job['id']}", job["report"]):
        assert running.ask(path, key="")[0] == 401
        assert running.ask(path, key=OTHER)[0] == 404
        assert running.ask(path.replace(job["id"], "0" * 32))[0] == 404
        assert running.ask(path.replace(job["id"], "..%2f..%2fjobs.sqlite"))[0] in (404, 422)
    assert running.ask("/metrics", key="")[0] == 401
    assert running.ask("/metrics", key=OTHER)[0] == 200
    assert running.ask("/healthz", key="", Host="evil.test")[0] == 421
    assert running.ask("/healthz", key="", Host="localhost")[0] == 200
    running.ended(job["id"])
    assert KEY not in running.log.read_text()


def test_sizes_have_an_end(running: Running, sample: bytes) -> None:
    assert running.ask("/v1/jobs", b" " * (1 << 17), Content_Type="application/json")[0] == 413
    assert _raw(running, f"POST /v1/uploads HTTP/1.1\r\nContent-Length: {9 << 20}\r\n")[0] == 413
    assert _raw(running, f"POST /v1/jobs HTTP/1.1\r\nContent-Length: {9 << 20:020}\r\n")[0] == 413  # zeros first
    assert _raw(running, f"POST /v1/jobs HTTP/1.1\r\nContent-Length: {9 << 20:030}\r\n")[0] in (400, 413)
    assert _raw(running, "POST /v1/uploads HTTP/1.1\r\nTransfer-Encoding: chunked\r\n")[0] == 411
    assert _raw(running, "POST /v1/jobs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n")[0] == 411
    assert _raw(running, "POST /v1/uploads HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n")[0] in (400, 411)
    assert _raw(running, "POST /v1/uploads HTTP/1.1\r\nContent-Length: -1\r\n")[0] in (400, 411)
    assert _raw(running, "GET /v1/" + "x" * 70_000 + " HTTP/1.1\r\n")[0] in (400, 404, 431)


def test_an_upload_that_is_cut_off_leaves_nothing(running: Running, sample: bytes) -> None:
    folder = running.log.parent / "state" / "uploads"
    before = running.json("/v1/jobs/" + running.json("/v1/uploads", sample)["id"])
    head = f"POST /v1/uploads HTTP/1.1\r\nContent-Length: {len(sample)}\r\n"
    _raw(running, head, sample[: len(sample) // 2], leave=True)
    status, text = _raw(running, head, sample[: len(sample) // 2])  # falls silent
    assert status == 408
    assert b"nothing came for 5 seconds" in text
    running.ended(before["id"])
    for _ in range(100):
        if not list(folder.iterdir()):
            break
        time.sleep(0.1)
    assert not list(folder.iterdir())


def test_who_asks_for_too_much_is_told_when_to_come_again(running: Running, sample: bytes) -> None:
    answers = [running.ask("/v1/uploads", sample, key=OTHER) for _ in range(8)]
    busy = [headers for status, headers, _ in answers if status == 429]
    taken = [json.loads(text)["id"] for status, _, text in answers if status == 202]
    assert len(taken) + len(busy) == 8
    assert all(int(headers["retry-after"]) > 0 for headers in busy)
    for job in taken:
        running.ended(job, key=OTHER)
    sent = 0
    while (answer := running.ask("/v1/uploads", bytes(1 << 20), key=OTHER))[0] == 202:
        running.ended(json.loads(answer[2])["id"], key=OTHER)
        sent += 1
    assert answer[0] == 429
    assert sent < 4, "four MiB a day"
    assert int(answer[1]["retry-after"]) > 80_000


def test_the_log_is_made_of_lines_of_json(running: Running) -> None:
    running.ask("/v1/jobs/%0a%1b[31m?key=s3cret", key="")
    lines = running.lines()
    assert {"request", "judged"} <= {line["event"] for line in lines}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line["time"]) for line in lines)
    assert "s3cret" not in running.log.read_text()


def test_two_gates_do_not_share_a_folder(running: Running) -> None:
    with pytest.raises(AssertionError, match="served by another process"), gate(running.log.parent / "gate.yaml"):
        pass


def test_a_crowd_and_a_kill_lose_no_job(tmp_path: Path, sample: bytes) -> None:
    """Every id that a client was given is there after the kill, and ends."""
    config = configure(tmp_path, limits={"upload_mib": 8, "seconds": 600}, levels=["quick"])
    accepted: list[str] = []

    def client(number: int) -> None:
        """Sends one file, as often as it takes until it is accepted, or nobody is there any more."""
        for _ in range(100):
            try:
                status, headers, text = first.ask(f"/v1/uploads?name=m{number}.llamafile", sample)
            except (OSError, HTTPException):
                return
            if status == 202:
                accepted.append(json.loads(text)["id"])
                return
            assert status in (429, 503), text
            time.sleep(min(int(headers.get("retry-after", 1)), 1))

    with gate(config) as first, ThreadPoolExecutor(CLIENTS) as crowd:
        sent = [crowd.submit(client, number) for number in range(CLIENTS)]
        while len(accepted) < 40:
            time.sleep(0.01)
            assert first.process.poll() is None
        first.process.send_signal(signal.SIGKILL)
        for each in sent:
            each.result()
    assert len(accepted) >= 40
    with gate(config) as second:
        told = [second.ended(job) for job in accepted]
        assert [job["status"] for job in told if job["state"] != "done"] == []
        assert len({job["id"] for job in told}) == len(accepted)
        with closing(sqlite3.connect(tmp_path / "state" / "jobs.sqlite")) as base:
            assert base.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            names = [row[0] for row in base.execute("SELECT name FROM jobs")]
            assert len(names) == len(set(names)), "nothing twice"
        for _ in range(600):
            if not any(second.json("/healthz") != {"status": "ok"} or path for path in _uploads(tmp_path)):
                break
            time.sleep(0.2)
        assert not _uploads(tmp_path)


def _uploads(folder: Path) -> list[Path]:
    return list((folder / "state" / "uploads").iterdir())


def _raw(running: Running, head: str, body: bytes = b"", *, leave: bool = False) -> tuple[int, bytes]:
    """Status and rest of the answer to a request as it is written here."""
    host, _, port = running.base.partition("://")[2].partition(":")
    with socket.create_connection((host, int(port)), timeout=120) as connection:
        key = f"Host: localhost\r\nAuthorization: Bearer {KEY}\r\n\r\n"
        connection.sendall((head + key).encode() + body)
        if leave:
            return 0, b""
        data = b""
        while piece := connection.recv(65536):
            data += piece
            if b'"detail"' in data and data.endswith(b"}"):
                break
        return int(data.split(b" ", 2)[1]), data
