"""Restoring a vault whose file is gone or damaged, or on another machine."""

import shutil
from pathlib import Path

import pytest

from seks_addon.errors import DatabaseError
from seks_addon.home import Home
from seks_addon.vault import Vault, check
from tests.samples import KEY, new_home
from tests.vault.conftest import Tenant, no_progress
from tests.vault.test_restore import restore


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


def test_restore_elsewhere(home: Home, vault: Vault, acme: Tenant, copy: Path, tmp_path: Path) -> None:
    """On another machine: the copy, the key, and an empty home."""
    (tmp_path / "moved").mkdir()
    moved = new_home(tmp_path / "moved")
    shutil.copy(home.master_key, moved.master_key)

    restore(moved, copy)

    with Vault.open(moved) as again:
        assert again.secrets.reveal(acme.secret.id, acme.client.id).reveal() == KEY
