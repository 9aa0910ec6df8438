"""An nginx of our own on loopback, which serves a folder and logs what it was asked."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CONFIGURATION = """
daemon off; master_process off; pid {0}/pid; error_log {0}/error; events {{ worker_connections 128; }}
http {{
    log_format counted '$request_method $status $body_bytes_sent $http_range';
    access_log {0}/access counted;
    client_body_temp_path {0}/t1; proxy_temp_path {0}/t2; fastcgi_temp_path {0}/t3; uwsgi_temp_path {0}/t4;
    scgi_temp_path {0}/t5;
    server {{ listen 127.0.0.1:{1}{2}; root {0}/root; }}
}}
"""


@dataclass
class Nginx:
    """A running nginx that serves the files in ``root``, and logs what it was asked."""

    folder: Path
    port: int
    scheme: str = "http"

    @property
    def root(self) -> Path:
        return self.folder / "root"

    def url(self, name: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/{name}"

    def log(self, count: int) -> list[list[str]]:
        """Method, status, bytes and range of the last ``count`` requests; waits until so many are logged."""
        for _ in range(200):
            lines = (self.folder / "access").read_text("ascii").splitlines()
            if len(lines) >= count:
                break
            time.sleep(0.01)
        return [line.split(maxsplit=3) for line in lines[-count:]]


@contextmanager
def serving(program: Path, folder: Path, certificate: Path | None = None) -> Iterator[Nginx]:
    """Start ``program`` in the new folder ``folder``, and end it afterwards. By TLS with the key and chain in
    ``certificate``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = Nginx(folder, port, "https" if certificate else "http")
    tls = f" ssl; ssl_certificate {certificate}; ssl_certificate_key {certificate}" if certificate else ""
    running.root.mkdir(parents=True)
    (folder / "conf").write_text(CONFIGURATION.format(folder, port, tls))
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen([program, "-p", folder, "-c", folder / "conf"], stdout=said, stderr=said)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            assert process.poll() is None, (folder / "said").read_text()
            time.sleep(0.05)
        yield running
    finally:
        process.terminate()
        process.wait(10)
