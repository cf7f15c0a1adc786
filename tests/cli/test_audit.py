"""`seks audit`: reading the log, following it, checking it."""

import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from seks_addon.audit import AuditLog, Event, Outcome, Record
from seks_addon.audit.log import Entry
from seks_addon.home import Home
from seks_addon.timing import now, timestamp
from seks_cli.audit import line
from tests.cli.conftest import Seks, command, environment


def _append(home: Home, **fields: object) -> None:
    values: dict[str, object] = {
        "time": timestamp(now()),
        "event": Event.REFUSED,
        "outcome": Outcome.REFUSED,
        "reason": "host_not_allowed",
        "client": "default",
        "agent": "default",
        "secret": "openai",
        "source_ip": "127.0.0.1",
        "method": "GET",
        "host": "evil.example",
        "port": 443,
        "path": "/x",
        "status": 403,
    }
    with AuditLog(home.audit) as audit:
        audit.append([Entry(Record(**{**values, **fields}))])  # type: ignore[arg-type]


def test_a_line_says_who_did_what_and_how_it_went(ready: Seks, home: Home) -> None:
    _append(home, client="acme", port=8443)

    shown = ready("audit", "tail", "-n", "1").out

    for part in (
        "refused",
        "acme/default",
        "openai",
        "GET evil.example:8443/x",
        "403",
        "host_not_allowed",
        "127.0.0.1",
    ):
        assert part in shown
    assert shown.count("\n") == 1


def test_nothing_in_a_record_reaches_the_terminal_as_control(ready: Seks, home: Home) -> None:
    """A path was chosen by an agent."""
    _append(home, path="/\x1b]0;pwned\x07\n/\x9b2J\u202e")

    shown = ready("audit", "list").out

    assert not set(shown) & set("\x1b\x07\x9b\u202e")
    assert len(shown.splitlines()) == 2


def test_tail_gives_the_last_ones(ready: Seks, home: Home) -> None:
    for number in range(12):
        _append(home, path=f"/{number}")

    assert [record["seq"] for record in ready("audit", "tail", "--json").json] == list(range(4, 14))
    assert [record["seq"] for record in ready("audit", "tail", "-n", "2", "--json").json] == [12, 13]
    assert ready("audit", "tail", "-n", "0", "--json").json == []
    assert ready("audit", "tail", "-n", "-1").code == 2


def test_list_filters(ready: Seks, home: Home) -> None:
    _append(home, time="2020-05-01T00:00:00.000000Z", agent="bob")
    _append(home, secret="github")

    def seqs(*words: str) -> list[int]:
        return [record["seq"] for record in ready("audit", "list", "--json", *words).json]

    assert seqs() == [1, 2, 3]
    assert seqs("--since", "1h") == [1, 3]
    assert seqs("--until", "2020-05-02") == [2]
    assert seqs("--agent", "bob") == [2]
    assert seqs("--secret", "github") == [3]
    assert seqs("--client", "acme") == []
    assert seqs("--outcome", "refused") == [2, 3]
    assert ready("audit", "list", "--outcome", "splendid").code == 2
    assert ready("audit", "list", "--since", "long ago").code == 2


def test_the_last_of_more_than_a_database_counts(ready: Seks) -> None:
    assert len(ready("audit", "tail", "-n", str(1 << 70), "--json").json) == 1


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"no database")], ids=["lost", "spoilt"])
def test_reading_needs_no_vault(ready: Seks, home: Home, damage: Callable[[Path], object]) -> None:
    """Nor a key, nor the CA: what was done before they were lost is on record."""
    _append(home, secret="openai")
    damage(home.vault)
    home.epoch.unlink()
    home.master_key.unlink()
    home.ca.unlink()

    assert [record["secret"] for record in ready("audit", "list", "--json").json] == [None, "openai"]
    assert "openai" in ready("audit", "tail", "-n", "1").last
    assert "intact" in ready("audit", "verify").out
    home.audit.unlink()
    assert "is missing" in ready("audit", "list").err


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_following_goes_on_until_it_is_interrupted(ready: Seks, home: Home, form: list[str]) -> None:
    """New records come, whole, each on its line; SIGINT ends it quietly."""
    follower = subprocess.Popen(
        command("audit", "tail", "-n", "0", "-f", *form),
        env={**os.environ, **environment(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert follower.stdout is not None
    try:
        # Records come until one arrives: nobody says when it has begun to look.
        os.set_blocking(follower.stdout.fileno(), False)
        shown = ""
        for number in range(100):
            _append(home, path=f"/{number}")
            try:
                follower.wait(0.1)
            except subprocess.TimeoutExpired:
                shown = follower.stdout.readline()
            if shown:
                break
    finally:
        os.set_blocking(follower.stdout.fileno(), True)
        follower.send_signal(signal.SIGINT)
        _, err = follower.communicate(timeout=20)

    assert "evil.example" in shown
    assert not form or json.loads(shown)["event"] == "refused"
    assert follower.returncode == 130
    assert err.strip() == ""


def test_an_intact_chain(ready: Seks) -> None:
    assert ready("audit", "verify").code == 0
    assert ready("audit", "verify", "--json").json == {
        "intact": True,
        "records": 1,
        "bad_seq": None,
        "problem": None,
    }


def test_a_changed_record_is_found(ready: Seks, home: Home) -> None:
    for _ in range(3):
        _append(home)
    with sqlite3.connect(home.audit) as database:
        database.execute("DROP TRIGGER records_no_update")
        database.execute("UPDATE records SET host = 'good.example' WHERE seq = 3")
    database.close()

    result = ready("audit", "verify", "--json")
    plain = ready("audit", "verify")

    assert (result.code, plain.code) == (3, 3)
    assert (result.json["intact"], result.json["bad_seq"]) == (False, 3)
    assert "record 3" in plain.out


def test_a_reader_that_leaves_is_no_trouble(ready: Seks, home: Home, tmp_path: Path) -> None:
    with AuditLog(home.audit) as audit:
        record = Record(time=timestamp(now()), event=Event.ADMIN, outcome=Outcome.ALLOWED, path="/" + "x" * 500)
        audit.append([Entry(record)] * 2000)
    writer = subprocess.Popen(
        command("audit", "list"),
        env={**os.environ, **environment(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert writer.stdout is not None
    writer.stdout.readline()
    writer.stdout.close()

    assert writer.stderr is not None
    assert writer.stderr.read() == b""
    writer.stderr.close()
    assert writer.wait(20) == 1


def test_a_line_of_a_record_that_says_little() -> None:
    empty = dict.fromkeys(
        ("secret", "agent", "client", "port", "method", "host", "path", "status", "reason", "source_ip")
    )

    shown = line({"time": "2026-01-02T03:04:05.678901Z", "event": "intent", "outcome": "allowed", **empty})

    assert shown.split() == ["2026-01-02T03:04:05.678Z", "intent", "allowed", "-", "-", "-", "-", "-", "-", "-"]
