"""Copies of a vault: whole, private, made while others work."""

import errno
import itertools
import os
import threading
from pathlib import Path

import pytest

from seks_addon.errors import ExistsError, HomeError
from seks_addon.home import Home
from seks_addon.secret import Secret
from seks_addon.vault import Vault, backup, check
from tests.samples import KEY, OTHER_KEY, binding, files_with
from tests.vault.conftest import Tenant, no_progress


def test_backup(copy: Path, tmp_path: Path, home: Home, acme: Tenant) -> None:
    """One private file, with nothing beside it and nothing readable in it."""
    assert copy.stat().st_mode & 0o777 == 0o600
    assert copy.stat().st_nlink == 1
    assert {path.name for path in tmp_path.iterdir()} == {"copy.db", "home"}
    assert files_with(tmp_path, [acme.key, acme.text, acme.password]) == []
    with Vault.open(home, path=copy) as opened:
        assert opened.secrets.reveal(acme.secret.id, acme.client.id).reveal() == KEY
        assert check.check(opened, no_progress) == []


def test_backup_under_the_worst_umask(vault: Vault, acme: Tenant, tmp_path: Path) -> None:
    """It is private from the first byte."""
    old = os.umask(0)
    try:
        backup.backup(vault, tmp_path / "copy.db", no_progress)
    finally:
        os.umask(old)

    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("there", ["file", "folder", "link"])
def test_backup_replaces_nothing(vault: Vault, acme: Tenant, tmp_path: Path, there: str) -> None:
    """What is in its place stays as it is."""
    target = tmp_path / "copy.db"
    if there == "file":
        target.write_text("mine")
    elif there == "folder":
        target.mkdir()
    else:
        target.symlink_to(tmp_path / "nowhere")

    with pytest.raises((ExistsError, HomeError)):
        backup.backup(vault, target, no_progress)

    assert {path.name for path in tmp_path.iterdir()} == {"copy.db", "home"}
    assert there != "file" or target.read_text() == "mine"


@pytest.mark.parametrize("folder", ["nowhere", "home/vault.db", "/proc"])
def test_backup_to_where_nothing_can_be_written(vault: Vault, acme: Tenant, tmp_path: Path, folder: str) -> None:
    """It says so. Modes don't stop root, so the folder is none, a file, or the kernel's."""
    with pytest.raises(HomeError, match="can't write to"):
        backup.backup(vault, tmp_path / folder / "copy.db", no_progress)


def test_backup_that_fails(vault: Vault, acme: Tenant, tmp_path: Path) -> None:
    """Broken off half way, it leaves nothing behind."""

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup.backup(vault, tmp_path / "copy.db", interrupt)

    assert {path.name for path in tmp_path.iterdir()} == {"home"}


@pytest.mark.parametrize("there", [False, True])
def test_backup_where_there_are_no_links(
    home: Home, vault: Vault, acme: Tenant, tmp_path: Path, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a stick with FAT, say: it is whole and private, and still replaces nothing."""
    target = tmp_path / "copy.db"

    def no_links(_source: Path, _target: Path) -> None:
        if there:
            # Somebody else was quicker.
            target.write_text("mine")
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)

    if there:
        with pytest.raises(HomeError, match="can't write"):
            backup.backup(vault, target, no_progress)
        assert target.read_text() == "mine"
    else:
        backup.backup(vault, target, no_progress)
        assert target.stat().st_mode & 0o777 == 0o600
        with Vault.open(home, path=target) as opened:
            assert check.check(opened, no_progress) == []
    assert {path.name for path in tmp_path.iterdir()} == {"copy.db", "home"}


def test_backup_while_others_write(home: Home, vault: Vault, acme: Tenant, tmp_path: Path) -> None:
    """It is the vault as it was at one moment: what belongs together is there together."""
    stop = threading.Event()

    def write() -> None:
        with Vault.open(home) as other:
            for number in itertools.count():
                with other.change():
                    for half in "ab":
                        other.secrets.add(acme.client, f"{half}{number}", Secret(OTHER_KEY), binding())
                if stop.is_set():
                    return

    writer = threading.Thread(target=write)
    writer.start()
    for number in range(4):
        backup.backup(vault, tmp_path / f"copy{number}", no_progress)
    stop.set()
    writer.join()

    for number in range(4):
        with Vault.open(home, path=tmp_path / f"copy{number}", accept_older=True) as opened:
            names = {secret.name for secret in opened.secrets.list()} - {"api"}
            assert {name[1:] for name in names if name[0] == "a"} == {name[1:] for name in names if name[0] == "b"}
            assert check.check(opened, no_progress) == []
