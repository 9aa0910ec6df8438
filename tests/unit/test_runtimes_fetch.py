"""Fetching through pip's settings: indexes of both kinds, resumed downloads, digests, and no secrets in messages."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from llamafile_format.engines.fetch import fetch
from llamafile_format.engines.index import PYPI, Settings, read_settings, without_secrets
from llamafile_format.engines.pin import Input
from llamafile_format.engines.sources import from_folder
from llamafile_format.errors import FormatError, SourceError, UsageError

DATA = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(DATA).hexdigest()
FILE = "Some_Tool-1.0-py3-none-any.whl"
INPUT = Input("tool", "Some.Tool", "1.0", FILE, DIGEST, len(DATA))


def quiet(*_: object) -> None:
    """Nobody watches."""


class Server(ThreadingHTTPServer):
    """A package index on this machine that can be told to misbehave."""

    daemon_threads = True
    pages: dict[str, tuple[str, str]]
    data = DATA
    ranges = True
    cut = 0  # bytes after which the first answers break off
    redirect = ""
    seen: list[tuple[str, dict[str, str]]]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        if self.path in self.server.pages:
            kind, text = self.server.pages[self.path]
            self.answer(200, kind, text.encode())
        elif self.path == f"/files/{FILE}" and self.server.redirect:
            self.send_response(302)
            self.send_header("Location", self.server.redirect)
            self.end_headers()
        elif self.path.endswith(f"/{FILE}"):
            self.file()
        else:
            self.answer(404, "text/plain", b"no")

    def file(self) -> None:
        start, asked = 0, self.headers.get("Range")
        if asked and self.server.ranges:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        rest = self.server.data[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if self.server.cut:
            rest, self.server.cut = rest[: self.server.cut], 0
            self.close_connection = True
        self.wfile.write(rest)

    def answer(self, code: int, kind: str, data: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Not on the screen."""


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.pages, server.seen = {}, []
    server.pages["/simple/some-tool/"] = ("text/html", f'<a href="../../files/{FILE}#sha256={DIGEST}">{FILE}</a>')
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def of(*indexes: str, **more: Any) -> Settings:
    return Settings(indexes=indexes, timeout=5, **more)


def test_from_a_page_of_html(server: Server, tmp_path: Path) -> None:
    heard: list[tuple[str, int, int]] = []
    path = fetch(INPUT, tmp_path / "x", lambda *step: heard.append(step), of(f"{server.url}/simple"))
    assert path == tmp_path / "x" / FILE
    assert path.read_bytes() == DATA
    assert heard[-1] == ("fetching Some.Tool 1.0", len(DATA), len(DATA))
    assert [name for name, _ in server.seen] == ["/simple/some-tool/", f"/files/{FILE}"]
    assert fetch(INPUT, tmp_path / "x", quiet, of()) == path  # what is there is not fetched again
    assert len(server.seen) == 2


def test_from_a_page_of_json(server: Server, tmp_path: Path) -> None:
    files = [
        {"filename": "other.whl", "url": "../../files/other.whl", "hashes": {}},
        {"filename": FILE, "url": f"../../files/{FILE}", "hashes": {"sha256": DIGEST}},
    ]
    page = json.dumps({"meta": {"api-version": "1.0"}, "name": "some-tool", "files": files})
    server.pages["/simple/some-tool/"] = ("application/vnd.pypi.simple.v1+json", page)
    assert fetch(INPUT, tmp_path, quiet, of(f"{server.url}/simple")).read_bytes() == DATA
    assert "json" in server.seen[0][1]["accept"]


def test_a_broken_connection_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.cut = 300_000
    assert fetch(INPUT, tmp_path, quiet, of(f"{server.url}/simple")).read_bytes() == DATA
    ranges = [headers.get("range") for name, headers in server.seen if name.endswith(FILE)]
    assert ranges[0] is None
    assert ranges[1] is not None
    assert int(ranges[1].removeprefix("bytes=").rstrip("-")) > 0


def test_what_an_earlier_run_left_is_used(server: Server, tmp_path: Path) -> None:
    (tmp_path / f"{FILE}.part").write_bytes(DATA[:1000])
    assert fetch(INPUT, tmp_path, quiet, of(f"{server.url}/simple")).read_bytes() == DATA
    assert server.seen[-1][1]["range"] == "bytes=1000-"


def test_a_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / f"{FILE}.part").write_bytes(b"something else")
    assert fetch(INPUT, tmp_path, quiet, of(f"{server.url}/simple")).read_bytes() == DATA


def test_other_bytes_are_not_kept(server: Server, tmp_path: Path) -> None:
    server.data = DATA[:-1] + b"!"
    with pytest.raises(SourceError, match="cannot fetch") as caught:
        fetch(INPUT, tmp_path, quiet, of(f"{server.url}/simple"))
    assert "is not the pinned" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_in_the_cache_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(bytes(len(DATA)))
    with pytest.raises(FormatError, match="is not the pinned"):
        fetch(INPUT, tmp_path, quiet, of())


def test_a_link_with_another_digest_is_passed_over(server: Server, tmp_path: Path) -> None:
    server.pages["/simple/some-tool/"] = ("text/html", f'<a href="/files/{FILE}#sha256={"0" * 64}">x</a>')
    server.pages["/more/some-tool/"] = ("text/html", f'<a href="/other/{FILE}">x</a>')
    fetch(INPUT, tmp_path, quiet, of(f"{server.url}/simple", f"{server.url}/more"))
    assert [name for name, _ in server.seen][-1] == f"/other/{FILE}"


def test_nobody_has_it(server: Server, tmp_path: Path) -> None:
    server.pages["/simple/some-tool/"] = ("text/html", "<a href='x.whl'>x</a>")
    settings = of(f"{server.url}/simple", f"{server.url}/none")
    with pytest.raises(SourceError, match=r"no package index offers Some_Tool") as caught:
        fetch(INPUT, tmp_path, quiet, settings)
    assert f"{server.url}/simple/some-tool/: does not have it" in caught.value.hint
    assert f"{server.url}/none/some-tool/: " in caught.value.hint
    with pytest.raises(SourceError) as caught:
        fetch(INPUT, tmp_path, quiet, of())
    assert "--from" in caught.value.hint


def test_a_password_goes_to_its_own_host_only(server: Server, tmp_path: Path) -> None:
    other = Server(("127.0.0.1", 0), Handler)
    other.pages, other.seen = {}, []
    thread = threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        server.redirect = f"{other.url}/elsewhere/{FILE}"
        secret = server.url.replace("http://", "http://me:s%40cret@")
        server.pages["/simple/some-tool/"] = ("text/html", f'<a href="{secret}/files/{FILE}">x</a>')
        fetch(INPUT, tmp_path, quiet, of(f"{secret}/simple"))
    finally:
        other.shutdown()
        thread.join()
        other.server_close()
    assert [headers.get("authorization") for _, headers in server.seen] == ["Basic bWU6c0BjcmV0"] * 2
    assert "authorization" not in other.seen[0][1]


def test_messages_have_no_secrets(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        fetch(INPUT, tmp_path, quiet, of("http://me:secret@127.0.0.1:9/simple"))
    assert "secret" not in caught.value.hint
    assert without_secrets("https://a:b@example.org/x") == "https://example.org/x"


def test_folders_are_indexes_too(tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / FILE).write_bytes(DATA)
    assert fetch(INPUT, tmp_path / "a", quiet, of(links=(str(tmp_path / "links"),))).read_bytes() == DATA
    page = tmp_path / "simple" / "some-tool" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f'<a href="../../links/{FILE}">x</a>')
    assert fetch(INPUT, tmp_path / "b", quiet, of((tmp_path / "simple").as_uri())).read_bytes() == DATA


def test_the_settings_of_pip() -> None:
    text = (
        ":env:.index-url='https://mirror.example/simple'\n"
        "global.index-url='https://ignored.example/simple'\n"
        "global.extra-index-url='file:///opt/a\\nhttps://b.example/simple/'\n"
        "install.find-links='/not/ours'\n"
        "download.find-links='/wheels /more'\n"
        "global.timeout='60'\n"
        "global.cert='/ca.pem'\n"
        "nonsense\n"
    )
    assert Settings.of(read_settings(text)) == Settings(
        indexes=("https://mirror.example/simple", "file:///opt/a", "https://b.example/simple"),
        links=("/wheels", "/more"),
        certificates="/ca.pem",
        timeout=60.0,
    )


def test_the_defaults_of_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    assert Settings.of({}) == Settings() == Settings(indexes=(PYPI,))
    assert Settings.of({"no-index": "true"}).indexes == ()


def test_an_offline_vault(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not have") as caught:
        from_folder(INPUT, tmp_path, quiet)
    assert DIGEST in caught.value.hint
    (tmp_path / FILE).write_bytes(DATA)
    assert from_folder(INPUT, tmp_path, quiet) == tmp_path / FILE
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / FILE).write_bytes(DATA)
    assert from_folder(INPUT, tmp_path, quiet) == tmp_path / "inputs" / FILE
