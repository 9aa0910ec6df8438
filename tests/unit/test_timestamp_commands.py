"""``timestamp`` and ``renew``: what they write, what they say, what they refuse (spec 13.6.2, 13.6.3, 13.6.8)."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.changing.convert import convert
from llamafile_format.checks.signatures import read_records
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.rules import Layer
from llamafile_format.signing.records.record import Record, RecordKind
from llamafile_format.signing.time.prefix_digests import prefix_digests
from llamafile_format.signing.time.timestamps import read_response
from llamafile_format.signing.trust.policy import Authority as Trusted
from llamafile_format.signing.trust.policy import key_policy
from llamafile_format.signing.x509 import der
from llamafile_format.source import BytesSource
from llamafile_format.vouching.append import append_records
from llamafile_format.vouching.renew import renew, renewal_request
from llamafile_format.vouching.sign import sign
from llamafile_format.vouching.timestamp import Trusting, attach, request
from tests.authorities import Authority, make_token, stamp
from tests.signing_samples import container, keys

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
ROOT = Authority.create("Time Root")
TSA = ROOT.tsa("Time Stamps")
NOW = datetime.now(UTC).replace(microsecond=0)
BELIEVED = Trusting(roots=(ROOT.der,))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = container(tmp_path / "a.llamafile")
    sign(path, keys("p384"))
    return path


def records(path: Path) -> tuple[Record, ...]:
    with lf.open(path) as found:
        return read_records(found.source, found.archive)


def answer(query: bytes, *, authority: Authority = TSA, time: datetime = NOW) -> bytes:
    """What an authority says to a request, read without our reader."""
    _, imprint, nonce, _ = der.parse(query, "it").children
    function, digest = imprint.children
    names = {"1": "sha256", "2": "sha384", "3": "sha512", "8": "sha3-256", "10": "sha3-512"}
    name = names[function.children[0].oid().rpartition(".")[2]]
    return make_token(authority, name, digest.content, time, nonce=nonce.integer())


def verdict(path: Path, **options: object) -> str:
    policy = key_policy([keys("p384")[0].public], authorities=[Trusted("time", (ROOT.der,))])
    return lf.verify(path, policy=policy, **options).verdicts[Layer.AUTHENTIC].value  # type: ignore[arg-type]


# request


def test_the_last_signature_is_stamped(file: Path) -> None:
    sign(file, keys("ed25519"))
    attach(file, answer(request(file).query.data))
    asked = request(file)
    assert asked.record == "META-LLAMAFILE/signatures/0002.sig.json"
    assert asked.query.digest == hashlib.sha256(records(file)[1].data).digest()
    assert request(file, record=1).record.endswith("0001.oms.json")
    assert (
        request(file, record=3, algorithm="sha3-512").query.digest == hashlib.sha3_512(records(file)[2].data).digest()
    )


def test_nothing_to_stamp(tmp_path: Path, file: Path) -> None:
    unsigned = container(tmp_path / "b.llamafile")
    with pytest.raises(UsageError, match="no signature to stamp"):
        request(unsigned)
    with pytest.raises(UsageError, match="no record 2"):
        request(file, record=2)
    with pytest.raises(FormatError, match="proves nothing"):
        request(file, algorithm="md5")
    with pytest.raises(UsageError, match="nobody has signed"):
        renewal_request(unsigned)


def test_request_command(file: Path, run_cli: Cli) -> None:
    out = file.with_name("q.tsq")
    done = run_cli("timestamp", "request", file, "-o", out)
    assert done.returncode == 0, done.stderr
    digest = hashlib.sha256(records(file)[0].data).hexdigest()
    assert done.stdout == f"{out}  sha256:{digest}  META-LLAMAFILE/signatures/0001.oms.json\n"
    assert "curl" in done.stderr
    attach(file, answer(out.read_bytes()), trusting=BELIEVED)
    assert run_cli("timestamp", "request", file, "-o", out).returncode == 2
    done = run_cli("timestamp", "request", file, "-o", out, "--force", "--json", "--hash", "sha512", "--record", "2")
    assert json.loads(done.stdout)["hash"] == "sha512"
    assert json.loads(done.stdout)["record"].endswith("0002.tsr.der")


# attach


def test_attach(file: Path) -> None:
    before = file.read_bytes()
    result = attach(file, answer(request(file).query.data), trusting=BELIEVED)
    assert (result.method, result.stamped, result.left_out) == ("in place", records(file)[0].path, ())
    assert result.chain == (TSA.der, ROOT.der)
    assert result.size == file.stat().st_size
    record = records(file)[1]
    assert (record.kind, record.path) == (RecordKind.TSR, result.records[0])
    assert file.read_bytes()[: record.header_offset] == before[: record.header_offset]
    assert read_response(record.data).time == NOW
    assert verdict(file) == "yes"


def test_attach_to_a_new_file(file: Path) -> None:
    before = file.read_bytes()
    out = file.with_name("new.llamafile")
    result = attach(file, answer(request(file).query.data), out, trusting=BELIEVED)
    assert (result.method, result.path) == ("new file", out)
    assert file.read_bytes() == before
    assert verdict(out) == "yes"
    with pytest.raises(UsageError, match="exists"):
        attach(file, answer(request(file).query.data), out)
    attach(file, answer(request(file).query.data), out, force=True)


def test_twice(file: Path) -> None:
    said = answer(request(file).query.data)
    attach(file, said)
    before = file.read_bytes()
    with pytest.raises(UsageError, match="there already"):
        attach(file, said)
    assert file.read_bytes() == before
    attach(file, stamp(TSA, records(file)[0].data, NOW))  # another stamp of the same record
    assert verdict(file) == "yes"


@pytest.mark.parametrize("bad", [b"", b"<html>no</html>", bytes(100)])
def test_answers_that_are_none(file: Path, bad: bytes) -> None:
    before = file.read_bytes()
    with pytest.raises(FormatError):
        attach(file, bad)
    assert file.read_bytes() == before


def test_an_answer_that_does_not_hold(file: Path) -> None:
    said = bytearray(answer(request(file).query.data))
    said[-1] ^= 1
    with pytest.raises(FormatError, match="does not hold"):
        attach(file, bytes(said))


def test_a_malformed_file_is_not_stamped(file: Path) -> None:
    said = answer(request(file).query.data)
    data = bytearray(file.read_bytes())
    data[data.index(b"tiny.gguf") - 4] ^= 1  # a length in a local header
    file.write_bytes(data)
    for refused in (lambda: request(file), lambda: attach(file, said), lambda: renewal_request(file)):
        with pytest.raises(FormatError, match="not well-formed"):
            refused()


def test_chains_and_lists_are_kept(file: Path) -> None:
    middle = ROOT.intermediate("Time Middle")
    leaf = middle.tsa("Other Stamps")
    lists = (middle.revocation_list(), ROOT.revocation_list())
    trusting = Trusting(roots=(ROOT.der,), certificates=(middle.der,), revocations=lists)
    result = attach(file, answer(request(file).query.data, authority=leaf), trusting=trusting)
    assert [Path(name).suffixes[-2:] for name in result.records] == [[".tsr", ".der"], [".vm", ".json"]]
    policy = key_policy([keys("p384")[0].public], authorities=[Trusted("time", (ROOT.der,))])
    assert lf.verify(file, policy=policy).signatures[0].level == "LT"


def test_attach_command(file: Path, run_cli: Cli, tmp_path: Path) -> None:
    said, roots = tmp_path / "a.tsr", tmp_path / "root.pem"
    said.write_bytes(answer(request(file).query.data))
    roots.write_bytes(ROOT.pem)
    (tmp_path / "list.pem").write_bytes(ROOT.revocation_list())
    done = run_cli("timestamp", "attach", file, said, "--tsa", roots, "--detached", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["trusted"] is True
    assert told["records"] == [f"{file}.0002.tsr.der"]
    assert Path(told["records"][0]).read_bytes() == said.read_bytes()
    done = run_cli("timestamp", "attach", file, said, "--tsa", roots, "--crl", tmp_path / "list.pem")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1:3] == [
        "added    META-LLAMAFILE/signatures/0002.tsr.der  stamps META-LLAMAFILE/signatures/0001.oms.json",
        "added    META-LLAMAFILE/signatures/0003.vm.json  certificates and revocation lists",
    ]
    assert lines[3].startswith(f"time     {NOW:%Y-%m-%dT%H:%M:%SZ}")
    assert lines[4] == "trusted  because CN=Time Stamps has a certificate under CN=Time Root"
    assert run_cli("timestamp", "attach", file, tmp_path / "none", "--tsa", roots).returncode == 4
    roots.write_bytes(b"no certificate")
    assert run_cli("timestamp", "attach", file, said, "--tsa", roots).returncode == 1


# renew


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512", "sha3-256", "sha3-512"])
def test_renew(file: Path, algorithm: str) -> None:
    result = renew(file, answer, algorithm=algorithm, trusting=BELIEVED)
    assert (result.stamped, result.token.imprint_algorithm) == ("", algorithm)
    record = records(file)[-1]
    front = file.read_bytes()[: record.header_offset]
    assert read_response(record.data).imprint == hashlib.new(algorithm.replace("-", "_"), front).digest()
    policy = key_policy([keys("p384")[0].public], authorities=[Trusted("time", (ROOT.der,))])
    assert lf.verify(file, policy=policy).signatures[0].level == "LTA"


def test_renew_in_two_steps(file: Path, run_cli: Cli, tmp_path: Path) -> None:
    query, said, roots = tmp_path / "q.tsq", tmp_path / "a.tsr", tmp_path / "root.pem"
    roots.write_bytes(ROOT.pem)
    done = run_cli("renew", file, "--request", query)
    assert done.returncode == 0, done.stderr
    assert "everything up to the next record" in done.stdout
    said.write_bytes(answer(query.read_bytes()))
    done = run_cli("renew", file, "--response", said, "--tsa", roots)
    assert done.returncode == 0, done.stderr
    assert "stamps everything in front of it" in done.stdout
    done = run_cli("renew", file, "--response", said, "--tsa", roots)
    assert done.returncode == 1
    assert "not over" in done.stderr
    for words in ([], ["--request", query, "--response", said], ["--request", query, "--tsa", roots]):
        assert run_cli("renew", file, *words).returncode == 2


def test_a_record_in_between(file: Path) -> None:
    said = answer(renewal_request(file).query.data)
    sign(file, keys("ed25519"))
    with pytest.raises(FormatError, match="not over"):
        renew(file, said)
    with pytest.raises(FormatError, match="about no signature"):
        attach(file, said)


def test_damage_is_not_sworn_to(file: Path) -> None:
    """A weight that changed: quick verify, and so sign and attach, do not see it; renew reads everything."""
    said = answer(renewal_request(file).query.data)
    with lf.open(file) as found:
        at = next(member for member in found.members if member.role == "weights").offset
    data = bytearray(file.read_bytes())
    data[at + 40] ^= 1
    file.write_bytes(data)
    for refused in (lambda: renewal_request(file), lambda: renew(file, said), lambda: renew(file, answer)):
        with pytest.raises(FormatError, match="not intact"):
            refused()
    assert file.read_bytes() == data


def test_an_old_renewal_that_fails_is_damage(file: Path) -> None:
    """A genuine stamp over something else, appended as a record: nothing is renewed on top of it."""
    append = stamp(TSA, b"something else", NOW)
    with pytest.raises(FormatError, match="about no signature"):
        attach(file, append)
    append_records(file, [(RecordKind.TSR, append)])
    with pytest.raises(FormatError, match="LF8021"):
        renew(file, answer)


def test_functions_going_out_of_use(file: Path) -> None:
    with pytest.raises(FormatError, match="proves nothing"):
        renew(file, answer, algorithm="sha1")
    with pytest.raises(FormatError, match="another one"):
        renew(file, lambda query: make_token(TSA, "sha512", bytes(64), NOW, nonce=5))


def test_a_converted_launcher_is_renewed_in_its_first_form(tmp_path: Path) -> None:
    path = container(tmp_path / "a.llamafile", launcher=True)
    sign(path, keys("p384"))
    convert(path, "elf-x86_64")
    renew(path, answer, trusting=BELIEVED)
    assert verdict(path) == "yes"
    convert(path, "polyglot")
    assert verdict(path) == "yes"
    record = records(path)[-1]
    front = path.read_bytes()[: record.header_offset]
    assert read_response(record.data).imprint == hashlib.sha512(front).digest()


def test_renewals_of_renewals(file: Path) -> None:
    for algorithm in ("sha512", "sha3-512", "sha384"):
        renew(file, answer, algorithm=algorithm, trusting=BELIEVED)
    assert verdict(file) == "yes"
    assert verdict(file, level="quick") != "no"


# One pass


@pytest.mark.parametrize("size", [0, 1, (4 << 20) - 1, (4 << 20) + 1, (9 << 20) + 17])
def test_digests_of_many_prefixes_in_one_pass(size: int) -> None:
    data = hashlib.shake_128(b"x").digest(size)
    wanted = [
        (size, "sha512"),
        (size // 2, "sha256"),
        (size, "sha3-256"),
        (0, "sha256"),
        (min(size, 5 << 20), "sha384"),
    ]
    seen: list[tuple[int, int]] = []
    reads: list[int] = []

    class Counting(BytesSource):
        def read_into(self, offset: int, buffer: memoryview) -> None:
            reads.append(len(buffer))
            super().read_into(offset, buffer)

    source = Counting(data)
    found = prefix_digests(source, wanted, progress=lambda done, total: seen.append((done, total)))
    assert found == [hashlib.new(name.replace("-", "_"), data[:length]).digest() for length, name in wanted]
    assert sum(reads) == size
    assert not seen or seen[-1] == (size, size)
    assert prefix_digests(source, []) == []
