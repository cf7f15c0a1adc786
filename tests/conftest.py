"""What all tests share: how properties are tried, how failures are explained, databases that can only be read."""

import os
import sqlite3
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# What they assert is explained as what tests assert is.
pytest.register_assert_rewrite("tests.support", "tests.adversarial.harness", "tests.vectors.plain")

# The programs that are started write as they do for everybody, through a buffer.
os.environ.pop("PYTHONUNBUFFERED", None)

# No deadline: a busy machine is no failure.
settings.register_profile("seks", deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("seks")


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections can't write, as on a file system that is mounted so. Modes don't stop root."""
    connect = sqlite3.connect

    def reading(name: str, **options: Any) -> sqlite3.Connection:
        return connect(name.replace("mode=rw", "mode=ro"), **options)

    monkeypatch.setattr("seks_addon.database.sqlite3.connect", reading)
