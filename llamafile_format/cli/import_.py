"""``llamafile-format import``: a container out of a package of others. One row a form, one function a form."""

from __future__ import annotations

import os
from pathlib import Path

import click

from llamafile_format.cli.importers import Form, tell_imported
from llamafile_format.cli.terminal import progress
from llamafile_format.errors import UsageError
from llamafile_format.output.orders import ImportOrder

FORMS = (
    Form("bag", "DIR", "caring", "import_bag"),
    Form("ocfl", "DIR", "caring", "import_ocfl"),
    Form("oci", "DIR[:TAG]", "exchanging", "import_layout"),
    Form("ollama", "NAME[:TAG]", "exchanging", "import_ollama"),
    Form("hf-cache", "ORG/NAME[@REV]", "exchanging", "import_hub_cache"),
)
FOLDER = Form("", "DIR", "exchanging", "import_folder")


@click.command("import")
@click.argument("what", metavar="FORM:PLACE|DIR")
@click.option("-o", "--output", "out", metavar="FILE", required=True, help="Where to write the container.")
@click.option("--runtime", metavar="WHICH", default="", help="What runs a model that others have packed, as of `pack`.")
@click.option("--default", metavar="MEMBER", default="", help="Model that starts, when there are several.")
@click.option("--store", metavar="DIR", default="", help="Where the cache or the models of Ollama lie, if elsewhere.")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(what: str, out: str, runtime: str, default: str, store: str, force: bool, as_json: bool) -> None:
    """Take a container out of a package: bag:DIR (BagIt), ocfl:DIR (an object, or a storage root with one), or
    oci:DIR[:TAG] (an image in an OCI layout; a model pack of others is packed anew). DIR alone is a plain folder of
    model files, which are packed as `pack` would; hf-cache:ORG/NAME[@REV] a model in the cache of the hub's library,
    ollama:NAME[:TAG] one in a store of Ollama.

    The whole package is checked first: a link, a name that is not safe, a file that is missing or one too many, another
    digest, a fetch.txt, and it is refused. A container has the bytes that were exported, all of them; a model out of a
    store is packed anew, with the digests that it had there.

    \b
    llamafile-format import bag:bag -o model.llamafile
    llamafile-format import ocfl:storage-root -o model.llamafile
    llamafile-format import oci:layout:v1 -o model.llamafile
    llamafile-format import hf-cache:org/name@main -o model.llamafile
    llamafile-format import ollama:tiny:v1 -o model.llamafile
    llamafile-format import folder -o model.llamafile
    """
    prefix, _, place = what.partition(":")
    form = next((form for form in FORMS if form.prefix == prefix and place), None)
    if form is None and Path(what).is_dir():
        form, place = FOLDER, what
    if form is None:
        known = ", ".join(f"{form.prefix}:{form.names}" for form in FORMS)
        raise UsageError(f"{what!r} names no package", hint=f"write one of {known}, or a folder of model files")
    settings = {**os.environ, "runtime": runtime, "default": default, "store": store}
    with progress("importing") as callback:
        result = form.importer(ImportOrder(place, Path(out), force, settings, callback))
    tell_imported(result, as_json=as_json)
