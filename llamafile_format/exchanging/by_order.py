"""The forms of this room as the command line asks for them: from an order to its answer."""

from __future__ import annotations

from pathlib import Path

from llamafile_format.container import open_container
from llamafile_format.errors import UsageError
from llamafile_format.exchanging.dialogue import Terms
from llamafile_format.exchanging.layout import Layout, layout_writer, named_layout
from llamafile_format.exchanging.reference import read_reference
from llamafile_format.exchanging.registry import Registry
from llamafile_format.exchanging.send import refuse_legacy, send
from llamafile_format.exchanging.take import Taken, take
from llamafile_format.output.orders import Exported, ExportOrder, Imported, ImportOrder
from llamafile_format.source.proxies import Proxies


def export_layout(order: ExportOrder) -> Exported:
    """The container as a ModelPack image in an OCI layout, ``DIR[:TAG]``; without a tag it is called ``latest``."""
    folder, tag = named_layout(str(order.target))
    if order.moment:
        raise UsageError("an image has no moment but that of the manifest", hint="leave out --date")
    with open_container(order.file) as container:
        refuse_legacy(container, "exported")  # before a folder is made
        with layout_writer(folder, tag or "latest") as taker:
            sent = send(container, taker, progress=order.progress)
    digest = sent.digest.removeprefix("sha256:")
    notes = (f"{sent.records} signature records refer to the image",) if sent.records else ()
    return Exported(folder, sent.digest, sent.layers, sent.size, digest, notes=notes)


def import_layout(order: ImportOrder) -> Imported:
    """The container out of an image in an OCI layout, or a model pack of others as a new container."""
    folder, tag = named_layout(order.place)
    runtime = order.settings.get("runtime", "")
    return imported(take(Layout(folder, tag), order.out, force=order.force, runtime=runtime, progress=order.progress))


def pull_image(order: ImportOrder) -> Imported:
    """The same out of a registry. ``settings``: ``plain_http``, ``ca_file``, ``docker_config`` and ``runtime``, each
    empty or as the option has it; the variables of proxies by their names."""
    terms = Terms(
        plain=bool(order.settings.get("plain_http")),
        ca_file=order.settings.get("ca_file", ""),
        config=Path(order.settings["docker_config"]) if order.settings.get("docker_config") else None,
        proxies=Proxies.of(order.settings),
    )
    runtime = order.settings.get("runtime", "")
    with Registry(read_reference(order.place), terms) as giver:
        return imported(take(giver, order.out, force=order.force, runtime=runtime, progress=order.progress))


def imported(taken: Taken) -> Imported:
    """What is said about ``taken``."""
    first = () if taken.restored else ("the image is of others: its files were packed anew",)
    return Imported(
        taken.path, taken.digest, taken.size, taken.digest.removeprefix("sha256:"), notes=(*first, *taken.notes)
    )
