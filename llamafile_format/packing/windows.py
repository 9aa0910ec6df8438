"""The small program beside a container that Windows cannot start, because it has 4 GiB or more (spec/1, 14.4).

``NAME.exe`` is a container itself: launcher, Windows builds, licences, pin. It opens ``NAME.llamafile`` beside it, and
binds it by the place and SHA-256 of its manifest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from llamafile_format.checks.prefix import WINDOWS_MAX
from llamafile_format.container import open_container
from llamafile_format.engines.members import is_of_runtime
from llamafile_format.errors import UsageError
from llamafile_format.manifest.layout import plan
from llamafile_format.manifest.model import README_PATH, Sibling
from llamafile_format.manifest.roles import file_order
from llamafile_format.output.publish import output
from llamafile_format.packing.assemble import Content, Labels, PrefixContent, assemble
from llamafile_format.packing.carry import carry
from llamafile_format.packing.inputs import text_content
from llamafile_format.packing.judging import judge, refuse_errors
from llamafile_format.packing.runtime_members import launcher_prefix, targets_of
from llamafile_format.source import FileSource

SUFFIX = ".llamafile"
_SYSTEM = "windows-"

_README = """\
{title}
{rule}

This program opens the file beside it that has the same name but ends in
.llamafile, and that holds the language model: Windows itself starts no file
of 4 GiB or more. Keep both in one folder, under one name. It refuses another
file than the one that it was made for. It is a ZIP archive as well: any unzip
program lists what is inside.

The specification and the tools are called llamafile-format.
"""


class Written(TypedDict, total=False):
    """Fields of a result that change when a companion was written."""

    notes: tuple[str, ...]
    extra: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Companion:
    """What ``target``, a container with a launcher, needs to be started on Windows."""

    target: Path
    contents: Sequence[Content]

    @property
    def path(self) -> Path:
        """``NAME.exe`` for ``NAME.llamafile``."""
        return self.target.with_suffix(".exe")

    @property
    def wanted(self) -> bool:
        """True if there are builds for Windows."""
        return any(target.startswith(_SYSTEM) for target in targets_of(self.contents))

    def check(self, prefix: PrefixContent, contents: Sequence[Content], *, overwrite: bool) -> None:
        """Refuse, before gigabytes are written, names that could not be right. UsageError."""
        ordered = sorted(contents, key=lambda content: file_order(content.role, content.path))
        sizes = [(content.path, content.source.size, content.alignment) for content in ordered]
        if plan(prefix.size, sizes).chunks.end <= WINDOWS_MAX:
            return
        if self.target.suffix.lower() == ".exe":
            raise UsageError(
                f"{self.target} would have more than {WINDOWS_MAX} bytes, and Windows starts no such program",
                hint=f"name it NAME{SUFFIX}; a small NAME.exe is then written beside it",
            )
        if self.wanted and self.target.suffix == SUFFIX and self.path.exists() and not overwrite:
            raise UsageError(f"{self.path} exists", hint="add --force to replace it, or choose another name")

    def write(self, size: int, *, overwrite: bool) -> Written:
        """Write it if a file of ``size`` bytes needs it; what to tell the user, and which file there is now."""
        if size <= WINDOWS_MAX or not self.wanted:
            return {}
        limit = f"Windows starts no program of more than {WINDOWS_MAX} bytes (4 GiB)"
        if self.target.suffix != SUFFIX:
            return {"notes": (f"{limit}: for Windows, name this file NAME{SUFFIX}, and NAME.exe is written with it",)}
        _write(self.target, self.path, overwrite=overwrite)
        return {"notes": (f"{limit}: there, start {self.path.name} beside this file",), "extra": (self.path,)}


def _write(target: Path, path: Path, *, overwrite: bool) -> None:
    """Make ``path`` from the finished container ``target``."""
    with open_container(target) as container:
        carried, entry = carry(container), container.entry("META-LLAMAFILE/manifest.json")
        manifest = container.manifest
        assert manifest is not None
        default = manifest.member(manifest.default)
        weights = (default.offset, default.size) if default is not None else None
        sibling = Sibling(entry.data_offset, entry.size, carried.manifest_sha256, weights)
        contents = [content for content in carried.contents if _goes_along(content)]
        title = f"{manifest.name or 'A language model'} for Windows"
        text = _README.format(title=title, rule="=" * min(len(title), 78))
        contents.append(text_content(README_PATH, "readme", text.encode("utf-8")))
        labels = Labels(carried.labels.profile, carried.labels.created, carried.labels.name, carried.labels.license)
        with output(path, force=overwrite, mode=0o777) as out:
            assemble(out, launcher_prefix(contents, "", sibling=sibling), contents, labels)
            refuse_errors(judge(FileSource.from_descriptor(out, path.name)), force=False)


def _goes_along(content: Content) -> bool:
    """Builds for Windows, and licences and pins; the chat page is read from the container."""
    if content.role == "runtime":
        return any(target.startswith(_SYSTEM) for target in targets_of([content]))
    return is_of_runtime(content.path) and content.role in ("license", "document")
