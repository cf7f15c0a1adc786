"""The audit log's file: appending to the chain, reading it, checking it."""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from seks_addon.audit.record import FIELDS, GENESIS, Event, Outcome, Record, chain_hash
from seks_addon.audit.schema import migrations
from seks_addon.audit.usage import count, hold, usage_of
from seks_addon.database import has_schema, open_database, transaction, translated
from seks_addon.errors import AuditError, SeksError
from seks_addon.lock import COMMAND_TIMEOUT
from seks_addon.policy.limits import Exceeded, Quota
from seks_addon.timing import now, timestamp

#: Nobody appends so many; somebody planted one.
_MAX_SEQ: Final = 2**62
_COLUMNS: Final = ("seq", *FIELDS, "prev_hash", "hash")
_INSERT: Final = f"INSERT INTO records ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - names of ours
_OWED: Final = "WHERE seq IN (SELECT seq FROM pending WHERE run = ?) ORDER BY seq"
_SELECT: Final = f"SELECT {', '.join(_COLUMNS)} FROM records"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Filter:
    """Which records; `since` is inclusive, `until` is not. Times are in the form of `timing.timestamp`."""

    since: str | None = None
    until: str | None = None
    client: str | None = None
    agent: str | None = None
    secret: str | None = None
    outcome: str | None = None

    def where(self) -> tuple[str, list[str]]:
        """An SQL condition and its parameters."""
        conditions = {
            "time >= ?": self.since,
            "time < ?": self.until,
            "client = ?": self.client,
            "agent = ?": self.agent,
            "secret = ?": self.secret,
            "outcome = ?": self.outcome,
        }
        given = {sql: value for sql, value in conditions.items() if value is not None}
        return " AND ".join(given) or "1", list(given.values())


@dataclass(frozen=True, slots=True)
class Verdict:
    """What checking the chain found: how many records, and the first bad one's number and trouble."""

    records: int
    bad_seq: int | None = None
    problem: str | None = None

    @property
    def intact(self) -> bool:
        return self.problem is None

    def to_json(self) -> dict[str, Any]:
        return {"intact": self.intact, "records": self.records, "bad_seq": self.bad_seq, "problem": self.problem}


@dataclass(frozen=True, slots=True)
class Entry:
    """A record to append.

    `run` marks an intent as owed an outcome by that run, `settles` names such an intent. `quotas` are counted with
    the record: where one is reached, neither it nor any other counts, and the record isn't appended.
    """

    record: Record
    run: str | None = None
    settles: int | None = None
    quotas: tuple[Quota, ...] = ()


class AuditLog:
    """One open audit database. Used by one thread at a time."""

    def __init__(
        self, path: Path, *, create: bool = False, timeout: float = COMMAND_TIMEOUT, check_schema: bool = True
    ) -> None:
        """Without `check_schema` a log whose tables or triggers were changed can be opened: for reading it only."""
        self.path = path
        self._db = open_database(path, migrations, create=create, timeout=timeout, check_schema=check_schema)
        self._acts: list[Record] = []

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, entries: Sequence[Entry]) -> list[int | Exceeded]:
        """Append records in one durable change. Other processes may append in between calls.

        Gives each entry's number, or, in its place, the quota that kept it out; the others aren't touched by that.
        """
        with transaction(self._db, self.path):
            return self._append(entries)

    def _append(self, entries: Sequence[Entry]) -> list[int | Exceeded]:
        results: list[int | Exceeded] = []
        last = self._db.conn.execute("SELECT seq, hash FROM records ORDER BY seq DESC LIMIT 1").fetchone()
        seq, prev_hash = last or (0, GENESIS)
        if seq > _MAX_SEQ:
            raise _damaged(self.path)
        for entry in entries:
            try:
                count(self._db.conn, entry.quotas)
            except Exceeded as exceeded:
                results.append(exceeded)
                continue
            seq += 1
            fields = entry.record.to_json()
            own_hash = chain_hash(seq, fields, prev_hash)
            self._db.conn.execute(_INSERT, (seq, *fields.values(), prev_hash, own_hash))
            if entry.run is not None:
                self._db.conn.execute("INSERT INTO pending (seq, run) VALUES (?, ?)", (seq, entry.run))
                hold(self._db.conn, entry.quotas, seq)
            if entry.settles is not None:
                self._db.conn.execute("DELETE FROM pending WHERE seq = ?", (entry.settles,))
            prev_hash = own_hash
            results.append(seq)
        return results

    def admin(self, act: str, **fields: Any) -> None:
        """Record an act of administration, such as `vault.add`, before it takes effect."""
        act_record = Record(time=timestamp(now()), event=Event.ADMIN, outcome=Outcome.ALLOWED, reason=act, **fields)
        self.append([Entry(act_record)])
        self._acts.append(act_record)

    @contextlib.contextmanager
    def administration(self) -> Iterator[None]:
        """Record every act of the block once more, as `failed`, where the block raises."""
        self._acts.clear()
        try:
            yield
        except BaseException:
            time = timestamp(now())
            failed = [dataclasses.replace(act, time=time, outcome=Outcome.FAILED) for act in self._acts]
            # Why the block failed matters more than that this can't be written.
            with contextlib.suppress(SeksError):
                self.append([Entry(act) for act in failed])
            raise

    def pending_runs(self) -> list[str]:
        """The runs that owe outcomes."""
        with translated(self.path):
            return [row[0] for row in self._db.conn.execute("SELECT DISTINCT run FROM pending")]

    def interrupt(self, runs: Iterable[str]) -> int:
        """Give every intent that a dead run owes its outcome: failed, `interrupted`; gives their number."""
        dead = list(runs)
        if not dead:
            return 0
        # One change: workers that start at the same moment must not both settle an intent.
        with _readable(self.path), transaction(self._db, self.path):
            entries = []
            for run in dead:
                for row in self._rows(f"{_SELECT} {_OWED}", [run]):
                    record = dataclasses.replace(
                        Record.from_row(row),
                        time=timestamp(now()),
                        event=Event.OUTCOME,
                        outcome=Outcome.FAILED,
                        reason="interrupted",
                    )
                    entries.append(Entry(record, settles=row["seq"]))
            self._append(entries)
        return len(entries)

    def read(
        self, wanted: Filter | None = None, *, last: int | None = None, after: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Give the records that `wanted` asks for as they are printed, oldest first.

        `last` takes that many from the end, `after` those with a higher number.
        """
        condition, parameters = (wanted or Filter()).where()
        if after is not None:
            condition, parameters = f"{condition} AND seq > ?", [*parameters, str(after)]
        sql = f"{_SELECT} WHERE {condition} ORDER BY seq"
        if last is not None:
            sql = f"SELECT * FROM ({sql} DESC LIMIT {int(last)}) ORDER BY seq"  # noqa: S608
        yield from self._rows(sql, parameters)

    def uses(self, subject: str) -> int:
        """How often a secret or token was used, by its id; of one without limits nothing is known."""
        with translated(self.path):
            return usage_of(self._db.conn, subject).uses

    def count(self) -> int:
        with translated(self.path):
            return int(self._db.conn.execute("SELECT count(*) FROM records").fetchone()[0])

    def verify(self) -> Verdict:
        """Walk the chain from its beginning and say where it is broken."""
        verdict = verify(self._rows(f"{_SELECT} ORDER BY seq", []))
        if verdict.intact and not has_schema(self._db, migrations):
            return Verdict(verdict.records, None, "the tables or triggers were changed: records may be missing")
        return verdict

    def _rows(self, sql: str, parameters: Sequence[Any]) -> Iterator[dict[str, Any]]:
        with translated(self.path):
            for row in self._db.conn.execute(sql, parameters):
                yield as_printed(dict(zip(_COLUMNS, row, strict=True)))


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except ValueError:
        raise _damaged(path) from None


def _damaged(path: Path) -> AuditError:
    return AuditError(f"{path} holds a record that SEKS didn't write", hint="see `seks audit verify`")


def as_printed(row: dict[str, Any]) -> dict[str, Any]:
    """Put a record's fields in the order of the interface: number, time, request, then the rest."""
    head = ("seq", "time", "request_id")
    return {name: row[name] for name in (*head, *(name for name in row if name not in head))}


def verify(rows: Iterable[dict[str, Any]]) -> Verdict:
    """Check a chain of printed records from number 1 on."""
    seq, prev_hash = 0, GENESIS
    for row in rows:
        seq += 1
        problem = None
        if row["seq"] != seq:
            problem = f"record {seq} is missing"
        elif row["prev_hash"] != prev_hash:
            problem = "it doesn't hang from the record before it"
        elif row["hash"] != chain_hash(seq, {name: row[name] for name in FIELDS}, prev_hash):
            problem = "its content was changed"
        if problem:
            return Verdict(seq - 1, seq, problem)
        prev_hash = row["hash"]
    return Verdict(seq)
