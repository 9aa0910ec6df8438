"""Stores of other people on loopback (SeaweedFS, moto, rclone), each with one bucket; a hub and clouds of our own."""

from __future__ import annotations

import hashlib
import http.server
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KEY, SECRET, BUCKET = "AKIAEXAMPLE", "secret-of-a-test", "bucket"


@dataclass(frozen=True)
class Store:
    """A running store. ``settings`` are the variables by which it is reached."""

    endpoint: str
    checks_keys: bool = True

    @property
    def settings(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
        }

    def put(self, key: str, data: bytes, **more: Any) -> None:
        """Keep ``data`` as ``key``; ``more`` as the S3 interface calls it."""
        self.client().put_object(Bucket=BUCKET, Key=key, Body=data, **more)

    def client(self) -> Any:
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; SeaweedFS also takes those that are 10,000 higher."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as low, socket.socket() as high:
            low.bind(("127.0.0.1", 0))
            port = low.getsockname()[1] - 10000 if low.getsockname()[1] > 40000 else low.getsockname()[1]
            try:
                high.bind(("127.0.0.1", port + 10000))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


@contextmanager
def started(command: Sequence[str | Path], folder: Path, port: int) -> Iterator[None]:
    """``command`` until the end of the ``with``, from when something listens at ``port``."""
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(list(command), stdout=said, stderr=said, cwd=folder)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            assert process.poll() is None, (folder / "said").read_text("utf-8", "replace")[-2000:]
            time.sleep(0.1)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:  # SeaweedFS takes its time
            process.kill()
            process.wait(10)


@contextmanager
def seaweed(program: Path, folder: Path) -> Iterator[Store]:
    """SeaweedFS with its S3 interface."""
    master, volume, filer, s3 = free_ports(4)
    identity = {"name": "test", "credentials": [{"accessKey": KEY, "secretKey": SECRET}]}
    identity["actions"] = ["Admin", "Read", "Write", "List"]  # type: ignore[assignment]
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    ports = {"master.port": master, "volume.port": volume, "filer.port": filer, "s3.port": s3, "volume.max": 40}
    command = [program, "server", "-s3=true", "-filer=true", f"-dir={folder / 'data'}", "-ip=127.0.0.1"]
    command += ["-ip.bind=127.0.0.1", f"-s3.config={folder / 's3.json'}", "-master.volumeSizeLimitMB=64"]
    with started([*command, *(f"-{name}={port}" for name, port in ports.items())], folder, s3):
        store = Store(f"http://127.0.0.1:{s3}")
        _patiently(lambda: store.client().create_bucket(Bucket=BUCKET))
        _patiently(lambda: store.put("first", b"1"))
        yield store


@contextmanager
def moto(folder: Path) -> Iterator[Store]:
    """moto's server, in memory."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with started(command, folder, port):
        store = Store(f"http://127.0.0.1:{port}", checks_keys=False)
        _patiently(lambda: store.client().create_bucket(Bucket=BUCKET))
        yield store


@contextmanager
def rclone(program: Path, folder: Path) -> Iterator[Store]:
    """rclone's S3 server over ``folder/root``, whose folders are buckets; a range has the status of the whole there."""
    (port,) = free_ports(1)
    (folder / "root" / BUCKET).mkdir(parents=True)
    command = [program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}"]
    with started([*command, "--config", folder / "none", folder / "root"], folder, port):
        yield Store(f"http://127.0.0.1:{port}")


def _patiently(act: Any) -> None:
    """``act`` until it raises nothing: a store listens before it is ready."""
    for _ in range(59):
        try:
            act()
        except Exception:
            time.sleep(0.5)
        else:
            return
    act()


@dataclass
class Hub:
    """A hub and the network that delivers its files: two servers. ``commits`` are revisions, or files of
    revisions; ``asked`` is what came in."""

    endpoint: str = ""
    delivery: str = ""
    commits: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    linked: dict[str, str] = field(default_factory=dict)
    """What it says of the SHA-256 of files that it keeps elsewhere."""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """Server, path, and the credential that was sent with it."""
    sent: int = 0
    most: int | None = None
    """Bytes of files after which it has none any more; None: no end."""


@contextmanager
def hub() -> Iterator[Hub]:
    """As the resolve endpoint of the Hub: a redirect to a signed address elsewhere, with the commit in a header."""
    state = Hub()

    class Handler(http.server.BaseHTTPRequestHandler):
        """Both servers; ``server`` tells which."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            mine = f"http://127.0.0.1:{self.server.server_port}"  # type: ignore[attr-defined]
            name = "hub" if mine == state.endpoint else "delivery"
            state.asked.append((name, self.path, self.headers.get("Authorization", "")))
            (self._resolve if name == "hub" else self._deliver)()

        def _resolve(self) -> None:
            _, _, rest = self.path[1:].partition("/resolve/")
            revision, _, path = rest.partition("/")
            commit = state.commits.get(f"{revision}/{path}", state.commits.get(revision, revision))
            if f"{commit}/{path}" not in state.files:
                self._say(404, {}, b"")
                return
            self._say(
                302,
                {
                    "X-Repo-Commit": commit,
                    "X-Linked-Etag": f'"{state.linked.get(f"{commit}/{path}", commit + path)}"',
                    "X-Linked-Size": str(len(state.files[f"{commit}/{path}"])),
                    "Location": f"{state.delivery}/{commit}/{path}?signature=secret",
                },
                b"",
            )

        def _deliver(self) -> None:
            path = self.path[1:].partition("?")[0]
            data = state.files[path]
            low, _, high = self.headers["Range"].removeprefix("bytes=").partition("-")
            start = int(low) if low else max(0, len(data) - int(high))
            end = min(int(high) + 1, len(data)) if low and high else len(data)
            headers = {"ETag": f'"{path}"', "Content-Range": f"bytes {start}-{end - 1}/{len(data)}"}
            if state.most is not None and state.sent > state.most:
                self._say(410, {}, b"")
                return
            state.sent += end - start
            self._say(206, headers, data[start:end])

        def _say(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Nothing."""

    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
    state.endpoint, state.delivery = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    threads = [threading.Thread(target=server.serve_forever, daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield state
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


@contextmanager
def clouds(files: dict[str, bytes]) -> Iterator[str]:
    """A server with ``files`` by key in one bucket that behaves as Google's and as Azure's: ranges, states, listings.

    Yields where it is. Azure knows no range from the end, and lists in its own words; both are asked as by strangers.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            asked = dict(urllib.parse.parse_qsl(query))
            key = urllib.parse.unquote(path).partition(f"/{BUCKET}/")[2]
            if "list-type" in asked or asked.get("comp") == "list":
                self._say(200, {"Content-Type": "application/xml"}, self._listing(asked))
            elif key not in files:
                self._say(404, {}, b"<Error><Code>NoSuchKey</Code></Error>")
            else:
                self._object(files[key])

        do_HEAD = do_GET  # noqa: N815

        def _listing(self, asked: dict[str, str]) -> bytes:
            azure, begin = "comp" in asked, asked.get("prefix", "")
            found = {key: data for key, data in sorted(files.items()) if key.startswith(begin)}
            if azure:
                rows = (
                    f"<Blob><Name>{key}</Name><Properties><Last-Modified>{DATE}</Last-Modified>"
                    f"<Content-Length>{len(data)}</Content-Length><Content-Type>x/y</Content-Type>"
                    f"<Etag>{_tag(data)}</Etag></Properties></Blob>"
                    for key, data in found.items()
                )
                return f"<EnumerationResults><Blobs>{''.join(rows)}</Blobs></EnumerationResults>".encode()
            rows = (
                f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00Z</LastModified>"
                f"<ETag>{_tag(data)}</ETag><Size>{len(data)}</Size></Contents>"
                for key, data in found.items()
            )
            return f"<ListBucketResult>{''.join(rows)}</ListBucketResult>".encode()

        def _object(self, data: bytes) -> None:
            headers = {"ETag": _tag(data), "Last-Modified": DATE}
            span = self.headers.get("Range", "").removeprefix("bytes=")
            if not span:
                self._say(200, headers, data)
                return
            low, _, high = span.partition("-")
            if not low and "x-ms-version" in self.headers:
                self._say(416, {}, b"")
                return
            start = int(low) if low else max(0, len(data) - int(high))
            end = min(int(high) + 1, len(data)) if low and high else len(data)
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
            self._say(206, headers, data[start:end])

        def _say(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


DATE = "Thu, 01 Jan 2026 00:00:00 GMT"


def _tag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()[:16]}"'
