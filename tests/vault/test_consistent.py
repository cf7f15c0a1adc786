"""Reading beside a program that makes new keys: what is read belongs together, or is read again."""

from collections.abc import Callable

import pytest

from seks_addon.errors import DatabaseError, SeksError
from seks_addon.home import Home
from seks_addon.vault import Vault, check, rotation
from seks_addon.vault.consistent import snapshot
from seks_addon.vault.keysource import KeyFile
from tests.samples import KEY
from tests.vault.conftest import Tamper, Tenant


def rekey(home: Home) -> None:
    with Vault.open(home) as vault:
        rotation.rekey(vault, KeyFile(home.master_key, replaces=True))


def reencrypt(home: Home) -> None:
    with Vault.open(home, timeout=0.1) as vault:
        try:
            rotation.reencrypt(vault, lambda *_: None)
        except SeksError as error:
            # A snapshot is in the way of emptying the log.
            if "the change is made" not in error.message:
                raise


NEW_KEYS = pytest.mark.parametrize("renew", [rekey, reencrypt])


@NEW_KEYS
@pytest.mark.parametrize(
    "read",
    [
        lambda vault, acme: vault.agents.find(acme.client, "robot"),
        lambda vault, acme: vault.agents.by_id(acme.agent.id),
        lambda vault, acme: vault.agents.by_user("acme/robot"),
        lambda vault, acme: vault.agents.authenticate("acme/robot", acme.password),
        lambda vault, acme: vault.agents.password(acme.agent) == acme.password,
        lambda vault, acme: vault.secrets.by_id(acme.secret.id),
        lambda vault, acme: vault.secrets.bound_to(acme.secret.binding.endpoints[0].origin),
        lambda vault, acme: vault.secrets.held_at(acme.secret.binding.endpoints[0].origin.host, acme.agent),
        lambda vault, acme: vault.secrets.reveal(acme.secret.id, acme.client.id).reveal() == KEY,
        lambda vault, acme: vault.tokens.resolve(acme.text),
        lambda vault, acme: vault.tokens.list(agent=acme.agent),
        lambda vault, acme: vault.tokens.text(acme.token) == acme.text,
    ],
    ids=lambda read: "_".join(read.__code__.co_names[:3]),
)
def test_new_keys_after_the_last_look(
    home: Home, vault: Vault, acme: Tenant, renew: Callable[[Home], None], read: Callable[[Vault, Tenant], object]
) -> None:
    """What a request asks for is found with the keys of this moment."""
    vault.refresh()
    renew(home)

    assert read(vault, acme)


@NEW_KEYS
def test_snapshot(home: Home, vault: Vault, acme: Tenant, renew: Callable[[Home], None]) -> None:
    """Nothing of what happens meanwhile is seen in it, and all of it after."""
    with snapshot(vault):
        renew(home)
        assert not vault.agents.survey().damaged
        renew(home)
        assert not vault.secrets.survey().damaged
        assert not vault.clients.survey().damaged
        assert vault.secrets.reveal(acme.secret.id, acme.client.id).reveal() == KEY
        assert vault.tokens.resolve(acme.text)

    assert vault.tokens.resolve(acme.text)
    assert check.check(vault, lambda *_: None) == []


@NEW_KEYS
def test_snapshot_that_begins_at_that_moment(
    home: Home, vault: Vault, acme: Tenant, renew: Callable[[Home], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """New keys between the look at them and the first row: it is looked again."""
    refresh, left = vault.refresh, [renew, renew]

    def refresh_and_miss() -> None:
        refresh()
        if left:
            left.pop()(home)

    monkeypatch.setattr(vault, "refresh", refresh_and_miss)

    with snapshot(vault):
        assert not [*vault.clients.survey().damaged, *vault.secrets.survey().damaged, *vault.tokens.survey().damaged]
    assert left == []


@NEW_KEYS
def test_check(home: Home, vault: Vault, acme: Tenant, renew: Callable[[Home], None]) -> None:
    """New keys in the middle of a check are no damage."""
    assert check.check(vault, lambda done, _: renew(home) if done == 1 else None) == []


def test_nothing_is_changed_in_a_snapshot(vault: Vault, acme: Tenant) -> None:
    """What would be lost at its end is refused; afterwards all is as ever."""
    with snapshot(vault), snapshot(vault), pytest.raises(DatabaseError, match="read-only"):
        vault.write("DELETE FROM tokens")

    assert vault.tokens.revoke(acme.token).state == "revoked"


def test_a_damaged_row_is_not_looked_at_for_ever(home: Home, vault: Vault, acme: Tenant, tamper: Tamper) -> None:
    """Without new keys a row that doesn't open is damaged, and a token that isn't there is none."""
    tamper("UPDATE tokens SET policy = '{}  '")

    with pytest.raises(Exception, match="changed outside of SEKS"):
        vault.tokens.resolve(acme.text)
    assert vault.tokens.resolve("seks_openai_unknown") is None
