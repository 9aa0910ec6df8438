"""One object behind a scheme of fsspec's, where the user has it and the package for that scheme (spec/1, 10.12.11).

These packages say nothing about an answer: neither which range it is nor from which state of the object. So its length
is compared, and the object is looked at again after every answer. They take credentials from wherever they like, which
is why only what was typed on a command line comes here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, TypeVar

from llamafile_format.errors import SourceError, UsageError
from llamafile_format.source.address import SCHEMES, STORES, Address, shown
from llamafile_format.source.answers import Version
from llamafile_format.source.traffic import Traffic

T = TypeVar("T")

_OURS = {*SCHEMES, *STORES, "hf", "gcs", "abfs", "abfss", "s3a"}
"""What is read by our own sources, or is another name for what is."""

_HERE = {"file", "local"}
_PLAIN = re.compile(r"([a-z][a-z0-9+.-]{0,30})://([!-~]{1,2048})", re.ASCII)
_STATES = ("etag", "e_tag", "version", "version_id", "versionid", "generation")
_TIMES = ("lastmodified", "last_modified", "modified", "modify", "mtime", "updated", "created")


def is_foreign(text: str) -> bool:
    """True if ``text`` is an address of a scheme that our own sources do not read."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text)
    return found is not None and found[1].lower() not in _OURS


def foreign_address(text: str) -> Address:
    """The address that ``text`` is. UsageError, which shows no secret, if it is none that can be read."""
    found, name = _PLAIN.fullmatch(text), shown(text)
    if found is None or name != text or "::" in text or "@" in found[2].partition("/")[0]:
        raise UsageError(
            f"cannot read {name[:200]}: an address is SCHEME://PLACE, without user, query, fragment or ::",
            hint="settings and keys of a package for a scheme are in its own configuration",
        )
    if found[1] in _HERE:
        raise UsageError(f"cannot read {name}: it is a file of this machine", hint="name it by its path")
    return Address(text, name, (found[1], "", 0))


class ForeignObject:
    """The object at ``address``, by the package that fsspec has for its scheme."""

    def __init__(self, address: Address, traffic: Traffic) -> None:
        self.name = address.name
        self.version = Version(0, "")
        self._traffic = traffic
        self._lock = Lock()  # many of these packages have one connection, and are not made for threads
        self._begun = self._ended = False
        self._files, self._path = self._opened(address)

    def begin(self, tail: int) -> tuple[int, bytes]:
        """See :class:`RangedObject`."""
        self._traffic.request(0)
        self._look()
        start = max(0, self.version.size - tail)
        return start, self.fetch(start, self.version.size)

    def fetch(self, start: int, end: int) -> bytes:
        """See :class:`RangedObject`."""
        if not self._begun:  # both ends are asked for at once
            self._look()
        end = min(end, self.version.size)
        if start >= end:
            return b""
        self._traffic.request(end - start)
        data = self._asked(lambda: self._files.cat_file(self._path, start=start, end=end))
        if not isinstance(data, bytes) or len(data) != end - start:
            raise SourceError(f"{self.name}: asked for bytes {start} to {end - 1}, got something else")
        self._traffic.received(len(data))
        self._look()
        return data

    def fetch_into(self, start: int, buffer: memoryview) -> int:
        """See :class:`RangedObject`."""
        data = self.fetch(start, start + len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Nothing else is asked for; what is under way ends by its own time."""
        self._ended = True

    def _look(self) -> None:
        """Keep the first state of the object, and refuse every other."""

        def info() -> Any:
            """As it is now, and not as it was when somebody asked before."""
            self._files.invalidate_cache()
            return self._files.info(self._path)

        version = _version(self._asked(info), self.name)
        with self._lock:
            if not self._begun:
                self._begun, self.version = True, version
            if version != self.version:
                raise SourceError(f"{self.name}: changed while it was read", hint="try again when it is at rest")

    def _asked(self, work: Callable[[], T]) -> T:
        """What the package says. Its errors can be of any kind and quote anything, so only their kind is shown."""
        with self._lock:
            if self._ended:
                raise SourceError(f"{self.name}: reading was ended")
            try:
                return work()
            except FileNotFoundError:
                raise SourceError(f"{self.name}: there is no such object") from None
            except Exception as error:
                raise SourceError(f"{self.name}: the package for its scheme fails: {type(error).__name__}") from None

    def _opened(self, address: Address) -> tuple[Any, str]:
        scheme = address.origin[0]
        try:
            import fsspec  # type: ignore[import-untyped]
        except ImportError as error:
            raise UsageError(
                f"cannot read {self.name}: no scheme that is read", hint="pip install fsspec, and its package for that"
            ) from error
        try:
            fsspec.get_filesystem_class(scheme)
        except (ValueError, ImportError) as error:
            raise UsageError(
                f"cannot read {self.name}: fsspec has no package for {scheme}://", hint="pip install it"
            ) from error
        options = {"skip_instance_cache": True, "use_listings_cache": False}
        files, path = self._asked(lambda: fsspec.core.url_to_fs(address.url, **options))
        return files, str(path)


def _version(info: Any, name: str) -> Version:
    """The state that ``info`` tells of. SourceError if it tells no size."""
    size = info.get("size") if isinstance(info, Mapping) else None
    if type(size) is not int or size < 0 or info.get("type") != "file":
        raise SourceError(f"{name}: it is no object whose size is known")
    said = {str(key).lower(): str(value) for key, value in info.items() if value not in (None, "")}
    states = [f"{key} {said[key]}" for key in _STATES if key in said]
    times = [f"{key} {said[key]}" for key in _TIMES if key in said]
    return Version(size, ", ".join(states or times)[:512], bool(states))
