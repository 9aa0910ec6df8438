"""A registry of the distribution specification 1.1 on loopback, which keeps everything in memory and can misbehave.

What was asked is counted, and whoever said who they are is noted: ``asked`` has method, path and Authorization.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from urllib.parse import parse_qs, urlsplit

from tests.loopback_server import LoopbackHandler, LoopbackServer

INDEX = "application/vnd.oci.image.index.v1+json"
USER, PASSWORD, TOKEN = "somebody", "s3cret-password", "t0ken-of-the-realm"


@dataclass
class Faults:
    """What the registry does otherwise than it should."""

    cut: int = 0
    """So many answers with blobs break off in their middle."""

    cut_upload: int = 0
    """So many pieces that come are kept, and not answered."""

    no_ranges: bool = False
    wrong: dict[str, bytes] = field(default_factory=dict)
    """Bytes for digests, in the place of the right ones."""

    blobs_at: str = ""
    """Blobs are redirected to the same path there; ``/moved`` is here."""

    busy_moved: int = 0
    """So many answers there are 503."""

    lost_closing: int = 0
    """So many uploads become blobs, and are not answered."""

    no: bytes = b""
    """The page that everybody gets with 403; ``PASSWORD`` in it stands for what was told."""

    strict: bool = False
    """Uploads that are over are unknown."""

    uploads_at: str = ""
    realm: str = ""
    link: str = ""
    """Where a list of referrers goes on."""

    gone: int | None = None
    """After so many bytes of blobs there are no more of them."""

    busy: int = 0
    """So many answers are 503."""

    huge: bool = False
    """Manifests have no end."""


class RegistryServer(LoopbackServer):
    """``auth`` is empty, ``basic`` or ``bearer``; ``referrers``: it has the interface for them."""

    def __init__(self, *, auth: str = "", referrers: bool = True, certificate: Path | None = None) -> None:
        super().__init__(_Handler)
        self.auth, self.referrers, self.scheme = auth, referrers, "http"
        self.faults = Faults()
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.uploads: dict[str, bytes] = {}
        self.repositories: dict[str, set[str]] = {}
        self.asked: list[tuple[str, str, str]] = []
        self.received = self.sent = 0
        self.lock = Lock()
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket, self.scheme = context.wrap_socket(self.socket, server_side=True), "https"

    @property
    def url(self) -> str:
        """The beginning of its addresses."""
        return f"{self.scheme}://{self.host}"

    def told(self) -> set[str]:
        """What it heard in Authorization."""
        return {each[2] for each in self.asked} - {""}

    def count(self, method: str, part: str = "") -> int:
        """How often ``method`` was asked of a path with ``part`` in it."""
        return sum(each[0] == method and part in each[1] for each in self.asked)


class _Handler(LoopbackHandler):
    server: RegistryServer

    def _do(self) -> None:
        server, faults = self.server, self.server.faults
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        with server.lock:
            server.received += length
            server.asked.append((self.command, self.path, self.headers.get("Authorization", "")))
            busy, faults.busy = faults.busy > 0, max(0, faults.busy - 1)
        if busy:
            self._say(503, Retry_After="0")
            return
        if said := faults.no and self.headers.get("Authorization", ""):
            told = base64.b64decode(said.removeprefix("Basic ")).partition(b":")[2]
            self._say(403, faults.no.replace(b"PASSWORD", told))
            return
        self.moved = self.path.startswith("/moved/")
        if self.moved and faults.busy_moved:
            faults.busy_moved -= 1
            self._say(503, Retry_After="0")
            return
        split = urlsplit(self.path.removeprefix("/moved"))
        self.query = {key: values[0] for key, values in parse_qs(split.query).items()}
        if split.path == "/token":
            self._token()
            return
        if self._known():
            for pattern, act in self._routes().items():
                if found := re.fullmatch(rf"/v2/(.+?)/{pattern}", split.path):
                    self.name = found[1]
                    act(*found.groups()[1:])
                    return
            self._say(404)

    # ruff: noqa: N815
    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = _do

    def _routes(self) -> dict[str, Callable[..., None]]:
        return {
            "manifests/([^/]+)": self._manifest,
            "blobs/(sha256:[0-9a-f]{64})": self._blob,
            "blobs/uploads/": self._begin,
            "blobs/uploads/([0-9]+)": self._upload,
            "referrers/(sha256:[0-9a-f]{64})": self._referrers,
        }

    def _say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _known(self) -> bool:
        server, said = self.server, self.headers.get("Authorization", "")
        if not server.auth or said.startswith(f"{server.auth.capitalize()} "):
            return True
        realm = server.faults.realm or f"{server.url}/token"
        asks = "Basic realm=x" if server.auth == "basic" else f'Bearer realm="{realm}",service="registry",scope="all"'
        self._say(
            401, json.dumps({"errors": [{"code": "UNAUTHORIZED", "message": said}]}).encode(), WWW_Authenticate=asks
        )
        return False

    def _token(self) -> None:
        self._say(200, json.dumps({"token": TOKEN}).encode())

    def _manifest(self, name: str) -> None:
        server = self.server
        if self.command == "PUT":
            digest = f"sha256:{hashlib.sha256(self.body).hexdigest()}"
            kind = self.headers.get("Content-Type", "")
            server.manifests |= dict.fromkeys((digest, f"{self.name}:{name}"), (kind, self.body))
            subject = json.loads(self.body).get("subject")
            told = {"OCI_Subject": subject["digest"]} if subject and server.referrers else {}
            self._say(201, **told)
            return
        found = server.manifests.get(name) or server.manifests.get(f"{self.name}:{name}")
        if server.faults.huge:
            self._say(200, b"{" + b" " * (5 << 20), Content_Type=INDEX)
        elif found is None:
            self._say(404)
        else:
            self._say(200, found[1], Content_Type=found[0])

    def _blob(self, digest: str) -> None:
        server, faults = self.server, self.server.faults
        data = faults.wrong.get(digest, server.blobs.get(digest))
        if data is None or (self.command == "HEAD" and digest not in server.repositories.get(self.name, ())):
            self._say(404)
            return
        if faults.blobs_at and self.command == "GET" and not self.moved:
            self._say(307, Location=faults.blobs_at + self.path)
            return
        start = 0
        if (asked := re.fullmatch(r"bytes=([0-9]+)-([0-9]*)", self.headers.get("Range", ""))) and not faults.no_ranges:
            start = int(asked[1])
        part = data[start:]
        headers = {"Content_Length": str(len(part))}
        if start:
            headers["Content_Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        cut = self.command == "GET" and faults.cut > 0 and len(part) > 1000
        if cut:
            faults.cut -= 1
            part = part[: len(part) // 2]
        if self.command == "GET" and faults.gone is not None:
            cut = len(part) > faults.gone
            part = part[: faults.gone]
            faults.gone -= len(part)
        server.sent += len(part)
        self._say(206 if start else 200, part, **headers)
        if cut:
            self.close_connection = True

    def _begin(self) -> None:
        server, digest = self.server, self.query.get("mount", "")
        if digest in server.repositories.get(self.query.get("from", ""), ()):
            server.repositories.setdefault(self.name, set()).add(digest)
            self._say(201, Location=f"/v2/{self.name}/blobs/{digest}")
            return
        number = str(len(server.uploads))
        server.uploads[number] = b""
        self._say(202, Location=f"{server.faults.uploads_at}/v2/{self.name}/blobs/uploads/{number}?state=s3cret-state")

    def _upload(self, number: str) -> None:
        server = self.server
        if number not in server.uploads and server.faults.strict:
            self._say(404, b'{"errors": [{"code": "BLOB_UPLOAD_UNKNOWN"}]}')
            return
        if number not in server.uploads:
            server.uploads[number] = b""  # another registry has sent somebody here
        if self.command == "DELETE":
            del server.uploads[number]
            self._say(204)
            return
        if self.command == "GET":
            self._say(204, Location=self.path, Range=f"0-{max(0, len(server.uploads[number]) - 1)}")
            return
        if self.command == "PATCH":
            said = re.fullmatch(r"([0-9]+)-([0-9]+)", self.headers["Content-Range"])
            if said is None or int(said[1]) != len(server.uploads[number]):
                self._say(416)
                return
        server.uploads[number] += self.body
        if self.command == "PATCH" and server.faults.cut_upload:
            server.faults.cut_upload -= 1
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(2)
            return
        if self.command == "PATCH":
            self._say(202, Location=self.path, Range=f"0-{len(server.uploads[number]) - 1}")
            return
        data = server.uploads.pop(number)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if digest != self.query["digest"]:
            self._say(400, b'{"errors": [{"code": "DIGEST_INVALID"}]}')
            return
        server.blobs[digest] = data
        server.repositories.setdefault(self.name, set()).add(digest)
        if server.faults.lost_closing:
            server.faults.lost_closing -= 1
            self.close_connection = True
            return
        self._say(201)

    def _referrers(self, digest: str) -> None:
        if not self.server.referrers:
            self._say(404)
            return
        rows = []
        for name, (kind, data) in self.server.manifests.items():
            value = json.loads(data)
            if ":" in name and name.startswith("sha256:") and (value.get("subject") or {}).get("digest") == digest:
                row = {"mediaType": kind, "digest": name, "size": len(data), "artifactType": value["artifactType"]}
                rows.append({**row, "annotations": value.get("annotations", {})})
        told = {"Link": f'<{self.server.faults.link}>; rel="next"'} if self.server.faults.link else {}
        if "page" in self.query:
            rows, told = rows[1:], {}
        elif told:
            rows = rows[:1]
        self._say(200, json.dumps({"schemaVersion": 2, "manifests": rows}).encode(), Content_Type=INDEX, **told)
