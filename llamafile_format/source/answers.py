"""One answer of a server to a request for a range, and what it must be to count (spec/1, 10.12.3).

Servers, and what stands between them and us, lie in every way that there is: a range is answered with the whole, with
another range, with gzip, with a page that says no, or with bytes of the file that has taken the place of the one we
began with. So nothing is taken from an answer that was not compared with the question.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from llamafile_format.errors import SourceError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from llamafile_format.source.body import Body

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.ASCII)
_NOTHING = re.compile(r"bytes \*/0{1,18}")
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PAGE = 1 << 13
"""Bytes that are read of a page that says no."""

_SAID = re.compile(
    r"""<Code>\s{0,8}(
    AccessDenied | AccountIsDisabled | AccountProblem | AllAccessDisabled | AuthenticationFailed
    | AuthenticationRequired | AuthorizationFailure | AuthorizationHeaderMalformed | AuthorizationPermissionMismatch
    | AuthorizationQueryParametersError | BlobArchived | BlobNotFound | BucketRegionError | ContainerNotFound
    | ExpiredToken | InsufficientAccountPermissions | InternalError | InvalidAccessKeyId | InvalidArgument
    | InvalidAuthenticationInfo | InvalidBucketName | InvalidObjectState | InvalidRange | InvalidRequest
    | InvalidSecurity | InvalidToken | InvalidURI | InvalidUri | KeyTooLongError | MethodNotAllowed
    | MissingSecurityHeader | NoAuthenticationInformation | NoSuchBucket | NoSuchKey | NoSuchUpload | NoSuchVersion
    | NotImplemented | OperationTimedOut | OutOfRangeInput | PermanentRedirect | PreconditionFailed
    | PublicAccessNotPermitted | RequestTimeTooSkewed | RequestTimeout | ResourceNotFound | ServerBusy
    | ServiceUnavailable | SignatureDoesNotMatch | SlowDown | TemporaryRedirect | TokenRefreshRequired
    | UserProjectMissing
    )\s{0,8}</Code>""",
    re.VERBOSE,
)
"""Codes of errors in the documents of S3, Google Cloud Storage and Azure. Only these are shown: whatever else is in the
page could be the address and its signature, or the token that we have sent."""


class Passing(Exception):
    """What may be gone at the next try; ``pause`` is how many seconds the server asks us to wait."""

    def __init__(self, why: str, pause: float = 0.0) -> None:
        super().__init__(why)
        self.pause = pause


@dataclass(frozen=True, slots=True)
class Version:
    """Which state of an object of ``size`` bytes an answer comes from; ``tag`` is what the server says, or empty.

    ``pinned``: the server promises that the same tag means the same bytes, also on another day. ``sha256`` is of all
    its bytes, by the word of a hub, in hex; mostly empty.
    """

    size: int
    tag: str
    pinned: bool = False
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes [start, end) of ``version``, which the body of an answer is said to be."""

    start: int
    end: int
    version: Version


def is_pinned(said: Iterable[str]) -> bool:
    """True if one of these names of a state stands for its bytes: not *null*, and no weak ETag (RFC 9110, 8.8.1)."""
    return any(word and word != "null" and not word.startswith("W/") for word in said)


def said_codes(page: str) -> list[str]:
    """The known codes by which a store explains in ``page`` why it says no."""
    return list(dict.fromkeys(_SAID.findall(page)))


class Answer:
    """A response, with its body unread. Leaving the ``with`` gives the connection back, or ends it."""

    def __init__(self, response: BaseHTTPResponse, body: Body | None) -> None:
        self._response = response
        self._body = body
        self.status = response.status

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._body is not None and self._body.isclosed():  # read to its end: the connection serves again
            self._response.release_conn()
        self._response.close()
        self._response.release_conn()

    @property
    def location(self) -> str:
        """Where a redirect leads."""
        return str(self._response.headers.get("Location", ""))

    @property
    def commit(self) -> str:
        """The commit that a hub answers from; empty for all others."""
        said = str(self._response.headers.get("X-Repo-Commit", ""))
        return said if _COMMIT.fullmatch(said) else ""

    @property
    def linked(self) -> str:
        """The SHA-256 by which a hub keeps what it sends us on to; empty for all others."""
        said = self.header("X-Linked-Etag").strip('"')
        return said if _SHA256.fullmatch(said) else ""

    def header(self, name: str) -> str:
        """What the header ``name`` says; empty if there is none."""
        return str(self._response.headers.get(name, ""))

    @property
    def is_of_nothing(self) -> bool:
        """True if this says that the object is empty, for which there are two ways."""
        headers = self._response.headers
        if self.status == 416:
            return _NOTHING.fullmatch(headers.get("Content-Range", "")) is not None
        return self.status == 200 and headers.get("Content-Length") == "0"

    def part(self) -> Part:
        """Which bytes the body is. Passing if the server has none now, SourceError if the answer does not count."""
        headers = self._response.headers
        self.settle()
        if self.status == 200:
            raise SourceError("the server does not serve ranges of bytes: it sends the whole for a part")
        if self.status != 206:
            raise SourceError(f"the server says {self.refusal()}")
        if headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
            raise SourceError("the server sends an encoded body where the bytes themselves were asked for")
        found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
        if found is None:
            raise SourceError("the server sends a part and does not say which, and of how many bytes")
        start, end, size = int(found[1]), int(found[2]) + 1, int(found[3])
        if not start < end <= size:
            raise SourceError(f"the server sends bytes {start} to {end - 1} of {size}, which is no part")
        length = headers.get("Content-Length", "").strip()
        if length and length != str(end - start):
            raise SourceError(f"the server sends {end - start} bytes by one header, {length[:20]} by another")
        return Part(start, end, self._version(size))

    @property
    def is_passing(self) -> bool:
        """True if the server has no answer now, and may have one later."""
        return self.status in _PASSING

    def settle(self) -> None:
        """Passing if the server has no answer now, and may have one later."""
        if self.is_passing:
            raise Passing(self.refusal(), self._retry_after())

    def receive(self, buffer: memoryview) -> int:
        """Read the body into ``buffer``, as far as it goes; SourceError if there is more of it.

        A body that breaks off, or drips, ends early and is for the caller to go on with.
        """
        done = self.fill(buffer)
        over = memoryview(bytearray(1))
        if done == len(buffer) and not self.header("Content-Length") and self.fill(over):
            raise SourceError("the server sends more bytes than it says")
        return done

    def fill(self, buffer: memoryview) -> int:
        """Read the next bytes of the body into ``buffer``; fewer where it ends, breaks off or drips."""
        from http.client import HTTPException  # which costs time to load, and only objects elsewhere need

        done = 0
        with contextlib.suppress(HTTPException, OSError):
            while done < len(buffer):
                count = self._more(buffer[done:])
                if not count:
                    break
                done += count
        return done

    def _more(self, view: memoryview) -> int:
        return self._body.receive(view) if self._body is not None else 0

    def refusal(self) -> str:
        """The status, and by which code a store explains it."""
        page = memoryview(bytearray(_PAGE))
        count = self.fill(page)
        return ": ".join([str(self.status), *said_codes(bytes(page[:count]).decode("utf-8", "replace"))])

    def _version(self, size: int) -> Version:
        """The store's own version and the ETag; the time of the last change where there is neither."""
        headers = self._response.headers
        said = [headers.get(name, "") for name in ("x-amz-version-id", "x-goog-generation", "ETag")]
        tag = " ".join(filter(None, said))[:512]
        return Version(size, tag or headers.get("Last-Modified", "")[:512], is_pinned(said))

    def _retry_after(self) -> float:
        text = self._response.headers.get("Retry-After", "")
        return float(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0.0
