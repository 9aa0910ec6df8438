"""Names of images in registries: ``HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]``, by the grammar of distribution."""

from __future__ import annotations

import re
from dataclasses import dataclass

from llamafile_format.errors import UsageError
from llamafile_format.exchanging.descriptors import is_digest
from llamafile_format.source.address import Address, is_this_machine, read_address
from llamafile_format.source.allow_list import is_plain_host

_LONGEST = 255  # characters of host and repository together
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_LABEL = r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?")
_HUB = ("docker.io", "index.docker.io")


@dataclass(frozen=True, slots=True)
class Reference:
    """An image: where it is (``host``, with its port if one is named), what it is called there, and which it is.

    ``tag`` and ``digest`` may be empty; a digest counts before a tag.
    """

    host: str
    repository: str
    tag: str
    digest: str = ""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.host}/{self.repository}{tag}{f'@{self.digest}' if self.digest else ''}"

    def address(self, *, plain: bool, path: str) -> Address:
        """The address of ``path`` in the interface of the registry, over http if ``plain``."""
        return read_address(f"http{'' if plain else 's'}://{self.host}/v2/{path}")

    @property
    def is_here(self) -> bool:
        """True if the registry is on this very machine."""
        return is_this_machine(self.address(plain=True, path="").origin[1])


def read_reference(text: str) -> Reference:
    """The image that ``text`` names; ``latest`` where it says neither tag nor digest. UsageError if it names none."""
    name, at, digest = text.partition("@")
    host, _, rest = name.partition("/")
    repository, colon, tag = rest.partition(":")
    if at and not is_digest(digest):
        raise UsageError(f"{text[:300]!r} names no image: its digest is not sha256: and 64 hex digits")
    if colon and not _TAG.fullmatch(tag):
        raise UsageError(f"{tag[:200]!r} is no tag", hint="letters, digits, and ._- behind the first one, at most 128")
    if not repository or len(name) - len(tag) > _LONGEST or not _REPOSITORY.fullmatch(repository):
        raise UsageError(
            f"{text[:300]!r} names no image in a registry",
            hint="HOST[:PORT]/REPOSITORY[:TAG], the repository in small letters, digits, and . _ - between them",
        )
    _refuse_other_host(host)
    return Reference(host.lower(), repository, tag or ("" if digest else "latest"), digest)


def read_repository(text: str) -> str:
    """The name of a repository. UsageError if it is none."""
    if len(text) > _LONGEST or not _REPOSITORY.fullmatch(text):
        raise UsageError(f"{text[:300]!r} is no repository", hint="small letters, digits, and . _ - between them")
    return text


def _refuse_other_host(host: str) -> None:
    """UsageError for what is no host: a name without dots and port is the first part of a repository of Docker's."""
    named = _HOST.fullmatch(host) and (host.lower() == "localhost" or "." in host or ":" in host)
    if host.lower() in _HUB:
        raise UsageError(f"{host} has its registry on another host", hint="write registry-1.docker.io")
    if not named or not is_plain_host(read_address(f"https://{host}/").origin[1]):
        raise UsageError(f"{host[:300]!r} is no host of a registry", hint="HOST[:PORT]/REPOSITORY[:TAG]")
