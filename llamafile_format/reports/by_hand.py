"""Commands with which anybody can check a file with what every Unix system has (spec/1, 5.8 and 13.11)."""

from __future__ import annotations

import re

from llamafile_format.examining import Inspection
from llamafile_format.reports.escape import printable

_SIMPLE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")

Check = tuple[str, str, str]
"""What is checked, the command, and what it must print (may be empty)."""


def checks(inspection: Inspection) -> list[Check]:
    """The checks that make sense for this file, cheapest first."""
    file = inspection.file
    base = file.name.rpartition("/")[2]
    name = base if _SIMPLE.fullmatch(base) else "FILE"
    if file.bare:
        return [("The digest of the whole file, to compare with the publisher's:", f"sha256sum {name}", "")]
    result: list[Check] = [("What is in the file:", f"unzip -l {name}", "")]
    if file.manifest_offset is not None and file.manifest_sha256:
        command = _digest(name, file.manifest_offset, file.manifest_size)
        result.append(
            ("The manifest, whose digest is the name of this very file:", command, f"It prints {file.manifest_sha256}")
        )
    model = inspection.model
    member = next(
        (m for m in inspection.members if model and m.path == model.member and m.offset == model.offset), None
    )
    if member and member.sha256:
        text = f"The model {printable(member.path)}, used in place at byte {member.offset}:"
        result.append((text, _digest(name, member.offset, member.size), f"It prints {member.sha256}"))
    if file.kind == "llamafile 1":
        text = "Every byte: the file holds its own instructions, and a list of digests for each 4 MiB."
        result.append((text, f"unzip -p {name} META-LLAMAFILE/README.txt", ""))
    else:
        result.append(("The checksums of all members:", f"unzip -t {name}", "It prints OK for each member."))
    if inspection.statements.signature_records or inspection.statements.publisher_signatures:
        text = "The signatures, with openssl: this prints the commands for each of them."
        result.append((text, f"llamafile-format explain {name}", ""))
    result.append(("All of it, with this software:", f"llamafile-format verify {name}", ""))
    return result


def _digest(name: str, offset: int, size: int) -> str:
    return f"tail -c +{offset + 1} {name} | head -c {size} | sha256sum"
