"""A vault's file that a disk, or somebody, spoilt: every command says so in a line or two, and none says a lie."""

import contextlib
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from seks_addon.errors import SeksError
from seks_addon.home import Home
from tests.cli.conftest import Seks, value
from tests.samples import KEY, OTHER_KEY

PAGE = 4096

COMMANDS = [
    ("vault", "check"),
    ("vault", "list"),
    ("token", "list"),
    ("status",),
    ("env",),
    ("vault", "reencrypt"),
    ("vault", "destroy", "--yes"),
]


def cut(content: bytearray, choose: random.Random) -> None:
    del content[choose.randrange(len(content)) :]


def flip(content: bytearray, choose: random.Random) -> None:
    content[choose.randrange(len(content))] ^= 1 << choose.randrange(8)


def scatter(content: bytearray, choose: random.Random) -> None:
    for _ in range(20):
        content[choose.randrange(len(content))] = choose.randrange(256)


def repeat_a_page(content: bytearray, choose: random.Random) -> None:
    source, target = (choose.randrange(len(content) // PAGE) * PAGE for _ in range(2))
    content[target : target + PAGE] = content[source : source + PAGE]


@pytest.mark.parametrize("spoil", [cut, flip, scatter, repeat_a_page])
def test_spoilt(
    ready: Seks, home: Home, add: Callable[..., str], spoil: Callable[[bytearray, random.Random], None]
) -> None:
    """Ten times, each another place; what is still read is what was stored."""
    add("groq", OTHER_KEY)
    add("openai", KEY)
    with closing(sqlite3.connect(home.vault)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole, epoch = home.vault.read_bytes(), home.epoch.read_bytes()

    for seed in range(10):
        content = bytearray(whole)
        spoil(content, random.Random(seed))
        for path in home.root.glob("vault.db*"):
            path.unlink()
        home.vault.touch(0o600)
        home.vault.write_bytes(content)
        home.epoch.write_bytes(epoch)

        with contextlib.suppress(SeksError):
            assert value(ready) == KEY
        for words in COMMANDS:
            result = ready(*words)

            assert result.code in (0, 1, 3), words
            assert "internal error" not in result.err, words
            assert result.code == 0 or result.err or words[1:] == ("check",)
            assert KEY not in result.out + result.err
