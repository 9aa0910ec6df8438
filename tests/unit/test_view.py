"""``view``: the page and one file, to whoever has the address, on this machine, read-only (spec/1, 11.10.4)."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import llamafile_format as lf
from llamafile_format.viewers import newest_page
from llamafile_format.viewing import View, has_desktop, view
from llamafile_format.viewing.served_copy import served_copy
from tests.gguf_workbench import EXHIBIT
from tests.repack_samples import write

NAME = '"><script>alert(1)</script>.llamafile'


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("view")
    lf.pack([write(folder / "model.gguf", EXHIBIT.read_bytes())], folder / "sample.llamafile", prefix="none")
    return (folder / "sample.llamafile").rename(folder / NAME.replace("/", "-"))


@pytest.fixture(scope="module")
def shown(sample: Path) -> Iterator[View]:
    with view(sample) as found:
        thread = threading.Thread(target=found.serve)
        thread.start()
        yield found
        found.stop()
        thread.join(10)


def ask(shown: View, path: str = "", method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    address = urlsplit(shown.address)
    connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=20)
    connection.request(method, path or address.path, headers={name.replace("_", "-"): v for name, v in headers.items()})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer, data


def file_of(shown: View) -> str:
    return urlsplit(shown.address).path + "file"


def test_the_page_is_the_registered_one_but_for_what_it_may_reach(shown: View, sample: Path) -> None:
    answer, data = ask(shown)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    text = data.decode()
    assert "connect-src 'self'" in text
    assert "<script>alert(1)" not in text
    (mark,) = [line for line in text.splitlines() if line.startswith('<meta name="llamafile-served"')]
    assert file_of(shown) in mark
    restored = text.replace(mark + "\n", "", 1).replace("connect-src 'self'", "connect-src 'none'", 1)
    assert restored.encode() == newest_page().read()


def test_ranges_are_bytes_of_the_file(shown: View, sample: Path) -> None:
    whole = sample.read_bytes()
    answer, data = ask(shown, file_of(shown), "HEAD")
    assert (answer.headers["Content-Length"], data) == (str(len(whole)), b"")
    for wanted, start, end in (("0-0", 0, 1), ("10-19", 10, 20), (f"{len(whole) - 5}-", len(whole) - 5, len(whole))):
        answer, data = ask(shown, file_of(shown), Range=f"bytes={wanted}")
        assert answer.status == 206
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(whole)}"
        assert data == whole[start:end]
    answer, data = ask(shown, file_of(shown), Range=f"bytes={len(whole) - 5}-{len(whole) + 100}")
    assert data == whole[-5:]
    assert ask(shown, file_of(shown))[1] == whole
    for wrong in (
        f"bytes={len(whole)}-",
        "bytes=5-4",
        "bytes=-5",
        "bytes=0-1,3-4",
        "lines=1-2",
        "bytes=" + "9" * 40 + "-",
    ):
        answer, data = ask(shown, file_of(shown), Range=wrong)
        assert (answer.status, data) == (416, b""), wrong


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.test"}, {"Host": "127.0.0.1"}, {"Origin": "http://evil.test"}, {"Origin": "null"}],
)
def test_strangers_are_refused(shown: View, headers: dict[str, str]) -> None:
    for path in ("", file_of(shown)):
        answer, data = ask(shown, path, **headers)
        assert (answer.status, data) == (421, b"")


def test_its_own_origin_is_none(shown: View) -> None:
    port = urlsplit(shown.address).port
    assert ask(shown, Origin=f"http://127.0.0.1:{port}")[0].status == 200
    assert ask(shown, Host=f"localhost:{port}", Origin=f"http://localhost:{port}")[0].status == 200


def test_nothing_else_is_there(shown: View) -> None:
    word = urlsplit(shown.address).path
    for path in (
        "/",
        "/file",
        "/favicon.ico",
        word.rstrip("/"),
        word + "../file",
        word + "file/",
        word + "file?x",
        "/a/file",
    ):
        assert ask(shown, path)[0].status == 404, path
    assert len(word.strip("/")) >= 22, "128 bits"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])
def test_it_is_read_only(shown: View, method: str) -> None:
    assert ask(shown, file_of(shown), method)[0].status == 501


def test_it_listens_here_alone(shown: View) -> None:
    port = urlsplit(shown.address).port
    with pytest.raises(OSError), socket.create_connection(("::1", port), timeout=2):
        pass
    others = [info[4][0] for info in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)]
    for address in others:
        if not str(address).startswith("127."):
            with pytest.raises(OSError), socket.create_connection((address, port), timeout=2):
                pass


def test_what_was_opened_is_served_whatever_takes_its_name(tmp_path: Path, sample: Path) -> None:
    path = write(tmp_path / "a.llamafile", sample.read_bytes())
    with view(path) as found:
        thread = threading.Thread(target=found.serve)
        thread.start()
        write(tmp_path / "b", b"another")
        (tmp_path / "b").replace(path)
        _, data = ask(found, file_of(found), Range="bytes=0-99")
        found.stop()
        thread.join(10)
    assert data == sample.read_bytes()[:100]


def test_a_file_that_shrinks_is_a_short_answer(tmp_path: Path, sample: Path) -> None:
    path = write(tmp_path / "a.llamafile", sample.read_bytes())
    with view(path) as found:
        thread = threading.Thread(target=found.serve)
        thread.start()
        os.truncate(path, 10)
        with pytest.raises(http.client.IncompleteRead):
            ask(found, file_of(found), Range="bytes=0-99")
        found.stop()
        thread.join(10)


def test_what_is_no_llamafile_is_not_served(tmp_path: Path, sample: Path) -> None:
    with pytest.raises(lf.NotALlamafile):
        view(write(tmp_path / "page", b"<!doctype html><p>no"))
    with pytest.raises(lf.SourceError):
        view(tmp_path / "nothing")


def test_a_damaged_one_is(tmp_path: Path, sample: Path) -> None:
    data = bytearray(sample.read_bytes())
    data[500_000] ^= 1
    view(write(tmp_path / "a.llamafile", bytes(data))).__exit__(None, None, None)


def test_a_port_that_is_taken(sample: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(lf.SourceError, match="cannot be had"):
        view(sample, port=taken.getsockname()[1])


def test_a_page_without_its_places_is_not_served() -> None:
    for page in (b"<head><style>", b"<head><head>connect-src 'none'<style>", b"<head>connect-src 'none'"):
        with pytest.raises(lf.FormatError):
            served_copy(page, "/x/file", "x")


def test_a_browser_on_desktops_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSH_CONNECTION", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert not has_desktop()
    monkeypatch.setenv("DISPLAY", ":0")
    assert has_desktop()
    monkeypatch.setenv("SSH_CONNECTION", "a 1 b 2")
    assert not has_desktop()


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_its_address_and_ends_when_it_is_told(number: signal.Signals, sample: Path) -> None:
    command = [sys.executable, "-m", "llamafile_format", "view", str(sample), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        answer = http.client.HTTPConnection("127.0.0.1", urlsplit(address).port, timeout=20)
        answer.request("GET", urlsplit(address).path)
        assert answer.getresponse().status == 200
        process.send_signal(number)
        assert process.wait(20) == -number
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
