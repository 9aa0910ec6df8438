"""The registry of others: docker-registry on loopback, with its blobs in a folder."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONFIGURATION = """
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {0}/store}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{1}"}}
"""


@contextmanager
def docker_registry(program: Path, folder: Path) -> Iterator[str]:
    """Host and port of ``program``, running in the new folder ``folder`` until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir()
    (folder / "config.yml").write_text(CONFIGURATION.format(folder, port))
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen([program, "serve", folder / "config.yml"], stdout=said, stderr=said)
    try:
        for _ in range(1200):
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            assert process.poll() is None, (folder / "said").read_text()
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
