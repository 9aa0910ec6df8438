"""``llamafile-format renew``."""

from __future__ import annotations

import click

from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.stamping import believing, digest_option, show_stamp, trusting_of, write_request, writing
from llamafile_format.cli.terminal import progress
from llamafile_format.errors import UsageError


@click.command("renew")
@click.argument("file", metavar="FILE", type=PATH)
@click.option("--url", metavar="URL", default=None, help="Authority to ask, http:// or https://.")
@click.option("--request", "query", metavar="REQ.tsq", default=None, help="Write the request there, and stop.")
@click.option("--response", metavar="RESP.tsr", default=None, help="Attach the answer to such a request.")
@click.option(
    "--timeout", metavar="SECONDS", type=click.FloatRange(1, 3600), default=30.0, help="Wait so long for an answer."
)
@digest_option("sha512")
@believing
@writing
def command(
    file: str,
    url: str | None,
    query: str | None,
    response: str | None,
    timeout: float,
    algorithm: str,
    roots: tuple[str, ...],
    chain: tuple[str, ...],
    lists: tuple[str, ...],
    out: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Stamp the whole file again, before its digests or its stamps grow old.

    The stamp is over every byte in front of it, weights and earlier signatures and stamps included, by a newer
    function. So this command reads everything; the file is verified first, and refused if it is damaged. With
    --request and --response it does so twice, and nothing may come into the file between the two.

    \b
    llamafile-format renew FILE --url http://tsa.example --tsa root.pem
    llamafile-format renew FILE --request question.tsq
    llamafile-format renew FILE --response answer.tsr --tsa root.pem
    """
    from llamafile_format.vouching import fetch_renewal, renew, renewal_request

    if sum(way is not None for way in (url, query, response)) != 1:
        raise UsageError("who is to stamp?", hint="one of --url URL, --request REQ.tsq, --response RESP.tsr")
    trusting = trusting_of(roots, chain, lists)
    with progress("renewing") as callback:
        if query is not None:
            if roots or chain or lists or out is not None:
                raise UsageError("a request changes nothing yet", hint="give these options with --response")
            asked = renewal_request(file, algorithm=algorithm, progress=callback)
        elif response is not None:
            from llamafile_format.cli.stamping import read_response_file

            answer = read_response_file(response)
            result = renew(file, answer, out, trusting=trusting, force=force, progress=callback)
        else:
            result = fetch_renewal(
                file,
                url or "",
                out,
                algorithm=algorithm,
                trusting=trusting,
                timeout=timeout,
                force=force,
                progress=callback,
            )
    if query is not None:
        write_request(asked, query, force, as_json)
    else:
        show_stamp(result, as_json)
