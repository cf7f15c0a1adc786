"""Writing records from the event loop without blocking it."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from seks_addon.audit import AuditLog, AuditWriter, Event
from tests.audit.conftest import record

# There is a log to write to.
pytestmark = pytest.mark.usefixtures("log")


@contextmanager
def running(path: Path, run: str = "run_1", **options: Any) -> Iterator[AuditWriter]:
    """A writer that is closed at the end."""
    writer = AuditWriter(path, run, **options)
    try:
        yield writer
    finally:
        writer.close()
        assert not writer._thread.is_alive()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process is writing."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + 5
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert happened()


def committed(path: Path) -> int:
    """How many records another connection sees."""
    with closing(sqlite3.connect(path)) as other:
        return int(other.execute("SELECT count(*) FROM records").fetchone()[0])


def summary(log: AuditLog) -> list[tuple[str, str | None]]:
    return [(row["event"], row["reason"]) for row in log.read()]


async def ticks(gaps: list[float]) -> None:
    """Tell how long the event loop stood still."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(0.01)
        gaps.append(time.monotonic() - before)


async def taken(writer: AuditWriter) -> None:
    """Wait until the thread has taken what waits."""
    await asyncio.sleep(0.05)
    while not writer._queue.empty():  # noqa: ASYNC110 - it is a thread that empties it
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)


def test_many_at_once(path: Path, log: AuditLog) -> None:
    """Every intent is on disk when its number comes, and all of them make one chain."""

    async def one(writer: AuditWriter, number: int) -> int:
        seq = await writer.intent(record(request_id=f"req_{number}"))
        with closing(sqlite3.connect(path)) as other:
            [row] = other.execute("SELECT request_id FROM records WHERE seq = ?", (seq,))
        assert row == (f"req_{number}",)
        return seq

    async def all_of_them(writer: AuditWriter) -> list[int]:
        return await asyncio.gather(*(one(writer, number) for number in range(300)))

    with running(path) as writer:
        numbers = asyncio.run(all_of_them(writer))

    assert sorted(numbers) == list(range(1, 301))
    assert log.verify().to_json() == {"intact": True, "records": 300, "bad_seq": None, "problem": None}
    assert [row["request_id"] for row in log.read()] == [f"req_{number}" for number in range(300)]


def test_two_writers(path: Path, log: AuditLog) -> None:
    """Workers share a log without losing or doubling a record."""

    async def flood(*writers: AuditWriter) -> list[int]:
        return await asyncio.gather(*(w.intent(record()) for _ in range(50) for w in writers))

    with running(path, "run_1") as one, running(path, "run_2") as other:
        numbers = asyncio.run(flood(one, other))

    assert sorted(numbers) == list(range(1, 101))
    assert log.verify().records == 100
    assert sorted(log.pending_runs()) == ["run_1", "run_2"]


def test_outcome_settles(path: Path, log: AuditLog) -> None:
    """An intent is owed by its run until its outcome is written."""

    async def exchange(writer: AuditWriter) -> None:
        number = await writer.intent(record())
        assert log.pending_runs() == ["run_1"]
        writer.outcome(record(Event.OUTCOME, status=200), number)

    with running(path) as writer:
        asyncio.run(exchange(writer))

    assert summary(log) == [("intent", None), ("outcome", None)]
    assert log.pending_runs() == []


def test_close_flushes(path: Path, log: AuditLog) -> None:
    """What was handed in before the end is written, in order, however much it is."""
    with running(path) as writer:
        for number in range(1200):
            writer.note(record(Event.REFUSED, status=number))

    assert [row["status"] for row in log.read()] == list(range(1200))
    assert log.verify().intact


def test_cancelled_while_it_is_written(path: Path, log: AuditLog) -> None:
    """An intent that nobody waits for any more, but that reached the disk, gets its outcome."""

    async def give_up(writer: AuditWriter) -> None:
        with locked(path):
            waiting = asyncio.create_task(writer.intent(record(request_id="a")))
            await taken(writer)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

    with running(path) as writer:
        asyncio.run(give_up(writer))
        wait_until(lambda: committed(path) == 2)

    first, second = log.read()
    assert (first["event"], first["outcome"], first["reason"]) == ("intent", "allowed", None)
    assert (second["event"], second["outcome"], second["reason"]) == ("outcome", "failed", "interrupted")
    assert first["request_id"] == second["request_id"] == "a"
    assert log.pending_runs() == []


def test_cancelled_before_it_is_written(path: Path, log: AuditLog) -> None:
    """An intent that nobody waits for any more, and that still waits in line, is never written."""

    async def give_up(writer: AuditWriter) -> None:
        with locked(path):
            first = asyncio.create_task(writer.intent(record(request_id="first")))
            await taken(writer)
            second = asyncio.create_task(writer.intent(record(request_id="second")))
            await asyncio.sleep(0.05)
            second.cancel()
            with suppress(asyncio.CancelledError):
                await second
        await first

    with running(path) as writer:
        asyncio.run(give_up(writer))

    assert [row["request_id"] for row in log.read()] == ["first"]
