"""Where pip would look for a file: its own settings, and the pages of its package indexes (PEP 503, PEP 691).

Only the settings are pip's. No resolver runs, and no code of a package: the name of the wanted file is known.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import cast
from urllib.parse import unquote, urldefrag, urljoin, urlsplit, urlunsplit

from llamafile_format.engines.pin import Input
from llamafile_format.errors import SourceError
from llamafile_format.source.body import read_bounded
from llamafile_format.source.patient_web import PlainWeb, SecureWeb

PYPI = "https://pypi.org/simple"
_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_SETTING = re.compile(r"(?P<section>[^.=]+)\.(?P<name>[a-z-]+)='(?P<value>.*)'", re.DOTALL)
_PAGE_LIMIT = 64 << 20  # bytes of one page of an index; the largest real ones have a tenth
_RANK = {"global": 0, "download": 1, ":env:": 2}  # later ones win, as they do for `pip download`


@dataclass(frozen=True, slots=True)
class Settings:
    """What pip was told about indexes and the network. ``timeout`` in seconds."""

    indexes: tuple[str, ...] = (PYPI,)
    links: tuple[str, ...] = ()
    certificates: str = ""
    proxy: str = ""
    timeout: float = 15.0

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Settings:
        """From pip's options by name, such as ``index-url``."""
        indexes = [values.get("index-url", PYPI), *values.get("extra-index-url", "").split()]
        if values.get("no-index", "").lower() in ("1", "true", "yes", "on"):
            indexes = []
        environment = os.environ.get
        return cls(
            indexes=tuple(dict.fromkeys(index.rstrip("/") for index in indexes)),
            links=tuple(values.get("find-links", "").split()),
            certificates=values.get("cert", "")
            or environment("REQUESTS_CA_BUNDLE")
            or environment("CURL_CA_BUNDLE", ""),
            proxy=values.get("proxy", ""),
            timeout=float(values.get("timeout") or values.get("default-timeout") or 15),
        )


def pip_settings() -> Settings:
    """The settings of this Python's pip: its files and its environment; the defaults where there is no pip."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    found = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return Settings.of(read_settings(found.stdout if found.returncode == 0 else ""))


def read_settings(text: str) -> dict[str, str]:
    """Options by name from what ``pip config list`` prints; the environment wins over files, ``download`` over all."""
    found: dict[str, tuple[int, str]] = {}
    for line in text.splitlines():
        match = _SETTING.fullmatch(line)
        if match is None or match["section"] not in _RANK:
            continue
        rank, value = _RANK[match["section"]], match["value"].replace("\\n", " ")
        if rank >= found.get(match["name"], (-1, ""))[0]:
            found[match["name"]] = (rank, value)
    return {name: value for name, (_, value) in found.items()}


def places(source: Input, settings: Settings) -> Iterator[str]:
    """URLs (or local paths) that offer the wanted file, in pip's order; those that name another digest are left out.

    Raises SourceError at the end if nothing was offered, with what was asked and what it said.
    """
    asked: list[str] = []
    offered = bool(source.urls)
    yield from source.urls
    if offered:
        return
    for link in settings.links:
        for place in _listed(link, source, settings, asked):
            offered = True
            yield place
    project = re.sub(r"[-_.]+", "-", source.name).lower()
    for index in settings.indexes:
        for place in _listed(f"{index}/{project}/", source, settings, asked):
            offered = True
            yield place
    if not offered:
        raise SourceError(
            f"no package index offers {source.file}",
            hint="; ".join(asked) or "pip is set to use no index; take the inputs from a folder with --from",
        )


def _listed(place: str, source: Input, settings: Settings, asked: list[str]) -> list[str]:
    """Where the file is by the folder or page ``place``."""
    folder = local_path(place)
    try:
        if folder is not None and folder.is_dir() and not (folder / "index.html").is_file():
            path = folder / source.file
            found = [str(path)] if path.is_file() else []
        else:
            base, kind, page = _page(place, folder, settings)
            found = [
                url
                for url, sha256 in (_of_json if "json" in kind else _of_html)(page, base)
                if unquote(urlsplit(url).path.rpartition("/")[2]) == source.file and sha256 in ("", source.sha256)
            ]
    except (OSError, HTTPException) as error:
        asked.append(f"{without_secrets(place)}: {getattr(error, 'reason', None) or error}")
        return []
    asked.append(f"{without_secrets(place)}: {'offers it' if found else 'does not have it'}")
    return found


def _page(place: str, folder: Path | None, settings: Settings) -> tuple[str, str, str]:
    """Address, media type and text of a page of an index."""
    if folder is not None:
        file = folder / "index.html" if folder.is_dir() else folder
        return file.as_uri(), "text/html", file.read_text(encoding="utf-8")
    with open_url(place, settings, {"Accept": _ACCEPT}) as answer:
        data = read_bounded(answer, _PAGE_LIMIT)
        return answer.url, answer.headers.get_content_type(), data.decode("utf-8", "replace")


def _of_json(page: str, base: str) -> Iterator[tuple[str, str]]:
    """URL and SHA-256 (or nothing) of every file of a project, as PEP 691 lists them."""
    try:
        value = json.loads(page)
        for file in value["files"]:
            yield urljoin(base, file["url"]), str(file.get("hashes", {}).get("sha256", ""))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{without_secrets(base)} is not a page of a package index") from error


def _of_html(page: str, base: str) -> Iterator[tuple[str, str]]:
    """URL and SHA-256 (or nothing) of every file of a project, as PEP 503 lists them."""
    links = _Links()
    links.feed(page)
    for link in links.found:
        url, fragment = urldefrag(urljoin(base, link))
        yield url, fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else ""


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the address of a link."""
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


def local_path(place: str) -> Path | None:
    """``place`` as a path, if it is one or a ``file:`` URL."""
    parts = urlsplit(place)
    if parts.scheme == "file":
        return Path(urllib.request.url2pathname(parts.path))
    return None if parts.scheme in ("http", "https") else Path(place).expanduser()


def open_url(url: str, settings: Settings, headers: Mapping[str, str]) -> HTTPResponse:
    """Open an ``http`` or ``https`` URL by pip's settings. A password in it goes to its own host and no further."""
    import base64

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise SourceError(f"{without_secrets(url)} is not an address of the web")
    host = parts.netloc.rpartition("@")[2]
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=host)), headers=dict(headers))
    if parts.username is not None:
        word = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(word).decode()}")
    trust = ssl.create_default_context(cafile=settings.certificates or None)
    handlers: list[urllib.request.BaseHandler] = [PlainWeb(), SecureWeb(trust)]
    if settings.proxy:
        handlers.append(urllib.request.ProxyHandler({"http": settings.proxy, "https": settings.proxy}))
    return cast(HTTPResponse, urllib.request.build_opener(*handlers).open(request, timeout=settings.timeout))


def without_secrets(url: str) -> str:
    """``url`` for messages: no user, no password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if parts.netloc else url
