"""The way back from a copy: whole or not at all, and never unnoticed into the past."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from seks_addon.errors import DatabaseBusyError, VaultError
from seks_addon.home import TEMPORARY, Home
from seks_addon.vault import Vault, backup, check, epoch
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


def test_restore_the_vault_over_itself(home: Home, vault: Vault, acme: Tenant) -> None:
    """It is its own newest copy, once its log is in it."""
    vault.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    restore(home, home.vault)

    vault.refresh()
    assert vault.tokens.get(acme.text) == acme.token


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
