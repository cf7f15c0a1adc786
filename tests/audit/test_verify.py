"""Checking the chain: whatever is changed, taken out or put in, it breaks there."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.audit import AuditLog, Event
from seks_addon.audit.log import verify
from seks_addon.audit.record import FIELDS, GENESIS, chain_hash
from tests.audit.conftest import record
from tests.audit.test_log import Row, Tamper, fill


def rehash(rows: list[Row], start: int = 0) -> list[Row]:
    """Number and chain rows anew from `start` on, as somebody would who knows how."""
    done = rows[:start]
    for row in rows[start:]:
        seq, prev_hash = len(done) + 1, done[-1]["hash"] if done else GENESIS
        own_hash = chain_hash(seq, {name: row[name] for name in FIELDS}, prev_hash)
        done.append({**row, "seq": seq, "prev_hash": prev_hash, "hash": own_hash})
    return done


CHAIN = rehash(
    [{**record(Event.REFUSED, time="2026-01-01T00:00:00.000000Z", request_id=f"r{n}").to_json()} for n in range(6)]
)


def test_triggers(path: Path, log: AuditLog) -> None:
    """A mistake doesn't change what was recorded."""
    fill(log)

    with closing(sqlite3.connect(path)) as other:
        for statement in ("UPDATE records SET status = 200", "DELETE FROM records"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                other.execute(statement)
    assert log.verify().records == 5


@pytest.mark.parametrize("column", [*FIELDS, "prev_hash", "hash"])
def test_any_edited_field(log: AuditLog, tamper: Tamper, column: str) -> None:
    """Another value in any field of any record is told, with the record's number."""
    fill(log)
    value = "7" if column in {"port", "status", "request_bytes", "response_bytes", "scrubbed", "duration_ms"} else "'x'"
    tamper(f"UPDATE records SET {column} = {value} WHERE seq = 3")

    verdict = log.verify()

    assert not verdict.intact
    assert (verdict.records, verdict.bad_seq) == (2, 3)
    assert verdict.to_json()["problem"]


@pytest.mark.parametrize(
    ("statements", "bad", "problem"),
    [
        (["DELETE FROM records WHERE seq = 1"], 1, "missing"),
        (["DELETE FROM records WHERE seq = 3"], 3, "missing"),
        (["DELETE FROM records WHERE seq = 3", "UPDATE records SET seq = seq - 1 WHERE seq > 3"], 3, "hang"),
        (
            [
                "UPDATE records SET seq = 99 WHERE seq = 2",
                "UPDATE records SET seq = 2 WHERE seq = 3",
                "UPDATE records SET seq = 3 WHERE seq = 99",
            ],
            2,
            "hang",
        ),
        (
            [
                "UPDATE records SET seq = seq + 100 WHERE seq > 2",
                "INSERT INTO records SELECT 3, "
                + ", ".join([*FIELDS, "prev_hash", "hash"])
                + " FROM records WHERE seq = 2",
                "UPDATE records SET seq = seq - 99 WHERE seq > 100",
            ],
            3,
            "hang",
        ),
        (["UPDATE records SET status = NULL WHERE seq = 5"], 5, "changed"),
        (["UPDATE records SET seq = 0 WHERE seq = 1"], 1, "missing"),
    ],
)
def test_tampering(log: AuditLog, tamper: Tamper, statements: list[str], bad: int, problem: str) -> None:
    """Deleted, renumbered, swapped, doubled: the first bad record is named."""
    fill(log)
    tamper(*statements)

    verdict = log.verify()

    assert (verdict.intact, verdict.bad_seq) == (False, bad)
    assert problem in (verdict.problem or "")


@given(st.integers(0, len(CHAIN) - 1), st.sampled_from(["seq", *FIELDS, "prev_hash", "hash"]), st.data())
def test_any_edit_of_an_export(index: int, name: str, data: st.DataObject) -> None:
    """Whatever one field of one record becomes, the chain breaks there, or right behind."""
    value = data.draw(st.none() | st.integers() | st.text(max_size=5) | st.just("0" * 64))
    rows = [dict(row) for row in CHAIN]
    changed = value != rows[index][name]
    rows[index][name] = value

    verdict = verify(rows)

    assert verdict.intact != changed
    if changed:
        assert verdict.bad_seq == index + 1
        assert verdict.records == index


@given(st.permutations(CHAIN) | st.lists(st.sampled_from(CHAIN), min_size=1, max_size=8))
def test_any_other_order_of_an_export(rows: list[Row]) -> None:
    """Records left out, doubled or in another order: intact is only what begins as the log does."""
    verdict = verify(rows)

    assert verdict.intact == (rows == CHAIN[: len(rows)])
    if not verdict.intact:
        assert rows[: verdict.records] == CHAIN[: verdict.records]
        assert rows[: verdict.records + 1] != CHAIN[: verdict.records + 1]


@given(st.integers(0, len(CHAIN)), st.text(max_size=5))
def test_an_inserted_record(index: int, host: str) -> None:
    """A record that was slipped in, hashed as it should be, doesn't fit what follows."""
    forged = {**CHAIN[0], "host": host}
    rows = rehash([*CHAIN[:index], forged], index) + CHAIN[index:]

    assert verify(rows).intact == (index == len(CHAIN))


@given(st.integers(0, len(CHAIN) - 2))
def test_an_edit_that_was_hashed_again(index: int) -> None:
    """Hashing the edited record again moves the break to the next one."""
    rows = [dict(row) for row in CHAIN]
    rows[index]["status"] = 200
    repaired = [*rehash(rows[: index + 1], index), *rows[index + 1 :]]

    verdict = verify(repaired)

    assert (verdict.intact, verdict.bad_seq) == (False, index + 2)
