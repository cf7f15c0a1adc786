"""A new master key: every source, and every way in which it may go wrong."""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from seks_addon.errors import MasterKeyError, SeksError, VaultError
from seks_addon.home import Home
from seks_addon.secret import Secret
from seks_addon.vault import Vault, epoch, keysource, rotation
from seks_addon.vault.envelope import Key
from seks_addon.vault.keysource import Command, KeyFile, Keyring, KeySource, Passphrase, passphrase
from seks_addon.vault.keysource.encoding import encode
from tests.samples import KEY, OTHER_KEY
from tests.vault.conftest import Tenant, assert_same, fail, tenant

KINDS = ("keyfile", "elsewhere", "passphrase", "keyring", "command")

PAIRS = [(old, new) for old in KINDS for new in KINDS]

#: How a key file is looked at.
FILE_LOOKS = ("exists", "stat", "read_bytes")

type NewSource = Callable[[str], KeySource]


def ask(new: bool) -> Secret:
    return Secret("four obviously fake words")


@pytest.fixture
def source(home: Home, tmp_path: Path, keyring_store: None, monkeypatch: pytest.MonkeyPatch) -> NewSource:
    """Makes a source of each kind that has, or makes, another key every time; Argon2id is cheaper than it may be."""
    cheapest = (1, 8192)
    monkeypatch.setattr(passphrase, "_FLOOR", cheapest)

    def make(kind: str) -> KeySource:
        place = tmp_path / f"{kind}-{len(list(tmp_path.iterdir()))}"
        match kind:
            case "keyfile":
                return KeyFile(home.master_key, replaces=True)
            case "elsewhere":
                return KeyFile(place)
            case "passphrase":
                return Passphrase(ask, os.urandom(16), cheapest)
            case "keyring":
                return Keyring()
            case _:
                place.write_text(encode(Key.generate()))
                return Command(["cat", str(place)])

    return make


def tenants(vault: Vault, kind: str, source: NewSource) -> tuple[Tenant, Tenant]:
    """Two tenants in a vault whose key comes from `kind`."""
    if kind != "keyfile":
        rotation.rekey(vault, source(kind))
    return tenant(vault, "acme", KEY), tenant(vault, "rival", OTHER_KEY)


def left_behind(home: Home) -> list[str]:
    return [path.name for path in home.root.iterdir() if path.name.endswith(".new") or path.name.startswith(".")]


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_rekey(home: Home, vault: Vault, source: NewSource, old: str, new: str) -> None:
    """From every source to every source: no value is touched, a vault that is open elsewhere goes on."""
    owners = tenants(vault, old, source)
    before, records = vault.master_key, vault.rows("SELECT * FROM secret_values")
    with Vault.open(home, ask=ask) as proxy:
        assert_same(proxy, *owners)

        rotation.rekey(vault, source(new))

        proxy.refresh()
        assert_same(proxy, *owners)
    assert vault.master_key != before
    assert_same(vault, *owners)
    with Vault.open(home, ask=ask) as vault_again:
        assert_same(vault_again, *owners)
    assert vault.rows("SELECT * FROM secret_values") == records
    assert left_behind(home) == []
    assert home.key_location.exists() == (new in {"elsewhere", "command"})


def test_the_old_key_opens_nothing(home: Home, vault: Vault, acme: Tenant, tmp_path: Path, source: NewSource) -> None:
    """Who kept the old key file has nothing."""
    shutil.copy(home.master_key, tmp_path / "kept")

    rotation.rekey(vault, source("keyfile"))

    home.master_key.write_bytes((tmp_path / "kept").read_bytes())
    with pytest.raises(VaultError, match="not this vault's"):
        Vault.open(home)


def test_a_proxy_that_cannot_ask(home: Home, vault: Vault, acme: Tenant, source: NewSource) -> None:
    """It refuses from the next request on, rather than go on under keys that were replaced."""
    with Vault.open(home) as proxy:
        rotation.rekey(vault, source("passphrase"))

        with pytest.raises(VaultError, match="no terminal"):
            proxy.refresh()


@pytest.mark.parametrize(("old", "new"), [*PAIRS[:5], ("passphrase", "keyfile"), ("command", "command")])
@pytest.mark.parametrize("step", ["create", "remember", "replace_master", "_set_epoch"])
def test_rekey_that_fails(
    home: Home, vault: Vault, source: NewSource, old: str, new: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the vault took the new key, all is as it was; the change can be made again."""
    owners = tenants(vault, old, source)
    chosen = source(new)
    files = {path: path.read_bytes() for path in (home.master_key, home.key_location) if path.exists()}
    with monkeypatch.context() as patch:
        where = {"create": chosen, "remember": keysource}.get(step, vault)
        patch.setattr(where, step, fail)

        with pytest.raises(SeksError, match="half way"):
            rotation.rekey(vault, chosen)

    assert_same(vault, *owners)
    with Vault.open(home, ask=ask) as again:
        assert_same(again, *owners)
    assert {path: path.read_bytes() for path in (home.master_key, home.key_location) if path.exists()} == files
    assert left_behind(home) == []
    rotation.rekey(vault, source(new))
    assert_same(vault, *owners)


@pytest.mark.parametrize(
    ("step", "old", "new"), [*(("settle", *pair) for pair in PAIRS), *(("epoch", *pair) for pair in PAIRS[:5])]
)
def test_rekey_that_fails_after_the_commit(
    home: Home, vault: Vault, source: NewSource, old: str, new: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a crash between the commit and the end leaves it: the next one to open finds the new key, and tidies up."""
    owners = tenants(vault, old, source)
    with monkeypatch.context() as patch:
        patch.setattr(*((epoch, "move_over") if step == "epoch" else (keysource, "settle")), fail)

        with pytest.raises(SeksError, match="half way"):
            rotation.rekey(vault, source(new))

    with Vault.open(home, ask=ask) as again:
        assert_same(again, *owners)
    assert left_behind(home) == []
    with Vault.open(home, ask=ask) as again:
        rotation.rekey(again, source(old))
        assert_same(again, *owners)
    assert left_behind(home) == []


@pytest.mark.parametrize(("old", "new"), PAIRS[:5])
def test_rekey_that_is_killed_before_the_commit(
    home: Home, vault: Vault, source: NewSource, old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies about then is in nobody's way."""
    owners = tenants(vault, old, source)
    with monkeypatch.context() as patch:
        patch.setattr(vault, "replace_master", fail)
        patch.setattr(keysource, "forget_staged", lambda _: None)
        chosen = source(new)
        patch.setattr(chosen, "discard", lambda: None)
        with pytest.raises(SeksError, match="half way"):
            rotation.rekey(vault, chosen)

    with Vault.open(home, ask=ask) as again:
        assert_same(again, *owners)
        rotation.rekey(again, source(new))
    with Vault.open(home, ask=ask) as again:
        assert_same(again, *owners)
    assert left_behind(home) == []


@pytest.mark.parametrize("where", ["outside", "a link", "a link inside", "in a linked folder"])
def test_a_key_file_that_may_be_another_s(home: Home, tmp_path: Path, where: str) -> None:
    """It is never replaced, and neither is a link to it: another vault may have no other key."""
    shared = tmp_path / "shared.key"
    path = home.master_key
    match where:
        case "outside":
            path = shared
        case "a link":
            path.symlink_to(shared)
        case "a link inside":
            shared = home.root / "real.key"
            path.symlink_to(shared)
        case _:
            (home.root / "keys").symlink_to(tmp_path)
            path = home.root / "keys" / shared.name
    KeyFile(shared).create("")
    content = shared.read_bytes()
    with Vault.create(home, KeyFile(path)) as vault:
        owner = tenant(vault, "acme", KEY)

        with pytest.raises(MasterKeyError, match="may be another vault's key") as caught:
            rotation.rekey(vault, KeyFile(path, replaces=True))
        assert_same(vault, owner)
        assert "--key-file" in (caught.value.hint or "")
        assert left_behind(home) == []
        rotation.rekey(vault, KeyFile(tmp_path / "new.key"))

    assert shared.read_bytes() == content
    assert path.is_symlink() == where.startswith("a link")
    with Vault.open(home) as again:
        assert_same(again, owner)
        assert keysource.key_file(home) == tmp_path / "new.key"


def test_its_own_key_file_by_another_way(home: Home, tmp_path: Path) -> None:
    """A home that is named by a link is the same home."""
    (tmp_path / "link").symlink_to(home.root)
    linked = Home(tmp_path / "link")
    with Vault.create(linked) as vault:
        before = vault.master_key_id

        rotation.rekey(vault, KeyFile(home.master_key, replaces=True))

        assert vault.master_key_id != before
    Vault.open(home).close()


def test_the_one_before_was_killed(home: Home, vault: Vault, acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the commit, with the vault's only key beside the old one: the next one, which waited, doesn't overwrite it.

    Nor does one that fails take it away.
    """
    with monkeypatch.context() as patch, Vault.open(home) as killed:
        patch.setattr(keysource, "settle", fail)
        with pytest.raises(SeksError, match="half way"):
            rotation.rekey(killed, KeyFile(home.master_key, replaces=True))
    with monkeypatch.context() as patch:
        patch.setattr(vault, "replace_master", fail)

        with pytest.raises(SeksError, match="half way"):
            rotation.rekey(vault, KeyFile(home.master_key, replaces=True))

    with Vault.open(home) as again:
        assert_same(again, acme)
    assert left_behind(home) == []


def test_who_opens_a_vault_settles_nothing_in_the_middle_of_a_change(
    home: Home, vault: Vault, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits then may be another key than the one that was found."""
    with monkeypatch.context() as patch:
        patch.setattr(keysource, "settle", fail)
        with pytest.raises(SeksError, match="half way"):
            rotation.rekey(vault, KeyFile(home.master_key, replaces=True))
    before = home.master_key.read_bytes()

    with home.exclusive(), ThreadPoolExecutor() as other:
        other.submit(lambda: Vault.open(home).close()).result()
        assert home.master_key.read_bytes() == before

    Vault.open(home).close()
    assert home.master_key.read_bytes() != before
    assert left_behind(home) == []


def test_the_record_of_it(home: Home, vault: Vault, acme: Tenant) -> None:
    """It is made where a new key is about to be taken, and without it none is."""
    records: list[bytes] = []
    with pytest.raises(MasterKeyError):
        rotation.rekey(vault, Command(["false"]), lambda: records.append(vault.master_key_id))
    assert records == []

    with pytest.raises(SeksError, match="half way"):
        rotation.rekey(vault, KeyFile(home.master_key, replaces=True), fail)

    assert left_behind(home) == []
    assert_same(vault, acme)


def test_two_settle_at_once(home: Home, vault: Vault, acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that comes between the commit and the end finds the new key; who began it brings it to its end."""
    settle = keysource.settle

    def later(*given: Any) -> None:
        monkeypatch.setattr(keysource, "settle", settle)
        Vault.open(home).close()
        settle(*given)

    monkeypatch.setattr(keysource, "settle", later)

    rotation.rekey(vault, KeyFile(home.master_key, replaces=True))

    with Vault.open(home) as again:
        assert_same(again, acme)
    assert left_behind(home) == []


@pytest.mark.parametrize("kind", ["keyfile", "elsewhere", "command"])
@pytest.mark.parametrize("looks", range(16))
def test_settled_between_two_looks(
    home: Home, vault: Vault, acme: Tenant, source: NewSource, monkeypatch: pytest.MonkeyPatch, kind: str, looks: int
) -> None:
    """A proxy that looks for the new key while it is moved to its place finds it, wherever it looked before."""
    settle, waiting, made = keysource.settle, source(kind), 0

    def counted[T](look: Callable[..., T]) -> Callable[..., T]:
        def run(*given: Any, **named: Any) -> T:
            nonlocal made
            made += 1
            if made == looks + 1:
                settle(home, waiting)
            return look(*given, **named)

        return run

    with Vault.open(home) as proxy:
        with monkeypatch.context() as patch:
            patch.setattr(keysource, "settle", lambda *_: None)
            rotation.rekey(vault, waiting)
            for where, name in ((keysource, "_read"), (Command, "load"), *((Path, n) for n in FILE_LOOKS)):
                patch.setattr(where, name, counted(getattr(where, name)))

            proxy.refresh()

        assert made > 0
        assert_same(proxy, acme)
