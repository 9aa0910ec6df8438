"""From an address to a source: the one way to open anything on another machine."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from llamafile_format.source.address import HUB, STORES, Address, read_address
from llamafile_format.source.allow_list import AllowList, Checkpoint
from llamafile_format.source.connections import Connections
from llamafile_format.source.foreign_object import ForeignObject, foreign_address
from llamafile_format.source.http_object import Access, HttpObject
from llamafile_format.source.hub_object import HubObject
from llamafile_format.source.proxies import NONE, Proxies
from llamafile_format.source.remote import PARALLEL, RemoteSource
from llamafile_format.source.store_object import StoreObject, store_of
from llamafile_format.source.traffic import WHOLE, Limits, Traffic


def open_remote(
    url: str,
    *,
    limits: Limits = WHOLE,
    ca_file: str = "",
    token: str = "",
    patience: float = 20.0,
    hub: str = HUB,
    settings: Mapping[str, str] = MappingProxyType({}),
    proxies: Proxies = NONE,
) -> RemoteSource:
    """The object at ``url`` as a byte source, to be given to ``verify``, ``inspect`` and others.

    ``url`` is ``https://…``, ``http://…``, ``hf://ORG/NAME[@REVISION]/PATH`` at ``hub``, or ``s3://``, ``gs://`` or
    ``az://BUCKET/KEY``, with ``settings`` by the names of the variables that those stores' own tools read.

    ``ca_file`` holds the certificates to trust instead of the system's. ``token`` goes to the host of ``url``, over TLS
    or to this machine, and to no other, wherever that host redirects to. ``patience`` is how many
    seconds headers may take, and a body may lag behind 16 KiB a second; then a request is made again. ``proxies`` are
    between us and servers (10.12.10). Nothing is taken from the environment, but by obstore what settings do not say.

    Raises UsageError for an address that is none, SourceError if it cannot be read by ranges.
    """
    address = read_address(url, hub)
    return _opened(
        address,
        limits,
        hub=hub,
        ca_file=ca_file,
        token=token,
        patience=patience,
        settings=settings,
        proxies=proxies,
        checkpoint=None,
    )


def open_foreign(url: str, *, limits: Limits = WHOLE) -> RemoteSource:
    """The object at ``url``, of a scheme that fsspec knows and our own sources do not. For what a user has typed only.

    Raises UsageError for an address that is none, or without a package for it, SourceError if it cannot be read.
    """
    address = foreign_address(url)
    traffic = Traffic(address.name, limits)
    return RemoteSource(ForeignObject(address, traffic), traffic, identity=address.digest())


def open_listed(text: str, allowed: AllowList, *, limits: Limits = WHOLE, patience: float = 20.0) -> RemoteSource:
    """The object at ``text``, which a stranger named, if ``allowed`` lets it be asked for, as :func:`open_remote`.

    Raises UsageError for an address that is none, SourceError if it is not listed or cannot be read by ranges.
    """
    address = allowed.judge(text)
    store = address.origin[0] in STORES
    settings = allowed.settings(address) if store else {}
    checkpoint = None if store else allowed.checkpoint(address)
    token = "" if store else allowed.token(address)
    return _opened(
        address,
        limits,
        hub=allowed.hub,
        ca_file=allowed.ca_file,
        token=token,
        patience=patience,
        settings=settings,
        proxies=NONE,
        checkpoint=checkpoint,
    )


def _opened(
    address: Address,
    limits: Limits,
    *,
    hub: str,
    ca_file: str,
    token: str,
    patience: float,
    settings: Mapping[str, str],
    proxies: Proxies,
    checkpoint: Checkpoint | None,
) -> RemoteSource:
    traffic = Traffic(address.name, limits)
    if address.origin[0] in STORES:
        store = store_of(address, settings)
        there = StoreObject(address, store, traffic, ca_file=ca_file, patience=patience, proxies=proxies)
        return RemoteSource(there, traffic, identity=address.digest(store.place))
    connections = Connections(
        ca_file=ca_file, parallel=PARALLEL, patience=patience, checkpoint=checkpoint, proxies=proxies
    )
    access = Access(token, address.origin)
    if address.name.startswith("hf://"):
        found: HttpObject = HubObject(address, hub, access, traffic, connections)
    else:
        found = HttpObject(address, access, traffic, connections)
    return RemoteSource(found, traffic, identity=address.digest())
