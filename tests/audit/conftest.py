"""An audit log in a folder of its own, and a hand that changes its rows past the library."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from seks_addon.audit import AuditLog, Event, Outcome, Record
from seks_addon.timing import now, timestamp


def record(event: Event = Event.INTENT, **fields: Any) -> Record:
    """A record of this moment."""
    return Record(**{"time": timestamp(now()), "event": event, "outcome": Outcome.ALLOWED, **fields})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.db"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty log: copying it is quicker than making one."""
    path = tmp_path_factory.mktemp("template") / "audit.db"
    AuditLog(path, create=True).close()
    return path


@pytest.fixture
def log(path: Path, template: Path) -> Iterator[AuditLog]:
    """An empty log."""
    shutil.copy(template, path)
    with AuditLog(path) as opened:
        yield opened


@pytest.fixture
def tamper(path: Path) -> Callable[..., None]:
    """Runs statements on the file as somebody would who means it: without the triggers."""

    def run(*statements: str) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DROP TRIGGER IF EXISTS records_no_update")
            connection.execute("DROP TRIGGER IF EXISTS records_no_delete")
            for statement in statements:
                assert connection.execute(statement).rowcount, f"nothing was changed by {statement}"

    return run
