"""What ``timestamp`` and ``renew`` have in common: options, files that they read, and what they say."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from llamafile_format.cli.outdated import tell_outdated
from llamafile_format.errors import UsageError
from llamafile_format.reports import printable
from llamafile_format.source import read_small

if TYPE_CHECKING:
    from llamafile_format.vouching import Request, StampResult, Trusting

_F = TypeVar("_F", bound=Callable[..., Any])
_MAX_FILE = 1 << 20  # bytes; no record holds more
_DIGESTS = ("sha256", "sha384", "sha512", "sha3-256", "sha3-512")


def digest_option(default: str) -> Callable[[_F], _F]:
    """``--hash``."""
    return click.option(
        "--hash",
        "algorithm",
        type=click.Choice(_DIGESTS),
        default=default,
        show_default=True,
        help="Digest function of the stamp.",
    )


def believing(function: _F) -> _F:
    """``--tsa``, ``--chain``, ``--crl``."""
    for option, name, metavar, text in (
        ("--crl", "lists", "CRL", "Revocation list to keep with the stamp; repeatable."),
        ("--chain", "chain", "PEM", "Certificates between the authority's and the root, to keep; repeatable."),
        ("--tsa", "roots", "ROOTS.pem", "Root certificates of the authority that you trust; repeatable."),
    ):
        function = click.option(option, name, metavar=metavar, multiple=True, help=text)(function)
    return function


def writing(function: _F) -> _F:
    """``-o``, ``--force``, ``--json``."""
    for decorate in (
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
        click.option("--force", is_flag=True, help="Replace OUT if it exists."),
        click.option("-o", "--output", "out", metavar="OUT", default=None, help="Write a new file, leave FILE alone."),
    ):
        function = decorate(function)
    return function


def trusting_of(roots: Sequence[str], chain: Sequence[str], lists: Sequence[str]) -> Trusting:
    """What the options of :func:`believing` name."""
    from llamafile_format.signing.x509.certificates import read_certificates
    from llamafile_format.signing.x509.cms_certificates import read_revocation_lists
    from llamafile_format.vouching import Trusting

    return Trusting(
        roots=tuple(one for path in roots for one in read_certificates(_read(path), path)),
        certificates=tuple(dict.fromkeys(one for path in chain for one in read_certificates(_read(path), path))),
        revocations=tuple(dict.fromkeys(one for path in lists for one in read_revocation_lists(_read(path), path))),
    )


def read_response_file(path: str) -> bytes:
    """An authority's answer."""
    return _read(path)


def _read(path: str) -> bytes:
    data = read_small(path, _MAX_FILE)
    if len(data) > _MAX_FILE:
        raise UsageError(f"{path} is too large for what it should be", hint=f"at most {_MAX_FILE} bytes")
    return data


def write_request(request: Request, out: str, force: bool, as_json: bool) -> None:
    """Write the request to ``out`` and say what to do with it."""
    from llamafile_format.output.publish import output
    from llamafile_format.output.transfer import write_at

    with output(Path(out), force=force, mode=0o666) as file:
        write_at(file, 0, request.query.data)
    if as_json:
        _print(
            {
                "digest": request.query.digest.hex(),
                "hash": request.query.algorithm,
                "path": out,
                "record": request.record,
            }
        )
        return
    about = printable(request.record) if request.record else "everything up to the next record"
    click.echo(f"{printable(out)}  {request.query.algorithm}:{request.query.digest.hex()}  {about}")
    ask = "curl -H 'Content-Type: application/timestamp-query' --data-binary @{} -o answer.tsr URL"
    click.echo(f"ask with {printable(ask.format(shlex.quote(out)))}", err=True)


def show_stamp(result: StampResult, as_json: bool) -> None:
    """Say what was stamped, when, by whom, and whether anybody trusted says so."""
    tell_outdated(result.path)
    from llamafile_format.reports import stamp_json, stamp_lines

    if as_json:
        _print(stamp_json(result))
        return
    for line in stamp_lines(result):
        click.echo(line)


def _print(value: dict[str, Any]) -> None:
    import json

    click.echo(json.dumps(value, indent=1, sort_keys=True))
