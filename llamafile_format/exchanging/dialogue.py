"""Questions to one registry and its answers: who is asked, what he is told of us, and where redirects may lead.

Credentials and tokens go to the registry that the user has named, over TLS or on this very machine, and to nobody that
it sends us to. Whoever that is is asked by https only, and lies in a private network only if the registry does.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from llamafile_format.bounded_json import parse_json
from llamafile_format.errors import FormatError, LimitExceeded, SourceError, UsageError
from llamafile_format.exchanging.challenge import may_know, read_challenge, read_token, token_form, token_request
from llamafile_format.exchanging.credentials import Login, find_login
from llamafile_format.exchanging.descriptors import MAX_DOCUMENT
from llamafile_format.exchanging.reference import Reference
from llamafile_format.source.address import Address, Origin, cut, redirected
from llamafile_format.source.allow_list import Listed, system_resolver
from llamafile_format.source.answers import Answer, Passing
from llamafile_format.source.connections import Connections
from llamafile_format.source.proxies import NONE, Proxies
from llamafile_format.source.public_places import refusal

T = TypeVar("T")

_REDIRECTS = {301, 302, 303, 307, 308}
_MOST_REDIRECTS = 5
_MOST_HOSTS = 8
_PARALLEL = 4
PAUSES = (0.0, 0.2, 0.6, 1.5, 3.0)
"""Seconds before each try."""

_LONGEST_PAUSE = 10.0
_ERROR_PAGE = 1 << 14
_CODE = re.compile(
    rb"""\"code\"\s*:\s*\"(
    BLOB_UNKNOWN | BLOB_UPLOAD_INVALID | BLOB_UPLOAD_UNKNOWN | DIGEST_INVALID | MANIFEST_BLOB_UNKNOWN
    | MANIFEST_INVALID | MANIFEST_UNKNOWN | NAME_INVALID | NAME_UNKNOWN | SIZE_INVALID | UNAUTHORIZED | DENIED
    | UNSUPPORTED | TOOMANYREQUESTS
    )\"""",
    re.VERBOSE,
)
"""All codes of the distribution specification 1.1 (*Error Codes*). Any other could be a password that we have told."""

_EVERYWHERE = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))


@dataclass(frozen=True, slots=True)
class Terms:
    """How registries are reached: over http anyway (``plain``), under which certificates, with which configuration of
    Docker's tools. ``patience`` is how many seconds headers may take, and a body may lag."""

    plain: bool = False
    ca_file: str = ""
    config: Path | None = None
    patience: float = 30.0
    proxies: Proxies = field(default=NONE)


class Dialogue:
    """What is said to the registry of ``reference``, for ``actions`` (``pull``, or ``pull,push``) on its repository.

    Close it, or use it in a ``with``. Errors are SourceError; none of them shows a credential.
    """

    def __init__(self, reference: Reference, terms: Terms, *, actions: str = "pull", also: str = "") -> None:
        here = reference.is_here and not terms.ca_file
        self.home = reference.address(plain=terms.plain or here, path="")
        self._reference, self._terms = reference, terms
        own = f"repository:{reference.repository}:{actions}"
        self._scopes = (own, f"repository:{also}:pull") if also else (own,)
        self._rooms: dict[Origin, Connections] = {self.home.origin: self._connections()}
        self._authorization = ""
        self._login: Login | None = None
        self._looked_up = False

    def __enter__(self) -> Dialogue:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all connections."""
        for each in self._rooms.values():
            each.close()

    def at(self, path: str) -> Address:
        """The address of ``path`` below the repository."""
        return self._reference.address(plain=self.home.origin[0] == "http", path=f"{self._reference.repository}/{path}")

    def ask(
        self, method: str, at: Address, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """The answer, with its body unread; a redirect is followed where nothing is sent. Passing: later perhaps, be it
        the registry that says so or whom it sends us to."""
        answer = self._known(method, at, dict(headers or {}), body)
        for _ in range(_MOST_REDIRECTS):
            if answer.status not in _REDIRECTS or method not in ("GET", "HEAD"):
                break
            with answer:
                at = self.led(at, answer.header("Location"))
            answer = self._room(at).ask(method, at, _headers(headers))
        if answer.status in _REDIRECTS:
            with answer:
                raise SourceError(f"{cut(at.name)} redirects where it may not, or too often")
        if answer.is_passing:
            with answer:
                answer.settle()
        return answer

    def led(self, at: Address, location: str) -> Address:
        """Where ``at`` sends us. SourceError if that is no place that we go to."""
        try:
            to = redirected(at, location)
        except UsageError as error:  # nobody here has typed it
            raise SourceError(error.message) from None
        if to.origin != self.home.origin and to.origin[0] != "https":
            raise SourceError(f"{self.home.origin[1]} sends us to {cut(to.name)}, which is not https")
        return to

    def document(self, answer: Answer, most: int = MAX_DOCUMENT) -> bytes:
        """The body of ``answer``, of at most ``most`` bytes. LimitExceeded; Passing if it breaks off."""
        said = answer.header("Content-Length")
        size = int(said) if said.isascii() and said.isdecimal() and len(said) < 19 else None
        if size is not None and size > most:
            raise LimitExceeded("an answer of the registry is too large", found=size, allowed=f"{most} bytes")
        buffer = memoryview(bytearray(most + 1 if size is None else size))
        count = answer.fill(buffer)
        if count > most:
            raise LimitExceeded("an answer of the registry is too large", found=count, allowed=f"{most} bytes")
        if size is not None and count < size:
            raise Passing("its answers break off")
        return bytes(buffer[:count])

    def patiently(self, attempt: Callable[[], T]) -> T:
        """``attempt``, until it does not fail in a way that may pass. SourceError if it never does."""
        why, asked = "", 0.0
        for pause in PAUSES:
            time.sleep(min(max(pause, asked), _LONGEST_PAUSE))
            try:
                return attempt()
            except Passing as failure:
                why, asked = str(failure), failure.pause
        raise SourceError(f"{self._reference}: given up after {len(PAUSES)} tries: {why}")

    def refused(self, answer: Answer, what: str) -> SourceError:
        """What is said when ``answer`` is a no to ``what``: the status and the registry's codes. Its words are not
        shown: they could be what we have told it."""
        page = memoryview(bytearray(_ERROR_PAGE))
        count = answer.fill(page)
        codes = dict.fromkeys(code.decode("ascii") for code in _CODE.findall(bytes(page[:count])))
        words = ": ".join([str(answer.status), *list(codes)[:4]])
        hint = ""
        if answer.status in (401, 403):
            hint = f"docker login {self._reference.host}, or another tool that writes Docker's config.json"
            hint = hint if self._login is None else "are the credentials in Docker's configuration right for it?"
        return SourceError(f"{self._reference}: {what}: the registry says {words}", hint=hint)

    def _known(self, method: str, at: Address, headers: dict[str, str], body: bytes | None) -> Answer:
        """The answer to somebody who says who he is, if that is asked for, and allowed."""
        for turn in range(2):
            told = dict(headers)
            if self._authorization and at.origin == self.home.origin and self.home.private:
                told["Authorization"] = self._authorization
            answer = self._room(at).ask(method, at, _headers(told), body)
            if answer.status != 401 or turn or at.origin != self.home.origin:
                break
            with answer:
                said = answer.header("WWW-Authenticate")
                answer.fill(memoryview(bytearray(_ERROR_PAGE)))  # then the connection serves again
            if not self._introduced(said):
                return self._room(at).ask(method, at, _headers(headers), body)
        return answer

    def _introduced(self, said: str) -> bool:
        """True once the registry gets something else to hear from us than before."""
        challenge = read_challenge(said, self.home)
        before = self._authorization
        if challenge.realm is None:
            login = self._own_login()
            self._authorization = login.basic if login and login.user else ""
            return self._authorization != before
        login = self._own_login() if may_know(challenge.realm, self.home) else None
        self._authorization = f"Bearer {self._token(challenge.realm, said, login)}"
        return True

    def _token(self, realm: Address, said: str, login: Login | None) -> str:
        challenge = read_challenge(said, self.home)
        headers: dict[str, str] = {}
        method, at, form = "GET", token_request(challenge, self._scopes), None
        if login and login.identity:
            method, at, form = "POST", realm, token_form(challenge, self._scopes, login.identity)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        elif login:
            headers["Authorization"] = login.basic

        def asked() -> object:
            """One try."""
            with self._room(at).ask(method, at, _headers(headers), form) as answer:
                answer.settle()
                if answer.status != 200:
                    raise self.refused(answer, f"no token from {cut(realm.name)}")
                return parse_json(self.document(answer, 1 << 16), depth=8)

        try:
            return read_token(self.patiently(asked), realm)
        except FormatError as error:
            raise SourceError(f"{cut(realm.name)} gives no token: {error.message}") from None

    def _own_login(self) -> Login | None:
        if not self._looked_up and self._terms.config is not None and self.home.private:
            self._login = find_login(self._reference.host, self._terms.config)
        self._looked_up = True
        return self._login

    def _room(self, at: Address) -> Connections:
        """The connections to the host of ``at``, which is judged unless it is the registry's own."""
        found = self._rooms.get(at.origin)
        if found is None:
            if at.origin[0] != "https":
                raise SourceError(f"{self.home.origin[1]} sends us to {cut(at.name)}, which is not https")
            if len(self._rooms) > _MOST_HOSTS:
                raise SourceError(f"{self.home.origin[1]} sends us to ever more hosts")
            private = _EVERYWHERE if self._is_private() else ()
            judged = Listed(frozenset({at.origin[1:]}), private, system_resolver)
            through = self._terms.proxies.between(at) is not None  # then it is the proxy that resolves the name
            found = self._rooms[at.origin] = self._connections(None if through else judged)
        return found

    def _is_private(self) -> bool:
        """True if the registry itself is on this machine or in a network of its user's."""
        try:
            return all(refusal(machine) for machine in system_resolver(self.home.origin[1], self.home.origin[2]))
        except (OSError, UnicodeError):
            return False

    def _connections(self, checkpoint: Listed | None = None) -> Connections:
        terms = self._terms
        return Connections(
            ca_file=terms.ca_file,
            parallel=_PARALLEL,
            patience=terms.patience,
            checkpoint=checkpoint,
            proxies=terms.proxies,
        )


def _headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    return {"Accept-Encoding": "identity", "User-Agent": "llamafile-format", **(headers or {})}
