"""Signing and verifying 2 GiB in the page cache, against the reference tool of OpenSSF Model Signing on the same bytes.

Verification is timed as whole processes, as people run it. Signing is timed as the library's call, start of Python
aside, on both sides: ours is shorter than that start. Whole processes are shown too, without a target.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from llamafile_format.signing.keys.key_files import generate, write_keys
from tests.benchmarks.bench_verify import packed
from tests.benchmarks.measure import CLI, PYTHON, in_turns, row, timed
from tests.laws.sparse import sparse_container

OMS = Path(PYTHON).with_name("model_signing")
GB = 10**9
_OURS = """
import sys, time
from llamafile_format.vouching.sign import sign
start = time.perf_counter()
sign(sys.argv[1], sys.argv[2], force=True)
print(time.perf_counter() - start)
"""
_THEIRS = """
import sys, time
import model_signing
start = time.perf_counter()
config = model_signing.signing.Config().use_elliptic_key_signer(private_key=sys.argv[2])
config.sign(sys.argv[1], sys.argv[3])
print(time.perf_counter() - start)
"""


def main(folder: Path) -> bool:
    """Measure and print; True if the figures are reached."""
    path, key = packed(folder), folder / "KEY"
    members, bundle = folder / "members", folder / "model.sig"
    if not key.exists():
        write_keys(key, generate("p384"), None)
    if not members.exists():
        members.mkdir()
        (members / "random.bin").hardlink_to(folder / "random.bin")
    signed = folder / "signed.llamafile"
    subprocess.run([*CLI, "sign", path, "--key", key, "-o", signed, "--force"], check=True, stdout=subprocess.DEVNULL)
    theirs = [OMS, "sign", "key", members, "--private_key", key, "--signature", bundle]
    timed(theirs)
    verify = [OMS, "verify", "key", members, "--public_key", f"{key}.pub", "--signature", bundle]
    ours = [*CLI, "verify", "--key", f"{key}.pub", signed]
    them, full, whole = in_turns(
        5, lambda: timed(verify), lambda: timed(ours), lambda: timed([*ours, "--level", "exhaustive"])
    )
    ok = _times("verify with signature, level full", them, full, 1.8)
    ok &= _times("verify with signature, level exhaustive", them, whole, 0.9)
    them, call = in_turns(5, _told(_THEIRS, members, key, bundle), _told(_OURS, signed, key))
    ok &= _times("sign a packed file, the call", them, call, 20)
    them, process = in_turns(5, lambda: timed(theirs), lambda: timed([*CLI, "sign", signed, "--key", key, "--force"]))
    _times("sign a packed file, whole process", them, process, 0)
    return _hundred(folder, key) and ok


def _hundred(folder: Path, key: Path) -> bool:
    """100 GB, sparse."""
    path = folder / "sign-large.llamafile"
    if not path.exists():
        sparse_container(path, 100 * GB)
    (seconds,) = in_turns(5, lambda: timed([*CLI, "sign", path, "--key", key, "--force"]))
    return row("sign 100 GB, whole process", f"{seconds:.3f} s", "< 1 s", seconds < 1)


def _told(program: str, *words: Path) -> Callable[[], float]:
    """Seconds that ``program`` says it took."""

    def run() -> float:
        command = [PYTHON, "-c", program, *map(str, words)]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])

    return run


def _times(what: str, them: float, us: float, wanted: float) -> bool:
    ratio = them / us
    return row(what, f"{them:.2f} / {us:.3f} s = {ratio:.1f} x", f">= {wanted} x" if wanted else "", ratio >= wanted)
