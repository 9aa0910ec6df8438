"""A time-stamping authority that is ``openssl ts``: certificates from ``tests.authorities``, clock from faketime."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from tests.authorities import Authority
from tests.conftest import find_tool

_CONFIGURATION = """\
[tsa]
default_tsa = ours
[ours]
serial = {folder}/serial
crypto_device = builtin
signer_digest = {digest}
default_policy = 1.2.3.4.1
other_policies = 1.2.3.4.2
digests = {digests}
accuracy = secs:1, millisecs:500
clock_precision_digits = {precision}
ordering = {yes}
tsa_name = {yes}
ess_cert_id_chain = {chain}
ess_cert_id_alg = {binding}
"""


class OpensslAuthority:
    """``authority``, a leaf for time stamps, whose word is given by openssl. ``folder`` is its own."""

    def __init__(
        self,
        authority: Authority,
        folder: Path,
        *,
        digest: str = "sha256",
        accepts: str = "sha256, sha384, sha512",
        binding: str = "sha256",
        named: bool = True,
        precision: int = 0,
        bind_chain: bool = False,
    ) -> None:
        folder.mkdir(parents=True)
        self.authority = authority
        self.folder = folder
        self.openssl = str(find_tool("openssl"))
        text = _CONFIGURATION.format(
            folder=folder,
            digest=digest,
            digests=accepts,
            binding=binding,
            precision=precision,
            yes="yes" if named else "no",
            chain="yes" if bind_chain else "no",
        )
        (folder / "tsa.cnf").write_text(text)
        (folder / "serial").write_text("01\n")
        (folder / "tsa.pem").write_bytes(authority.pem)
        (folder / "tsa.key").write_bytes(authority.key_pem)
        self.root = folder / "root.pem"
        self.root.write_bytes(authority.chain[-1].pem)

    def answer(self, query: bytes, at: datetime | None = None, *, chain: bytes = b"", bare: bool = False) -> bytes:
        """The answer to ``query``, ``at`` a time if one is given; ``chain`` is PEM to send along."""
        question, reply, more = self.folder / "question.tsq", self.folder / "reply.tsr", self.folder / "more.pem"
        question.write_bytes(query)
        reply.unlink(missing_ok=True)
        more.write_bytes(chain)
        words = [self.openssl, "ts", "-reply", "-config", self.folder / "tsa.cnf", "-queryfile", question]
        words += ["-signer", self.folder / "tsa.pem", "-inkey", self.folder / "tsa.key", "-out", reply]
        words += ["-chain", more] if chain else []
        words += ["-token_out"] if bare else []
        if at is not None:
            words = [str(find_tool("faketime")), at.strftime("%Y-%m-%d %H:%M:%S"), *words]
        environment = os.environ | {"TZ": "UTC"}
        done = subprocess.run(
            [str(word) for word in words], capture_output=True, text=True, env=environment, timeout=60, check=False
        )
        assert reply.exists(), done.stderr
        return reply.read_bytes()


@contextmanager
def served(
    authority: OpensslAuthority, *, path: str = "/tsa", answer: tuple[int, dict[str, str], bytes] | None = None
) -> Iterator[str]:
    """The address of the authority on this machine, for as long as the block lasts.

    ``answer`` is (status, headers, body) to give instead of what openssl says.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            right = self.path == path and self.headers["Content-Type"] == "application/timestamp-query"
            status, headers, body = answer or (
                (200, {"Content-Type": "application/timestamp-reply"}, authority.answer(query))
                if right
                else (404, {}, b"")
            )
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Silent."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{path}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
