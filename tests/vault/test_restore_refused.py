"""Copies that aren't put in the vault's place, and a restore that fails half-way: the vault stays as it was."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from seks_addon.errors import DatabaseError, HomeError, SeksError, VaultError
from seks_addon.home import TEMPORARY, Home
from seks_addon.vault import Vault, backup, check, epoch, rotation
from seks_addon.vault.keysource import KeyFile
from tests.samples import KEY, OTHER_KEY, new_home
from tests.vault.conftest import Tenant, no_progress, tenant
from tests.vault.test_restore import restore


def live(home: Home) -> list[str]:
    """All that is in the live vault."""
    with closing(sqlite3.connect(home.vault)) as connection:
        return list(connection.iterdump())


def spoil(copy: Path, how: str) -> None:
    whole = copy.read_bytes()
    match how:
        case "garbage":
            copy.write_bytes(b"this is no database, " * 500)
        case "cut short":
            copy.write_bytes(whole[: len(whole) // 2])
        case "empty":
            copy.write_bytes(b"")
        case "gone":
            copy.unlink()
        case "folder":
            copy.unlink()
            copy.mkdir()
        case "another format":
            change(copy, "UPDATE meta SET value = x'39' WHERE key = 'format'")
        case "a changed row":
            change(copy, "UPDATE tokens SET expires = '2100-01-01T00:00:00.000000Z'")
        case "a damaged value":
            change(copy, "UPDATE secret_values SET record = x'00'")
        case "another program's":
            copy.unlink()
            change(copy, "CREATE TABLE notes (text TEXT)")


def change(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql)


@pytest.mark.parametrize(
    "how",
    [
        "garbage",
        "cut short",
        "empty",
        "gone",
        "folder",
        "another format",
        "a changed row",
        "a damaged value",
        "another program's",
    ],
)
def test_restore_what_is_no_backup(home: Home, vault: Vault, acme: Tenant, copy: Path, how: str) -> None:
    """It is checked whole first; the live vault stays as it was."""
    before = live(home)
    spoil(copy, how)

    with pytest.raises(SeksError) as caught:
        restore(home, copy, accept_older=True)

    assert caught.value.hint or how in {"gone", "folder"}
    assert live(home) == before
    assert not [path for path in home.root.iterdir() if path.name.startswith(TEMPORARY)]


@pytest.mark.parametrize("key", ["its own", "the same"])
def test_restore_another_vault_s(
    home: Home, vault: Vault, acme: Tenant, tmp_path: Path, template: Home, key: str
) -> None:
    """A copy of another vault isn't put in this one's place, even under the same master key."""
    (tmp_path / "other").mkdir()
    other_home, target = new_home(tmp_path / "other"), tmp_path / "other.db"
    with Vault.create(other_home, KeyFile(home.master_key) if key == "the same" else None) as other:
        tenant(other, "stranger", OTHER_KEY)
        backup.backup(other, target, no_progress)
    before = live(home)

    with pytest.raises(VaultError, match="another vault" if key == "the same" else "not this vault's"):
        restore(home, target)

    assert live(home) == before
    assert json.loads(home.epoch.read_bytes())["vault"] == vault.id


def test_restore_from_before_another_master_key(home: Home, vault: Vault, acme: Tenant, copy: Path) -> None:
    """It wants the old key: without it nothing changes, with it all is as before."""
    kept = home.master_key.read_bytes()
    rotation.rekey(vault, KeyFile(home.master_key, replaces=True))
    with pytest.raises(VaultError, match="not this vault's"):
        restore(home, copy, accept_older=True)
    vault.refresh()
    home.master_key.write_bytes(kept)

    restore(home, copy, accept_older=True)

    with Vault.open(home) as again:
        assert again.secrets.reveal(acme.secret.id, acme.client.id).reveal() == KEY


class FullDisk:
    """A connection that can't be copied from."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def backup(self, *_: object, **__: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")


@pytest.mark.parametrize("step", ["check", "copy", "prepare"])
def test_restore_that_fails_half_way(
    home: Home, vault: Vault, acme: Tenant, copy: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The live vault is as it was."""
    vault.tokens.revoke(acme.token)
    before = live(home)

    def fail(*_: object) -> None:
        raise DatabaseError("half way")

    with monkeypatch.context() as patch:
        if step == "copy":
            patch.setattr(Vault, "connection", property(lambda self: FullDisk(self._db.conn)))
        else:
            patch.setattr(*((backup, "check") if step == "check" else (epoch, "write_over")), fail)
        with pytest.raises(DatabaseError, match="disk I/O" if step == "copy" else "half way"):
            restore(home, copy, accept_older=True)

    with Vault.open(home) as again:
        assert again.tokens.get(acme.token.id).state == "revoked"
        assert check.check(again, no_progress) == []
    assert live(home) == before
    assert not [path for path in home.root.iterdir() if path.name.startswith(TEMPORARY)]


def test_restore_whose_epoch_cannot_take_its_place(
    home: Home,
    vault: Vault,
    acme: Tenant,
    copy: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The copy is in place by then: it is done, with a warning."""
    vault.tokens.revoke(acme.token)

    def fail(*_: object) -> None:
        raise HomeError("can't write it")

    with monkeypatch.context() as patch:
        patch.setattr(epoch, "move_over", fail)
        restore(home, copy, accept_older=True)

    assert "can't write it" in caplog.text
    with Vault.open(home) as again:
        assert again.tokens.get(acme.token.id).state == "live"
