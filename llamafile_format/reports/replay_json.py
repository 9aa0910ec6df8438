"""A replay as JSON, by spec/schemas/replay.schema.json, and what ``record`` did. Keys are never removed within 1.x."""

from __future__ import annotations

import json
from typing import Any

from llamafile_format import __version__
from llamafile_format.engines.behaviour_compare import LikelihoodResult, PromptResult
from llamafile_format.plain_json import plain, plain_fields
from llamafile_format.reports.verify_json import finding_value
from llamafile_format.rules import ruleset_digest
from llamafile_format.running import RecordReplay, RecordResult, Replay

SCHEMA = "urn:llamafile-format:schema:1.0:replay"


def replay_json(result: Replay) -> str:
    """The report. Non-ASCII is escaped, so that no terminal can be steered by a model's words."""
    return json.dumps(replay_value(result), indent=1, sort_keys=True)


def replay_value(result: Replay) -> dict[str, Any]:
    """The JSON object of a replay."""
    return {
        "$schema": SCHEMA,
        "tool": {"name": "llamafile-format", "version": __version__},
        "ruleset_sha256": ruleset_digest(),
        "file": {"name": result.name, "size": result.size},
        "manifest_sha256": result.manifest_sha256,
        "verdict": result.verdict.value,
        "records": [_record(item) for item in result.records],
        "findings": [finding_value(finding) for finding in result.findings],
    }


def _record(item: RecordReplay) -> dict[str, Any]:
    comparison = item.comparison
    return {
        "member": item.member,
        "recorded": plain(item.record.subject.runtime) if item.record else None,
        "replayed": _replayed(item),
        "demanded": item.demanded.value if item.demanded else None,
        "reached": item.reached.value if item.reached else None,
        "agrees": item.agrees,
        "error": item.error,
        "notes": list(item.notes),
        "prompts": [_prompt(prompt) for prompt in comparison.prompts] if comparison else [],
        "likelihood": _likelihood(comparison.likelihood) if comparison and comparison.likelihood else None,
    }


def _replayed(item: RecordReplay) -> dict[str, Any] | None:
    chosen, identity = item.chosen, item.identity
    if chosen is None or identity is None:
        return None
    return {
        **plain_fields(chosen.runtime),
        "via": str(chosen.via),
        "embedded": chosen.embedded,
        "pinned": chosen.pinned,
        "cpu": identity.cpu,
        "threads": identity.threads,
    }


def _prompt(prompt: PromptResult) -> dict[str, Any]:
    finite = prompt.max_abs if prompt.max_abs < float("inf") else None  # JSON has no infinity
    return {
        "id": prompt.id,
        "reached": prompt.agreement.value,
        "stages": dict(prompt.stages),
        "steps": prompt.steps,
        "compared": prompt.compared,
        "first_logits": plain(prompt.logits),
        "first_token": plain(prompt.token),
        "max_abs": finite,
        "max_ulp": prompt.max_ulp,
        "text": prompt.text.decode("utf-8", "backslashreplace"),
    }


def _likelihood(found: LikelihoodResult) -> dict[str, Any]:
    return {"reached": found.agreement.value, **plain_fields(found, "agreement")}


def record_json(result: RecordResult) -> str:
    """What ``record`` did, as JSON."""
    record, repacked = result.record, result.repacked
    value = {
        "path": str(repacked.path),
        "size": repacked.size,
        "manifest_sha256": repacked.manifest_sha256,
        "changed": repacked.changed,
        "method": repacked.method,
        "unsigned": list(repacked.unsigned),
        "attested_by": list(result.signed.keys) if result.signed else [],
        "member": result.member,
        "class": record.agreement.value,
        "runtime": plain(record.subject.runtime),
        "runs": [{"threads": run.threads, "class": run.agreement.value} for run in record.runs],
        "prompts": [
            {
                "id": item.prompt.id,
                "tokens": len(item.said.tokens),
                "steps": len(item.said.steps),
                "end": item.said.end,
                "text": item.said.output.decode("utf-8", "backslashreplace"),
            }
            for item in record.prompts
        ],
    }
    return json.dumps(value, indent=1, sort_keys=True)
