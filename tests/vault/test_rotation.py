"""New data keys, or none at all."""

import shutil
import sqlite3
from contextlib import closing

import pytest

from seks_addon.errors import SeksError, VaultError
from seks_addon.home import Home
from seks_addon.secret import Secret
from seks_addon.vault import Vault, check, rotation
from tests.samples import OTHER_KEY, binding, files_with
from tests.vault.conftest import Tamper, Tenant, assert_same, fail, no_progress


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


@pytest.mark.parametrize("act", ["reencrypt", "destroy"])
def test_what_a_careless_program_left(home: Home, vault: Vault, acme: Tenant, act: str) -> None:
    """Pages that aren't in use any more, and that nobody overwrote, are gone as well."""
    ids = {table: {record} for table, record in records_of(vault, acme)}
    with closing(sqlite3.connect(home.vault)) as careless:
        careless.execute("PRAGMA secure_delete=OFF")
        careless.execute("CREATE TABLE copy AS SELECT data_key FROM clients")
        for column, table in (("record", "secret_values"), ("token", "tokens")):
            careless.execute(f"INSERT INTO copy SELECT {column} FROM {table}")
        careless.commit()
        careless.execute("DROP TABLE copy")
    rotation.empty_log(vault)
    content = home.vault.read_bytes()
    assert all(content.count(record[45:]) > 1 for records in ids.values() for record in records)

    if act == "reencrypt":
        rotation.reencrypt(vault, no_progress)
    else:
        rotation.destroy(vault, [acme.client])
        rotation.erase_remnants(vault)

    assert remnants(home, ids) == set()


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
