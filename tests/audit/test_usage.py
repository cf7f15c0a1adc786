"""Counting what is limited: with the intent, for all who write, and over restarts."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from seks_addon.audit import AuditLog, AuditWriter, Event
from seks_addon.audit.log import Entry
from seks_addon.errors import AuditError
from seks_addon.policy.limits import Exceeded, Limits, Quota
from tests.audit.conftest import record

OLD = Path(__file__).with_name("schema_1.sql")
RUN = "run_000000000000"

#: A process that tries to use a token so often, and says how often it might.
PROCESS = """
import asyncio, sys
from pathlib import Path
from seks_addon.audit import AuditWriter
from seks_addon.policy.limits import Exceeded, Limits, Quota
from tests.audit.conftest import record

async def use(writer, quota):
    results = await asyncio.gather(*(writer.intent(record(), [quota]) for _ in range(40)), return_exceptions=True)
    assert all(isinstance(result, int | Exceeded) for result in results)
    print(sum(isinstance(result, int) for result in results))

writer = AuditWriter(Path(sys.argv[1]), "run_1")
asyncio.run(use(writer, Quota("tok_1", "x", Limits.parse(sys.argv[2] or None, int(sys.argv[3]), None))))
writer.close()
"""


def quota(
    subject: str = "tok_1", rate: str | None = None, max_uses: int | None = None, max_concurrent: int | None = None
) -> Quota:
    return Quota(subject, f"the token {subject}", Limits.parse(rate, max_uses, max_concurrent))


def intent(*quotas: Quota, run: str = RUN) -> Entry:
    return Entry(record(), run=run, quotas=quotas)


def codes(results: list[int | Exceeded]) -> list[int | str]:
    return [result.code if isinstance(result, Exceeded) else result for result in results]


def rows(path: Path, table: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as other:
        return other.execute(f"SELECT * FROM {table}").fetchall()


def test_nothing_is_counted_without_limits(path: Path, log: AuditLog) -> None:
    """What isn't limited leaves no trace but its record."""
    log.append([intent(), Entry(record(Event.REFUSED))])

    assert rows(path, "usage") == rows(path, "holds") == []
    assert log.uses("tok_1") == 0


def test_uses(log: AuditLog) -> None:
    """Uses count at the intent; one that is refused leaves no record and doesn't disturb its neighbours."""
    limited = quota(max_uses=2)

    results = log.append([intent(limited), intent(), intent(limited), intent(limited), intent(), intent(limited)])

    assert codes(results) == [1, 2, 3, "uses_exhausted", 4, "uses_exhausted"]
    assert log.uses("tok_1") == 2
    assert log.verify().to_json() == {"intact": True, "records": 4, "bad_seq": None, "problem": None}


def test_all_or_none(log: AuditLog) -> None:
    """Where one of several limits is reached, none of them counts."""
    wide, narrow = quota("sec_1", max_uses=9, max_concurrent=9), quota("tok_1", max_uses=1)

    assert codes(log.append([intent(wide, narrow), intent(wide, narrow)])) == [1, "uses_exhausted"]
    assert (log.uses("sec_1"), log.uses("tok_1")) == (1, 1)
    assert codes(log.append([intent(wide)])) == [2]


def test_rate(log: AuditLog) -> None:
    """The rate is that of all changes together."""
    limited = quota(rate="2/day")

    assert codes(log.append([intent(limited)])) == [1]
    [_, exceeded] = log.append([intent(limited), intent(limited)])

    assert isinstance(exceeded, Exceeded)
    assert exceeded.code == "rate_limited"
    assert 43_000 < (exceeded.retry_after or 0) <= 43_200
    assert log.uses("tok_1") == 2


def test_concurrency(path: Path, log: AuditLog) -> None:
    """An intent counts until its outcome, in the same change too."""
    limited, other = quota(max_concurrent=2), quota("tok_2", max_concurrent=1)
    assert codes(log.append([intent(limited), intent(limited), intent(limited), intent(other)])) == [
        *(1, 2, "rate_limited", 3)
    ]

    results = log.append([Entry(record(Event.OUTCOME), settles=1), intent(limited), intent(limited)])

    assert codes(results) == [4, 5, "rate_limited"]
    log.append([Entry(record(Event.OUTCOME), settles=number) for number in (2, 3, 5)])
    assert rows(path, "holds") == []
    assert codes(log.append([intent(limited), intent(limited), intent(other)])) == [9, 10, 11]


def test_settled_twice(log: AuditLog) -> None:
    """An intent that is settled once more gives nobody another place."""
    limited = quota(max_concurrent=1)
    log.append([intent(limited), Entry(record(Event.OUTCOME), settles=1), intent(limited)])

    log.append([Entry(record(Event.OUTCOME), settles=1)])

    assert codes(log.append([intent(limited)])) == ["rate_limited"]


def test_interrupted(log: AuditLog) -> None:
    """What a dead run had under way is under way no more; its uses stay counted."""
    limited = quota(max_concurrent=2, max_uses=5)
    log.append([intent(limited), intent(limited, run="run_living00000")])
    assert codes(log.append([intent(limited)])) == ["rate_limited"]

    log.interrupt([RUN])

    assert codes(log.append([intent(limited), intent(limited)])) == [4, "rate_limited"]
    assert log.uses("tok_1") == 3


def test_restart(path: Path, log: AuditLog) -> None:
    """What was counted stays counted."""
    limited = quota(rate="1/day", max_uses=3)
    log.append([intent(limited)])
    log.close()

    with AuditLog(path) as again:
        assert again.uses("tok_1") == 1
        assert codes(again.append([intent(limited)])) == ["rate_limited"]


def test_what_is_not_written_is_not_counted(log: AuditLog) -> None:
    """A change that fails as a whole counts nothing."""
    with pytest.raises(OverflowError):
        log.append([intent(quota(max_uses=1)), Entry(record(status=2**70))])

    assert log.uses("tok_1") == 0


@pytest.mark.parametrize("rate", ["30/day", ""])
@pytest.mark.usefixtures("log")
def test_processes(path: Path, rate: str) -> None:
    """Several processes that try at the same time come together to the limit exactly."""
    command = [sys.executable, "-c", PROCESS, str(path), rate, "1000" if rate else "30"]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) for _ in range(3)
    ]
    printed = [process.communicate(timeout=60)[0] for process in processes]

    assert sum(map(int, printed)) == 30
    with AuditLog(path) as log:
        assert (log.count(), log.uses("tok_1")) == (30, 30)
        assert log.verify().intact


def test_writer(path: Path, log: AuditLog) -> None:
    """Of many intents at once the limited ones are refused by name, and all others are written."""
    limited = quota(max_uses=5)

    refused: list[Exceeded] = []

    async def one(writer: AuditWriter, *quotas: Quota) -> int:
        try:
            return await writer.intent(record(), quotas)
        except Exceeded as exceeded:
            refused.append(exceeded)
            return 0

    async def flood(writer: AuditWriter) -> list[int]:
        return await asyncio.gather(*(one(writer, *[limited] * (number % 2)) for number in range(40)))

    writer = AuditWriter(path, RUN)
    results = asyncio.run(flood(writer))
    writer.close()

    assert len(refused) == 15
    assert {(one.code, one.subject, one.message) for one in refused} == {
        ("uses_exhausted", "tok_1", "The policy of the token tok_1 allows 5 uses, and there are none left.")
    }
    assert sorted(results) == [0] * 15 + list(range(1, 26))
    assert log.count() == 25


def test_one_bad_record_beside_limited_ones(path: Path, log: AuditLog) -> None:
    """Where a batch is written one by one, each is counted once."""
    limited = quota(max_uses=3)

    async def flood(writer: AuditWriter) -> list[int | BaseException]:
        records = [record(), record(status=2**70), record(), record(), record()]
        return await asyncio.gather(*(writer.intent(one, [limited]) for one in records), return_exceptions=True)

    writer = AuditWriter(path, RUN)
    first, bad, *others = asyncio.run(flood(writer))
    writer.close()

    assert (first, others[:2]) == (1, [2, 3])
    assert isinstance(bad, AuditError)
    assert isinstance(others[2], Exceeded)
    assert log.uses("tok_1") == 3


def test_schema_1(path: Path) -> None:
    """A log of before is brought up to date: its records are kept, its chain holds, what is owed is settled."""
    with closing(sqlite3.connect(path)) as old:
        old.executescript(OLD.read_text())
        before = old.execute("SELECT * FROM records").fetchall()

    with AuditLog(path) as log:
        assert rows(path, "records") == before
        assert log.verify().to_json() == {"intact": True, "records": 3, "bad_seq": None, "problem": None}
        assert log.interrupt(log.pending_runs()) == 1
        assert codes(log.append([intent(quota(max_uses=1)), intent(quota(max_uses=1))])) == [5, "uses_exhausted"]
        assert log.verify().intact


def test_schema_1_by_several_at_once(path: Path) -> None:
    """Workers that start at the same moment bring it up to date once between them."""
    for _ in range(5):
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as old:
            # As SEKS left it. Several that switch it on at once would not wait for each other.
            old.execute("PRAGMA journal_mode=WAL")
            old.executescript(OLD.read_text())
        barrier, opened = threading.Barrier(4), []

        def start(barrier: threading.Barrier = barrier, opened: list[int] = opened) -> None:
            barrier.wait()
            with AuditLog(path) as log:
                opened.append(log.count())

        threads = [threading.Thread(target=start) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert opened == [3] * 4
