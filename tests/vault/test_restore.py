"""The way back from a copy: whole or not at all, and never unnoticed into the past."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from seks_addon.errors import DatabaseBusyError, DatabaseError, HomeError, SeksError, VaultError
from seks_addon.home import TEMPORARY, Home
from seks_addon.vault import Vault, backup, check, epoch, rotation
from seks_addon.vault.keysource import KeyFile
from tests.samples import KEY, OTHER_KEY, new_home
from tests.vault.conftest import Tenant, no_progress, tenant


def restore(home: Home, source: Path, *, accept_older: bool = False, timeout: float = 10) -> int:
    return backup.restore(home, source, ask=None, accept_older=accept_older, progress=no_progress, timeout=timeout)


def test_restore_the_newest(home: Home, vault: Vault, acme: Tenant, copy: Path) -> None:
    """All is there; the vault has a new epoch, the copy is as it was, nothing is left beside."""
    before, content = vault.epoch, copy.read_bytes()

    number = restore(home, copy)

    assert number == before + 1 == vault.epoch == epoch.seen(vault)
    assert copy.read_bytes() == content
    vault.refresh()
    assert vault.tokens.get(acme.text) == acme.token
    assert not [path for path in home.root.iterdir() if path.name.startswith(".")]
    assert home.vault.stat().st_mode & 0o777 == 0o600


def test_restore_an_older_one(home: Home, vault: Vault, acme: Tenant, copy: Path) -> None:
    """What was revoked since would be good again: refused, unless it is accepted; then nothing older is."""
    vault.tokens.revoke(acme.token)
    before = vault.epoch

    with pytest.raises(VaultError, match="older"):
        restore(home, copy)
    vault.refresh()
    assert vault.tokens.get(acme.token.id).state == "revoked"

    number = restore(home, copy, accept_older=True)

    assert number == before + 1
    vault.refresh()
    assert vault.tokens.get(acme.token.id).state == "live"
    with pytest.raises(VaultError, match="older"):
        restore(home, copy)


@pytest.mark.parametrize("accept_older", [False, True])
def test_a_revocation_while_a_copy_is_checked(
    home: Home, vault: Vault, acme: Tenant, copy: Path, accept_older: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another program commits before the copy is in place isn't undone, unless an older copy is accepted."""

    def revoke_and_check(*given: Any) -> list[str]:
        vault.tokens.revoke(acme.token)
        return check.check(*given)

    monkeypatch.setattr(backup, "check", revoke_and_check)

    if accept_older:
        assert restore(home, copy, accept_older=True) == vault.epoch
    else:
        with pytest.raises(VaultError, match="older"):
            restore(home, copy)
    vault.refresh()
    assert vault.tokens.get(acme.token.id).state == ("live" if accept_older else "revoked")


def test_a_revocation_that_was_not_written_down(home: Home, vault: Vault, acme: Tenant, copy: Path) -> None:
    """A crash came before the home saw it: the vault that is to go says so itself."""
    before = home.epoch.read_bytes()
    vault.tokens.revoke(acme.token)
    revoked = vault.epoch
    home.epoch.write_bytes(before)

    with pytest.raises(VaultError, match="older"):
        restore(home, copy)

    assert restore(home, copy, accept_older=True) == revoked + 1


@pytest.mark.parametrize("value", [b"", b"x:00", b"-7:00", b"9" * 30 + b":00", b"\xff"])
def test_restore_over_an_epoch_that_somebody_set(
    home: Home, vault: Vault, acme: Tenant, copy: Path, value: bytes
) -> None:
    """What the vault that is to go says of itself is in nobody's way when it makes no sense."""
    vault.write("UPDATE meta SET value = ? WHERE key = 'epoch'", (value,))

    restore(home, copy)

    vault.refresh()
    assert vault.tokens.get(acme.text) == acme.token


def test_restore_over_another_vault(home: Home, vault: Vault, acme: Tenant, copy: Path, tmp_path: Path) -> None:
    """A home that lost what it has seen still has the vault to ask; one that knows its own gets it back."""
    (tmp_path / "other").mkdir()
    other_home = new_home(tmp_path / "other")
    with Vault.create(other_home, KeyFile(home.master_key)) as other:
        backup.backup(other, tmp_path / "foreign", no_progress)
    vault.close()
    kept = home.epoch.read_bytes()
    (tmp_path / "foreign").replace(home.vault)
    home.epoch.unlink()

    with pytest.raises(VaultError, match="another vault"):
        restore(home, copy)

    home.epoch.write_bytes(kept)
    restore(home, copy)
    with Vault.open(home) as again:
        assert again.tokens.get(acme.text) == acme.token


def test_restore_waits_for_no_end(home: Home, vault: Vault, acme: Tenant, copy: Path) -> None:
    """A program that keeps the vault locked is waited for as long as any command waits."""
    with closing(sqlite3.connect(home.vault, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")

        with pytest.raises(DatabaseBusyError, match=r"vault\.db is locked"):
            restore(home, copy, timeout=0.2)

    assert not [path for path in home.root.iterdir() if path.name.startswith(TEMPORARY)]
    restore(home, copy)


def test_restore_under_an_open_vault(home: Home, vault: Vault, acme: Tenant, copy: Path) -> None:
    """A running proxy goes on with what was restored, and what was added since is gone."""
    rival = tenant(vault, "rival", OTHER_KEY)
    with Vault.open(home) as proxy:
        assert proxy.tokens.resolve(rival.text)

        restore(home, copy, accept_older=True)

        proxy.refresh()
        assert proxy.tokens.resolve(rival.text) is None
        assert proxy.secrets.reveal(acme.secret.id, acme.client.id).reveal() == KEY
        proxy.clients.add("next")


@pytest.mark.parametrize("how", ["lost", "empty", "garbage", "half", "zeros"])
def test_restore_a_vault_that_is_no_more(home: Home, vault: Vault, acme: Tenant, copy: Path, how: str) -> None:
    """This is what a backup is for."""
    vault.close()
    whole = home.vault.read_bytes()
    for suffix in ("-wal", "-shm"):
        home.vault.with_name(f"vault.db{suffix}").unlink(missing_ok=True)
    match how:
        case "lost":
            home.vault.unlink()
        case "empty":
            home.vault.write_bytes(b"")
        case "garbage":
            home.vault.write_bytes(b"this is no database, " * 500)
        case "half":
            home.vault.write_bytes(whole[: len(whole) // 2])
        case _:
            home.vault.write_bytes(bytes(len(whole)))

    restore(home, copy)

    with Vault.open(home) as again:
        assert again.secrets.reveal(acme.secret.id, acme.client.id).reveal() == KEY
        assert check.check(again, no_progress) == []
    assert home.vault.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("how", ["garbage", "lost", "empty"])
def test_restore_a_vault_that_is_no_more_under_an_open_one(
    home: Home, vault: Vault, acme: Tenant, copy: Path, how: str
) -> None:
    """A running proxy goes over to the file that is new, and sees what is revoked there; so does a command."""
    with Vault.open(home) as proxy, Vault.open(home) as command:
        if how == "lost":
            home.vault.unlink()
        else:
            home.vault.write_bytes(b"this is no database, " * 500 if how == "garbage" else b"")
            home.vault.chmod(0o644)
        restore(home, copy)

        command.tokens.revoke(acme.token)

        proxy.refresh()
        assert proxy.tokens.get(acme.token.id).state == "revoked"
        assert proxy.secrets.reveal(acme.secret.id, acme.client.id).reveal() == KEY
    with Vault.open(home) as again:
        assert again.tokens.get(acme.token.id).state == "revoked"
    assert home.vault.stat().st_mode & 0o777 == 0o600
    assert home.damaged_vault.exists() == (how != "lost")
    assert how == "lost" or home.damaged_vault.stat().st_mode & 0o777 == 0o600


def test_an_open_vault_whose_file_is_gone(home: Home, vault: Vault, acme: Tenant, copy: Path) -> None:
    """It isn't served from memory, and is good again when there is a file."""
    home.vault.unlink()
    for _ in range(2):
        with pytest.raises(DatabaseError, match="is missing"):
            vault.refresh()

    restore(home, copy)

    vault.refresh()
    assert vault.tokens.get(acme.text) == acme.token


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


def test_restore_the_vault_over_itself(home: Home, vault: Vault, acme: Tenant) -> None:
    """It is its own newest copy, once its log is in it."""
    vault.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    restore(home, home.vault)

    vault.refresh()
    assert vault.tokens.get(acme.text) == acme.token


def test_restore_elsewhere(home: Home, vault: Vault, acme: Tenant, copy: Path, tmp_path: Path) -> None:
    """On another machine: the copy, the key, and an empty home."""
    (tmp_path / "moved").mkdir()
    moved = new_home(tmp_path / "moved")
    shutil.copy(home.master_key, moved.master_key)

    restore(moved, copy)

    with Vault.open(moved) as again:
        assert again.secrets.reveal(acme.secret.id, acme.client.id).reveal() == KEY


def test_restore_of_a_locked_vault_waits_for_nobody_s_read(home: Home, vault: Vault, acme: Tenant, copy: Path) -> None:
    """Readers are in nobody's way."""
    with closing(sqlite3.connect(home.vault, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM meta").fetchall()

        restore(home, copy)

    vault.refresh()
    assert vault.tokens.get(acme.text) == acme.token


def test_the_version_of_an_open_vault(home: Home, vault: Vault, copy: Path) -> None:
    """It is another one after every change, here or elsewhere, and where another file took the vault's place."""
    with Vault.open(home) as proxy:
        seen = [proxy.version]

        vault.clients.add("there")
        assert proxy.version == seen[-1]
        proxy.refresh()
        seen.append(proxy.version)
        proxy.refresh()
        assert proxy.version == seen[-1]
        proxy.clients.add("here")
        seen.append(proxy.version)
        vault.close()
        for path in home.root.glob("vault.db*"):
            path.unlink()
        restore(home, copy, accept_older=True)
        proxy.refresh()
        seen.append(proxy.version)

        assert len(set(seen)) == len(seen)
        assert proxy.secrets.list()
