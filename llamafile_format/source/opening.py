"""From an address to a source: the one way to open anything on another machine."""

from __future__ import annotations

from llamafile_format.source.address import read_address
from llamafile_format.source.connections import Connections
from llamafile_format.source.http_object import Access, HttpObject
from llamafile_format.source.remote import PARALLEL, RemoteSource
from llamafile_format.source.traffic import WHOLE, Limits, Traffic


def open_remote(
    url: str, *, limits: Limits = WHOLE, ca_file: str = "", token: str = "", patience: float = 20.0
) -> RemoteSource:
    """The object at ``url`` (https or http) as a byte source, to be given to ``verify``, ``inspect`` and others.

    ``ca_file`` holds the certificates to trust instead of the system's. ``token`` goes to the host of ``url``, over TLS
    or to this machine, and to no other, wherever that host redirects to. ``patience`` is seconds of silence after which
    a request is made again. Nothing is taken from the environment.

    Raises UsageError for an address that is none, SourceError if it cannot be read by ranges.
    """
    address = read_address(url)
    traffic = Traffic(address.name, limits)
    connections = Connections(ca_file=ca_file, parallel=PARALLEL, patience=patience)
    access = Access(token, address.origin, patience)
    return RemoteSource(HttpObject(address, access, traffic, connections), traffic)
