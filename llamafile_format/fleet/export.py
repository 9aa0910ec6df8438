"""A ledger for other programs: one JSON object a line, or a table in Parquet where pyarrow is installed."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from llamafile_format.errors import UsageError
from llamafile_format.fleet.ledger import Line, newest
from llamafile_format.fleet.page import ledger_page
from llamafile_format.fleet.row import Row

_GROUP = 10_000  # rows of a table that are held at a time


def entry(line: Line, row: Row) -> dict[str, Any]:
    """A row with what it rests on."""
    return {**row.value(), "time": line.time, "ruleset_sha256": line.basis.rules, "demands_sha256": line.basis.demands}


def write_jsonl(ledger: Path, out: IO[bytes]) -> None:
    """One object a line, each as it was judged last."""
    for line, row in newest(ledger):
        out.write(json.dumps(entry(line, row), sort_keys=True).encode("ascii") + b"\n")


def write_html(ledger: Path, out: IO[bytes]) -> None:
    """One page that needs nothing else."""
    out.write(ledger_page(ledger).encode("utf-8"))


def write_parquet(ledger: Path, out: IO[bytes]) -> None:
    """A table. UsageError without pyarrow."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UsageError("Parquet needs pyarrow", hint="pip install pyarrow, or use --format jsonl") from error
    texts = ("name", "version", "answer", "end", "why", "kind", "level", "policy", "manifest_sha256", "time")
    digests = ("ruleset_sha256", "demands_sha256")
    schema = pa.schema(
        [
            *((name, pa.string()) for name in (*texts, *digests)),
            ("size", pa.int64()),
            ("seconds", pa.float64()),
            ("verdicts", pa.map_(pa.string(), pa.string())),
            ("rules", pa.map_(pa.string(), pa.int32())),
            ("told", pa.list_(pa.string())),
        ]
    )
    with pq.ParquetWriter(pa.PythonFile(out, mode="w"), schema, compression="zstd") as writer:
        rows = (_cells(entry(line, row)) for line, row in newest(ledger))
        while group := list(itertools.islice(rows, _GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))


def _cells(value: Mapping[str, Any]) -> dict[str, Any]:
    """Texts that are UTF-8, which names of files need not be; maps as pairs."""
    return {name: _cell(item) for name, item in value.items()}


def _cell(item: Any) -> Any:
    if isinstance(item, str):
        return re.sub("[\ud800-\udfff]", "\ufffd", item)
    if isinstance(item, Mapping):
        return [(_cell(name), _cell(each)) for name, each in item.items()]
    return [_cell(each) for each in item] if isinstance(item, list | tuple) else item


EXPORTS: Mapping[str, Callable[[Path, IO[bytes]], None]] = {
    "html": write_html,
    "jsonl": write_jsonl,
    "parquet": write_parquet,
}
"""Forms of a report on a ledger."""
