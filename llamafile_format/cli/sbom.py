"""``llamafile-format sbom``."""

from __future__ import annotations

import click

from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.reaching import Reach, reaching
from llamafile_format.errors import UsageError


@click.command("sbom")
@click.argument("file", metavar="FILE", type=PATH)
@click.option(
    "--format", "form", type=click.Choice(["cyclonedx", "spdx"]), default="cyclonedx", help="Form (default: cyclonedx)."
)
@click.option(
    "--spec-version", type=click.Choice(["1.6", "1.7"]), default=None, help="Version of CycloneDX (default: 1.6)."
)
@reaching
def command(file: str, form: str, spec_version: str | None, reach: Reach) -> None:
    """Print a bill of materials: models with their cards, builds, what is inside them, data sets.

    The structure of FILE is verified first, and a file that verify refuses has no bill. Weights are not read: digests
    are those that the manifest records. The same file gives the same bytes.

    \b
    llamafile-format sbom model.llamafile
    llamafile-format sbom model.llamafile --format spdx
    """
    if spec_version is not None and form != "cyclonedx":
        raise UsageError("--spec-version is for CycloneDX", hint="SPDX is written as 3.0.1")
    reach.judge([file])
    from llamafile_format.examining import bill_of
    from llamafile_format.reports import cyclonedx_text, spdx_text

    with reach.opened(file, whole=False) as what:
        bill = bill_of(what)
    click.echo(spdx_text(bill) if form == "spdx" else cyclonedx_text(bill, spec_version or "1.6"))
