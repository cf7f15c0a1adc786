"""Writing records from the event loop without blocking it."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from seks_addon.audit import AuditLog, AuditWriter, Event, Outcome
from seks_addon.audit import writer as writer_module
from seks_addon.audit.log import Entry
from seks_addon.errors import AuditError, DatabaseBusyError, DatabaseError
from tests.audit.conftest import record


@pytest.fixture(autouse=True)
def made(log: AuditLog) -> None:
    """There is a log to write to."""


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


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are a tenth as long."""
    monkeypatch.setattr(writer_module, "PATIENCE", 0.2)
    monkeypatch.setattr(writer_module, "RETRY", 0.1)


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


def test_locked(path: Path, log: AuditLog) -> None:
    """While another process holds the log, intents are refused in a few seconds and the loop goes on."""
    gaps: list[float] = []

    async def try_it(writer: AuditWriter) -> None:
        ticking = asyncio.create_task(ticks(gaps))
        started = time.monotonic()
        results = await asyncio.gather(*(writer.intent(record()) for _ in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [AuditError] * 3
        assert 1 < time.monotonic() - started < 4
        ticking.cancel()

    with running(path) as writer:
        with locked(path):
            asyncio.run(try_it(writer))
        assert log.count() == 0
        asyncio.run(writer.intent(record(request_id="after")))

    assert [row["request_id"] for row in log.read()] == ["after"]
    assert len(gaps) > 50
    assert max(gaps) < 1


@pytest.mark.usefixtures("impatient")
def test_outcomes_outlast_a_lock(path: Path, log: AuditLog) -> None:
    """Outcomes and notes that can't be written are tried again, in order, until they are."""

    async def exchange(writer: AuditWriter) -> None:
        number = await writer.intent(record(request_id="a"))
        with locked(path):
            writer.outcome(record(Event.OUTCOME, request_id="a"), number)
            writer.note(record(Event.REFUSED, request_id="b"))
            with pytest.raises(AuditError):
                await writer.intent(record(request_id="c"))
            await asyncio.sleep(0.7)

    with running(path) as writer:
        asyncio.run(exchange(writer))
        wait_until(lambda: committed(path) == 3)

    assert [(row["event"], row["request_id"]) for row in log.read()] == [
        ("intent", "a"),
        ("outcome", "a"),
        ("refused", "b"),
    ]
    assert log.pending_runs() == []
    assert log.verify().intact


@pytest.mark.usefixtures("impatient")
def test_read_only(path: Path, log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that can't be written refuses at once, and is tried anew each time."""
    connect = sqlite3.connect

    def reading(name: str, **options: Any) -> sqlite3.Connection:
        return connect(name.replace("mode=rw", "mode=ro"), **options)

    with running(path) as writer:
        with monkeypatch.context() as patch:
            patch.setattr("seks_addon.database.sqlite3.connect", reading)
            started = time.monotonic()
            with pytest.raises(AuditError, match="read-only"):
                asyncio.run(writer.intent(record()))
            assert time.monotonic() - started < 1

        assert asyncio.run(writer.intent(record())) == 1


@pytest.mark.usefixtures("impatient")
def test_missing(path: Path) -> None:
    """A log that isn't there refuses, and isn't made anew."""
    other = path.with_name("other.db")

    with running(other) as writer, pytest.raises(AuditError, match="missing"):
        asyncio.run(writer.intent(record()))

    assert not other.exists()


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


class StubLog:
    """A log whose file answers as it is told."""

    def __init__(self, answer: Callable[[Sequence[Entry]], list[int]]) -> None:
        self.append = answer

    def close(self) -> None:
        """Nothing is open."""


def test_a_disk_that_hangs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An intent doesn't wait for ever; what reaches the disk late is settled."""
    monkeypatch.setattr(writer_module, "PATIENCE", -0.8)
    hangs, written = threading.Event(), []

    def append(entries: Sequence[Entry]) -> list[int]:
        hangs.wait(10)
        written.extend(entries)
        return list(range(len(written) - len(entries) + 1, len(written) + 1))

    with running(path, open_log=lambda *_, **__: StubLog(append)) as writer:
        with pytest.raises(AuditError, match="doesn't answer"):
            asyncio.run(writer.intent(record(request_id="a")))
        hangs.set()
        wait_until(lambda: len(written) == 2)

    assert [(entry.record.event, entry.record.reason, entry.settles) for entry in written] == [
        (Event.INTENT, None, None),
        (Event.OUTCOME, "interrupted", 1),
    ]
    assert written[1].record.outcome is Outcome.FAILED


def test_one_bad_record(path: Path, log: AuditLog) -> None:
    """A record that can't be written doesn't take the others of its batch with it."""

    async def flood(writer: AuditWriter) -> list[int | BaseException]:
        bad, good = record(status=2**70), record(request_id="good")
        return await asyncio.gather(*(writer.intent(r) for r in (good, bad, good)), return_exceptions=True)

    with running(path) as writer:
        first, bad, last = asyncio.run(flood(writer))
        assert asyncio.run(writer.intent(record(request_id="good"))) == 3

    assert (first, last) == (1, 2)
    assert isinstance(bad, AuditError)
    assert [row["request_id"] for row in log.read()] == ["good"] * 3
    assert log.verify().intact


@pytest.mark.usefixtures("impatient")
def test_one_bad_record_and_then_a_lock(path: Path) -> None:
    """What was written before the lock isn't written twice, and the writer lives on."""
    written: list[Entry] = []
    calls = iter(range(100))

    def append(entries: Sequence[Entry]) -> list[int]:
        if len(entries) > 1 and not written:
            raise OverflowError("one of these is bad")
        if len(written) == 1 and next(calls) == 0:
            raise DatabaseBusyError("locked")
        written.extend(entries)
        return list(range(len(written) - len(entries) + 1, len(written) + 1))

    begun = threading.Event()

    def open_log(*_: object, **__: object) -> StubLog:
        begun.wait(5)
        return StubLog(append)

    with running(path, open_log=open_log) as writer:
        for number in range(3):
            writer.note(record(Event.REFUSED, status=number))
        begun.set()
        wait_until(lambda: len(written) == 3)
        asyncio.run(writer.intent(record(status=3)))

    assert [entry.record.status for entry in written] == [0, 1, 2, 3]


@pytest.mark.usefixtures("impatient")
def test_many_wait_for_a_broken_log(path: Path) -> None:
    """More outcomes than go into one change wait without keeping a processor busy, and don't hold up the end."""
    opened: list[float] = []

    def open_log(*_: object, **__: object) -> AuditLog:
        opened.append(time.monotonic())
        raise DatabaseError("the disk is full")

    with running(path, open_log=open_log) as writer:
        for _ in range(writer_module.BATCH * 2):
            writer.note(record(Event.REFUSED))
        wait_until(lambda: len(opened) >= 2)
        time.sleep(0.5)
        tries = len(opened)
        ending = time.monotonic()

    assert tries < 15
    assert time.monotonic() - ending < 3


@pytest.mark.usefixtures("impatient")
def test_many_waited_for_a_broken_log(path: Path, log: AuditLog) -> None:
    """All of them are written once it is mended, in order."""
    broken = True

    def open_log(file: Path, timeout: float) -> AuditLog:
        if broken:
            raise DatabaseError("the disk is full")
        return AuditLog(file, timeout=timeout)

    total = writer_module.BATCH * 2 + 10
    with running(path, open_log=open_log) as writer:
        for number in range(total):
            writer.note(record(Event.REFUSED, status=number))
        time.sleep(0.3)
        broken = False
        wait_until(lambda: committed(path) == total)

    assert [row["status"] for row in log.read()] == list(range(total))


def test_too_many_wait(path: Path, log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is bounded: one more is refused at once."""
    monkeypatch.setattr(writer_module, "CAPACITY", 3)
    mended = threading.Event()

    def open_log(file: Path, timeout: float) -> AuditLog:
        mended.wait(5)
        return AuditLog(file, timeout=timeout)

    with running(path, open_log=open_log) as writer:
        writer.note(record(Event.REFUSED))
        wait_until(writer._queue.empty)
        for _ in range(3):
            writer.note(record(Event.REFUSED))
        for act in (writer.note, lambda r: writer.outcome(r, 1), lambda r: asyncio.run(writer.intent(r))):
            with pytest.raises(AuditError, match="too many"):
                act(record())
        mended.set()

    assert log.count() == 4
