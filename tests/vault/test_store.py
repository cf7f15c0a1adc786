"""Making and opening a vault."""

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from seks_addon.errors import DatabaseBusyError, DatabaseError, HomeError, MasterKeyError, SeksError, VaultError
from seks_addon.home import Home
from seks_addon.secret import Secret
from seks_addon.vault import Vault, epoch, keysource, meta, store
from seks_addon.vault.envelope import Key
from seks_addon.vault.keysource import KeyFile
from tests.samples import KEY, OTHER_KEY, binding, files_with, new_home
from tests.vault.conftest import Tamper, Tenant, tenant


def content(home: Home) -> dict[str, bytes]:
    """All files of a home."""
    return {str(path.relative_to(home.root)): path.read_bytes() for path in home.root.rglob("*") if path.is_file()}


def test_create_and_open(home: Home) -> None:
    """What one process stores, another one reads."""
    with Vault.create(home) as vault:
        acme = tenant(vault, "acme", KEY)

    with Vault.open(home) as vault:
        assert vault.secrets.reveal(acme.secret.id, acme.client.id).reveal() == KEY
        assert vault.tokens.text(acme.token) == acme.text
    assert not home.key_location.exists()


def test_files_are_private(home: Home) -> None:
    """Under the worst umask, every file of a vault is its owner's alone from the moment it exists."""
    old = os.umask(0)
    try:
        with Vault.create(home) as vault:
            tenant(vault, "acme", KEY)
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.root.iterdir() if path.is_file()}
    finally:
        os.umask(old)

    assert modes == dict.fromkeys(("master.key", "vault.db", "vault.db-wal", "vault.db-shm", "vault.epoch"), 0o600)


def test_no_secret_in_any_file(home: Home, tmp_path: Path) -> None:
    """Neither values, old ones too, nor tokens nor passwords stand in any file, in any encoding."""
    new_key = "sk-test-not-a-real-key-2222222222222222"
    with Vault.create(home) as vault:
        acme = tenant(vault, "acme", KEY)
        rival = tenant(vault, "rival", OTHER_KEY)
        vault.secrets.rotate(acme.client, "api", Secret(new_key))
        hidden = [KEY, OTHER_KEY, new_key, acme.text, rival.text, acme.password, rival.password]
        random_parts = [text.rpartition("_")[2] for text in hidden]

        while_open = files_with(home.root, [*hidden, *random_parts])

    (tmp_path / "control").mkdir()
    for number, form in enumerate((KEY.encode(), KEY.encode().hex().encode())):
        (tmp_path / "control" / str(number)).write_bytes(b"xx" + form + b"yy")
    assert len(files_with(tmp_path / "control", hidden)) == 2
    assert while_open == []
    assert files_with(home.root, [*hidden, *random_parts]) == []


def test_each_vault_is_another(home: Home, tmp_path: Path) -> None:
    """Two vaults under one key have ids of their own, and what is sealed in one doesn't open in the other."""
    (tmp_path / "second").mkdir()
    second_home = new_home(tmp_path / "second")
    with Vault.create(home) as one, Vault.create(second_home, KeyFile(home.master_key)) as two:
        client = one.clients.add("acme")
        [wrapped] = one.rows("SELECT data_key FROM clients")

        assert one.id != two.id
        assert one.lookup("x") != two.lookup("x")
        with pytest.raises(VaultError):
            two.data_key(client.id, "acme", wrapped["data_key"])


def test_key_elsewhere(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vault remembers where its key lies, from wherever it is opened."""
    monkeypatch.chdir(tmp_path)
    Vault.create(home, KeyFile(tmp_path / "elsewhere.key")).close()
    monkeypatch.chdir("/")

    with Vault.open(home) as vault:
        assert vault.source == {"kind": "keyfile"}
    assert keysource.local_place(home) == {"kind": "keyfile", "path": str(tmp_path / "elsewhere.key")}
    assert not home.master_key.exists()


def test_key_that_exists(home: Home) -> None:
    """A key that is there already is used, not replaced."""
    key = KeyFile(home.master_key).create("")

    Vault.create(home).close()

    assert KeyFile(home.master_key).load("") == key
    Vault.open(home).close()


def test_create_again(home: Home) -> None:
    """Making a vault where one is fails, and the one that is there stays as it was."""
    with Vault.create(home) as vault:
        acme = tenant(vault, "acme", KEY)

    with pytest.raises(VaultError, match="exists already"):
        Vault.create(home)

    with Vault.open(home) as vault:
        assert vault.secrets.reveal(acme.secret.id, acme.client.id).reveal() == KEY


def test_create_again_without_the_key(home: Home) -> None:
    """A vault whose key is gone isn't made anew over the old one, and no new key is left in its place."""
    Vault.create(home).close()
    home.master_key.unlink()

    with pytest.raises(VaultError, match="exists already"):
        Vault.create(home)

    assert home.vault.exists()
    assert not home.master_key.exists()


def failing(step: str) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise DatabaseError(f"{step} failed")

    return fail


@pytest.mark.parametrize(
    ("where", "step"),
    [
        (KeyFile, "create"),
        (store, "open_database"),
        (meta, "new"),
        (keysource, "remember"),
        (Vault, "_load_keys"),
        (Vault, "_set_epoch"),
        (epoch, "prepare"),
        (epoch, "move_over"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("key", ["made", "given", "there", "elsewhere"])
def test_create_that_fails(
    home: Home, tmp_path: Path, where: object, step: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A vault that can't be made leaves nothing behind but what was there; then it can be made."""
    path = home.master_key if key in {"made", "there"} else tmp_path / "my.key"
    if key in {"given", "there"}:
        KeyFile(path).create("")

    def source() -> KeyFile | None:
        return KeyFile(path) if key in {"given", "elsewhere"} else None

    before, key_before = content(home), path.read_bytes() if path.exists() else None
    with monkeypatch.context() as patch:
        patch.setattr(where, step, failing(step))

        with pytest.raises(DatabaseError, match=f"{step} failed"):
            Vault.create(home, source())

    assert content(home) == before
    assert (path.read_bytes() if path.exists() else None) == key_before
    Vault.create(home, source()).close()
    Vault.open(home).close()


def test_create_that_is_broken_off(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C leaves nothing behind either."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Vault, "_load_keys", interrupt)

    with pytest.raises(KeyboardInterrupt):
        Vault.create(home)

    assert content(home) == {}


def test_create_over_an_empty_file(home: Home) -> None:
    """An empty file, as a crash may leave one, is no vault; it isn't touched, and no key is made for it."""
    home.vault.touch(0o600)

    with pytest.raises(VaultError, match="exists already"):
        Vault.create(home)

    assert content(home) == {"vault.db": b""}


def test_create_with_a_bad_key_file(home: Home, tmp_path: Path) -> None:
    """A file that isn't a key is left as it is, and no vault is made."""
    path = tmp_path / "my.key"
    path.touch(0o600)
    path.write_text("something else")

    with pytest.raises(MasterKeyError):
        Vault.create(home, KeyFile(path))

    assert path.read_text() == "something else"
    assert content(home) == {}


def test_wrong_key(home: Home, tmp_path: Path) -> None:
    """Another vault's key is refused before anything is decrypted."""
    Vault.create(home).close()
    home.master_key.unlink()
    KeyFile(home.master_key).create("")

    with pytest.raises(MasterKeyError, match="not this vault's") as caught:
        Vault.open(home)

    assert caught.value.hint


def test_missing_key(home: Home) -> None:
    """Without its key a vault doesn't open."""
    Vault.create(home).close()
    home.master_key.unlink()

    with pytest.raises(MasterKeyError, match="is missing"):
        Vault.open(home)


def test_open_key(home: Home) -> None:
    """A key that others can read is refused, with the command that mends it."""
    Vault.create(home).close()
    home.master_key.chmod(0o640)

    with pytest.raises(HomeError, match="other users") as caught:
        Vault.open(home)

    assert "chmod 600" in (caught.value.hint or "")


def test_missing_vault(home: Home) -> None:
    """Opening makes nothing."""
    with pytest.raises(DatabaseError, match="is missing"):
        Vault.open(home)

    assert content(home) == {}


def damage(path: Path, how: str) -> None:
    whole = path.read_bytes()
    match how:
        case "garbage":
            path.write_bytes(bytes(index * 7 % 251 for index in range(len(whole))))
        case "half":
            path.write_bytes(whole[: len(whole) // 2])
        case "one page":
            path.write_bytes(whole[:4096])
        case "zeros":
            path.write_bytes(bytes(len(whole)))
        case "empty":
            path.write_bytes(b"")
        case "middle":
            path.write_bytes(whole[:4096] + bytes(len(whole) - 4096))


@pytest.mark.parametrize("how", ["garbage", "half", "one page", "zeros", "empty", "middle"])
def test_damaged(home: Home, how: str) -> None:
    """A damaged file is an error of ours, at the latest when a value is read; never a wrong value."""
    with Vault.create(home) as vault:
        acme = tenant(vault, "acme", KEY)
    damage(home.vault, how)

    with pytest.raises(SeksError) as caught, Vault.open(home) as vault:
        vault.secrets.reveal(acme.secret.id, acme.client.id)

    assert caught.value.hint


def test_another_format(home: Home, tamper: Tamper) -> None:
    """A format of the future isn't guessed at."""
    Vault.create(home).close()
    tamper("UPDATE meta SET value = ? WHERE key = 'format'", b"2")

    with pytest.raises(VaultError, match="format '2'"):
        Vault.open(home)


@pytest.mark.parametrize("key", ["format", "vault_id", "source", "vault_key", "epoch"])
def test_lost_meta(home: Home, tamper: Tamper, key: str) -> None:
    """Without what it says of itself, a vault doesn't open."""
    Vault.create(home).close()
    tamper("DELETE FROM meta WHERE key = ?", key)

    with pytest.raises(VaultError):
        Vault.open(home)


@pytest.fixture
def locked(home: Home, acme: Tenant) -> Iterator[None]:
    """Another process is writing."""
    with closing(sqlite3.connect(home.vault, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


def test_locked(home: Home, acme: Tenant, locked: None) -> None:
    """While another process writes, values are read as before; writing gives up in time."""
    with Vault.open(home, timeout=0.2) as vault:
        assert vault.secrets.reveal(acme.secret.id, acme.client.id).reveal() == KEY
        with pytest.raises(DatabaseBusyError):
            vault.tokens.revoke(acme.token)


def test_read_only(home: Home, acme: Tenant, read_only: None) -> None:
    """A vault that can't be written still serves; writing says what is wrong."""
    with Vault.open(home) as vault:
        assert vault.secrets.reveal(acme.secret.id, acme.client.id).reveal() == KEY
        with pytest.raises(DatabaseError, match="read-only"):
            vault.secrets.rotate(acme.client, "api", Secret(OTHER_KEY))
        assert vault.secrets.reveal(acme.secret.id, acme.client.id).reveal() == KEY


def test_change_is_one(home: Home, vault: Vault) -> None:
    """Nested changes are one: what fails at the end takes all of it back."""

    def two_clients() -> None:
        with vault.change():
            vault.clients.add("one")
            with vault.change():
                vault.clients.add("two")
            raise ValueError("at the end")

    with pytest.raises(ValueError, match="at the end"):
        two_clients()

    assert vault.clients.list() == []
    vault.clients.add("three")
    with Vault.open(home) as other:
        assert [client.name for client in other.clients.list()] == ["three"]


def test_keys_of_a_change_that_failed(vault: Vault, acme: Tenant) -> None:
    """They are gone with it: the next read is under those of before."""

    def new_keys_and_fail() -> None:
        with vault.change():
            vault.replace_master(Key.generate(), {"kind": "keyfile"})
            vault.replace_vault_key(Key.generate())
            raise ValueError("at the end")

    with pytest.raises(ValueError, match="at the end"):
        new_keys_and_fail()

    assert vault.tokens.get(acme.text) == acme.token
    assert vault.secrets.reveal(acme.secret.id, acme.client.id).reveal() == KEY
    vault.clients.add("next")


def test_a_known_key(home: Home, vault: Vault, acme: Tenant) -> None:
    """Who has the master key needs no source; another key doesn't do instead of it."""
    home.master_key.unlink()

    with Vault.open(home, key=vault.master_key) as again:
        assert again.tokens.get(acme.text) == acme.token
    with pytest.raises(MasterKeyError, match="missing"):
        Vault.open(home, key=Key.generate())


def test_a_write_that_fails_half_way(vault: Vault, acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret is stored with its value and its hosts, or not at all."""
    write, count = vault.write, iter(range(10))

    def fail_later(sql: str, parameters: tuple[Any, ...] = ()) -> int:
        if next(count) == 2:
            raise DatabaseError("full")
        return write(sql, parameters)

    monkeypatch.setattr(vault, "write", fail_later)

    with pytest.raises(DatabaseError):
        vault.secrets.add(acme.client, "second", Secret(OTHER_KEY), binding())

    assert [secret.name for secret in vault.secrets.list()] == ["api"]
    assert len(vault.rows("SELECT 1 FROM secret_values")) == 1
