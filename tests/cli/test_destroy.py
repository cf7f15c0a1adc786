"""`seks vault reencrypt` and `destroy`."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from seks_addon.home import Home
from seks_addon.secret import Secret
from seks_addon.vault import Vault
from seks_cli import terminal
from tests.cli.conftest import Seks, acts, assert_refused, records, value
from tests.samples import KEY, OTHER_KEY, binding


def test_reencrypt(ready: Seks, home: Home, add: Callable[..., str]) -> None:
    """All is as before to see, under other keys."""
    token = add("openai", KEY)
    before, seal_key = ready("vault", "show", "openai").out, ready("vault", "seal-key").out

    result = ready("vault", "reencrypt")

    assert (result.code, result.out) == (0, "")
    assert value(ready) == KEY
    assert ready("vault", "show", "openai").out == before
    assert ready("token", "show", token, "--json").json["state"] == "live"
    assert ready("vault", "seal-key").out != seal_key
    assert acts(ready)[-1] == "vault.reencrypt"


def test_destroy_wants_to_be_meant(ready: Seks, add: Callable[..., str]) -> None:
    """Without a terminal to ask on and without --yes, it is wrong usage."""
    add("openai", KEY)

    assert_refused(ready("vault", "destroy"), "--yes", code=2)

    assert value(ready) == KEY
    assert acts(ready)[-1] == "vault.add"


def test_destroy(ready: Seks, home: Home, add: Callable[..., str]) -> None:
    """Everything of everybody; prints the agents' new passwords."""
    add("openai", KEY)
    ready("client", "add", "acme")
    ready("vault", "add", "groq", "--client", "acme", "--stdin", stdin=OTHER_KEY)

    result = ready("vault", "destroy", "--yes")

    assert result.code == 0
    assert "Destroyed 2 secrets" in result.err
    assert [line.split()[0] for line in result.out.splitlines()] == ["acme/default", "default"]
    assert ready("vault", "list", "--json").json == ready("token", "list", "--json").json == []
    assert [r["client"] for r in records(ready) if r["reason"] == "vault.destroy"] == ["acme", "default"]
    with Vault.open(home) as vault:
        for line in result.out.splitlines():
            assert vault.agents.authenticate(*line.split())


def test_destroy_one_client_s(ready: Seks, add: Callable[..., str]) -> None:
    """Others' stay."""
    add("openai", KEY)
    ready("client", "add", "acme")
    ready("vault", "add", "groq", "--client", "acme", "--stdin", stdin=OTHER_KEY)

    result = ready("vault", "destroy", "--client", "acme", "--yes", "--json")

    assert (result.json["destroyed"], list(result.json["passwords"])) == (1, ["acme/default"])
    assert value(ready) == KEY
    assert_refused(ready("vault", "destroy", "--client", "nobody", "--yes"), "nobody")


def test_destroy_what_was_added_at_its_prompt(
    ready: Seks, home: Home, add: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every client is every client at the moment of the change."""

    def confirm(*_: object, **__: object) -> None:
        with Vault.open(home) as vault:
            client = vault.clients.add("late")
            vault.agents.add(client, "robot")
            vault.secrets.add(client, "groq", Secret(OTHER_KEY), binding())

    add("openai", KEY)
    monkeypatch.setattr(terminal, "confirm", confirm)

    result = ready("vault", "destroy", "--yes", "--json")

    assert (result.json["destroyed"], list(result.json["passwords"])) == (2, ["default", "late/robot"])
    assert [r["client"] for r in records(ready) if r["reason"] == "vault.destroy"] == ["default", "late"]
    assert ready("vault", "list", "--json").json == []
    assert ready("vault", "check").code == 0


def test_destroy_counts(ready: Seks, add: Callable[..., str]) -> None:
    """One is one."""
    add("openai", KEY)

    assert "the 1 secret of every client" in ready("vault", "destroy").err
    assert "Destroyed 1 secret of every client" in ready("vault", "destroy", "--yes").err
    assert "Destroyed 0 secrets of every client" in ready("vault", "destroy", "--yes").err


def test_destroy_with_a_reader_in_the_way(
    ready: Seks, home: Home, add: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agents' passwords are said before it is said that remnants may be left."""
    add("openai", KEY)
    monkeypatch.setitem(Vault.open.__kwdefaults__, "timeout", 0.1)
    shutil.copy(home.vault, home.damaged_vault)
    with closing(sqlite3.connect(home.vault, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM secrets").fetchall()

        result = ready("vault", "destroy", "--yes")

    assert result.code == 1
    assert "remnants" in result.err
    with Vault.open(home) as vault:
        assert vault.agents.authenticate(*result.last.split())
    assert not home.damaged_vault.exists()


def test_destroy_removes_what_a_restore_put_aside(ready: Seks, home: Home, add: Callable[..., str]) -> None:
    add("openai", KEY)
    shutil.copy(home.vault, home.damaged_vault)

    result = ready("vault", "destroy", "--yes")

    assert (result.code, home.damaged_vault.exists()) == (0, False)
    assert str(home.damaged_vault) in result.err
