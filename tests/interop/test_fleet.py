"""A fleet on Dask: workers that are killed, objects that are poison, a coordinator that dies (spec/1, 10.15)."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from llamafile_format.checks.verdict import Level
from llamafile_format.fleet import Item, Ledger, Row, Terms, look, newest
from llamafile_format.fleet.bounds import End, Outcome
from llamafile_format.fleet.ledger import Basis, lines
from llamafile_format.fleet.row import row_of
from llamafile_format.reports import report_value
from spec.vectors.generate.load import read_vector
from tests.conftest import ROOT, CliRunner
from tests.fleet_coordinator import SHARD, WORKERS
from tests.interop.webdriver import browser
from tests.laws.containers import small_container
from tests.object_stores import BUCKET, free_ports, seaweed, started

pytestmark = [pytest.mark.interop, pytest.mark.slow]

OBJECTS, DISTINCT = 2000, 250
KILLS = 10
SMALL = 20_000  # bytes of a vector
POISON = {
    "crash": End.CRASHED,
    "abort": End.CRASHED,
    "hang": End.OUT_OF_TIME,
    "hog": End.OUT_OF_MEMORY,
}
PATIENCE = 900  # seconds; machines are shared


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``objects`` has hard links of small vectors, distinct ones by turns, and nothing else."""
    folder = tmp_path_factory.mktemp("shelf")
    (folder / "objects").mkdir()
    (folder / "distinct").mkdir()
    distinct: list[Path] = []
    for path in sorted((ROOT / "spec" / "vectors").glob("*/*.vector")):
        vector = read_vector(path)
        if vector.kind == "container" and len(vector.payload) <= SMALL and len(distinct) < DISTINCT:
            distinct.append(folder / "distinct" / f"{len(distinct)}")
            distinct[-1].write_bytes(vector.payload)
    for number in range(OBJECTS):
        os.link(distinct[number % len(distinct)], folder / "objects" / f"{number:04}.llamafile")
    return folder


@pytest.fixture(scope="module")
def expected(shelf: Path) -> dict[bytes, str]:
    """The answer on each distinct object, by its bytes."""
    answers = {}
    for path in (shelf / "distinct").iterdir():
        report = look(str(path), Terms(level=Level.QUICK))
        answers[path.read_bytes()] = row_of(Item(str(path), "v"), Outcome(End.DONE, report_value(report))).answer
    return answers


def _listed(shelf: Path, tmp_path: Path, *poison: str) -> tuple[Path, set[str]]:
    """A list of all objects, poison in the midst of them, and their names."""
    names = [str(path) for path in sorted((shelf / "objects").iterdir())]
    for at, word in enumerate(poison, 1):
        path = tmp_path / f"{word}.llamafile"
        os.link(shelf / "distinct" / "0", path)
        names.insert(at * len(names) // (len(poison) + 1), str(path))
    (tmp_path / "list").write_text("\n".join(names))
    return tmp_path / "list", set(names)


@contextmanager
def _coordinator(names: Path, ledger: Path, log: Path) -> Iterator[psutil.Popen]:
    command = [sys.executable, "-m", "tests.fleet_coordinator", str(names), str(ledger), str(log)]
    with psutil.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def _workers(coordinator: psutil.Process) -> list[psutil.Process]:
    """The processes of Dask's workers, which have the guarded children as children of theirs."""
    try:
        found = [child for child in coordinator.children() if "spawn_main" in " ".join(child.cmdline())]
    except psutil.Error:
        return []
    return found


@contextmanager
def _killing(coordinator: psutil.Process, kills: list[int], begun: Path) -> Iterator[None]:
    """A worker is killed every few seconds, whichever it is, from when ``begun`` is there; some object takes longer
    than that, and would never be done if there were no end.
    """
    over, dice = threading.Event(), random.Random(11)

    def kill() -> None:
        while len(kills) < KILLS and not over.wait(3):
            if begun.exists() and (workers := _workers(coordinator)):
                worker = dice.choice(workers)
                try:
                    worker.kill()
                except psutil.Error:
                    continue
                kills.append(worker.pid)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _rows(ledger: Path) -> list[Row]:
    return [row for line in lines(ledger) for row in line.rows]


def _once(ledger: Path, names: set[str]) -> dict[str, Row]:
    """The rows by name; none is lost, and none is doubled."""
    rows = _rows(ledger)
    assert {name: count for name, count in Counter(row.name for row in rows).items() if count > 1} == {}
    assert {row.name for row in rows} == names
    return {row.name: row for row in rows}


def test_nothing_is_lost_or_doubled_and_each_culprit_is_named(
    shelf: Path, expected: dict[bytes, str], tmp_path: Path
) -> None:
    names, all_names = _listed(shelf, tmp_path, *POISON)
    log = tmp_path / "log"
    kills: list[int] = []
    with _coordinator(names, tmp_path / "ledger", log) as process, _killing(process, kills, log):
        assert process.wait(PATIENCE) == 4, process.stderr.read().decode()[-2000:]
    rows = _once(tmp_path / "ledger", all_names)
    assert kills
    named = {Path(name).stem: row.end for name, row in rows.items() if row.answer == "quarantined"}
    assert named == {word: end.value for word, end in POISON.items()}
    for name, row in rows.items():
        if Path(name).stem not in POISON:
            assert row.answer == expected[Path(name).read_bytes()], row


def test_a_coordinator_that_is_killed_is_resumed(shelf: Path, tmp_path: Path) -> None:
    names, all_names = _listed(shelf, tmp_path)
    ledger, log = tmp_path / "ledger", tmp_path / "log"
    with _coordinator(names, ledger, log) as process:
        deadline = time.monotonic() + PATIENCE
        while not ledger.is_dir() or len(_rows(ledger)) < OBJECTS // 3:
            assert process.poll() is None, process.stderr.read().decode()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        family = process.children(recursive=True)
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(family, timeout=120)
    assert [child.cmdline() for child in alive] == []  # workers and their children end with their coordinator
    before = len(_rows(ledger))
    assert OBJECTS // 3 <= before < OBJECTS
    with _coordinator(names, ledger, log) as process:
        process.wait(PATIENCE)
    _once(ledger, all_names)
    opened = Counter(log.read_text().splitlines())
    assert set(opened) == all_names
    assert sum(opened.values()) - OBJECTS <= WORKERS * SHARD  # at most one shard for each worker is done again
    with _coordinator(names, ledger, log) as process:
        process.wait(PATIENCE)
    assert len(_rows(ledger)) == OBJECTS
    assert Counter(log.read_text().splitlines()) == opened  # nothing to do, nothing done


def test_a_fleet_on_this_machine_is_reached_by_nobody_else(tmp_path: Path) -> None:
    """Whoever reaches a scheduler runs code: it listens on loopback only, and even there asks for a certificate."""
    hang = tmp_path / "hang.llamafile"
    os.link(small_container(tmp_path), hang)
    (tmp_path / "list").write_text(f"{hang}\n")
    with _coordinator(tmp_path / "list", tmp_path / "ledger", tmp_path / "log") as process:
        deadline = time.monotonic() + PATIENCE
        while not (tmp_path / "log").exists():
            assert process.poll() is None, process.stderr.read().decode()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.1)
        family = [process, *process.children(recursive=True)]
        sockets = [each for one in family for each in one.net_connections() if each.status == psutil.CONN_LISTEN]
        environment = " ".join(" ".join(one.cmdline()) for one in family)
    assert sockets
    assert {each.laddr.ip for each in sockets} == {"127.0.0.1"}
    assert "PRIVATE KEY" not in environment


def test_the_command(tmp_path: Path, run_cli: CliRunner) -> None:
    """As a stranger types it: a folder, again, and what is new."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    good = small_container(tmp_path)
    for number in range(5):
        os.link(good, shelf / f"{number}.llamafile")
    (shelf / "readme").write_text("hello")
    command = ("fleet", "verify", shelf, "--ledger", tmp_path / "L", "--workers", "1")
    first = run_cli(*command, timeout=PATIENCE)
    assert first.returncode == 0, first.stderr
    assert "6 objects: 5 yes, 1 passed over; 6 verified now, 0 in the ledger before; exit code 0" in first.stdout
    again = run_cli(*command)
    assert (again.returncode, again.stderr) == (0, "")
    assert "nothing to do" in again.stdout
    broken = bytearray(good.read_bytes())
    broken[len(broken) // 3] ^= 1
    (shelf / "new.llamafile").write_bytes(broken)
    third = run_cli(*command, timeout=PATIENCE)
    assert third.returncode == 1
    assert "1 verified now, 6 in the ledger before" in third.stdout
    page = run_cli("fleet", "report", tmp_path / "L").stdout
    assert "new.llamafile" in page
    assert "LF4001" in page


def test_a_scheduler_elsewhere_over_tls(tmp_path: Path, run_cli: CliRunner) -> None:
    """Dask's own scheduler and worker, as an administrator starts them; without a certificate nobody gets in."""
    from distributed.security import Security

    temporary = Security.temporary()
    for name, value in (("ca", temporary.tls_ca_file), ("key", temporary.tls_client_key)):
        (tmp_path / f"{name}.pem").write_text(value)
    (tmp_path / "cert.pem").write_text(temporary.tls_client_cert)
    settings = {"DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(tmp_path / "ca.pem")}
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        settings[f"DASK_DISTRIBUTED__COMM__TLS__{role}__CERT"] = str(tmp_path / "cert.pem")
        settings[f"DASK_DISTRIBUTED__COMM__TLS__{role}__KEY"] = str(tmp_path / "key.pem")
    (port,) = free_ports(1)
    address = f"tls://127.0.0.1:{port}"
    good = small_container(tmp_path)
    (tmp_path / "list").write_text(f"{good}\n")
    command = ("fleet", "verify", tmp_path / "list", "--ledger", tmp_path / "L", "--executor", address)
    dask = [sys.executable, "-m", "dask"]
    scheduler = [*dask, "scheduler", "--host", address.rpartition(":")[0], "--port", str(port), "--no-dashboard"]
    worker = [*dask, "worker", address, "--nthreads", "2", "--no-dashboard", "--host", "127.0.0.1"]
    with _environment(settings), started(scheduler, tmp_path, port):
        process = subprocess.Popen(worker, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            done = run_cli(*command, env=settings, timeout=PATIENCE)
            assert done.returncode == 0, done.stderr
            refused = run_cli(*command, "--again", "--level", "quick", env=dict.fromkeys(settings), timeout=PATIENCE)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
    assert refused.returncode == 2
    assert "needs certificates" in refused.stderr
    assert [row.answer for _, row in newest(tmp_path / "L")] == ["yes"]


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        yield


def test_what_a_store_lists(tmp_path: Path, tool: Callable[[str], Path], run_cli: CliRunner) -> None:
    """By prefix, and again: objects that have not changed are not read; one that has is."""
    data = small_container(tmp_path).read_bytes()
    (tmp_path / "weed").mkdir()
    with seaweed(tool("weed"), tmp_path / "weed") as store:
        for key in ("models/a.llamafile", "models/deep/b.llamafile", "models/readme", "other/c.llamafile"):
            store.put(key, data if key.endswith("file") else b"hello")
        command = ("fleet", "verify", f"s3://{BUCKET}/models/", "--ledger", tmp_path / "L", "--workers", "1")
        first = run_cli(*command, env=store.settings, timeout=PATIENCE)
        assert first.returncode == 0, first.stderr
        assert "3 objects: 2 yes, 1 passed over" in first.stdout
        assert "nothing to do" in run_cli(*command, env=store.settings).stdout
        store.put("models/a.llamafile", data[:-100])
        third = run_cli(*command, env=store.settings, timeout=PATIENCE)
        assert "1 verified now, 2 in the ledger before" in third.stdout
        assert third.returncode == 4  # it is cut off
    kept = "".join(path.read_text() for path in (tmp_path / "L").glob("*.jsonl"))
    assert not re.search("|".join(map(re.escape, store.settings.values())), kept.replace("us-east-1", ""))


def test_the_page_of_a_ledger_filters_in_a_browser(
    tmp_path: Path, tool: Callable[[str], Path], run_cli: CliRunner
) -> None:
    """By name, answer and rule; rows open by themselves; nothing is fetched, and the browser has no complaint."""
    damaged = {"rules": {"LF4001": 1}, "errors": ("LF4001",), "told": ("LF4001 is damaged",)}
    rows = [Row(f"/a/{name}", "v", 1, "no", "done", 0.1, **damaged) for name in ("one", "two")]
    rows += [Row("/b/three", "v", 1, "quarantined", "crashed", 0.1, why="SIGSEGV")]
    with Ledger(tmp_path / "L", Basis("0", "quick", "1")) as ledger:
        ledger.append(rows)
    assert run_cli("fleet", "report", tmp_path / "L", "-o", tmp_path / "page.html").returncode == 0
    with browser(tool, tmp_path / "profile") as window:
        window.open("about:blank")
        window.requested()  # what the browser shows when it begins
        window.open((tmp_path / "page.html").as_uri())
        window.wait("document.getElementById('shown').textContent === '3 of 3 shown'")
        window.type("input[name=text]", "/a/")
        window.wait("document.getElementById('shown').textContent === '2 of 3 shown'")
        window.type("input[name=text]", " two")
        window.wait("document.getElementById('shown').textContent === '1 of 3 shown'")
        window.script("document.querySelector('input[name=text]').value = ''")
        for field, value, count in (("rule", "LF4001", 2), ("answer", "no", 2), ("answer", "quarantined", 0)):
            window.script(
                f"const one = document.querySelector('select[name={field}]'); one.value = '{value}';"
                "one.dispatchEvent(new Event('input', {bubbles: true}))"
            )
            window.wait(f"document.getElementById('shown').textContent === '{count} of 3 shown'")
        assert {each.partition(":")[0] for each in window.requested()} == {"file"}
        assert window.complaints() == []
