"""``llamafile-format timestamp``: ``request``, ``attach``, ``fetch``."""

from __future__ import annotations

import click

from llamafile_format.cli.arguments import PATH, refuse_unreadable
from llamafile_format.cli.groups import Group
from llamafile_format.cli.stamping import believing, digest_option, show_stamp, trusting_of, write_request, writing
from llamafile_format.cli.terminal import progress

_RECORD = click.option(
    "--record", metavar="NNNN", type=click.IntRange(1, 9999), default=None, help="Record (default: the last signature)."
)
_SIGNATURE = click.option(
    "--signature", metavar="DETACHED", default=None, help="Stamp this detached signature instead of one in FILE."
)
_DETACHED = click.option("--detached", is_flag=True, help="Write FILE.NNNN.tsr.der beside FILE, which stays as it is.")


@click.group("timestamp", cls=Group)
def command() -> None:
    """Let a time-stamping authority say that a signature was there.

    A signature counts while its key is good. A stamp (RFC 3161) proves when it was made, so it goes on counting when
    the key has expired. Authorities learn a digest and nothing else.

    \b
    llamafile-format timestamp fetch FILE --url http://tsa.example --tsa root.pem
    llamafile-format timestamp request FILE -o question.tsq
    llamafile-format timestamp attach FILE answer.tsr --tsa root.pem
    """


@command.command("request")
@click.argument("file", metavar="FILE", type=PATH)
@_RECORD
@digest_option("sha256")
@_SIGNATURE
@click.option("-o", "--output", "out", metavar="REQ.tsq", required=True, help="File to write the request to.")
@click.option("--force", is_flag=True, help="Replace REQ.tsq if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def request_command(
    file: str, record: int | None, algorithm: str, signature: str | None, out: str, force: bool, as_json: bool
) -> None:
    """Write the request to stamp a signature, for an authority that you reach some other way."""
    from llamafile_format.vouching import request

    write_request(request(file, record=record, algorithm=algorithm, signature=signature), out, force, as_json)


@command.command("attach")
@click.argument("file", metavar="FILE", type=PATH)
@click.argument("response", metavar="RESPONSE", type=PATH)
@believing
@_DETACHED
@_SIGNATURE
@writing
def attach_command(
    file: str,
    response: str,
    roots: tuple[str, ...],
    chain: tuple[str, ...],
    lists: tuple[str, ...],
    detached: bool,
    signature: str | None,
    out: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Put the stamp in RESPONSE into FILE, once it is verified in full."""
    from llamafile_format.cli.stamping import read_response_file
    from llamafile_format.vouching import attach

    refuse_unreadable(file)
    with progress("copying") as callback:
        result = attach(
            file,
            read_response_file(response),
            out,
            trusting=trusting_of(roots, chain, lists),
            detached=detached,
            signature=signature,
            force=force,
            progress=callback,
        )
    show_stamp(result, as_json)


@command.command("fetch")
@click.argument("file", metavar="FILE", type=PATH)
@click.option("--url", metavar="URL", required=True, help="Authority to ask, http:// or https://.")
@click.option(
    "--timeout", metavar="SECONDS", type=click.FloatRange(1, 3600), default=30.0, help="Wait so long for an answer."
)
@_RECORD
@digest_option("sha256")
@believing
@_DETACHED
@_SIGNATURE
@writing
def fetch_command(
    file: str,
    url: str,
    timeout: float,
    record: int | None,
    algorithm: str,
    roots: tuple[str, ...],
    chain: tuple[str, ...],
    lists: tuple[str, ...],
    detached: bool,
    signature: str | None,
    out: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Request, ask the authority at URL, and attach its answer."""
    from llamafile_format.vouching import fetch

    with progress("copying") as callback:
        result = fetch(
            file,
            url,
            out,
            record=record,
            algorithm=algorithm,
            trusting=trusting_of(roots, chain, lists),
            detached=detached,
            signature=signature,
            timeout=timeout,
            force=force,
            progress=callback,
        )
    show_stamp(result, as_json)
