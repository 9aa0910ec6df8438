"""``llamafile-format export``: FILE in a form that others keep it in. One row a form, one function a form."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click

from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.terminal import progress
from llamafile_format.errors import UsageError
from llamafile_format.output.orders import Exported, Exporter, ExportOrder
from llamafile_format.packing import created_text
from llamafile_format.reports import plural, printable

_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Form:
    """A form: its option, what the option names, and the function that writes it, of a room and by its door."""

    option: str
    names: str
    help: str
    room: str
    function: str

    @property
    def key(self) -> str:
        """The option as an argument of the command."""
        return self.option.removeprefix("--").replace("-", "_")

    @property
    def exporter(self) -> Exporter:
        """The function, imported now."""
        found: Exporter = getattr(import_module(f"llamafile_format.{self.room}"), self.function)
        return found


FORMS = (
    Form("--bagit", "DIR", "As a BagIt 1.0 bag, the new folder DIR.", "caring", "export_bag"),
    Form("--ocfl", "DIR", "As an object in the OCFL 1.1 storage root DIR.", "caring", "export_ocfl"),
    Form("--hf-folder", "DIR", "As a plain folder of model files, the new folder DIR.", "exchanging", "export_folder"),
    Form(
        "--lm-studio",
        "PUBLISHER/MODEL",
        "As a model of LM Studio, beside the others that it has.",
        "exchanging",
        "export_lm_studio",
    ),
    Form("--ollama", "NAME[:TAG]", "As a model of Ollama, which must not be running.", "exchanging", "export_ollama"),
    Form("--oci-layout", "DIR[:TAG]", "As a ModelPack image in the OCI layout DIR.", "exchanging", "export_layout"),
    Form("--ro-crate", "DIR", "As an RO-Crate 1.1, the new folder DIR.", "caring", "export_crate"),
    Form("--csip", "DIR", "As an E-ARK CSIP 2.1 package (METS), the new folder DIR.", "caring", "export_csip"),
    Form("--datapackage", "DIR", "As a Frictionless Data Package, the new folder DIR.", "caring", "export_datapackage"),
    Form("--premis", "OUT", "As a PREMIS 3 document about it, the new file OUT.", "caring", "export_premis"),
)
"""One of these is asked for. What a form knows by itself stands in its function; what users say is an option below."""


def _forms(function: _F) -> _F:
    for form in reversed(FORMS):
        function = click.option(form.option, form.key, metavar=form.names, default=None, help=form.help)(function)
    return function


@click.command("export")
@click.argument("file", metavar="FILE", type=PATH)
@_forms
@click.option("--store", metavar="DIR", default="", help="Where the models of Ollama or LM Studio lie, if elsewhere.")
@click.option("--date", metavar="TIME", default="", help="Write this moment into what is made (or now); default: none.")
@click.option("--force", is_flag=True, help="Replace OUT if it exists; a folder is never replaced.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(file: str, store: str, date: str, force: bool, as_json: bool, **forms: str | None) -> None:
    """Put FILE into a package that archives and repositories take, or its model into a store of models.

    FILE is verified first. Every byte is hashed while it is copied, and what lies there is read back and compared;
    where the file system can, blocks are shared. The same FILE gives the same bytes: no clock is asked, unless --date
    or SOURCE_DATE_EPOCH names a moment.

    \b
    llamafile-format export model.llamafile --bagit bag
    llamafile-format export model.llamafile --ocfl storage-root
    llamafile-format export model.llamafile --oci-layout layout:v1
    llamafile-format export model.llamafile --hf-folder folder
    llamafile-format export model.llamafile --lm-studio acme/tiny
    llamafile-format export model.llamafile --ollama tiny:v1
    llamafile-format export model.llamafile --premis model.premis.xml --date now
    """
    asked = [form for form in FORMS if forms[form.key] is not None]
    if len(asked) != 1:
        options = ", ".join(form.option for form in FORMS)
        raise UsageError(f"{len(asked)} forms were named, and one is written at a time", hint=f"name one of {options}")
    (form,) = asked
    target = Path(forms[form.key] or "")
    if target.exists() and Path(file).exists() and target.samefile(file):
        raise UsageError(f"{target} is FILE itself", hint="name another file to write")
    with progress("exporting") as callback:
        settings = {**os.environ, "store": store}
        order = ExportOrder(file, target, created_text(date), force, settings, callback)
        result = form.exporter(order)
    _tell(result, as_json)


def _tell(result: Exported, as_json: bool) -> None:
    if as_json:
        import json

        from llamafile_format.plain_json import plain

        click.echo(json.dumps({**plain(result), "path": str(result.path)}, indent=1, sort_keys=True))
        return
    for note in result.notes:
        click.echo(f"note: {printable(note)}", err=True)
    click.echo(f"{result.sha256}  {printable(str(result.path))}  {plural(result.files, 'file')}, {result.size} bytes")
