"""``llamafile-format repair``."""

from __future__ import annotations

from contextlib import ExitStack

import click

from llamafile_format.caring import Lost, Repaired, repair
from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.reaching import Reach, reaching
from llamafile_format.cli.terminal import progress
from llamafile_format.cli.trusting import chosen_policy, trusting
from llamafile_format.reports import plural, printable


@click.command("repair")
@click.argument("file", metavar="FILE", type=PATH)
@click.option("-o", "--output", "out", metavar="OUT", default=None, help="Where to write (default: beside FILE).")
@click.option("--par2", "sets", metavar="SET", multiple=True, help="A file of the recovery set (default: FILE.par2).")
@click.option(
    "--from", "others", metavar="OTHER", multiple=True, help="Another copy, damaged or not, here or elsewhere."
)
@click.option("--expect", metavar="DIGEST", default="", help="SHA-256 that the result, or its manifest, must have.")
@trusting
@click.option("--unproven", is_flag=True, help="Write a result that nothing proves but what it was made of.")
@click.option("--in-place", is_flag=True, help="Repair FILE itself, under a lock and a journal.")
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@reaching
def command(
    file: str,
    out: str | None,
    sets: tuple[str, ...],
    others: tuple[str, ...],
    expect: str,
    policy: str | None,
    keys: tuple[str, ...],
    unproven: bool,
    in_place: bool,
    force: bool,
    as_json: bool,
    reach: Reach,
) -> None:
    """Make a damaged FILE whole, by everything that is left of it.

    That is the recovery data inside, the set beside it, and other copies: each piece comes from whoever has it right.
    FILE stays as it is, unless --in-place. The report says what proves the result: a signature of somebody trusted
    (--key, --policy), a digest that you bring (--expect), or the manifest that survived. What nothing proves but the
    set, or the copies, gets no name without --unproven. Exit code 1 if FILE is beyond repair: the report says what is
    lost, and `extract` and `recover --salvage` take out the rest.

    \b
    llamafile-format repair model.llamafile
    llamafile-format repair model.llamafile --from /other/disk/model.llamafile -o OUT
    """
    reach.judge(others)
    trust = chosen_policy(policy, keys)
    with ExitStack() as stack, progress("repairing") as callback:
        result = repair(
            file,
            out,
            par2=sets,
            others=[stack.enter_context(reach.opened(name, whole=True)) for name in others],
            expect=expect,
            policy=trust,
            unproven=unproven,
            in_place=in_place,
            force=force,
            progress=callback,
        )
    if as_json:
        import json

        click.echo(json.dumps(_value(result), indent=1, sort_keys=True))
    else:
        _show(file, result)
    click.get_current_context().exit(int(result.path is None))


def _show(file: str, result: Repaired) -> None:
    if result.outcome == "intact":
        click.echo(f"{printable(file)}  intact: nothing to repair")
        return
    if result.outcome == "beyond repair":
        click.echo(
            f"{printable(file)}  beyond repair: {plural(result.slices, 'slice')} lost, "
            f"{plural(result.recovery, 'recovery slice')} left"
        )
        for lost in result.lost:
            click.echo(f"  lost      {_line(lost)}")
        click.echo("  the rest: llamafile-format recover FILE --salvage -C DIR")
    else:
        manifest = f"  manifest sha256:{result.manifest_sha256}" if result.manifest_sha256 else ""
        name = printable(str(result.path)) if result.path else "not written"
        click.echo(f"{name}  {result.size} bytes{manifest}")
        for wrong in result.damaged:
            click.echo(f"  {'repaired' if result.path else 'damaged '}  {_line(wrong)}")
        if result.proof is not None:
            click.echo(f"  proved by {result.proof.value}")
        if result.outcome == "unproven":
            click.echo("  bring its digest (--expect) or a key (--key), or insist with --unproven")
    for note in result.notes:
        click.echo(f"  note: {printable(note)}")


def _line(lost: Lost) -> str:
    where = f" of {printable(lost.member)}" if lost.member else ""
    return f"{lost.length} bytes at {lost.offset}{where}"


def _value(result: Repaired) -> dict[str, object]:
    def rows(spans: tuple[Lost, ...]) -> list[dict[str, object]]:
        """``spans`` as JSON."""
        return [{"offset": each.offset, "length": each.length, "member": each.member} for each in spans]

    return {
        "path": str(result.path) if result.path else "",
        "outcome": result.outcome,
        "method": result.method,
        "size": result.size,
        "manifest_sha256": result.manifest_sha256,
        "proof": result.proof.name.lower() if result.proof else "",
        "damaged": rows(result.damaged),
        "lost": rows(result.lost),
        "slices": result.slices,
        "recovery": result.recovery,
        "notes": list(result.notes),
    }
