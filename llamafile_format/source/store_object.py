"""One object in a store (S3, Google Cloud Storage, Azure), read by ranges with obstore (spec/1, 10.12.7).

The library resolves, signs and asks again; it does not notice an object that was exchanged between two answers, or one
that is kept compressed. So every answer is compared with the question and with the first, as for https.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import Any

from llamafile_format.errors import SourceError, UsageError
from llamafile_format.source.address import STORES, Address, read_address, shown
from llamafile_format.source.answers import Version, is_pinned, said_codes
from llamafile_format.source.proxies import NONE, Proxies
from llamafile_format.source.traffic import Traffic

_STATUS = re.compile(r"status code: ([0-9]{3})")
_RETRIES = 4
_PIECE = 1 << 20

_SETTINGS = {
    "s3": {
        "AWS_ACCESS_KEY_ID": "access_key_id",
        "AWS_SECRET_ACCESS_KEY": "secret_access_key",
        "AWS_SESSION_TOKEN": "session_token",
        "AWS_DEFAULT_REGION": "region",
        "AWS_REGION": "region",
        "AWS_ENDPOINT_URL": "endpoint",
        "AWS_ENDPOINT_URL_S3": "endpoint",
    },
    "gs": {
        "GOOGLE_APPLICATION_CREDENTIALS": "application_credentials",
        "GOOGLE_SERVICE_ACCOUNT": "service_account",
        "GOOGLE_SERVICE_ACCOUNT_KEY": "service_account_key",
        "GOOGLE_BASE_URL": "base_url",
    },
    "az": {
        "AZURE_STORAGE_ACCOUNT_NAME": "account_name",
        "AZURE_STORAGE_ACCOUNT_KEY": "account_key",
        "AZURE_STORAGE_SAS_KEY": "sas_key",
        "AZURE_STORAGE_TOKEN": "token",
        "AZURE_STORAGE_ENDPOINT": "endpoint",
    },
}
"""Variables that are read, and what obstore calls them. Of two for one setting the later counts."""

_CREDENTIALS = (
    "access_key_id",
    "application_credentials",
    "service_account",
    "service_account_key",
    "account_key",
    "sas_key",
    "token",
)
_PLACES = ("endpoint", "base_url")


@dataclass(frozen=True, slots=True, repr=False)  # keys must not get into a traceback
class Store:
    """A bucket and how it is reached: ``settings`` by obstore's names."""

    scheme: str
    bucket: str
    settings: Mapping[str, str]

    @property
    def place(self) -> str:
        """Where it is, if the settings say so: two of them can have buckets of one name."""
        return " ".join(self.settings.get(place, "") for place in _PLACES)


def store_of(address: Address, environment: Mapping[str, str]) -> Store:
    """The store of ``address``, reached as the variables in ``environment`` say. UsageError if keys would be seen."""
    scheme, bucket, _ = address.origin
    known = _SETTINGS[scheme]
    settings = {setting: value for name, setting in known.items() if (value := environment.get(name, ""))}
    for setting in _PLACES:
        place = settings.get(setting, "https://")
        if not place.startswith("https://") and not (place.startswith("http://") and read_address(place).private):
            raise UsageError(
                f"{address.name}: {shown(place)} is neither https nor this machine",
                hint=f"name another place by a variable that begins with {STORES[scheme]}_",
            )
    return Store(scheme, bucket, settings)


class StoreObject:
    """The object at ``address`` in ``store``. Nobody is asked for keys: without any it is read as by a stranger."""

    def __init__(
        self,
        address: Address,
        store: Store,
        traffic: Traffic,
        *,
        ca_file: str,
        patience: float,
        proxies: Proxies = NONE,
    ) -> None:
        self.name = address.name
        self.version = Version(0, "")
        self._key = address.url.partition("://")[2].partition("/")[2]
        self._begun = False
        self._traffic = traffic
        self._lock = Lock()
        self._ended = False
        self._store = _opened(store, ca_file, patience, proxies)

    def begin(self, tail: int) -> tuple[int, bytes]:
        """See :class:`RangedObject`. The size comes with the bytes; a store without such ranges is asked."""
        buffer = memoryview(bytearray(tail))
        try:
            start, count = self._get({"suffix": tail}, buffer)
        except SourceError as refused:
            if self._begun or not self._is_empty():  # some answer for an empty object what is no answer
                raise refused from None
            return 0, b""
        if count is None:
            size = self._size()
            start, count = self._get((max(0, size - tail), size), buffer) if size else (0, 0)
        if count is None or (start, start + count) != (max(0, self.version.size - tail), self.version.size):
            raise SourceError(f"{self.name}: asked for its end, the store sent something else")
        return start, bytes(buffer[:count])

    def fetch(self, start: int, end: int) -> bytes:
        """See :class:`RangedObject`."""
        buffer = memoryview(bytearray(end - start))
        return bytes(buffer[: self.fetch_into(start, buffer)])

    def fetch_into(self, start: int, buffer: memoryview) -> int:
        """See :class:`RangedObject`."""
        end = start + len(buffer)
        at, count = self._get((start, end), buffer)
        if count is None:  # past its end
            return 0
        if at != start or count != min(end, self.version.size) - start:
            raise SourceError(
                f"{self.name}: asked for bytes {start} to {end - 1}, the store sent {at} to {at + count - 1}"
            )
        return count

    def close(self) -> None:
        """No other request is made; one that is under way ends by its time."""
        self._ended = True

    def _get(self, span: Any, buffer: memoryview) -> tuple[int, int | None]:
        """Where the answer for ``span`` begins, and how many bytes are in ``buffer`` now; None where it knows none."""
        import obstore
        from obstore.exceptions import BaseError

        if self._ended:
            raise SourceError(f"{self.name}: reading was ended")
        self._traffic.request(len(buffer))
        try:
            result = obstore.get(self._store, self._key, options={"range": span})
            encoding = str(result.attributes.get("Content-Encoding", "") or "identity").strip().lower()
            if encoding != "identity":
                raise SourceError(
                    f"{self.name}: the store keeps it encoded ({encoding[:40]!r}), and not the bytes themselves"
                )
            self._compare(result.meta)
            start, end = result.range
            count = _received(result, buffer[: end - start]) if end - start <= len(buffer) else -1
        except (BaseError, OSError, ValueError) as error:
            if isinstance(error, SourceError):
                raise
            if _status(error) in ("416", "501") or type(error).__name__ == "NotSupportedError":
                return 0, None
            raise SourceError(f"{self.name}: {_why(error)}") from None
        if count != end - start:
            raise SourceError(f"{self.name}: the store sends something else for bytes {start} to {end - 1}")
        self._traffic.received(count)
        return int(start), count

    def _is_empty(self) -> bool:
        """False too if the store does not tell: then what it said before counts."""
        try:
            return self._size() == 0
        except SourceError:
            return False

    def _size(self) -> int:
        import obstore
        from obstore.exceptions import BaseError

        self._traffic.request(0)
        try:
            self._compare(obstore.head(self._store, self._key))
        except (BaseError, OSError, ValueError) as error:
            if isinstance(error, SourceError):
                raise
            raise SourceError(f"{self.name}: {_why(error)}") from None
        return self.version.size

    def _compare(self, meta: Mapping[str, Any]) -> None:
        """Keep the first version, and refuse every other."""
        said = [str(meta.get(name) or "") for name in ("version", "e_tag")]
        tag = " ".join(filter(None, said))[:512] or str(meta["last_modified"])
        version = Version(int(meta["size"]), tag, is_pinned(said))
        with self._lock:
            if not self._begun:
                self._begun, self.version = True, version
            if version != self.version:
                raise SourceError(f"{self.name}: changed while it was read", hint="try again when it is at rest")


def _opened(store: Store, ca_file: str, patience: float, proxies: Proxies) -> Any:
    try:
        from obstore import store as kinds
        from obstore.exceptions import BaseError
    except ImportError as error:
        raise UsageError("reading from a store needs obstore", hint="pip install 'llamafile-format[remote]'") from error
    kind = {"s3": kinds.S3Store, "gs": kinds.GCSStore, "az": kinds.AzureStore}[store.scheme]
    settings: dict[str, Any] = dict(store.settings)
    if store.scheme == "s3":
        settings.setdefault("region", "us-east-1")
    if not any(setting in settings for setting in _CREDENTIALS):
        settings["skip_signature"] = True
    client: dict[str, Any] = {"connect_timeout": "10s", "timeout": f"{patience:g}s", "user_agent": "llamafile-format"}
    client["allow_http"] = any(settings.get(place, "").startswith("http:") for place in _PLACES)
    client |= _through(proxies)
    if ca_file:
        client["root_certificate"] = _certificates(ca_file)
    retries = {"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=3 * patience)}
    try:
        return kind(store.bucket, config=settings, client_options=client, retry_config=retries)
    except (BaseError, ValueError, OSError) as error:
        name = STORES[store.scheme]
        raise UsageError(
            f"{store.scheme}://{store.bucket} cannot be reached with these settings",
            hint=f"they are variables that begin with {name}_",
        ) from error


def listed(
    prefix: str, environment: Mapping[str, str], *, ca_file: str = "", proxies: Proxies = NONE
) -> Iterator[tuple[str, str, int]]:
    """Address, version and size in bytes of each object below ``prefix``, which is ``SCHEME://BUCKET/`` and what their
    keys begin with. UsageError, SourceError.
    """
    scheme, _, rest = prefix.partition("://")
    bucket, _, begin = rest.partition("/")
    store = store_of(read_address(f"{scheme.lower()}://{bucket}/-"), environment)
    opened = _opened(store, ca_file, 60.0, proxies)
    import obstore
    from obstore.exceptions import BaseError

    try:
        for page in obstore.list(opened, prefix=begin or None):
            for meta in page:
                if meta["path"].startswith(begin):  # a store may take whole folders only, and list more
                    version = meta.get("version") or meta.get("e_tag") or ""
                    yield f"{scheme.lower()}://{bucket}/{meta['path']}", str(version), int(meta["size"])
    except (BaseError, OSError, ValueError) as error:
        raise SourceError(f"{prefix}: {_why(error)}") from None


def _through(proxies: Proxies) -> dict[str, str]:
    """Options of the client: stores are asked by TLS, but for one on this very machine.

    One that excludes everything takes the place of those that the library would find in the environment.
    """
    if proxies.https is None:
        return {"proxy_url": "http://127.0.0.1:9", "proxy_excludes": "*,0.0.0.0/0,::/0"}
    return {"proxy_url": proxies.https.url_with_secret, "proxy_excludes": proxies.excludes}


def _received(result: Any, buffer: memoryview) -> int:
    """How many bytes of an answer are in ``buffer`` now; -1 if there are more: a store can send on for ever."""
    done = 0
    for piece in result.stream(min_chunk_size=_PIECE):
        part = memoryview(piece)
        if len(part) > len(buffer) - done:
            return -1
        buffer[done : done + len(part)] = part
        done += len(part)
    return done


def _certificates(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except OSError as error:
        raise UsageError(f"--ca-file {path} holds no certificates that can be read") from error


def _status(error: Exception) -> str:
    found = _STATUS.search(str(error))
    return found[1] if found else ""


def _why(error: Exception) -> str:
    """What is shown of an error: the status and the store's code. The library's words quote addresses whole."""
    text = str(error)
    if status := _status(error):
        return f"the store says {': '.join([status, *said_codes(text)])}"
    kind = type(error).__name__
    return {"FileNotFoundError": "the store has no such object", "ValueError": "no key that a store can have"}.get(
        kind, "the store does not answer as it should"
    )
