"""New keys: another master key, other data keys, none at all."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from seks_addon.errors import MasterKeyError, SeksError, VaultError
from seks_addon.home import Home
from seks_addon.secret import Secret
from seks_addon.vault import Vault, check, epoch, keysource, rotation
from seks_addon.vault.envelope import Key
from seks_addon.vault.keysource import Command, KeyFile, Keyring, KeySource, Passphrase, passphrase
from seks_addon.vault.keysource.encoding import encode
from tests.samples import KEY, OTHER_KEY, binding, files_with
from tests.vault.conftest import Tamper, Tenant, tenant

KINDS = ("keyfile", "elsewhere", "passphrase", "keyring", "command")
PAIRS = [(old, new) for old in KINDS for new in KINDS]

type NewSource = Callable[[str], KeySource]


def ask(new: bool) -> Secret:
    return Secret("four obviously fake words")


def no_progress(done: int, total: int) -> None:
    pass


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


def assert_same(vault: Vault, *owners: Tenant) -> None:
    """All that the tenants own is as it was, and can be read."""
    for owner in owners:
        assert vault.secrets.reveal(owner.secret.id, owner.client.id).reveal() == owner.key
        assert vault.secrets.get(owner.client, "api") == owner.secret
        assert vault.tokens.get(owner.text) == owner.token
        assert vault.tokens.text(owner.token) == owner.text
        assert vault.agents.authenticate(owner.agent.user, owner.password) == owner.agent
    assert check.check(vault, no_progress) == []


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


def fail(*_: object, **__: object) -> Any:
    raise SeksError("half way")


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


def sealed_values(vault: Vault) -> dict[str, set[bytes]]:
    """Every byte string that hangs from a key, by its column."""
    columns = {
        "clients": ("data_key",),
        "agents": ("password", "mac"),
        "secrets": ("mac",),
        "secret_values": ("record",),
        "tokens": ("lookup", "token", "mac"),
    }
    return {
        f"{table}.{name}": {row[name] for row in vault.rows(f"SELECT {name} FROM {table}")}
        for table, names in columns.items()
        for name in names
    }


def remnants(home: Home, values: dict[str, set[bytes]]) -> set[tuple[str, str]]:
    """Which of the values stand in which file of the home."""
    content = {path.name: path.read_bytes() for path in home.root.iterdir() if path.is_file()}
    return {
        (column, name)
        for column, given in values.items()
        for value in given
        for name, data in content.items()
        if value[45:] in data
    }


def test_reencrypt(home: Home, vault: Vault, acme: Tenant, rival: Tenant) -> None:
    """All is said as before, nothing is written as before, and nothing of before is left in a file."""
    vault.tokens.revoke(vault.tokens.issue(acme.secret, acme.agent)[0])
    tokens, before = vault.tokens.list(), sealed_values(vault)
    long = {name: values for name, values in before.items() if len(min(values, key=len)) > 45}
    assert remnants(home, long)
    seen: list[tuple[int, int]] = []
    with Vault.open(home) as proxy:
        assert_same(proxy, acme, rival)

        rotation.reencrypt(vault, lambda done, total: seen.append((done, total)))

        proxy.refresh()
        assert_same(proxy, acme, rival)
    assert_same(vault, acme, rival)
    assert vault.tokens.list() == tokens
    after = sealed_values(vault)
    for column, values in before.items():
        assert values.isdisjoint(after[column]), column
        assert len(values) == len(after[column])
    assert remnants(home, long) == set()
    assert seen == [(done, 7) for done in range(1, 8)]
    with Vault.open(home) as again:
        assert_same(again, acme, rival)


@pytest.mark.parametrize("step", ["replace_vault_key", "_set_epoch"])
def test_reencrypt_that_fails(
    home: Home, vault: Vault, acme: Tenant, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it or nothing."""
    before = sealed_values(vault)
    with monkeypatch.context() as patch:
        patch.setattr(vault, step, fail)

        with pytest.raises(SeksError, match="half way"):
            rotation.reencrypt(vault, no_progress)

    assert sealed_values(vault) == before
    assert_same(vault, acme)
    with Vault.open(home) as again:
        assert_same(again, acme)


def test_reencrypt_of_a_damaged_vault(vault: Vault, acme: Tenant, rival: Tenant, tamper: Tamper) -> None:
    """What can't be opened isn't sealed anew, and the rest stays as it was."""
    tamper("UPDATE secret_values SET record = x'00' WHERE secret_id = ?", rival.secret.id)
    before = sealed_values(vault)

    with pytest.raises(VaultError) as caught:
        rotation.reencrypt(vault, no_progress)

    assert sealed_values(vault) == before
    assert caught.value.message.startswith(f"the secret 'api' ('{rival.secret.id}') was changed outside of SEKS")
    assert f"`seks vault remove {rival.secret.id}`" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("sql", "kind", "removal"),
    [
        ("UPDATE clients SET data_key = x'00' WHERE name = 'acme'", "client 'acme'", "vault destroy --client acme"),
        ("UPDATE agents SET name = 'renamed'", "agent 'renamed'", "agent remove agt_"),
        ("UPDATE agents SET password = x'00'", "agent 'robot'", "agent remove agt_"),
        ("UPDATE secrets SET env = '[\"PATH\"]'", "secret 'api'", "vault remove sec_"),
        ("UPDATE secrets SET client_id = 'cli_nobody'", "secret 'api'", "vault remove sec_"),
        ("UPDATE tokens SET token = x'00'", "token 'tok_", "token revoke tok_"),
        ("UPDATE tokens SET revoked = '2020'", "token 'tok_", "token revoke tok_"),
        ("UPDATE tokens SET policy = CAST(x'ff' AS TEXT)", "token 'tok_", "token revoke tok_"),
    ],
)
def test_reencrypt_names_the_damaged_row(
    vault: Vault, acme: Tenant, tamper: Tamper, sql: str, kind: str, removal: str
) -> None:
    """Sealed anew, it would pass for SEKS's own: it has to go first."""
    tamper(sql)
    before = sealed_values(vault)

    with pytest.raises(VaultError) as caught:
        rotation.reencrypt(vault, no_progress)

    assert sealed_values(vault) == before
    assert caught.value.message.startswith(f"the {kind}")
    assert f"`seks {removal}" in str(caught.value.hint)


def test_a_reader_in_the_way(home: Home, vault: Vault, acme: Tenant) -> None:
    """Where the log can't be emptied, the change is made, and it is said that remnants may be left."""
    vault.connection.execute("PRAGMA busy_timeout=50")
    with closing(sqlite3.connect(home.vault, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM secrets").fetchall()

        with pytest.raises(SeksError, match="remnants") as caught:
            rotation.reencrypt(vault, no_progress)

    assert "seks vault reencrypt" in (caught.value.hint or "")
    assert_same(vault, acme)


@pytest.mark.parametrize("everybody", [False, True])
def test_destroy(home: Home, vault: Vault, acme: Tenant, rival: Tenant, everybody: bool) -> None:
    """Secrets and tokens are gone with the data key; agents stay, with other passwords; others' are as they were."""
    doomed = [acme, rival] if everybody else [acme]
    ids = {f"{table}.{owner.client.name}": {record} for owner in doomed for table, record in records_of(vault, owner)}
    assert remnants(home, ids)

    count, passwords, removed = rotation.destroy(vault, [owner.client for owner in doomed])
    assert not rotation.erase_remnants(vault)

    assert (count, removed) == (len(doomed), [])
    assert set(passwords) == {owner.agent.user for owner in doomed}
    for owner in doomed:
        assert vault.secrets.list(owner.client) == []
        assert vault.tokens.list(client_id=owner.client.id) == []
        assert vault.tokens.resolve(owner.text) is None
        assert vault.agents.authenticate(owner.agent.user, owner.password) is None
        assert vault.agents.authenticate(owner.agent.user, passwords[owner.agent.user]) == owner.agent
    if not everybody:
        assert_same(vault, rival)
    assert check.check(vault, no_progress) == []
    assert remnants(home, ids) == set()
    assert files_with(home.root, [owner.key for owner in doomed]) == []


def records_of(vault: Vault, owner: Tenant) -> list[tuple[str, bytes]]:
    [key] = vault.rows("SELECT data_key FROM clients WHERE id = ?", (owner.client.id,))
    [value] = vault.rows("SELECT record FROM secret_values WHERE secret_id = ?", (owner.secret.id,))
    [token] = vault.rows("SELECT token FROM tokens WHERE id = ?", (owner.token.id,))
    return [("key", key["data_key"]), ("value", value["record"]), ("token", token["token"])]


def test_destroy_with_the_old_key_row_put_back(vault: Vault, acme: Tenant, tamper: Tamper) -> None:
    """The wrapped key alone brings nothing back: there are no records left that it would open."""
    [(_, wrapped), *_] = records_of(vault, acme)
    rotation.destroy(vault, [acme.client])
    tamper("UPDATE clients SET data_key = ?", wrapped)

    assert vault.clients.key(acme.client.id)
    assert vault.secrets.list() == []
    with pytest.raises(VaultError):
        vault.secrets.reveal(acme.secret.id, acme.client.id)
    with pytest.raises(VaultError):
        vault.agents.password(acme.agent)


def test_destroy_of_damaged_secrets(vault: Vault, acme: Tenant, tamper: Tamper) -> None:
    """What can't be read any more can still be destroyed."""
    tamper("UPDATE secrets SET binding = 'no JSON'")

    rotation.destroy(vault, [acme.client])

    assert vault.rows("SELECT 1 FROM secrets") == []


@pytest.mark.parametrize("everybody", [False, True])
def test_destroy_of_what_is_damaged_everywhere(
    home: Home, vault: Vault, acme: Tenant, rival: Tenant, tamper: Tamper, everybody: bool
) -> None:
    """No row of any table stops it; a damaged agent isn't sealed anew, but removed."""
    vault.agents.add(acme.client, "other")
    tamper("UPDATE clients SET data_key = x'00' WHERE name = 'acme'")
    tamper(
        "UPDATE agents SET enabled = 0, name = CAST(x'ff' AS TEXT) WHERE name = 'robot' AND client_id = ?",
        acme.client.id,
    )
    tamper("UPDATE secrets SET binding = '{', env = '[' WHERE client_id = ?", acme.client.id)
    tamper("UPDATE tokens SET policy = 'no JSON' WHERE secret_id = ?", acme.secret.id)
    if everybody:
        tamper("UPDATE secrets SET client_id = 'cli_nobody' WHERE client_id = ?", rival.client.id)

    destroyed = rotation.destroy(vault, None if everybody else [acme.client])

    assert destroyed.secrets == 1 + everybody
    assert set(destroyed.passwords) == {"acme/other", *(["rival/robot"] if everybody else [])}
    assert [row.id for row in destroyed.removed] == [acme.agent.id]
    assert check.check(vault, no_progress) == []
    if not everybody:
        assert_same(vault, rival)


def test_what_a_restore_put_aside_is_destroyed(home: Home, vault: Vault, acme: Tenant) -> None:
    """It is a copy of before."""
    shutil.copy(home.vault, home.damaged_vault)
    rotation.destroy(vault, [acme.client])

    assert rotation.erase_remnants(vault)

    assert not home.damaged_vault.exists()
    assert not rotation.erase_remnants(vault)


def test_destroyed_and_used_again(home: Home, vault: Vault, acme: Tenant) -> None:
    """The client is there for new secrets; a vault that is open elsewhere sees them."""
    with Vault.open(home) as proxy:
        rotation.destroy(vault, [acme.client])
        stored = vault.secrets.add(acme.client, "api", Secret(OTHER_KEY), binding())

        proxy.refresh()
        assert proxy.secrets.reveal(stored.id, acme.client.id).reveal() == OTHER_KEY
        assert proxy.tokens.resolve(acme.text) is None
