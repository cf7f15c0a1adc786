"""The audit log's file: appending, reading, checking."""

import dataclasses
import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seks_addon.audit import AuditLog, Event, Filter, Outcome
from seks_addon.audit.log import Entry, verify
from seks_addon.audit.record import GENESIS
from seks_addon.errors import DatabaseBusyError, DatabaseError
from tests.audit.conftest import record

type Tamper = Callable[..., None]
type Row = dict[str, Any]


def fill(log: AuditLog, count: int = 5) -> None:
    log.append([Entry(record(Event.REFUSED, request_id=f"req_{number}", status=403)) for number in range(count)])


def test_append(log: AuditLog) -> None:
    """Records are numbered from one on and hang from one another."""
    assert log.append([Entry(record()), Entry(record())]) == [1, 2]
    assert log.append([]) == []
    assert log.append([Entry(record())]) == [3]

    rows = list(log.read())
    assert [row["seq"] for row in rows] == [1, 2, 3]
    assert [row["prev_hash"] for row in rows] == [GENESIS, rows[0]["hash"], rows[1]["hash"]]
    assert log.verify() == dataclasses.replace(log.verify(), records=3, bad_seq=None)
    assert log.count() == 3


def test_administration_that_fails(log: AuditLog) -> None:
    """Each act is on record before it is done, and once more where it then failed; others aren't."""
    log.admin("vault.backup")
    with log.administration():
        log.admin("vault.add", client="acme", secret="api")

    def revoke_and_fail() -> None:
        with log.administration():
            log.admin("token.revoke", token_id="tok_1")
            log.admin("token.revoke", token_id="tok_2")
            assert log.count() == 4
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        revoke_and_fail()

    rows = [(row["reason"], row["token_id"], row["outcome"]) for row in log.read()]
    assert rows == [
        ("vault.backup", None, "allowed"),
        ("vault.add", None, "allowed"),
        ("token.revoke", "tok_1", "allowed"),
        ("token.revoke", "tok_2", "allowed"),
        ("token.revoke", "tok_1", "failed"),
        ("token.revoke", "tok_2", "failed"),
    ]
    assert {row["event"] for row in log.read()} == {"admin"}
    assert log.verify().intact


def test_administration_that_cannot_be_recorded_as_failed(log: AuditLog) -> None:
    """What went wrong first is what is said."""

    def add_and_fail() -> None:
        with log.administration():
            log.admin("vault.add")
            log.close()
            raise ValueError("the first")

    with pytest.raises(ValueError, match="the first"):
        add_and_fail()


def test_empty(log: AuditLog) -> None:
    """A log without records is intact."""
    assert log.verify().to_json() == {"intact": True, "records": 0, "bad_seq": None, "problem": None}
    assert list(log.read()) == []


def test_private(path: Path) -> None:
    """The files are their owner's alone, under any umask."""
    old = os.umask(0)
    try:
        with AuditLog(path, create=True) as log:
            fill(log)
            modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(old)

    assert modes == {0o600}


def test_printed_form(log: AuditLog) -> None:
    """A record is printed with the fields of the contract, in its order, as JSON can say it."""
    log.append([Entry(record(Event.OUTCOME, outcome=Outcome.FAILED, reason="internal", port=443, host="é.example"))])

    [row] = log.read()

    assert list(row) == [
        *("seq", "time", "request_id", "event", "outcome", "reason", "client", "agent", "secret", "provider"),
        *("token_id", "source_ip", "method", "scheme", "host", "port", "path", "status", "request_bytes"),
        *("response_bytes", "scrubbed", "duration_ms", "prev_hash", "hash"),
    ]
    assert (row["event"], row["outcome"], row["port"], row["host"]) == ("outcome", "failed", 443, "é.example")
    assert verify([json.loads(json.dumps(row))]).intact


def test_several_writers(path: Path, log: AuditLog) -> None:
    """Processes that append at the same time make one chain."""

    def write() -> None:
        with AuditLog(path) as own:
            for _ in range(20):
                fill(own, 2)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert log.verify().to_json() == {"intact": True, "records": 160, "bad_seq": None, "problem": None}


def test_append_is_whole(log: AuditLog) -> None:
    """Where one record of several can't be written, none is."""
    fill(log, 1)

    with pytest.raises(OverflowError):
        log.append([Entry(record()), Entry(record(status=2**70))])

    assert log.count() == 1
    fill(log, 1)
    assert log.verify().records == 2


def test_admin(log: AuditLog) -> None:
    """An act of administration is a record."""
    log.admin("vault.add", client="acme", secret="api")

    [row] = log.read()
    assert (row["event"], row["outcome"], row["reason"]) == ("admin", "allowed", "vault.add")
    assert (row["client"], row["secret"]) == ("acme", "api")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(), [1, 2, 3, 4]),
        (Filter(since="2026-01-02T00:00:00.000000Z"), [2, 3, 4]),
        (Filter(until="2026-01-02T00:00:00.000000Z"), [1]),
        (Filter(since="2026-01-02T00:00:00.000000Z", until="2026-01-03T00:00:00.000000Z"), [2]),
        (Filter(client="acme"), [1, 2]),
        (Filter(client="acme", agent="two"), [2]),
        (Filter(secret="api"), [3]),
        (Filter(outcome="failed"), [4]),
        (Filter(client="' OR 1=1 --"), []),
        (Filter(client=""), []),
    ],
)
def test_filter(log: AuditLog, wanted: Filter, found: list[int]) -> None:
    """Every condition narrows; a span has its beginning and not its end."""
    log.append(
        [
            Entry(record(time="2026-01-01T23:59:59.999999Z", client="acme", agent="one")),
            Entry(record(time="2026-01-02T00:00:00.000000Z", client="acme", agent="two")),
            Entry(record(time="2026-01-03T00:00:00.000000Z", client="rival", secret="api")),
            Entry(record(time="2026-01-03T00:00:00.000000Z", outcome=Outcome.FAILED)),
        ]
    )

    assert [row["seq"] for row in log.read(wanted)] == found


def test_last_and_after(log: AuditLog) -> None:
    """The end of the log, and what came since, oldest first; by number, not by text."""
    fill(log, 12)

    assert [row["seq"] for row in log.read(last=3)] == [10, 11, 12]
    assert [row["seq"] for row in log.read(last=99)] == list(range(1, 13))
    assert [row["seq"] for row in log.read(after=9)] == [10, 11, 12]
    assert [row["seq"] for row in log.read(after=12)] == []
    assert [row["seq"] for row in log.read(Filter(outcome="allowed"), last=2, after=3)] == [11, 12]


def test_pending(log: AuditLog) -> None:
    """An intent is owed an outcome until it has one."""
    log.append([Entry(record(), run="run_1"), Entry(record(), run="run_2"), Entry(record(Event.REFUSED))])
    assert sorted(log.pending_runs()) == ["run_1", "run_2"]

    log.append([Entry(record(Event.OUTCOME), settles=1)])

    assert log.pending_runs() == ["run_2"]


def test_interrupt(log: AuditLog) -> None:
    """Each intent of a dead run gets one outcome that says so, others' don't."""
    log.append(
        [
            Entry(record(request_id="a", secret="api", client="acme"), run="run_1"),
            Entry(record(request_id="b"), run="run_2"),
            Entry(record(request_id="c"), run="run_1"),
            Entry(record(Event.OUTCOME, request_id="c"), settles=3),
            Entry(record(request_id="d"), run="run_3"),
        ]
    )

    assert log.interrupt(["run_1", "run_3", "run_unknown"]) == 2
    assert log.interrupt(["run_1", "run_3"]) == 0
    assert log.interrupt([]) == 0

    outcomes = list(log.read(after=5))
    assert [(row["request_id"], row["event"], row["outcome"], row["reason"]) for row in outcomes] == [
        ("a", "outcome", "failed", "interrupted"),
        ("d", "outcome", "failed", "interrupted"),
    ]
    assert (outcomes[0]["secret"], outcomes[0]["client"]) == ("api", "acme")
    assert log.pending_runs() == ["run_2"]
    assert log.verify().intact


def test_interrupt_by_two_at_once(path: Path, log: AuditLog) -> None:
    """Workers that start at the same moment settle each intent once between them."""
    log.append([Entry(record(request_id=f"req_{number}"), run="run_1") for number in range(20)])
    barrier, settled = threading.Barrier(4), []

    def start() -> None:
        with AuditLog(path) as own:
            barrier.wait()
            settled.append(own.interrupt(["run_1"]))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(settled) == [0, 0, 0, 20]
    assert log.count() == 40


def test_interrupt_looks_and_writes_in_one_change(path: Path, log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between finding what is owed and settling it, nobody else can settle it."""
    log.append([Entry(record(), run="run_1")])
    rows = log._rows

    def others_try_meanwhile(sql: str, parameters: list[Any]) -> list[Row]:
        found = list(rows(sql, parameters))
        with AuditLog(path, timeout=0.1) as other, pytest.raises(DatabaseBusyError):
            other.interrupt(["run_1"])
        return found

    monkeypatch.setattr(log, "_rows", others_try_meanwhile)

    assert log.interrupt(["run_1"]) == 1


def test_damaged(path: Path, log: AuditLog) -> None:
    """A file that is none of ours is an error of ours."""
    fill(log)
    log.close()
    path.write_bytes(b"something else" * 1000)

    with pytest.raises(DatabaseError, match="damaged"):
        AuditLog(path)


def test_missing(path: Path) -> None:
    """A log that is gone isn't quietly begun anew."""
    with pytest.raises(DatabaseError, match="is missing"):
        AuditLog(path)

    assert not path.exists()
