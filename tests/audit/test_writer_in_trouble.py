"""Writing records to a log that is locked, read-only, slow or broken: intents are refused, and nothing is lost."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from seks_addon.audit import AuditLog, AuditWriter, Event, Outcome
from seks_addon.audit import writer as writer_module
from seks_addon.audit.log import Entry
from seks_addon.errors import AuditError, DatabaseBusyError, DatabaseError
from tests.audit.conftest import record
from tests.audit.test_writer import committed, locked, running, ticks, wait_until

# There is a log to write to.
pytestmark = pytest.mark.usefixtures("log")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are a tenth as long."""
    monkeypatch.setattr(writer_module, "PATIENCE", 0.2)
    monkeypatch.setattr(writer_module, "RETRY", 0.1)


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
