"""``llamafile-format inspect``."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.reaching import Reach, reaching
from llamafile_format.errors import FormatError, LlamafileError, UsageError

if TYPE_CHECKING:
    from llamafile_format.container import Openable
    from llamafile_format.examining import Inspection


@click.command("inspect")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON object.")
@click.option("--entries", is_flag=True, help="List every member of the archive.")
@click.option("--tensors", is_flag=True, help="List every tensor of the weights; with --json, include them.")
@click.option("--kv", is_flag=True, help="List every key of the weights; with --json, include them.")
@click.option("--map", "byte_map", is_flag=True, help="List every span of bytes; together they are the whole file.")
@click.option("--field", metavar="NAME", help="Print one value of the JSON form, such as models[0].facts.name.")
@click.option("--raw-manifest", is_flag=True, help="Write the manifest's exact bytes, the ones that are signed.")
@click.option(
    "--html", metavar="OUT", type=click.Path(path_type=Path), help="Write a catalogue page, one file, no scripts."
)
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
@reaching
def command(
    files: tuple[str, ...],
    as_json: bool,
    entries: bool,
    tensors: bool,
    kv: bool,
    byte_map: bool,
    field: str | None,
    raw_manifest: bool,
    html: Path | None,
    force: bool,
    reach: Reach,
) -> None:
    """Show everything worth knowing about a file, at once, without running a byte of it.

    Works for containers, legacy llamafiles and bare GGUF models. Weights are never read. What a file says about itself
    is shown, not believed: a quick check of its structure is part of the screen, `verify` reads the rest. Several files
    are shown one after the other; with --json, as a list.
    """
    lists = entries or tensors or kv or byte_map
    if sum((as_json, field is not None, raw_manifest, lists and not as_json)) > 1:
        raise UsageError(
            "--json, --field, --raw-manifest and the lists each write to standard output", hint="choose one"
        )
    if force and html is None:
        raise UsageError("--force is for --html", hint="add --html OUT")
    if len(files) > 1 and (html is not None or raw_manifest):
        raise UsageError("--html and --raw-manifest are for one FILE")
    reach.judge(files)
    wanted = _Wanted(field, entries, tensors, kv, byte_map, html, reach)
    if raw_manifest:
        with reach.opened(files[0], whole=False) as what:
            _raw_manifest(what)
    elif len(files) == 1:
        inspection = wanted.inspect(files[0])
        if as_json:
            _json(inspection, tensors)
        else:
            wanted.show(inspection)
        if html is not None:
            _page(inspection, html, force)
    else:
        click.get_current_context().exit(_several(files, wanted, as_json))


def _several(files: tuple[str, ...], wanted: _Wanted, as_json: bool) -> int:
    """Each file under its name, or all as one list; one that fails does not keep back the others. The worst code."""
    from llamafile_format.reports import WORST_FIRST, inspection_value, printable

    values, codes = [], [0]
    for name in files:
        try:
            inspection = wanted.inspect(name)
        except LlamafileError as error:
            click.echo(f"error: {printable(str(error))}", err=True)
            codes.append(error.exit_code)
            continue
        if as_json:
            values.append(inspection_value(inspection if wanted.tensors else _without_tensors(inspection)))
            continue
        if wanted.lists or wanted.field is not None:
            _write([f"{printable(name)}:"])
        wanted.show(inspection)
        if not wanted.field:
            _write([""])
    if as_json:
        import json

        _write([json.dumps(values, indent=1, sort_keys=True)])
    return next(code for code in (*WORST_FIRST[:-1], 2, 0) if code in codes)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What of a file is to be shown."""

    field: str | None
    entries: bool
    tensors: bool
    kv: bool
    byte_map: bool
    html: Path | None
    reach: Reach

    @property
    def lists(self) -> bool:
        """Is one of the lists wanted?"""
        return self.entries or self.tensors or self.kv or self.byte_map

    def inspect(self, name: str) -> Inspection:
        """Read the file ``name`` as far as needed."""
        from llamafile_format.examining import inspect

        path = self.field or ""
        tensors = self.tensors or self.html is not None or ".tensors" in path
        with self.reach.opened(name, whole=False) as what:
            return inspect(what, tensors=tensors, kv=self.kv or ".kv" in path)

    def show(self, inspection: Inspection) -> None:
        """Print field, lists or screen; nothing if a page is written instead."""
        if self.field is not None:
            _field(inspection, self.field)
        elif self.lists:
            _lists(inspection, self.entries, self.byte_map, self.tensors, self.kv)
        elif self.html is None:
            _screen(inspection)


def _raw_manifest(what: Openable) -> None:
    from llamafile_format.container import open_container

    with open_container(what) as container:
        if not container.manifest_bytes:
            raise FormatError(
                f"{container.name} has no manifest", hint="a legacy llamafile gets one by `repack --to 1.0`"
            )
        sys.stdout.buffer.write(container.manifest_bytes)
        sys.stdout.buffer.flush()


def _json(inspection: Inspection, tensors: bool) -> None:
    from llamafile_format.reports import inspection_json

    click.echo(inspection_json(inspection if tensors else _without_tensors(inspection)))


def _without_tensors(inspection: Inspection) -> Inspection:
    """The page reads tensors even where the JSON was not asked to list them."""
    return inspection._replace(models=tuple(model._replace(tensors=None) for model in inspection.models))


def _field(inspection: Inspection, path: str) -> None:
    from llamafile_format.reports import field_text, inspection_value

    _write([field_text(inspection_value(inspection), path)])


def _lists(inspection: Inspection, entries: bool, byte_map: bool, tensors: bool, kv: bool) -> None:
    from llamafile_format.reports import entry_lines, key_lines, map_lines, tensor_lines

    wanted = ((entries, entry_lines), (byte_map, map_lines), (tensors, tensor_lines), (kv, key_lines))
    for chosen, lines in wanted:
        if chosen:
            _write(lines(inspection))


def _screen(inspection: Inspection) -> None:
    if sys.stdout.isatty():
        from llamafile_format.reports import print_screen

        print_screen(inspection)
    else:
        from llamafile_format.reports import screen_text

        _write([screen_text(inspection)])


def _write(lines: Iterable[str]) -> None:
    """Lines to standard output; what its encoding lacks is shown as an escape and never ends the output."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    for line in lines:
        sys.stdout.write(line + "\n")


def _page(inspection: Inspection, out: Path, force: bool) -> None:
    from llamafile_format.output.publish import output
    from llamafile_format.reports import page

    data = page(inspection).encode()
    with output(out, force=force, mode=0o666) as descriptor, open(descriptor, "wb", closefd=False) as stream:
        stream.write(data)
    click.echo(f"{out}  {len(data)} bytes", err=True)
