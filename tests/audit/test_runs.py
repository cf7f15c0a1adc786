"""Which run of the proxy owes an outcome, and whether it still lives."""

import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from seks_addon.audit import AuditLog
from seks_addon.audit.runs import Run, dead_runs
from seks_addon.errors import HomeError

#: A proxy of the smallest kind: it announces three intents, settles one, and lives until somebody ends it.
PROXY = """
import asyncio, sys, time
from pathlib import Path
from seks_addon.audit import AuditWriter
from seks_addon.audit.runs import Run
from tests.audit.conftest import record
from seks_addon.audit import Event

async def main():
    folder = Path(sys.argv[1])
    with Run(folder) as run:
        writer = AuditWriter(folder / "audit.db", run.id)
        numbers = [await writer.intent(record(request_id=f"req_{n}")) for n in range(3)]
        writer.outcome(record(Event.OUTCOME, request_id="req_0"), numbers[0])
        await writer.intent(record(request_id="req_last"))
        print(run.id, flush=True)
        time.sleep(60)

asyncio.run(main())
"""


def started(folder: Path) -> "tuple[subprocess.Popen[str], str]":
    """A running proxy and its run."""
    command = [sys.executable, "-c", PROXY, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def end(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)


def test_a_killed_process_and_a_living_one(tmp_path: Path) -> None:
    """What a killed process owes is settled once, as interrupted; what a living one owes is left to it."""
    AuditLog(tmp_path / "audit.db", create=True).close()
    killed, killed_run = started(tmp_path)
    living, living_run = started(tmp_path)
    try:
        with AuditLog(tmp_path / "audit.db") as log:
            both = log.pending_runs()
            assert sorted(both) == sorted([killed_run, living_run])
            assert dead_runs(tmp_path, both) == []

            end(killed)

            dead = dead_runs(tmp_path, log.pending_runs())
            assert dead == [killed_run]
            assert log.interrupt(dead) == 3
            assert log.interrupt(dead_runs(tmp_path, log.pending_runs())) == 0
            assert log.interrupt(dead) == 0

            assert log.pending_runs() == [living_run]
            interrupted = [row["request_id"] for row in log.read() if row["reason"] == "interrupted"]
            assert interrupted == ["req_1", "req_2", "req_last"]
            assert log.verify().intact
    finally:
        end(killed)
        end(living)


def test_run(tmp_path: Path) -> None:
    """A run has a private file while it lives, and none after."""
    with Run(tmp_path) as run:
        [path] = tmp_path.iterdir()

        assert path.name == f"{run.id}.lock"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert dead_runs(tmp_path, [run.id]) == []

    assert list(tmp_path.iterdir()) == []
    assert dead_runs(tmp_path, [run.id]) == [run.id]


def test_what_a_dead_run_left_is_removed(tmp_path: Path) -> None:
    """A lock file that nobody holds is a dead run's, and goes; a run that nobody knows is dead."""
    old, unknown = "run_" + "0" * 12, "run_" + "1" * 12
    (tmp_path / f"{old}.lock").touch(0o600)

    with Run(tmp_path) as run:
        assert dead_runs(tmp_path, [old, run.id, unknown]) == [old, unknown]
        assert [path.name for path in tmp_path.iterdir()] == [f"{run.id}.lock"]


def test_a_name_that_is_a_path(tmp_path: Path) -> None:
    """Whoever writes a path into the database can't have a file removed by it."""
    (tmp_path / "home").mkdir()
    (tmp_path / "poetry.lock").touch()

    assert dead_runs(tmp_path / "home", ["../poetry"]) == ["../poetry"]

    assert (tmp_path / "poetry.lock").exists()


def test_two_runs(tmp_path: Path) -> None:
    """Two workers are two runs."""
    with Run(tmp_path) as one, Run(tmp_path) as other:
        assert one.id != other.id
        assert dead_runs(tmp_path, [one.id, other.id]) == []


def test_no_folder(tmp_path: Path) -> None:
    """A folder that isn't there is an error of ours."""
    with pytest.raises(HomeError, match="can't write"):
        Run(tmp_path / "none")
