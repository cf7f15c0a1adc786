"""The epoch: a vault of before is recognised."""

import itertools
import json
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from seks_addon.errors import HomeError, VaultError
from seks_addon.home import TEMPORARY, Home
from seks_addon.secret import Secret
from seks_addon.vault import Vault, epoch, rotation
from seks_addon.vault.keysource import KeyFile
from tests.samples import OTHER_KEY, binding, new_home
from tests.vault.conftest import Tamper, Tenant


def copied(home: Home, target: Path) -> Path:
    """A copy of the vault as it is, in one file."""
    with closing(sqlite3.connect(home.vault)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
    return target


def put_back(home: Home, copy: Path) -> None:
    """Put an old copy in the vault's place by hand, with no program running."""
    for suffix in ("-wal", "-shm"):
        home.vault.with_name(home.vault.name + suffix).unlink(missing_ok=True)
    shutil.copyfile(copy, home.vault)


def test_every_change_begins_one(home: Home, vault: Vault, acme: Tenant) -> None:
    """A change of many steps is one; the home knows the highest."""
    before = vault.epoch

    with vault.change():
        vault.agents.add(acme.client, "second")
        vault.tokens.revoke(acme.token)

    assert vault.epoch == before + 1
    assert json.loads(home.epoch.read_bytes()) == {"vault": vault.id, "epoch": before + 1}
    assert home.epoch.stat().st_mode & 0o777 == 0o600


def test_a_change_that_failed_begins_none(vault: Vault, acme: Tenant) -> None:
    """What didn't happen leaves no trace in it."""
    before = vault.epoch

    def revoke_and_fail() -> None:
        with vault.change():
            vault.tokens.revoke(acme.token)
            raise ValueError("at the end")

    with pytest.raises(ValueError, match="at the end"):
        revoke_and_fail()

    assert (vault.epoch, epoch.seen(vault)) == (before, before)


def test_an_older_copy(home: Home, vault: Vault, acme: Tenant, tmp_path: Path) -> None:
    """A vault from before a revocation, put back by hand, doesn't open."""
    copy = copied(home, tmp_path / "copy")
    vault.tokens.revoke(acme.token)
    vault.close()
    put_back(home, copy)

    with pytest.raises(VaultError, match="older than this home has seen it") as caught:
        Vault.open(home)

    assert "--accept-older" in (caught.value.hint or "")
    with Vault.open(home, accept_older=True) as older:
        assert older.tokens.get(acme.token.id).state == "live"


def test_an_older_copy_below_an_open_vault(home: Home, vault: Vault, acme: Tenant, tmp_path: Path) -> None:
    """One that is open refuses too, from the next look on, and at every look after it."""
    copy = copied(home, tmp_path / "copy")
    vault.tokens.revoke(acme.token)
    vault.refresh()
    with closing(sqlite3.connect(copy)) as source, closing(sqlite3.connect(home.vault)) as live:
        source.backup(live)

    for _ in range(2):
        with pytest.raises(VaultError, match="older"):
            vault.refresh()


def test_the_newest_copy(home: Home, vault: Vault, acme: Tenant, tmp_path: Path) -> None:
    """A copy that has all is as good as what it was copied from."""
    copy = copied(home, tmp_path / "copy")
    vault.close()
    put_back(home, copy)

    with Vault.open(home) as again:
        again.refresh()
        assert again.tokens.get(acme.text) == acme.token


def test_a_crash_before_it_was_written_down(home: Home, vault: Vault, acme: Tenant) -> None:
    """The home may have seen less than the vault has; the next change is above both."""
    home.epoch.write_text(json.dumps({"vault": vault.id, "epoch": 1}))

    with Vault.open(home) as again:
        before = again.epoch
        again.tokens.revoke(acme.token)

        assert again.epoch == epoch.seen(again) == before + 1


def test_where_it_cannot_be_written_down(
    home: Home, vault: Vault, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, or no more files on it: the change isn't made, rather than made and called failed."""
    before = vault.epoch

    def full(*_: object) -> None:
        raise HomeError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(epoch, "write_over", full)

        with pytest.raises(HomeError, match="full"):
            vault.tokens.revoke(acme.token)

    assert vault.tokens.get(acme.token.id).state == "live"
    assert vault.epoch == epoch.seen(vault) == before


def test_a_file_that_cannot_be_replaced(
    home: Home, vault: Vault, acme: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    """What is mounted can be read and written, but no other file takes its place: the change holds, with a warning."""
    before = epoch.seen(vault)
    mount = ["mount", "--bind", str(home.epoch), str(home.epoch)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        vault.tokens.revoke(acme.token)
    finally:
        subprocess.run(["umount", str(home.epoch)], check=True)

    assert vault.tokens.get(acme.token.id).state == "revoked"
    assert f"can't write {home.epoch}" in caplog.text
    assert (vault.epoch, epoch.seen(vault)) == (before + 1, before)
    assert not [path for path in home.root.iterdir() if path.name.startswith(TEMPORARY)]


def test_it_never_goes_down(vault: Vault, acme: Tenant) -> None:
    """Of two that end at once, the one that comes late with the lower number doesn't win."""
    epoch.remember(vault, 50)

    epoch.remember(vault, 49)

    assert epoch.seen(vault) == 50


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no JSON",
        "[]",
        "5",
        "{}",
        '{"epoch": 5}',
        '{"vault": "{id}"}',
        '{"vault": "{id}", "epoch": null}',
        '{"vault": "{id}", "epoch": "x"}',
        '{"vault": "{id}", "epoch": 1e999}',
        '{"vault": "{id}", "epoch": 1e3}',
        '{"vault": "{id}", "epoch": NaN}',
        '{"vault": "{id}", "epoch": true}',
        '{"vault": "{id}", "epoch": "7"}',
        '{"vault": "{id}", "epoch": -1}',
        '{"vault": "{id}", "epoch": 9223372036854775808}',
        '{"vault": "{id}", "epoch": ' + "9" * 5000 + "}",
        '{"vault": ["{id}"], "epoch": 7}',
        '{"vault": null, "epoch": 7}',
        "[" * 10**5,
        "\xff",
    ],
    ids=itertools.count(),
)
def test_a_damaged_file(home: Home, vault: Vault, content: str) -> None:
    """It isn't taken for a home that has seen nothing."""
    home.epoch.write_bytes(content.replace("{id}", vault.id).encode("latin-1"))

    with pytest.raises(VaultError, match=r"vault\.epoch is damaged") as caught:
        Vault.open(home)

    assert "remove it" in (caught.value.hint or "")
    home.epoch.unlink()
    Vault.open(home).close()


def test_another_vault_s_file(home: Home, vault: Vault) -> None:
    """A home that had another vault takes this one only from who says so, and forgets nothing of the other."""
    home.epoch.write_text(content := json.dumps({"vault": "another", "epoch": 3}))

    for attempt in (
        lambda: Vault.open(home),
        lambda: Vault.open(home, accept_older=True),
        lambda: vault.clients.add("acme"),
        lambda: epoch.remember(vault, 10**6),
    ):
        with pytest.raises(VaultError, match="another vault than this home's") as caught:
            attempt()
        assert str(home.epoch) in (caught.value.hint or "")
    assert home.epoch.read_text() == content

    home.epoch.unlink()
    with Vault.open(home) as again:
        again.clients.add("acme")
        assert epoch.seen(again) == again.epoch


@pytest.fixture
def foreign(home: Home, template: Home, vault: Vault, tmp_path: Path) -> Path:
    """A copy of another vault under the same master key."""
    (tmp_path / "other").mkdir()
    other_home = new_home(tmp_path / "other")
    Vault.create(other_home, KeyFile(home.master_key)).close()
    return copied(other_home, tmp_path / "foreign")


def test_another_vault_under_the_same_key(
    home: Home, vault: Vault, acme: Tenant, foreign: Path, tmp_path: Path
) -> None:
    """Put in this one's place by hand it doesn't open, and an older copy of this one isn't good again after it."""
    older = copied(home, tmp_path / "older")
    vault.tokens.revoke(acme.token)
    vault.close()
    put_back(home, foreign)

    with pytest.raises(VaultError, match="another vault"):
        Vault.open(home)

    put_back(home, older)
    with pytest.raises(VaultError, match="older"):
        Vault.open(home)


def test_another_vault_below_an_open_one(home: Home, vault: Vault, foreign: Path) -> None:
    """A home that lost what it has seen still doesn't get another vault unnoticed while one is open."""
    home.epoch.unlink()
    foreign.replace(home.vault)

    for _ in range(2):
        with pytest.raises(VaultError, match="another vault"):
            vault.refresh()


def test_a_change_while_it_is_looked_at(home: Home, vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that another program makes at the same moment doesn't make the vault look older."""
    own = Vault.epoch
    with Vault.open(home) as other:

        def read_and_change(self: Vault) -> int:
            with monkeypatch.context() as patch:
                patch.setattr(Vault, "epoch", own)
                number = self.epoch
                other.clients.add("acme")
            return number

        monkeypatch.setattr(Vault, "epoch", property(read_and_change))

        vault.refresh()


@pytest.mark.parametrize("act", ["look", "open"])
def test_new_keys_while_it_is_looked_at(
    home: Home, vault: Vault, acme: Tenant, act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An epoch that is authenticated with keys newer than those just read isn't taken for one that somebody set."""
    seen, times = epoch.seen, iter([1])
    with Vault.open(home) as other:
        other.clients.add("next")

        def renew_and_look(looked_at: Vault) -> int:
            if looked_at is not other and next(times, None):
                rotation.reencrypt(other, lambda *_: None)
            return seen(looked_at)

        monkeypatch.setattr(epoch, "seen", renew_and_look)

        if act == "look":
            vault.refresh()
            assert vault.tokens.get(acme.text) == acme.token
        else:
            with Vault.open(home) as again:
                assert again.tokens.get(acme.text) == acme.token


@pytest.mark.parametrize("value", [b"", b"7", b"7:", b"7:zz", b"x:00", b"99:{mac}", b"\xff\xfe", b"-1:{mac}"])
def test_an_epoch_that_somebody_set(home: Home, vault: Vault, tamper: Tamper, value: bytes) -> None:
    """It is authenticated: an old copy can't be given a new number."""
    mac = bytes(vault.row("SELECT value FROM meta WHERE key = 'epoch'")["value"]).partition(b":")[2]  # type: ignore[index]
    tamper("UPDATE meta SET value = ? WHERE key = 'epoch'", value.replace(b"{mac}", mac))

    with pytest.raises(VaultError):
        Vault.open(home)
    with pytest.raises(VaultError):
        vault.refresh()


def test_two_vaults_change_in_turn(home: Home, vault: Vault, acme: Tenant) -> None:
    """Each begins above the other, and what each did is there."""
    with Vault.open(home) as other:
        for number in range(3):
            vault.secrets.add(acme.client, f"a{number}", Secret(OTHER_KEY), binding())
            other.secrets.add(acme.client, f"b{number}", Secret(OTHER_KEY), binding())

        assert vault.epoch == other.epoch == epoch.seen(vault)
        assert len(vault.secrets.list()) == 7
