"""A container sent to a registry of the tests, and taken from there."""

from __future__ import annotations

from pathlib import Path

from llamafile_format.container import open_container
from llamafile_format.exchanging import Registry, Sent, Taken, Terms, Upload, read_reference, send, take
from tests.registry_server import RegistryServer


def pushed(path: Path, server: RegistryServer, name: str = "models/tiny:v1", also: str = "", **terms: object) -> Sent:
    """``path`` in the registry; ``terms`` are those of :class:`Terms`."""
    with (
        open_container(path) as container,
        Upload(read_reference(f"{server.host}/{name}"), Terms(**terms), also=also) as taker,  # type: ignore[arg-type]
    ):
        return send(container, taker)


def pulled(server: RegistryServer, out: Path, name: str = "models/tiny:v1", **terms: object) -> Taken:
    """The image of that name as ``out``."""
    with Registry(read_reference(f"{server.host}/{name}"), Terms(**terms)) as giver:  # type: ignore[arg-type]
        return take(giver, out, runtime="none" if name == "foreign" else "")
