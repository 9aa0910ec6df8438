"""``export --premis``: one document beside the file, with its digests computed now."""

from __future__ import annotations

from llamafile_format.caring.admitting import admitted
from llamafile_format.caring.premis import premis_text
from llamafile_format.caring.subject import subject_of
from llamafile_format.manifest.hashing import digest_range
from llamafile_format.output.checked_copy import Copied
from llamafile_format.output.orders import Exported, ExportOrder
from llamafile_format.output.publish import output
from llamafile_format.output.transfer import refuse_changed, write_at
from llamafile_format.progress import counted


def export_premis(order: ExportOrder) -> Exported:
    """Write the document ``order.target``. Raises as :func:`admitted` and :func:`output` do."""
    with admitted(order.file, "was not described", order.progress) as file:
        source = file.source
        found = digest_range(source, 0, source.size, sha512=True, progress=counted(order.progress, source.size))
        refuse_changed(source)
        copied = Copied(source.size, found.sha256.hex(), found.sha512.hex(), 0)
        subject = subject_of(file, copied, order.moment)
        data = premis_text(subject)
        with output(order.target, force=order.force, mode=0o666) as out:
            write_at(out, 0, data)
    return Exported(order.target, subject.identifier, 1, len(data), copied.sha256)
