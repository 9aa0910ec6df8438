"""Vectors of reports that a policy demands (16.12), of a file's age and of prefixes by digest (LF8421 to LF8423)."""

from __future__ import annotations

from typing import Any

from spec.vectors.generate import vector
from spec.vectors.generate.policies import SCRIPT, labelled
from spec.vectors.generate.policies_contents import contents
from spec.vectors.generate.signatures import signed, tail
from spec.vectors.generate.signatures_forge import Tail, sha256
from spec.vectors.generate.signatures_keys import ARCHIVE, CURATOR, SECOND
from spec.vectors.generate.trust import CURATOR_RULE, POLICIES, policy, signer

CHAPTER = "policy"
RULES = "ab" * 32
REPORT = "urn:llamafile-format:report:1.0"
_SCANNED = f'scanned: {{max_age_days: 60, rulesets: ["{RULES}"]}}\n'
SCANNER_RULE = signer("archive", "scanner")

POLICIES |= {
    "scanned": policy("looked at", CURATOR_RULE + SCANNER_RULE, _SCANNED, version=2),
    "scanned-unsigned": policy("looked at, signed or not", SCANNER_RULE, "unsigned: allow\n", _SCANNED, version=2),
    "created": contents("of this year", "created: {since: 2026-01-01, max_age_days: 3650}\n"),
    "prefix-digest": contents("no script but one", f"allow:\n  prefix_digests: [{sha256(SCRIPT)}, registered]\n"),
}


def reported(file: Tail, **changes: Any) -> Tail:
    """``file`` with a report by the scanner, of which ``changes`` are other fields."""
    report = {
        "complete": True,
        "level": "full",
        "manifest_sha256": sha256(file.manifest),
        "ruleset_sha256": RULES,
        "verdicts": {"valid": "yes", "well-formed": "yes"},
    }
    return file.att(ARCHIVE, REPORT, report | changes)


@vector("good-scanned", near="LF8421", trust="scanned", comment="Signed, and reported on by the scanner.")
def scanned_good() -> bytes:
    return reported(signed()).done()


@vector("not-scanned", rules="LF8421", layer="policy", trust="scanned", comment="Signed, and no report.")
def not_scanned() -> bytes:
    return signed().done()


@vector(
    "scanned-by-other-rules",
    rules="LF8421",
    layer="policy",
    trust="scanned",
    comment="A report by rules that are not wanted.",
)
def other_rules() -> bytes:
    return reported(signed(), ruleset_sha256="cd" * 32).done()


@vector(
    "scanned-long-ago",
    rules="LF8421",
    layer="policy",
    trust="scanned",
    as_of="2027-02-01",
    comment="A report of more than sixty days.",
)
def long_ago() -> bytes:
    return reported(signed()).done()


@vector(
    "scanned-another",
    rules="LF8421",
    layer="policy",
    trust="scanned",
    comment="A report whose words are about another manifest than its subject.",
)
def another() -> bytes:
    return reported(signed(), manifest_sha256="cd" * 32).done()


@vector("scanned-quick", rules="LF8421", layer="policy", trust="scanned", comment="A report of a quick look.")
def quick() -> bytes:
    return reported(signed(), level="quick").done()


@vector(
    "scanned-and-bad",
    rules="LF8421",
    layer="policy",
    trust="scanned",
    comment="A report that finds the file not valid.",
)
def found_bad() -> bytes:
    return reported(signed(), verdicts={"valid": "no", "well-formed": "yes"}).done()


@vector(
    "scanned-by-a-stranger",
    rules="LF8103 LF8421",
    layer="policy",
    trust="scanned",
    comment="A report by somebody who is not believed.",
)
def by_a_stranger() -> bytes:
    file = signed()
    return file.att(SECOND, REPORT, {"manifest_sha256": sha256(file.manifest), "ruleset_sha256": RULES}).done()


@vector(
    "scanned-is-not-signed",
    rules="LF8101",
    layer="trust",
    trust="scanned",
    authentic="no",
    policy="yes",
    comment="A report alone: it is no approval.",
)
def only_scanned() -> bytes:
    return reported(tail()).done()


@vector(
    "scanner-signs",
    rules="LF8104",
    layer="trust",
    trust="scanned",
    authentic="no",
    policy="yes",
    comment="The scanner signs the file as if it vouched for it.",
)
def scanner_signs() -> bytes:
    return reported(tail().oms(ARCHIVE)).done()


@vector(
    "good-scanned-unsigned",
    near="LF8101 LF8421",
    trust="scanned-unsigned",
    authentic="-",
    comment="Nobody need sign, a report is demanded, and it does not make the file a signed one.",
)
def scanned_unsigned() -> bytes:
    return reported(tail()).done()


@vector("made-before", rules="LF8422", layer="policy", trust="created", comment="A file of the year before.")
def made_before() -> bytes:
    return labelled(created="2025-12-31T23:59:59Z")


@vector("good-made", near="LF8422", trust="created", comment="A file of the first second.")
def made() -> bytes:
    return labelled(created="2026-01-01T00:00:00Z")


@vector(
    "prefix-digest",
    rules="LF8423",
    layer="policy",
    trust="prefix-digest",
    comment="A script of a byte more than the one that is listed.",
)
def prefix_digest() -> bytes:
    return tail(prefix=SCRIPT + b"\n", kind="script").oms(CURATOR).done()


@vector("good-prefix-digest", near="LF8423", trust="prefix-digest", comment="The script that is listed.")
def prefix_digest_good() -> bytes:
    return tail(prefix=SCRIPT, kind="script").oms(CURATOR).done()
