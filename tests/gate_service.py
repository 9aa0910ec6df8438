"""A gate of our own: its configuration, and a running process of it on loopback."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEY, OTHER = "a-key-of-the-tests-and-no-other", "another-key-of-the-same-tests"
Answer = tuple[int, Mapping[str, str], bytes]


def configure(folder: Path, **more: Any) -> Path:
    """``gate.yaml`` in ``folder``: two keys, a free port, small limits, and ``more``."""
    secret = folder / "first.key"
    secret.write_text(KEY + "\n")
    secret.chmod(0o600)
    value = {
        "gate": 1,
        "state": "state",
        "listen": "127.0.0.1:0",
        "levels": ["full", "quick"],
        "keys": [
            {"name": "first", "file": "first.key"},
            {"name": "second", "sha256": hashlib.sha256(OTHER.encode()).hexdigest(), "waiting": 3, "day_mib": 4},
        ],
        "limits": {"seconds": 600, "memory_mib": 2048, "upload_mib": 8, "idle_seconds": 5},
    }
    path = folder / "gate.yaml"
    path.write_text(json.dumps(value | more))  # JSON is YAML
    return path


@dataclass
class Running:
    """A gate at ``base``."""

    base: str
    process: subprocess.Popen[str]
    log: Path

    def ask(self, path: str, body: bytes | None = None, *, key: str = KEY, method: str = "", **headers: str) -> Answer:
        """Status, headers and body of an answer."""
        known = {"Authorization": f"Bearer {key}"} if key else {}
        known |= {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(
            self.base + path, body, known, method=method or ("POST" if body is not None else "GET")
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=300) as answer:
                return answer.status, dict(answer.headers.items()), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers.items()), error.read()

    def json(self, path: str, body: Any = None, **options: str) -> Any:
        """The value of an answer that says yes."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        kind = (
            {} if body is None else {"Content_Type": "application/octet-stream" if data is body else "application/json"}
        )
        status, _, text = self.ask(path, data, **kind, **options)
        assert status in (200, 202), text
        return json.loads(text)

    def ended(self, job: str, **options: str) -> Any:
        """The job, when it has ended."""
        for _ in range(3000):
            found = self.json(f"/v1/jobs/{job}", **options)
            if found["state"] in ("done", "failed"):
                return found
            time.sleep(0.2)
        raise AssertionError(f"it never ended: {found}\n{self.log.read_text()[-2000:]}")

    def lines(self) -> list[dict[str, Any]]:
        """What was logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextmanager
def gate(config: Path) -> Iterator[Running]:
    """Start a gate, and end it afterwards."""
    log = config.parent / "log"
    command = [sys.executable, "-m", "llamafile_format", "gate", "serve", "--config", str(config)]
    with log.open("a") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        assert process.stdout is not None
        found = re.match(r"listening at (https?://\S+)/", process.stdout.readline())
        assert found, log.read_text()
        running = Running(found[1], process, log)
        for _ in range(600):
            try:
                if running.ask("/healthz", key="")[0] == 200:
                    break
            except OSError:
                time.sleep(0.1)
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()
