"""Faults in what came with version 1.1 (11.2.5, 11.10): the roles ``viewer`` and ``recovery``."""

from __future__ import annotations

from spec.vectors.generate import vector
from spec.vectors.generate.forge import Part, Spec, container, parts


def holding(*more: Part, version: str = "1.1") -> bytes:
    """The good container with ``more`` behind its model."""
    return container(Spec([*parts(), *more], labels={"default": "tiny.gguf", "version": version}))


def page(path: str = "llamafile-viewer.html", data: bytes = b"<!doctype html>\n", role: str = "viewer") -> Part:
    """A page that nobody has registered, unless it is told otherwise."""
    return Part(path, data, role, "text/html")


@vector("version", near="LF3005 LF3037 LF3038", comment="Version 1.1 without anything that came with it.")
def version() -> bytes:
    return holding()


@vector(
    "viewer-elsewhere",
    rules="LF3037 LF3038",
    valid="yes",
    layer="manifest",
    comment="A viewer under a name that nobody looks for, and that nobody has registered.",
)
def viewer_elsewhere() -> bytes:
    return holding(page("page.html"))


@vector(
    "viewer-unregistered",
    rules="LF3038",
    near="LF3037",
    valid="yes",
    layer="manifest",
    comment="A page of one's own in the place of the viewer.",
)
def viewer_unregistered() -> bytes:
    return holding(page())


@vector("document-under-its-path", near="LF3037 LF3038", comment="A document of 1.0 that has the viewer's name.")
def document_under_its_path() -> bytes:
    return container(Spec(parts(page(role="document")), labels={"default": "tiny.gguf"}))
