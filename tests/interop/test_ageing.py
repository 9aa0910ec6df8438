"""Thirty years of one file: signed, stamped, renewed twice by other functions and authorities, believed in 2055.

The first signature's algorithm and digest have been broken by then, and the first two authorities are out of service.
What keeps the file believable is only that each renewal came in time (spec 13.6.5).
"""

from __future__ import annotations

import dataclasses
import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.checks.verdict import Report
from llamafile_format.rules import Layer
from llamafile_format.signing.records.record import RecordKind
from llamafile_format.signing.trust.policy import Authority as Trusted
from llamafile_format.signing.trust.policy import Policy, StampLevel, key_policy
from llamafile_format.vouching.renew import renew
from llamafile_format.vouching.sign import sign
from llamafile_format.vouching.timestamp import Trusting, attach, request
from tests.authorities import Authority
from tests.interop.openssl_authority import OpensslAuthority
from tests.signing_samples import container, keys

pytestmark = pytest.mark.interop


def day(year: int, month: int = 6, number: int = 1) -> datetime:
    return datetime(year, month, number, tzinfo=UTC)


SIGNED, STAMPED, RENEWED, AGAIN, LATER = day(2026, 11, 21), day(2026, 12), day(2033), day(2046), day(2055)
BROKEN = {"ecdsa-p256-sha256": date(2035, 1, 1), "sha256": date(2035, 1, 1), "ecdsa-p384-sha384": date(2048, 1, 1)}
"""P-256 and SHA-256 fall after the first renewal, the first renewal's own algorithm after the second."""

ACCEPTED = "sha256, sha384, sha512, sha3-512"


class Era:
    """An authority of one time: its root, and openssl as its voice."""

    def __init__(self, folder: Path, name: str, key: str, digest: str, first: datetime, last: datetime) -> None:
        root = Authority.create(f"{name} Root", key, first, last)
        leaf = root.tsa(f"{name} Stamps", key, first, last)
        self.root = root
        self.trusted = Trusted(name, (root.der,))
        self.openssl = OpensslAuthority(leaf, folder / name, digest=digest, accepts=ACCEPTED)

    def believed(self, at: datetime) -> Trusting:
        return Trusting(roots=(self.root.der,), at=at)


@pytest.fixture(scope="module")
def eras(tmp_path_factory: pytest.TempPathFactory) -> tuple[Era, Era, Era]:
    folder = tmp_path_factory.mktemp("eras")
    return (
        Era(folder, "Twenties", "p256", "sha256", day(2025), day(2036)),
        Era(folder, "Thirties", "p384", "sha384", day(2031), day(2047)),
        Era(folder, "Forties", "p521", "sha512", day(2044), day(2060)),
    )


@pytest.fixture(scope="module")
def stamped(eras: tuple[Era, Era, Era], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Signed with P-256 and stamped a few days later."""
    path = container(tmp_path_factory.mktemp("file") / "model.llamafile", launcher=True)
    sign(path, keys("p256"), declared_time="2026-11-21T00:00:00Z")
    first = eras[0]
    attach(path, first.openssl.answer(request(path).query.data, STAMPED), trusting=first.believed(STAMPED))
    return path


@pytest.fixture
def file(stamped: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(stamped, tmp_path / "model.llamafile"))


def renewed(path: Path, era: Era, at: datetime, algorithm: str) -> None:
    """A renewal ``at`` that time; the authority's clock says so, ours is not asked."""
    renew(path, lambda query: era.openssl.answer(query, at), algorithm=algorithm, trusting=era.believed(at))


def policy(*eras: Era, **more: object) -> Policy:
    made = key_policy([keys("p256")[0].public], authorities=[era.trusted for era in eras])
    return dataclasses.replace(made, algorithms=BROKEN, **more)  # type: ignore[arg-type]


def verify(path: Path, *eras: Era, at: datetime = LATER, level: str = "full", **more: object) -> Report:
    return lf.verify(path, policy=policy(*eras, **more), as_of=at, level=level)


def authentic(report: Report) -> str:
    return report.verdicts[Layer.AUTHENTIC].value


def rules(report: Report) -> set[str]:
    return {finding.rule for finding in report.findings}


def test_thirty_years(file: Path, eras: tuple[Era, Era, Era]) -> None:
    start = file.read_bytes()
    renewed(file, eras[1], RENEWED, "sha512")
    renewed(file, eras[2], AGAIN, "sha3-512")
    report = verify(file, *eras, minimum_level=StampLevel.LTA)
    assert authentic(report) == "yes", report.findings
    assert [fact.kind for fact in report.signatures] == [RecordKind.OMS, *[RecordKind.TSR] * 3]
    first = report.signatures[0]
    assert (first.standing.value, first.level) == ("trusted", "LTA")
    assert first.time.startswith("2026-12-01")
    with lf.open(file) as found:
        tail = found.archive.entries
    with lf.open(file) as found:
        front = min(entry.header_offset for entry in tail if entry.path.endswith("0003.tsr.der"))
    assert file.read_bytes()[:front] == start[:front]  # nothing before the renewals has moved or changed


def test_each_year_on_the_way(file: Path, eras: tuple[Era, Era, Era]) -> None:
    """As of any day it is judged by what was there then: what came later is not."""
    renewed(file, eras[1], RENEWED, "sha512")
    renewed(file, eras[2], AGAIN, "sha384")
    for year in (2027, 2032, 2034, 2036, 2040, 2045, 2047, 2050, 2055, 2059):
        report = verify(file, *eras, at=day(year))
        assert authentic(report) == "yes", (year, report.findings)
        assert ("LF8205" in rules(report)) == (year < 2046), year
    assert authentic(verify(file, *eras, at=day(2061))) == "no"  # the last authority has expired too


def test_without_renewal(file: Path, eras: tuple[Era, Era, Era]) -> None:
    assert authentic(verify(file, *eras, at=day(2034))) == "yes"
    report = verify(file, *eras)
    assert authentic(report) == "no"
    assert {"LF8109", "LF8203"} & rules(report)


def test_renewed_after_the_break(file: Path, eras: tuple[Era, Era, Era]) -> None:
    """A renewal proves what was there when it was made; by then anybody could have made the signature."""
    renewed(file, eras[1], day(2036, 1), "sha512")
    renewed(file, eras[2], AGAIN, "sha384")
    report = verify(file, *eras)
    assert authentic(report) == "no"
    assert "LF8109" in rules(report)


def test_second_renewal_missing(file: Path, eras: tuple[Era, Era, Era]) -> None:
    renewed(file, eras[1], RENEWED, "sha512")
    report = verify(file, *eras)
    assert authentic(report) == "no"
    assert {"LF8202", "LF8203"} & rules(report)


def test_second_renewal_too_late(file: Path, eras: tuple[Era, Era, Era]) -> None:
    """The first renewal's certificate had expired when the second came."""
    renewed(file, eras[1], RENEWED, "sha512")
    renewed(file, eras[2], day(2049), "sha384")
    report = verify(file, *eras)
    assert authentic(report) == "no"
    assert {"LF8202", "LF8203"} & rules(report)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_an_authority_that_nobody_believes(missing: int, file: Path, eras: tuple[Era, Era, Era]) -> None:
    renewed(file, eras[1], RENEWED, "sha512")
    renewed(file, eras[2], AGAIN, "sha384")
    report = verify(file, *(era for number, era in enumerate(eras) if number != missing))
    assert "LF8201" in rules(report)
    # Without the first stamp the first renewal still proves that the signature was there before the break.
    assert authentic(report) == ("yes" if missing == 0 else "no")


def test_level_quick_leaves_it_open(file: Path, eras: tuple[Era, Era, Era]) -> None:
    renewed(file, eras[1], RENEWED, "sha512")
    renewed(file, eras[2], AGAIN, "sha384")
    report = verify(file, *eras, level="quick")
    assert authentic(report) != "yes"
    assert "LF8023" in rules(report)


def test_damage_under_a_renewal(file: Path, eras: tuple[Era, Era, Era]) -> None:
    """One bit of the weights: not only the chunk list notices, both renewals hashed the old bytes."""
    renewed(file, eras[1], RENEWED, "sha512")
    renewed(file, eras[2], AGAIN, "sha384")
    data = bytearray(file.read_bytes())
    with lf.open(file) as found:
        at = next(member for member in found.members if member.role == "weights").offset
    data[at + 40] ^= 1
    file.write_bytes(data)
    report = verify(file, *eras)
    assert authentic(report) == "no"
    assert "LF8021" in rules(report)
