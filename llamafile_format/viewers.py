"""The pages that may travel in a container as its viewer, every version that was ever registered (spec/1, 11.10)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from llamafile_format.errors import FormatError
from llamafile_format.specdata import spec_dir, spec_yaml

_FOLDER = "registry/viewers"
MAX_PAGE = 1 << 23  # bytes


@dataclass(frozen=True, slots=True)
class Page:
    """A version of the page, and the SHA-256 of its bytes."""

    version: int
    sha256: str

    def read(self) -> bytes:
        """The page. FormatError if this installation's copy is not it."""
        import zstandard

        path = spec_dir() / _FOLDER / f"{self.version}.html.zst"
        try:
            data = zstandard.ZstdDecompressor().decompress(path.read_bytes(), max_output_size=MAX_PAGE)
        except (OSError, zstandard.ZstdError) as error:
            raise FormatError(f"{path.name} cannot be read: {error}", hint="install llamafile-format again") from error
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise FormatError(f"{path.name} is not the page that is registered", hint="install llamafile-format again")
        return data


def pages() -> tuple[Page, ...]:
    """Every registered page, the oldest first."""
    return tuple(Page(int(row["version"]), str(row["sha256"])) for row in spec_yaml("registry/viewers.yaml")["viewers"])


def newest_page() -> Page:
    """The page that is packed, and served."""
    return max(pages(), key=lambda page: page.version)


def is_page(sha256: str) -> bool:
    """True if a page with this SHA-256 is registered."""
    return any(page.sha256 == sha256 for page in pages())
